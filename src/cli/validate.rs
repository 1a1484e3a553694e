//! `batchscope validate`: against theory, and against a run of a real server.

use std::fmt::Write as _;
use std::path::Path;

use super::args::{ValidateArgs, card_of, model_of};
use super::table::short;
use super::{files, latency, load_tests};
use crate::Error;
use crate::experiment::validation::server::{
    Comparison, Measured, Meta, PERTURBED_STEPS, Perturbed, median_worst, read_levels,
};
use crate::experiment::validation::{splitwise, theory};
use crate::latency::StepLatency;
use crate::latency::typical::Basis;
use crate::report;
use crate::report::document::{Content, File};
use crate::report::figure::{Axis, Figure, Form, Panel, Plot, Scale, Series};
use crate::scenario::{MEMORY_SHARE, Placement, Scenario};
use crate::sched::continuous::kv::Reuse;

/// Beyond this an error is shown in bold.
const BAR: f64 = 0.01;

pub fn validate(args: ValidateArgs) -> Result<(), Error> {
    if !args.results.is_empty() {
        return load_tests::validate(&args);
    }
    if !args.server.set.assignments.is_empty() {
        return Err(Error::bad_argument("--set", "--results is missing"));
    }
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

/// A file of the run's folder as text, `None` where it is not there.
fn optional(folder: &Path, name: &str) -> Result<Option<(String, String)>, Error> {
    let path = folder.join(name);
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some((files::read_log(&path)?, path.display().to_string())))
}

fn against_run(
    args: &ValidateArgs,
    folder: &Path,
    text: &mut String,
    documents: &mut Vec<File>,
) -> Result<(), Error> {
    let file = |name: &str| folder.join(name);
    let requests = file("run_requests.jsonl");
    let mut measured = Measured::read(
        &files::read_log(&requests)?,
        &requests.display().to_string(),
    )?;
    let prompts = optional(folder, "prompt_blocks.jsonl")?;
    if let Some((prompts, name)) = &prompts {
        measured.read_prompts(prompts, name)?;
    }
    let path = file("run_meta.json");
    let meta = Meta::read(&files::read_text(&path)?, &path.display().to_string())?;
    let skew = file("profile_skew.csv");
    let profile = latency::read_profile(
        args.layers,
        &file("profile_attention.csv"),
        &file("profile_dense.csv"),
        &file("profile_per_sequence.csv"),
        skew.exists().then_some(skew.as_path()),
        &meta.engine_kwargs.cudagraph_capture_sizes,
    )?;
    let mut scenario = Scenario::continuous();
    scenario.fleet.gpus = 1;
    let model = model_of(args.model.as_deref().unwrap_or("llama-3.1-8b"))?;
    let hardware = card_of(args.hardware.as_deref().unwrap_or("rtx-4090"))?;
    let share = meta.kv_cache.gpu_memory_utilization;
    let mut steps = |basis| -> Result<StepLatency, Error> {
        let placement = Placement {
            model: &model,
            precision: None,
            card: &hardware,
            tensor_parallel: meta.engine_kwargs.tensor_parallel_size,
            expert_parallel: meta.engine_kwargs.enable_expert_parallel,
            memory_share: share.unwrap_or(MEMORY_SHARE),
            basis,
        };
        placement.put_on(&mut scenario)?;
        let server = scenario.server();
        Ok(server.map_or_else(StepLatency::default, |server| server.latency.clone()))
    };
    let typical = steps(Basis::Typical)?;
    let sheet = steps(Basis::Datasheet)?;
    let without = meta.serve(&scenario, profile);
    let mut with = without.clone();
    if prompts.is_some()
        && let Some(server) = with.server_mut()
        && server.kv.prefix.reuse == Reuse::Own
    {
        server.kv.prefix.reuse = Reuse::Hashes;
    }
    let kwargs = &meta.engine_kwargs;
    let blocks = match meta.blocks() {
        Some(blocks) => format!(
            "{blocks} blocks of {} tokens, one of them vLLM's null block",
            meta.kv_cache.block_size
        ),
        None => format!(
            "blocks of {} tokens, as many as the data sheet's memory leaves beside the weights: the run does not \
             say how many",
            meta.kv_cache.block_size
        ),
    };
    let gpus = match (kwargs.data_parallel_size, kwargs.tensor_parallel_size) {
        (1, 1) => String::new(),
        (replicas, parallel) => format!(
            "; {replicas} replicas of {parallel} GPUs, each request on the replica with the fewest; \
             communication between GPUs is not in the profiles"
        ),
    };
    let _ = writeln!(
        text,
        "\n## Against a real server\n\n{} requests on vLLM, {}; {blocks}, {} sequences, {} tokens a step{gpus}. A \
         measured latency is from the front end's arrival to the engine's token. Simulated with the kernel profiles \
         of that GPU, measured apart from the run, and the engine's own settings; nothing is fitted to the run. \
         Errors above {:.0} % are bold.\n",
        measured.trace.len(),
        hardware.hardware.name,
        kwargs.max_num_seqs,
        kwargs.max_num_batched_tokens,
        BAR * 100.0
    );
    let by_profile = measured.against(&with, 1.0)?;
    table(text, &by_profile);
    let _ = writeln!(
        text,
        "\n{} preemptions were simulated; the run's log does not count its own.",
        by_profile.preemptions
    );
    perturbations(text, &measured.perturbed(&with)?);
    if let Some(prefix) = &measured.trace.prefix {
        let blind = measured.against(&without, 1.0)?;
        let worst = blind
            .rows
            .iter()
            .max_by(|a, b| a.error().abs().total_cmp(&b.error().abs()));
        let distinct = prefix.blocks.iter().max().map_or(0, |most| most + 1);
        let _ = writeln!(
            text,
            "\n### Without the hashes of the prompts\n\nPrompts of this run share text: of their {} whole blocks of {} \
             tokens {distinct} are distinct, and vLLM keeps a shared block once. The simulation above does the same, by \
             the hashes of all prompt blocks (prompt_blocks.jsonl). Without them each prompt takes blocks of its own. \
             Where the cache is full, a few blocks decide who joins a step earlier and who is preempted: {}.\n",
            prefix.blocks.len(),
            prefix.tokens_per_block,
            worst.map_or(String::new(), |row| format!(
                "without the hashes the largest error is {:+.1} % ({} {})",
                row.error() * 100.0,
                row.metric,
                row.statistic
            ))
        );
        table(text, &blind);
        perturbations(text, &measured.perturbed(&without)?);
    }
    if !with_async(&with) {
        let _ = writeln!(
            text,
            "\n### With asynchronous scheduling\n\nThe same with `async_scheduling`. vLLM turns it on by default since \
             0.19; run_meta.json{} does not say whether it was on.\n",
            meta.vllm_version
                .as_ref()
                .map_or(String::new(), |version| format!(" (vLLM {version})"))
        );
        let mut ahead = with.clone();
        if let Some(server) = ahead.server_mut() {
            server.async_scheduling = true;
        }
        table(text, &measured.against(&ahead, 1.0)?);
        perturbations(text, &measured.perturbed(&ahead)?);
    }
    for (said, latency) in [
        (
            "### With typical steps\n\nThe same without any profile of this GPU: the steps that `run --model --hardware` takes, \
             by the shares of the peaks that its generation reaches",
            typical,
        ),
        (
            "### With the data sheet alone\n\nThe same with the data sheet as latency, the upper bound of what the GPU can do",
            sheet,
        ),
    ] {
        let _ = writeln!(text, "\n{said}:\n");
        let mut other = with.clone();
        if let Some(server) = other.server_mut() {
            server.latency = latency;
        }
        table(text, &measured.against(&other, 1.0)?);
    }

    let series = file("run_timeseries.csv");
    if series.exists() {
        let input = files::read_bytes(&series)?;
        let columns = read_levels(input.as_slice(), &series.display().to_string())?;
        documents.push(File::new(
            "validation-run",
            Content::Figure(figure(&by_profile, &columns)),
        ));
        let _ = writeln!(
            text,
            "\n![Requests and cache over time, measured and simulated](validation-run.svg)"
        );
    }
    Ok(())
}

