//! The ways in which a scenario can be run, and the bytes of what comes out. The one file that knows how
//! an engine is driven.

use batchscope::sim::{Record, Run};
use batchscope::{Error, Outcome, Scenario, Trace};

/// The record of a run in slices of so many events.
pub fn record(trace: &Trace, scenario: &Scenario, events: u64) -> Result<Record, Error> {
    let mut run = Run::new(trace, scenario)?;
    while !run.advance(trace, events) {}
    Ok(run.finish())
}

/// The outcome of a run in slices of so many events.
pub fn sliced(trace: &Trace, scenario: &Scenario, events: u64) -> Result<Outcome, Error> {
    Ok(Outcome::of(trace, record(trace, scenario, events)?))
}

/// The outcome of a run that does each step by itself; `None` of an engine without steps.
pub fn stepped(trace: &Trace, scenario: &Scenario) -> Result<Option<Outcome>, Error> {
    if scenario.closed().is_some() {
        return Ok(None);
    }
    let mut run = Run::new(trace, scenario)?;
    run.step_by_step();
    while !run.advance(trace, u64::MAX) {}
    Ok(Some(Outcome::of(trace, run.finish())))
}

/// Every byte of an outcome by the name of its part: columns, totals and the summary's JSON.
pub fn bytes(outcome: &Outcome) -> Vec<(&'static str, Vec<u8>)> {
    fn column<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        values.iter().flat_map(|value| bytes(*value)).collect()
    }
    let (b, r) = (&outcome.batches, &outcome.requests);
    let mut parts = vec![
        ("batches.start", column(&b.start, f64::to_le_bytes)),
        ("batches.service", column(&b.service, f64::to_le_bytes)),
        ("batches.gpu", column(&b.gpu, u16::to_le_bytes)),
        ("batches.bin", column(&b.bin, u8::to_le_bytes)),
        ("batches.first", column(&b.first, u32::to_le_bytes)),
        ("batches.size", column(&b.size, u32::to_le_bytes)),
        (
            "batches.longest_total",
            column(&b.longest_total, u32::to_le_bytes),
        ),
        (
            "batches.longest_output",
            column(&b.longest_output, u32::to_le_bytes),
        ),
        ("requests.order", column(&r.order, u32::to_le_bytes)),
        ("requests.predicted", column(&r.predicted, u32::to_le_bytes)),
        ("requests.sent_s", column(&r.sent_s, f64::to_le_bytes)),
        ("requests.sent", column(&r.sent, u32::to_le_bytes)),
    ];
    if let Some(served) = &outcome.served {
        let (s, totals) = served.as_ref();
        parts.extend([
            ("served.joined_s", column(&s.joined_s, f64::to_le_bytes)),
            (
                "served.first_token_s",
                column(&s.first_token_s, f64::to_le_bytes),
            ),
            ("served.done_s", column(&s.done_s, f64::to_le_bytes)),
            ("served.replica", column(&s.replica, u16::to_le_bytes)),
            ("served.fate", column(&s.fate, |fate| [fate as u8])),
            ("totals.token_s", totals.token_s.to_le_bytes().to_vec()),
            ("totals.busy_s", column(&totals.busy_s, f64::to_le_bytes)),
        ]);
    }
    parts.push((
        "summary",
        serde_json::to_vec(&outcome.summary).unwrap_or_default(),
    ));
    parts
}

/// Checks and prepares a run, without running it.
pub fn begin(trace: &Trace, scenario: &Scenario) -> Result<(), Error> {
    Run::new(trace, scenario).map(|_| ())
}

/// The same with arrivals and think times moved by small uneven amounts, so that no arrival meets the end of a
/// step.
pub fn away_from_ties(trace: &Trace, scenario: &Scenario) -> (Trace, Scenario) {
    let (mut trace, mut scenario) = (trace.clone(), scenario.clone());
    for (row, at) in trace.arrival.iter_mut().enumerate() {
        let row = row as f64;
        *at += 1e-5 * (row + (row * 0.618_033_988_749_895).fract());
    }
    if let Some(users) = &mut scenario.workload.closed_loop {
        users.think_max_s += 1e-2;
    }
    (trace, scenario)
}
