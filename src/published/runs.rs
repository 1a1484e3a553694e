//! Words of a run in the studies' reports.

use super::published_columns::{request_violation_rate, token_violation_rate};
use crate::metrics::Summary;
use crate::sched::Policy;
use crate::words::gpus;

/// "Static FIFO", "Multi-Bin K=8".
pub(crate) fn scheduler(s: &Summary) -> String {
    let bins = s.scenario.bins.count;
    match s.scenario.policy().unwrap_or_default() {
        Policy::StaticFifo => "Static FIFO".to_owned(),
        Policy::Dynamic => "Dynamic No-Bins".to_owned(),
        Policy::MultiBinDynamic => format!("Multi-Bin K={bins}"),
        Policy::MultiBin => format!("Full Multi-Bin K={bins}"),
    }
}

/// "Static FIFO (1 GPU)", as in the published reports.
pub(crate) fn method(s: &Summary) -> String {
    format!("{} ({})", scheduler(s), gpus(s.scenario.fleet.gpus))
}

/// The share that kept the token SLA, as published.
pub(crate) fn token_pass(s: &Summary) -> f64 {
    1.0 - token_violation_rate(s)
}

/// The share that kept the request SLA, as published.
pub(crate) fn request_pass(s: &Summary) -> f64 {
    1.0 - request_violation_rate(s)
}

/// The latency model that a run used, in lines for a report.
pub(crate) fn latency_model(s: &Summary) -> String {
    let closed = s.scenario.closed();
    let Some(model) = closed.and_then(|closed| closed.latency.linear()) else {
        return "  the steps of a server, added up\n".to_owned();
    };
    // The published models do not have it, and their reports do not speak of it.
    let (term, value) = if model.growth == 0.0 {
        ("", String::new())
    } else {
        (
            " + growth (b - 1)",
            format!(", growth = {:.5}", model.growth),
        )
    };
    format!(
        "  T(b, L) = alpha + beta L h(b),  h(b) = 1 + gamma (b - 1)/b{term}\n  \
         L = prompt + output tokens of the longest request in a batch of b\n  \
         alpha = {:.2} ms, beta = {:.3} ms/token, gamma = {:.4}{value}\n",
        model.alpha_s * 1e3,
        model.beta_s_per_token * 1e3,
        model.gamma,
    )
}

/// The run with the largest value, the earlier of equals.
pub(crate) fn best_by<'a>(
    runs: impl IntoIterator<Item = &'a Summary>,
    value: impl Fn(&Summary) -> f64,
) -> Option<&'a Summary> {
    runs.into_iter().fold(None, |best, run| match best {
        Some(old) if value(old) >= value(run) => Some(old),
        _ => Some(run),
    })
}
