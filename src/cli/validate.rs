//! `batchscope validate`: against theory, and against a run of a real server.

use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;

use super::args::ValidateArgs;
use super::table::short;
use super::{files, latency};
use crate::Error;
use crate::latency::StepLatency;
use crate::latency::architecture::Precision;
use crate::report;
use crate::scenario::{Engine, MEMORY_SHARE, Scenario, put_on_hardware};
use crate::sched::continuous::Server;
use crate::sched::continuous::kv::{Capacity, Reuse};
use crate::study::document::{Content, File};
use crate::study::figure::{Axis, Figure, Form, Panel, Plot, Scale, Series};
use crate::study::validation::server::{Comparison, Measured, read_levels};
use crate::study::validation::{splitwise, theory};

/// Beyond this an error is shown in bold.
const BAR: f64 = 0.02;

pub fn validate(args: ValidateArgs) -> Result<(), Error> {
    let mut text = String::from(
        "# Validation\n\nWritten by `batchscope validate`; do not edit by hand.\n\n## Against theory\n\n",
    );
    let _ = writeln!(
        text,
        "Simulated: mean over {} seeds, with its 95 % interval.\n",
        theory::SEEDS
    );
    text += "| queue | quantity | theory | simulated | interval | source |\n|---|---|---|---|---|---|\n";
    for case in theory::cases() {
        let c = case.check()?;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} to {} | {} |",
            c.queue,
            c.quantity,
            short(c.theory),
            short(c.simulated),
            short(c.low),
            short(c.high),
            c.source
        );
    }
    let mut documents = Vec::new();
    if let Some(folder) = &args.run {
        against_run(&args, folder, &mut text, &mut documents)?;
    }
    if let Some(path) = &args.splitwise {
        against_splitwise(path, &mut text)?;
    }
    match &args.out {
        None => files::print(|output| output.write_all(text.as_bytes())),
        Some(path) => {
            files::write(path, |file| file.write_all(text.as_bytes()))?;
            let beside = path.parent().unwrap_or(Path::new("."));
            for document in &documents {
                for (name, bytes) in report::bytes(document)? {
                    // The report shows the SVG.
                    if !name.ends_with(".png") {
                        files::write(&beside.join(name), |file| file.write_all(&bytes))?;
                    }
                }
            }
            Ok(())
        }
    }
}

/// The parts of run_meta.json that a simulation needs.
#[derive(Deserialize)]
struct Meta {
    engine_kwargs: Kwargs,
    kv_cache: KvCache,
}

#[derive(Deserialize)]
struct Kwargs {
    max_num_seqs: u32,
    max_num_batched_tokens: u32,
}

#[derive(Deserialize)]
struct KvCache {
    num_gpu_blocks: u32,
    block_size: u32,
    enable_prefix_caching: bool,
}

fn against_run(
    args: &ValidateArgs,
    folder: &Path,
    text: &mut String,
    documents: &mut Vec<File>,
) -> Result<(), Error> {
    let file = |name: &str| folder.join(name);
    let requests = file("run_requests.jsonl");
    let measured = Measured::read(
        &files::read_text(&requests)?,
        &requests.display().to_string(),
    )?;
    let path = file("run_meta.json");
    let meta: Meta =
        serde_json::from_str(&files::read_text(&path)?).map_err(|e| Error::BadRow {
            file: path.display().to_string(),
            row: e.line() as u64,
            problem: e.to_string(),
        })?;
    let profile = latency::read_profile(
        args.layers,
        &file("profile_attention.csv"),
        &file("profile_dense.csv"),
        &file("profile_per_sequence.csv"),
    )?;
    let mut scenario = Scenario::default();
    scenario.fleet.gpus = 1;
    put_on_hardware(
        &mut scenario,
        &args.model,
        Precision::F16,
        &args.hardware,
        1,
        MEMORY_SHARE,
    )?;
    let sheet = match &scenario.engine {
        Engine::Continuous(server) => server.latency.clone(),
        Engine::Closed => StepLatency::default(),
    };
    let served_with = |latency: StepLatency, blocks: u32| {
        let mut server = Server {
            max_sequences: meta.engine_kwargs.max_num_seqs,
            max_batched_tokens: meta.engine_kwargs.max_num_batched_tokens,
            latency,
            ..Server::default()
        };
        server.kv.block_tokens = meta.kv_cache.block_size;
        server.kv.capacity = Capacity::Blocks(blocks);
        if meta.kv_cache.enable_prefix_caching {
            server.kv.prefix.reuse = Reuse::Own;
        }
        Scenario {
            engine: Engine::Continuous(Box::new(server)),
            ..scenario.clone()
        }
    };
    let blocks = meta.kv_cache.num_gpu_blocks;
    let _ = writeln!(
        text,
        "\n## Against a real server\n\n{} requests on vLLM, {}; {} blocks of {} tokens, {} sequences, {} tokens a \
         step. A measured latency is from the front end's arrival to the engine's token. Simulated with the kernel \
         profiles of that GPU, measured apart from the run, and the engine's own number of blocks; nothing is fitted \
         to the run. Errors above 2 % are bold.\n",
        measured.trace.len(),
        args.hardware.hardware.name,
        blocks,
        meta.kv_cache.block_size,
        meta.engine_kwargs.max_num_seqs,
        meta.engine_kwargs.max_num_batched_tokens,
    );
    let by_profile = measured.against(&served_with(profile.clone(), blocks), 1.0)?;
    table(text, &by_profile);
    let _ = writeln!(
        text,
        "\n{} preemptions were simulated; the run's log does not count its own.\n\n### With the data sheet \
         alone\n\nThe same with the roofline of the data sheet as latency, nothing measured:\n",
        by_profile.preemptions
    );
    table(text, &measured.against(&served_with(sheet, blocks), 1.0)?);
    // How much hangs on the number of blocks: not a fit, a what-if.
    let more = blocks + blocks / 80;
    let _ = writeln!(
        text,
        "\n### With {} blocks instead of {blocks}\n\nAs if prompts shared a little text, which the prefix cache keeps \
         once: the texts are not in the data, so this is a question, not a result.\n",
        more
    );
    table(text, &measured.against(&served_with(profile, more), 1.0)?);

    let series = file("run_timeseries.csv");
    let input = std::fs::File::open(&series).map_err(|e| files::problem("open", &series, &e))?;
    let columns = read_levels(input, &series.display().to_string())?;
    documents.push(File::new(
        "validation-run",
        Content::Figure(figure(&by_profile, &columns)),
    ));
    let _ = writeln!(
        text,
        "\n![Requests and cache over time, measured and simulated](validation-run.svg)"
    );
    Ok(())
}