fn with_async(scenario: &Scenario) -> bool {
    scenario
        .server()
        .is_some_and(|server| server.async_scheduling)
}

/// The worst error of the run with other blocks and step times, and its median.
fn perturbations(text: &mut String, all: &[Perturbed]) {
    let mut blocks: Vec<i32> = all.iter().map(|p| p.blocks).collect();
    blocks.dedup();
    let _ = writeln!(
        text,
        "\nHow much depends on small differences: the largest error of the 15 figures above, with other numbers \
         of blocks (rows) and other step times (columns).\n"
    );
    let _ = write!(text, "| blocks |");
    for factor in PERTURBED_STEPS {
        let _ = write!(text, " {:+.1} % |", (factor - 1.0) * 100.0);
    }
    let _ = writeln!(text, "\n|---|---|---|---|");
    for more in blocks {
        let _ = write!(text, "| {more:+} |");
        for run in all.iter().filter(|p| p.blocks == more) {
            let _ = write!(text, " {:.1} % |", run.worst * 100.0);
        }
        let _ = writeln!(text);
    }
    let _ = writeln!(
        text,
        "\nMedian of these {} cells: {:.1} %.",
        all.len(),
        median_worst(all) * 100.0
    );
}

fn against_splitwise(path: &Path, text: &mut String) -> Result<(), Error> {
    let input = files::read_bytes(path)?;
    let found = splitwise::held_out(input.as_slice(), &path.display().to_string())?;
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
    let curve = |of: &dyn Fn(&crate::experiment::validation::server::Moment) -> f64| {
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
