//! When the requests of a vLLM result were sent that does not say so.
//!
//! `vllm bench serve` waits exponential times between requests, which numpy draws from the seed (0 by default), and each
//! wait takes a little longer than asked for. With the one excess that makes the last request end with the benchmark,
//! the tokens of requests that were served together come at the same moments: that shows whether the times are right.

use super::Request;
use crate::trace::random::numpy_exponentials;

/// Longest excess of a wait, s: timers of an event loop are late by about a millisecond.
const MOST_EXCESS_S: f64 = 5e-3;
/// Added to the excess, tokens that came together come apart, s.
const APART_S: f64 = 1.37e-3;
/// Share of the spacing of tokens that come apart, below which tokens come together.
const TOGETHER: f64 = 0.75;
/// vLLM's seed where no other is given.
const SEED: u32 = 0;

/// Times of sending, s from the first, or `None` where the generator's do not explain the result.
pub fn regenerated(each: &[Request], rate: f64, duration_s: f64) -> Option<Vec<f64>> {
    let mut waited = 0.0;
    let asked: Vec<f64> = numpy_exponentials(SEED, each.len())
        .into_iter()
        .map(|wait| {
            let sent = waited;
            waited += wait / rate;
            sent
        })
        .collect();
    let late = |excess: f64| -> Vec<f64> {
        let all = asked.iter().enumerate();
        all.map(|(i, sent)| sent + i as f64 * excess).collect()
    };
    let end = |excess: f64| {
        let ends = late(excess).into_iter().zip(each);
        ends.map(|(sent, r)| sent + r.e2e_s.unwrap_or(0.0))
            .fold(0.0, f64::max)
    };
    let (mut low, mut high) = (0.0, MOST_EXCESS_S);
    if end(low) > duration_s || end(high) < duration_s {
        return None;
    }
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if end(middle) < duration_s {
            low = middle;
        } else {
            high = middle;
        }
    }
    let together = spacing_s(each, &late(low))?;
    let apart = spacing_s(each, &late(low + APART_S))?;
    (together < TOGETHER * apart).then(|| late(low))
}

/// Median time between the messages of all requests, one after another, s.
fn spacing_s(each: &[Request], sent: &[f64]) -> Option<f64> {
    let mut at = Vec::new();
    for (request, sent) in each.iter().zip(sent) {
        let mut now = sent + request.ttft_s?;
        at.push(now);
        for gap in &request.gaps_s {
            now += gap;
            at.push(now);
        }
    }
    at.sort_by(f64::total_cmp);
    let mut between: Vec<f64> = at.windows(2).map(|w| w[1] - w[0]).collect();
    crate::quantiles::median(&mut between)
}
