//! `batchscope compare`.

use std::fmt::Write as _;
use std::path::Path;

use super::args::CompareArgs;
use super::table::{new_table, short};
use super::{files, pool, replay, run};
use crate::experiment::compare::{self, Comparison};
use crate::published::execution::check_replications;
use crate::scenario::describe::{self, Before};
use crate::scenario::{Source, no_effect};
use crate::{Error, Scenario};

/// What the printed table has, by path and in its words; a file has every figure.
const PRINTED: [(&str, &str); 28] = [
    ("honest.sla.joint", "all promises kept"),
    ("honest.sla.ttft", "TTFT SLA kept"),
    ("honest.sla.token", "token SLA kept"),
    ("honest.sla.request", "request SLA kept"),
    ("honest.goodput_requests_per_s", "goodput (requests/s)"),
    ("honest.ttft_s.mean", "TTFT, mean (s)"),
    ("honest.ttft_s.p50", "TTFT, P50 (s)"),
    ("honest.ttft_s.p95", "TTFT, P95 (s)"),
    ("honest.ttft_s.p99", "TTFT, P99 (s)"),
    ("continuous.tbt_ms.mean", "TBT, mean (ms)"),
    ("continuous.tbt_ms.p99", "TBT, P99 (ms)"),
    ("honest.tpot_ms.mean", "TPOT, mean (ms)"),
    ("honest.tpot_ms.p50", "TPOT, P50 (ms)"),
    ("honest.tpot_ms.p99", "TPOT, P99 (ms)"),
    ("honest.e2e_s.mean", "latency, mean (s)"),
    ("honest.e2e_s.p50", "latency, P50 (s)"),
    ("honest.e2e_s.p95", "latency, P95 (s)"),
    ("honest.e2e_s.p99", "latency, P99 (s)"),
    ("honest.output_tokens_per_s", "output (tok/s)"),
    ("honest.utilization.mean", "GPU utilisation, mean"),
    ("continuous.mfu", "MFU"),
    ("continuous.mbu", "MBU"),
    ("continuous.mean_batch", "sequences of a step"),
    ("continuous.kv.peak_blocks", "KV blocks, peak"),
    ("continuous.preemptions", "preemptions"),
    ("continuous.prefix.hit_rate", "prefix cache, found"),
    ("continuous.rejected", "rejected"),
    ("continuous.timed_out", "gave up"),
];

pub fn compare(args: CompareArgs) -> Result<(), Error> {
    if args.a == Path::new("-") && args.b == Path::new("-") {
        return Err(Error::contradiction(
            "A and B",
            "standard input cannot be two files at once; name one of them",
        ));
    }
    check_replications(args.replications)?;
    if let Some(path) = &args.out {
        files::check_place(path)?;
    }
    let (a, b) = (read(&args.a, &args)?, read(&args.b, &args)?);
    compare::check_pair(&a, &b)?;
    if args.seed.is_some()
        && let (Some(why), Some(_)) = (a.no_effect_of("seed"), b.no_effect_of("seed"))
    {
        return Err(no_effect("--seed", &why));
    }
    // A file is read once; generated requests are others for each seed.
    let file = match &a.trace {
        Source::File { .. } => Some(run::load(&a, args.trace.as_deref())?),
        Source::Synthetic(_) => None,
    };
    let first = args.seed.unwrap_or(a.seed);
    let seeds: Vec<u32> = (0..args.replications)
        .map(|i| first.wrapping_add(i))
        .collect();
    let pairs = pool::in_order(
        args.jobs.unwrap_or_else(pool::default_jobs),
        seeds.iter().copied(),
        |seed| compare::pair([&a, &b], file.as_ref(), seed, &replay::replay_quietly),
    )?;
    let found = compare::comparison([&a, &b], &pairs);
    if let Some(path) = &args.out {
        files::write(path, |output| {
            let mut csv = csv::Writer::from_writer(output);
            for row in &found.differences {
                csv.serialize(row)?;
            }
            csv.flush()
        })?;
    }
    if args.json {
        return files::print_json(&serde_json::json!({
            "seeds": seeds, "requests": found.requests, "promises": found.promises,
            "differences": found.differences,
        }));
    }
    let text = words(&found, &seeds, file.is_some());
    files::print(|output| output.write_all(text.as_bytes()))
}

/// One of the two scenarios, with the trace that both shall replay.
fn read(path: &Path, args: &CompareArgs) -> Result<Scenario, Error> {
    let name = match path.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => path.display().to_string(),
    };
    let mut scenario = Scenario::from_json(&files::read_text(path)?, &name)?;
    if let Some(trace) = &args.trace {
        scenario.trace = Source::file(trace.display().to_string());
    }
    let seed = args.seed.map(|_| ("--seed", "seed"));
    let trace = args.trace.as_ref().map(|_| ("--trace", "trace"));
    let given: Vec<_> = seed.into_iter().chain(trace).collect();
    describe::set_all(&mut scenario, &args.set.assignments, Before::Text, &given)?;
    Ok(scenario)
}

fn words(found: &Comparison, seeds: &[u32], from_file: bool) -> String {
    let mut text = match seeds {
        [one] => format!("One seed, {one}: no intervals\n"),
        [first, .., last] if last < first => {
            format!(
                "Seeds {first} to {} and 0 to {last}, the same in both\n",
                u32::MAX
            )
        }
        [first, .., last] => format!(
            "Seeds {first} to {last}, the same in both{}\n",
            if from_file {
                "; the requests are the file's, so that only predictions, routers and drafts vary"
            } else {
                ""
            }
        ),
        [] => String::new(),
    };
    for promise in &found.promises {
        let _ = writeln!(text, "Not the same promises: {promise}");
    }
    if found.requests.same {
        text += "The same requests in both\n";
    } else {
        text += "Not the same requests in both:\n";
        for what in &found.requests.differ {
            let _ = writeln!(text, "- {what}");
        }
    }
    let mut table = new_table(&["", "A", "B", "B - A", "95 % from", "to", "of A", ""]);
    for (figure, words) in PRINTED {
        let Some(d) = found.differences.iter().find(|d| d.figure == figure) else {
            continue;
        };
        // Nothing of the kind happened in either.
        if d.a == 0.0 && d.b == 0.0 {
            continue;
        }
        let ratio = d.difference / d.a * 100.0;
        table.add_row([
            words.to_owned(),
            short(d.a),
            short(d.b),
            short(d.difference),
            d.low.map(short).unwrap_or_default(),
            d.high.map(short).unwrap_or_default(),
            if d.a == 0.0 {
                String::new()
            } else {
                format!("{ratio:+.1} %")
            },
            match d.shown() {
                Some(true) => String::new(),
                Some(false) => "no difference shown".to_owned(),
                None => "no interval".to_owned(),
            },
        ]);
    }
    let _ = writeln!(text, "\n{table}");
    text
}
