//! Per-request and per-batch rows, as CSV.

use std::io::{self, Write};

use super::Outcome;
use super::tally::Ledger;
use crate::Trace;
use crate::latency::Latency;

/// A row per replayed request, in trace order and numbered from 1 in the whole trace, after rows
/// out of time order were sorted. Times in s on the run's clock unless the name says
/// otherwise; a cell is empty where a request has no such figure.
pub fn requests_csv(trace: &Trace, outcome: &Outcome, output: &mut dyn Write) -> io::Result<()> {
    let Latency::Linear(linear) = &outcome.summary.scenario.latency;
    let latency = linear.table(outcome.summary.published.max_batch);
    let ledger = Ledger {
        trace,
        batches: &outcome.batches,
        requests: &outcome.requests,
        arrivals: outcome.requests.arrivals(trace),
        latency: &latency,
        report: &outcome.summary.workload,
        sla: &outcome.summary.scenario.sla,
        memory: &outcome.summary.scenario.memory,
        gpus: outcome.summary.scenario.fleet.gpus as usize,
        failed: outcome.summary.scenario.workload.failed,
        prediction: outcome.summary.honest.prediction,
    };
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
        let index = index as usize;
        let batch = ledger.batch(index);
        let request = ledger.request(batch, (first_row + i) as u32);
        let failed = request.output == 0;
        write!(
            output,
            "{},{},{},{},",
            first_row + i + 1,
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
        writeln!(output, "{},{}", request.latency, u8::from(failed))?;
    }
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
