//! Single requests of a result, and the figures that their times give.

use serde::Serialize;

use super::{Benchmark, Figure, Quantity, Statistic};
use crate::quantiles::mean_and_quantiles;

/// One request of a benchmark.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// From the benchmark's first request, s, where it is known.
    pub sent_s: Option<f64>,
    /// Tokens; `None` where the file does not say.
    pub prompt: Option<f64>,
    /// Tokens.
    pub output: f64,
    pub ttft_s: Option<f64>,
    /// Between the messages, the first of which ends the time to first token.
    pub gaps_s: Vec<f64>,
    pub e2e_s: Option<f64>,
}

/// Where times of arrival come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sent {
    /// The file has them.
    Given,
    /// Worked out: vLLM's generator makes them of its seed.
    Regenerated,
    Unknown,
}

impl Request {
    fn of(&self, quantity: Quantity) -> Option<f64> {
        match quantity {
            Quantity::Ttft => self.ttft_s,
            Quantity::E2e => self.e2e_s,
            Quantity::Tpot if self.output > 1.0 => {
                let decoding = self.e2e_s? - self.ttft_s?;
                Some((decoding / (self.output - 1.0)).max(0.0))
            }
            _ => None,
        }
    }
}

impl Benchmark {
    /// Adds the figures that the file lacks and its single requests give.
    pub(super) fn derive(&mut self) {
        for (quantity, of) in [
            (Quantity::Ttft, "the requests' times to first token"),
            (Quantity::Tpot, "the requests' times and outputs"),
            (Quantity::E2e, "the requests' times"),
        ] {
            let values: Vec<f64> = self.each.iter().filter_map(|r| r.of(quantity)).collect();
            // A list that lacks some requests is of others than the figures beside it.
            if quantity != Quantity::Tpot && values.len() < self.each.len() {
                continue;
            }
            self.derive_of(quantity, of, &values);
        }
        let gaps: Vec<f64> = self.each.iter().flat_map(|r| r.gaps_s.clone()).collect();
        self.derive_of(Quantity::Itl, "the gaps of all requests", &gaps);
    }

    fn derive_of(&mut self, quantity: Quantity, field: &str, values: &[f64]) {
        if values.is_empty() {
            return;
        }
        for (statistic, value) in Statistic::ALL.into_iter().zip(mean_and_quantiles(values)) {
            if self.figure(quantity, statistic).is_none() {
                self.figures.push(Figure {
                    quantity,
                    statistic,
                    value,
                    field: field.to_owned(),
                    derived: true,
                });
            }
        }
    }

    /// Whether every request's time of arrival, lengths and messages are known.
    pub fn is_traffic(&self) -> bool {
        self.sent != Sent::Unknown
            && self.each.len() > 1
            && self.each.iter().any(|r| !r.gaps_s.is_empty())
            && self
                .each
                .iter()
                .all(|r| r.sent_s.is_some() && r.ttft_s.is_some() && r.prompt.is_some())
    }
}
