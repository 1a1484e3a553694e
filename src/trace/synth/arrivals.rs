//! Arrival processes.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::error::number;
use crate::trace::random::{Purpose, Stream};

/// How requests arrive; rates are requests/s, the first arrival is one gap after time 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Arrivals {
    /// Independent exponential gaps.
    Poisson { rate: f64 },
    /// Independent Gamma gaps; `cv` is their standard deviation over their mean. Above 1 is bursty.
    Gamma { rate: f64, cv: f64 },
    /// Poisson at two rates in turn, each for an exponential time (a Markov-modulated Poisson
    /// process); begins with `on`.
    OnOff {
        on_rate: f64,
        off_rate: f64,
        mean_on_s: f64,
        mean_off_s: f64,
    },
    /// Poisson at a rate that follows a cosine: highest at `peak_at_s` (and a period later), where it
    /// is `peak_to_valley` times the lowest.
    Diurnal {
        mean_rate: f64,
        peak_to_valley: f64,
        period_s: f64,
        peak_at_s: f64,
    },
}

/// Rates and times within which 10 million requests stay inside 1e12 s, the end of every clock here.
const RATE: (f64, f64) = (1e-5, 1e6);
const SECONDS: (f64, f64) = (1e-3, 1e8);

impl Arrivals {
    /// As in JSON.
    fn name(&self) -> &'static str {
        match self {
            Arrivals::Poisson { .. } => "poisson",
            Arrivals::Gamma { .. } => "gamma",
            Arrivals::OnOff { .. } => "on-off",
            Arrivals::Diurnal { .. } => "diurnal",
        }
    }

    pub(super) fn check(&self, field: &str) -> Result<(), Error> {
        let field = format!("{field}.{}", self.name());
        let range = |name: &str, value: f64, (low, high): (f64, f64)| {
            number(&format!("{field}.{name}"), value, low, high)
        };
        match *self {
            Arrivals::Poisson { rate } => range("rate", rate, RATE),
            Arrivals::Gamma { rate, cv } => {
                range("rate", rate, RATE)?;
                range("cv", cv, (0.01, 20.0))
            }
            Arrivals::OnOff {
                on_rate,
                off_rate,
                mean_on_s,
                mean_off_s,
            } => {
                range("on_rate", on_rate, RATE)?;
                range("off_rate", off_rate, (0.0, RATE.1))?;
                range("mean_on_s", mean_on_s, SECONDS)?;
                range("mean_off_s", mean_off_s, (0.0, SECONDS.1))?;
                // Each turn of the two states costs time even when it brings no request.
                let cycle = mean_on_s + mean_off_s;
                let per_cycle = on_rate * mean_on_s + off_rate * mean_off_s;
                if per_cycle < 0.01 || per_cycle < RATE.0 * cycle {
                    return Err(Error::bad_field(
                        format!("{field}.on_rate"),
                        on_rate,
                        "one that makes at least one request in 100 turns of on and off, \
                                  and one in 100,000 s",
                    ));
                }
                Ok(())
            }
            Arrivals::Diurnal {
                mean_rate,
                peak_to_valley,
                period_s,
                peak_at_s,
            } => {
                range("mean_rate", mean_rate, RATE)?;
                range("peak_to_valley", peak_to_valley, (1.0, 1e6))?;
                range("period_s", period_s, SECONDS)?;
                range("peak_at_s", peak_at_s, (0.0, SECONDS.1))
            }
        }
    }

    /// `n` arrival times; the parameters have been checked.
    pub(super) fn sample(&self, n: usize, seed: u32) -> Vec<f64> {
        let mut random = Stream::new(seed, Purpose::Arrivals);
        let mut t = 0.0;
        match *self {
            Arrivals::Poisson { rate } => (0..n)
                .map(|_| {
                    t += random.exponential() / rate;
                    t
                })
                .collect(),
            Arrivals::Gamma { rate, cv } => {
                let shape = 1.0 / (cv * cv);
                (0..n)
                    .map(|_| {
                        t += random.gamma(shape) / (shape * rate);
                        t
                    })
                    .collect()
            }
            Arrivals::OnOff {
                on_rate,
                off_rate,
                mean_on_s,
                mean_off_s,
            } => {
                let mut turns = Stream::new(seed, Purpose::Bursts);
                let mut on = true;
                let mut end = mean_on_s * turns.exponential();
                (0..n)
                    .map(|_| {
                        // An exponential wait, spent at the rate of whichever state holds.
                        let mut wait = random.exponential();
                        loop {
                            let rate = if on { on_rate } else { off_rate };
                            if wait <= rate * (end - t) {
                                // Rounding must not carry the arrival over the state's end.
                                t = (t + wait / rate).min(end);
                                return t;
                            }
                            wait -= rate * (end - t);
                            t = end;
                            on = !on;
                            end += turns.exponential() * if on { mean_on_s } else { mean_off_s };
                        }
                    })
                    .collect()
            }
            Arrivals::Diurnal {
                mean_rate,
                peak_to_valley,
                period_s,
                peak_at_s,
            } => {
                // Thinning (Lewis and Shedler 1979) of a process at the peak's rate, which is at most
                // twice the mean.
                let swing = (peak_to_valley - 1.0) / (peak_to_valley + 1.0);
                let highest = 1.0 + swing;
                (0..n)
                    .map(|_| {
                        loop {
                            t += random.exponential() / (mean_rate * highest);
                            let phase = core::f64::consts::TAU * ((t - peak_at_s) / period_s);
                            if random.uniform() * highest < 1.0 + swing * libm::cos(phase) {
                                return t;
                            }
                        }
                    })
                    .collect()
            }
        }
    }
}
