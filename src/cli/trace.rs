//! `batchscope trace stats` and `batchscope trace generate`.

use std::io::{self, Write};

use super::args::{GenerateArgs, StatsArgs};
use super::{files, table};
use crate::scenario::Source;
use crate::trace::{Labels, stats as statistics};
use crate::{Error, Scenario, Trace};

pub fn stats(args: StatsArgs) -> Result<(), Error> {
    let trace = files::read_trace(&args.file, &args.reading.reading())?;
    let stats = statistics(&trace);
    if args.json {
        files::print_json(&serde_json::json!({ "stats": stats, "read": trace.report }))
    } else {
        let text = table::stats(&trace, &stats);
        files::print(|output| output.write_all(text.as_bytes()))
    }
}

pub fn generate(args: GenerateArgs) -> Result<(), Error> {
    let mut scenario = match &args.scenario {
        Some(path) => Scenario::from_json(&files::read_text(path)?, &path.display().to_string())?,
        None => Scenario::default(),
    };
    let Source::Synthetic(synthetic) = &mut scenario.trace else {
        return Err(Error::contradiction(
            "trace",
            "the scenario reads a file; only \"synthetic\" can be generated",
        ));
    };
    if let Some(requests) = args.requests {
        synthetic.requests = requests;
    }
    let seed = args.seed.unwrap_or(scenario.seed);
    let trace = synthetic.generate(seed)?;
    files::write(&args.out, |file| write_csv(&trace, file))
}

/// The generic CSV form, which `--format csv` reads back to the same columns.
fn write_csv(trace: &Trace, output: &mut dyn Write) -> io::Result<()> {
    write!(output, "arrival_s,prompt_tokens,output_tokens")?;
    for (column, name) in [(&trace.model, "model"), (&trace.log_type, "log_type")] {
        if column.is_some() {
            write!(output, ",{name}")?;
        }
    }
    writeln!(output)?;
    for i in 0..trace.len() {
        write!(
            output,
            "{},{},{}",
            trace.arrival[i], trace.prompt[i], trace.output[i]
        )?;
        for column in [&trace.model, &trace.log_type].into_iter().flatten() {
            write!(output, ",{}", label(column, i))?;
        }
        writeln!(output)?;
    }
    Ok(())
}

/// Generated labels need no quoting: they have neither commas nor quotes.
fn label(labels: &Labels, i: usize) -> &str {
    labels
        .names
        .get(usize::from(labels.ids[i]))
        .map_or("", String::as_str)
}