fn against_splitwise(path: &Path, text: &mut String) -> Result<(), Error> {
    let input = std::fs::File::open(path).map_err(|e| files::problem("open", path, &e))?;
    let found = splitwise::held_out(input, &path.display().to_string())?;
    *text += "\n## Fits to other measurements\n\nSplitwise's measurements (Patel et al., ISCA 2024): a linear model in sequences, \
              prompt tokens, their pairs and context, fitted to three quarters of the settings of each group, and its \
              errors on the rest. Power is a share of the board's limit, where it was measured.\n\n\
              | group | quantity | fitted | held out | median error | P90 | worst |\n|---|---|---|---|---|---|---|\n";
    for f in &found {
        let percent = |x: f64| format!("{:.1} %", x * 100.0);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            f.group,
            f.quantity,
            f.fitted,
            f.held_out,
            percent(f.median),
            percent(f.p90),
            percent(f.worst)
        );
    }
    Ok(())
}

fn table(text: &mut String, comparison: &Comparison) {
    *text += "| metric | statistic | measured, s | simulated, s | error |\n|---|---|---|---|---|\n";
    for row in &comparison.rows {
        let error = row.error();
        let shown = format!("{:+.1} %", error * 100.0);
        let shown = if error.abs() > BAR {
            format!("**{shown}**")
        } else {
            shown
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {shown} |",
            row.metric,
            row.statistic,
            short(row.measured_s),
            short(row.simulated_s)
        );
    }
}

/// Levels over time: simulated curves, measured dots.
fn figure(comparison: &Comparison, measured: &[Vec<f64>; 4]) -> Figure {
    let [t, running, waiting, kv] = measured;
    let panel = |title: &str, simulated: Vec<[f64; 2]>, column: &[f64]| Panel {
        title: title.to_owned(),
        x: Axis {
            label: "time (s)".to_owned(),
            scale: Scale::Linear,
        },
        y: Axis {
            label: title.to_lowercase(),
            scale: Scale::Linear,
        },
        plot: Plot::Series {
            series: vec![
                Series {
                    name: "simulated".to_owned(),
                    form: Form::Curve(simulated),
                },
                Series {
                    name: "measured".to_owned(),
                    form: Form::Dots(t.iter().zip(column).map(|(&t, &y)| [t, y]).collect()),
                },
            ],
            marks: Vec::new(),
        },
    };
    let curve = |of: &dyn Fn(&crate::study::validation::server::Moment) -> f64| {
        comparison.moments.iter().map(|m| [m.at_s, of(m)]).collect()
    };
    Figure {
        title: "A vLLM run on one GPU, and its simulation".to_owned(),
        caption: format!(
            "Running and waiting requests and the share of KV blocks in use: {} moments measured, {} simulated.",
            t.len(),
            comparison.moments.len()
        ),
        columns: 1,
        panels: vec![
            panel("Requests running", curve(&|m| m.running), running),
            panel("Requests waiting", curve(&|m| m.waiting), waiting),
            panel("KV blocks in use (%)", curve(&|m| m.kv * 100.0), kv),
        ],
    }
}
