//! Per-request and per-batch rows, as CSV.

use std::io::{self, Write};

use super::Outcome;
use super::tally::Ledger;
use crate::Trace;
use crate::sim::continuous::{Fate, Served, StepRow};

/// A row per replayed request, in trace order and numbered from 1 in the whole trace, after rows
/// out of time order were sorted. Times in s on the run's clock unless the name says
/// otherwise; a cell is empty where a request has no such figure.
pub fn requests_csv(trace: &Trace, outcome: &Outcome, output: &mut dyn Write) -> io::Result<()> {
    if let Some(served) = &outcome.served {
        return served_csv(trace, outcome, &served.0, output);
    }
    let latency = outcome.summary.scenario.linear_table();
    let ledger = Ledger::of(trace, outcome, latency.as_ref());
    let first_row = outcome.requests.first_row as usize;
    let mut batch_of = vec![u32::MAX; outcome.summary.workload.rows_taken as usize];
    for batch in ledger.batches() {
        for request in ledger.members(batch) {
            batch_of[request.row - first_row] = batch.index as u32;
        }
    }
    writeln!(
        output,
        "request,arrival_s,prompt_tokens,output_tokens,predicted_tokens,bin,gpu,batch,batch_size,\
         start_s,end_s,queueing_s,ttft_s,tpot_ms,latency_s,failed"
    )?;
    for (i, &index) in batch_of.iter().enumerate() {
        if index == u32::MAX {
            continue;
        }
        closed_row(&ledger, outcome, index as usize, first_row + i, output)?;
    }
    Ok(())
}

/// The row of a request of a closed batch.
fn closed_row(
    ledger: &Ledger<'_>,
    outcome: &Outcome,
    index: usize,
    row: usize,
    output: &mut dyn Write,
) -> io::Result<()> {
    let i = row - outcome.requests.first_row as usize;
    let batch = ledger.batch(index);
    let request = ledger.request(batch, row as u32);
    let failed = request.output == 0;
    write!(
        output,
        "{},{},{},{},",
        row + 1,
        request.arrival,
        request.prompt,
        request.output
    )?;
    cell(output, outcome.requests.predicted.get(i))?;
    write!(
        output,
        "{},{},{},{},{},{},{},",
        outcome.batches.bin[index],
        outcome.batches.gpu[index],
        index,
        batch.size,
        batch.start,
        batch.end,
        request.queueing(&batch),
    )?;
    let first_token = request.ttft(&batch);
    cell(output, (!failed).then_some(first_token).as_ref())?;
    cell(output, request.tpot_ms(first_token).as_ref())?;
    writeln!(output, "{},{}", request.latency, u8::from(failed))
}

/// With continuous batching.
fn served_csv(
    trace: &Trace,
    outcome: &Outcome,
    served: &Served,
    output: &mut dyn Write,
) -> io::Result<()> {
    let first_row = outcome.requests.first_row as usize;
    let arrivals = outcome.requests.arrivals(trace);
    writeln!(
        output,
        "request,arrival_s,prompt_tokens,output_tokens,predicted_tokens,replica,fate,joined_s,\
         first_token_s,done_s,queueing_s,ttft_s,tpot_ms,latency_s"
    )?;
    for (i, &fate) in served.fate.iter().enumerate() {
        if fate == Fate::Dropped {
            continue;
        }
        let row = first_row + i;
        let (arrival, tokens) = (arrivals.of(row), trace.output[row]);
        write!(
            output,
            "{},{arrival},{},{tokens},",
            row + 1,
            trace.prompt[row]
        )?;
        cell(output, outcome.requests.predicted.get(i))?;
        let known = |time: f64| (!time.is_nan()).then_some(time);
        let (joined, first, done) = (
            known(served.joined_s[i]),
            known(served.first_token_s[i]),
            known(served.done_s[i]),
        );
        write!(output, "{},{},", served.replica[i], fate.name())?;
        cell(output, joined.as_ref())?;
        cell(output, first.as_ref())?;
        cell(output, done.as_ref())?;
        cell(output, joined.map(|t| t - arrival).as_ref())?;
        cell(output, first.map(|t| t - arrival).as_ref())?;
        let tpot = first.zip(done).filter(|_| tokens > 1);
        let tpot = tpot.map(|(first, done)| (done - first) / (f64::from(tokens) - 1.0) * 1e3);
        cell(output, tpot.as_ref())?;
        match done {
            Some(done) => writeln!(output, "{}", done - arrival)?,
            None => writeln!(output)?,
        }
    }
    Ok(())
}

/// Microseconds of a second, the unit of trace events.
const US: f64 = 1e6;

/// The steps of continuous batching as trace events, which Perfetto and chrome://tracing open: a thread per
/// replica, a slice per step (or steps with the same requests), counters of waiting requests and tokens in
/// the cache, and a slice per request from its first step to its last.
pub fn chrome_trace(
    trace: &Trace,
    outcome: &Outcome,
    steps: &[StepRow],
    output: &mut dyn Write,
) -> io::Result<()> {
    write!(output, "{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[")?;
    write!(
        output,
        "{{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":0,\"args\":{{\"name\":\"replicas\"}}}},\
         {{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"args\":{{\"name\":\"requests\"}}}}"
    )?;
    for step in steps {
        step_events(step, output)?;
    }
    if let Some(served) = &outcome.served {
        let first_row = outcome.requests.first_row as usize;
        for i in 0..served.0.fate.len() {
            if served.0.fate[i] == Fate::Done {
                request_events(trace, &served.0, i, first_row + i, output)?;
            }
        }
    }
    writeln!(output, "]}}")
}

/// A slice of a step, and counters at its beginning.
fn step_events(step: &StepRow, output: &mut dyn Write) -> io::Result<()> {
    let name = match (step.sequences, step.prompt_tokens) {
        (n, 0) => format!("decode {n}"),
        (0, p) => format!("prompt {p}"),
        (n, p) => format!("decode {n}, prompt {p}"),
    };
    let (start, length) = (step.start_s * US, (step.end_s - step.start_s) * US);
    let replica = step.replica;
    write!(
        output,
        ",\n{{\"name\":\"{name}\",\"ph\":\"X\",\"pid\":0,\"tid\":{replica},\"ts\":{start:.3},\
         \"dur\":{length:.3},\"args\":{{\"steps\":{},\"waiting\":{},\"tokens\":{}}}}}",
        step.steps, step.waiting, step.tokens
    )?;
    write!(
        output,
        ",\n{{\"name\":\"replica {replica}\",\"ph\":\"C\",\"pid\":0,\"ts\":{start:.3},\
         \"args\":{{\"waiting\":{},\"tokens\":{}}}}}",
        step.waiting, step.tokens
    )?;
    Ok(())
}

/// The slice of a request, from its first step to its last.
fn request_events(
    trace: &Trace,
    served: &Served,
    i: usize,
    row: usize,
    output: &mut dyn Write,
) -> io::Result<()> {
    let (joined, done) = (served.joined_s[i], served.done_s[i]);
    let (start, length) = (joined * US, (done - joined) * US);
    let ids = format!(
        "\"cat\":\"request\",\"id\":{row},\"pid\":1,\"tid\":{}",
        served.replica[i]
    );
    write!(
        output,
        ",\n{{\"name\":\"request {}\",\"ph\":\"b\",{ids},\"ts\":{start:.3},\"args\":\
         {{\"prompt\":{},\"output\":{},\"first_token_s\":{}}}}}",
        row + 1,
        trace.prompt[row],
        trace.output[row],
        served.first_token_s[i]
    )?;
    write!(
        output,
        ",\n{{\"name\":\"request {}\",\"ph\":\"e\",{ids},\"ts\":{:.3}}}",
        row + 1,
        start + length
    )?;
    Ok(())
}

/// A row per batch, in order of its start.
pub fn batches_csv(outcome: &Outcome, output: &mut dyn Write) -> io::Result<()> {
    let b = &outcome.batches;
    writeln!(
        output,
        "batch,gpu,bin,start_s,service_s,end_s,size,longest_total_tokens,longest_output_tokens"
    )?;
    for i in 0..b.len() {
        writeln!(
            output,
            "{i},{},{},{},{},{},{},{},{}",
            b.gpu[i],
            b.bin[i],
            b.start[i],
            b.service[i],
            b.end(i),
            b.size[i],
            b.longest_total[i],
            b.longest_output[i]
        )?;
    }
    Ok(())
}

fn cell(output: &mut dyn Write, value: Option<&impl std::fmt::Display>) -> io::Result<()> {
    match value {
        Some(value) => write!(output, "{value},"),
        None => write!(output, ","),
    }
}
