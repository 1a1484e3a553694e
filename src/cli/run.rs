//! `batchscope run`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::args::{LatencyOf, RunArgs, ScenarioArgs, card_of};
use super::calibrated::{Prediction, WithNote, WithPrediction};
use super::replay::SLICE;
use super::{calibrated, files, interrupt, latency, levels, table};
use crate::latency::Latency;
use crate::latency::hardware::Card;
use crate::metrics::rows;
use crate::scenario::{
    ClosedLoop, Engine, MEMORY_SHARE, Placement, Source, Ties,
    describe::{self, Before},
    no_effect,
};
use crate::sched::Closed;
use crate::sched::continuous::Server;
use crate::sched::continuous::kv::Capacity;
use crate::sched::memory::Memory;
use crate::sim::Run;
use crate::sim::continuous::StepRow;
use crate::trace::synth::{MAX_REQUESTS, Synthetic};
use crate::words::counted;
use crate::{Error, Outcome, Scenario, Trace};

pub fn run(args: RunArgs) -> Result<(), Error> {
    levels::check(&args)?;
    let (mut scenario, trace_file) = resolved(&args.scenario, [])?;
    if args.scenario.router.is_some() && scenario.replicas() == 1 {
        return Err(no_effect("--router", "one replica serves all requests"));
    }
    if args.batches_csv.is_some() && scenario.closed().is_none() {
        return Err(Error::contradiction(
            "--batches-csv",
            "continuous batching has no closed batches; --chrome-trace writes its steps, --requests-csv \
                  its requests",
        ));
    }
    if args.chrome_trace.is_some() && scenario.closed().is_some() {
        return Err(Error::contradiction(
            "--chrome-trace",
            "it shows the steps of continuous batching; add --rule, or see --batches-csv",
        ));
    }
    let print = |scenario: &Scenario| {
        if let Some(path) = &args.scenario.trace
            && path.to_str().is_none()
        {
            return Err(Error::bad_argument(
                "--trace",
                "a scenario cannot hold this name, which is not UTF-8 text; rename the file",
            ));
        }
        let json = scenario.to_json();
        files::print(|output| writeln!(output, "{json}"))
    };
    if args.print_scenario && args.scenario.calibration().is_none() {
        return print(&scenario);
    }
    keep_apart(&args, trace_file.as_deref())?;
    let trace = load(&scenario, trace_file.as_deref())?;
    let calibrated = calibrated::put_on(&args.scenario, &trace, &mut scenario)?;
    if levels::asked(&args) {
        return levels::run(&args, &trace, &scenario, calibrated.as_ref());
    }
    if args.print_scenario {
        return print(&scenario);
    }
    let (outcome, steps) = replay(&trace, &scenario, args.chrome_trace.is_some())?;
    let note = match &calibrated {
        // Digests say nothing of a calibration.
        Some(calibrated) if !args.digest => Some(calibrated.note(&trace, &outcome.summary)?),
        _ => None,
    };
    let prediction = if args.digest {
        None
    } else {
        Prediction::of(&trace, &outcome.summary)?
    };
    // Files first: a table on the screen says that everything asked for is there.
    if let Some(path) = &args.requests_csv {
        files::write(path, |file| rows::requests_csv(&trace, &outcome, file))?;
    }
    if let Some(path) = &args.batches_csv {
        files::write(path, |file| rows::batches_csv(&outcome, file))?;
    }
    if let Some(path) = &args.chrome_trace {
        files::write(path, |file| {
            rows::chrome_trace(&trace, &outcome, &steps, file)
        })?;
    }
    if args.json {
        let summary = &outcome.summary;
        match (&note, &prediction) {
            (Some(calibration), _) => files::print_json(&WithNote {
                summary,
                calibration,
            }),
            (None, Some(prediction)) => files::print_json(&WithPrediction {
                summary,
                prediction,
            }),
            (None, None) => files::print_json(summary),
        }
    } else if args.digest {
        files::print_json(&outcome.digests())
    } else {
        let mut text = table::outcome(&outcome.summary, &trace.report);
        if let Some(note) = &note {
            text += &note.text(&scenario);
        }
        if let Some(prediction) = &prediction {
            text += &prediction.text();
        }
        files::print(|output| output.write_all(text.as_bytes()))
    }
}

/// Refuses an output that would overwrite the other one, or the trace.
fn keep_apart(args: &RunArgs, trace: Option<&Path>) -> Result<(), Error> {
    let files = [
        ("--requests-csv", args.requests_csv.as_deref()),
        ("--batches-csv", args.batches_csv.as_deref()),
        ("--chrome-trace", args.chrome_trace.as_deref()),
        ("the trace", trace),
        ("--latency", args.scenario.calibration()),
    ];
    for (i, (output, a)) in files.iter().enumerate() {
        for (other, b) in &files[i + 1..] {
            if let (Some(a), Some(b)) = (a, b)
                && files::same_file(a, b)
            {
                return Err(Error::contradiction(
                    *output,
                    format!("it is the same file as {other}; give it another name"),
                ));
            }
        }
    }
    Ok(())
}

/// The scenario of file, preset and flags, in this order, and where its trace is.
/// `reserved`: what else sets a setting, and its path.
pub fn resolve(
    args: &ScenarioArgs,
    reserved: impl IntoIterator<Item = (&'static str, &'static str)>,
) -> Result<(Scenario, Option<PathBuf>), Error> {
    if args.users.len() > 1 {
        return Err(Error::bad_argument(
            "--users",
            "several numbers are levels of load, which `run` has; name one",
        ));
    }
    resolved(args, reserved)
}

/// The same with the largest of several numbers of users.
fn resolved(
    args: &ScenarioArgs,
    reserved: impl IntoIterator<Item = (&'static str, &'static str)>,
) -> Result<(Scenario, Option<PathBuf>), Error> {
    calibrated::one_standard_input(args)?;
    let mut s = match &args.scenario {
        Some(path) => Scenario::from_json(&files::read_text(path)?, &path.display().to_string())?,
        None => Scenario::default(),
    };
    if let Some(preset) = args.preset {
        preset.0.apply(&mut s);
    }
    source(args, &mut s)?;
    if let Some(limit) = args.limit {
        s.workload.limit = Some(limit);
    }
    if let Some(scale) = args.time_scale {
        s.workload.time_scale = scale;
        s.workload.rate_per_s = None;
    }
    if let Some(rate) = args.rate {
        s.workload.rate_per_s = Some(rate);
    }
    users(args, &mut s)?;
    set(&mut s.workload.failed, args.failed);
    engine(args, &mut s)?;
    set(&mut s.bins.count, args.bins);
    set(&mut s.bins.boundaries, args.boundaries);
    set(&mut s.bins.full_batch, args.batch);
    set(&mut s.fleet.gpus, args.gpus);
    set(&mut s.sla.token_ms, args.token_sla);
    set(&mut s.sla.request_s, args.request_sla);
    set(&mut s.predictor.kind, args.predictor);
    set(&mut s.predictor.sigma, args.sigma);
    set(&mut s.predictor.bin_error, args.bin_error);
    set(&mut s.seed, args.seed);
    let closed = s.closed().is_some();
    let before = match &args.scenario {
        Some(_) => Before::Text,
        None => Before::Flags,
    };
    let given: Vec<(&str, &str)> = flags(args).into_iter().chain(reserved).collect();
    describe::set_all(&mut s, &args.set.assignments, before, &given)?;
    if s.closed().is_some() != closed
        && let Some(flag) = engine_flag(args)
    {
        return Err(Error::contradiction(
            flag,
            "it chose or set one engine, and --set names a setting of the other; leave one of them out",
        ));
    }
    s.validate().map_err(|e| match e {
        Error::Contradiction { what, why }
            if args.order.is_some() && what == "engine.continuous.order" =>
        {
            Error::contradiction("--order", why)
        }
        other => other,
    })?;
    flags_without_effect(args, &s)?;
    // What the file or the preset says of a policy or an engine that a flag replaced.
    s.reset_without_effect();
    let file = match &s.trace {
        // A scenario holds names as text, and not every name is text.
        Source::File { name, .. } => Some(args.trace.clone().unwrap_or_else(|| name.into())),
        Source::Synthetic(_) => None,
    };
    Ok((s, file))
}

/// The trace file and how to read it. A file of the command line is read as the command line says, and one of
/// the scenario as both say.
fn source(args: &ScenarioArgs, s: &mut Scenario) -> Result<(), Error> {
    if let Some(path) = &args.trace {
        s.trace = Source::file(path.display().to_string());
    }
    let asked = args.reading.reading();
    match (&mut s.trace, args.reading.given()) {
        (
            Source::File {
                format,
                time_unit,
                hash_tokens,
                ..
            },
            _,
        ) => {
            *format = asked.format.or(*format);
            *time_unit = asked.time_unit.or(*time_unit);
            *hash_tokens = asked.hash_tokens.or(*hash_tokens);
            Ok(())
        }
        (Source::Synthetic(_), Some(flag)) => Err(Error::contradiction(
            flag,
            "the scenario's trace is generated, not read; name a file with --trace",
        )),
        (Source::Synthetic(_), None) => Ok(()),
    }
}

/// Continuous batching, where a flag asks for it, and how long steps take.
fn engine(args: &ScenarioArgs, s: &mut Scenario) -> Result<(), Error> {
    // A scheduler is one of closed batches.
    let steps = args.step_latency.is_some() || args.model.is_some();
    if steps
        && args.scenario.is_some()
        && args.rule.is_none()
        && args.scheduler.is_none()
        && s.closed().is_some()
    {
        return Err(Error::contradiction(
            if args.model.is_some() {
                "--model"
            } else {
                "--step-latency"
            },
            "the scenario has closed batches; add --scheduler for closed batches on these steps, or --rule for \
             continuous batching",
        ));
    }
    let begins = args.rule.is_some() || (steps && args.scheduler.is_none());
    if begins && let Some(closed) = s.closed() {
        let mut server = Server::default();
        // Default step and default memory are of one machine; another memory was given.
        if closed.memory != Memory::default() {
            server.memory = closed.memory;
        }
        s.engine = Engine::Continuous(Box::new(server));
    }
    if let Some(server) = s.server_mut() {
        // The memory of a model with states depends on it.
        set(&mut server.max_sequences, args.max_sequences);
    }
    place(args, s)?;
    let server = match &mut s.engine {
        Engine::Closed(closed) => return closed_batches(args, closed),
        Engine::Continuous(server) => server,
    };
    if let Some(path) = &args.step_latency {
        server.latency = latency::read(path)?;
    }
    set(&mut server.rule, args.rule);
    set(&mut server.order, args.order);
    set(&mut server.router, args.router);
    set(&mut server.kv.prefix.reuse, args.reuse);
    set(&mut server.max_batched_tokens, args.max_batched_tokens);
    set(
        &mut server.kv.capacity,
        args.kv_blocks.map(Capacity::Blocks),
    );
    server.bins |= args.share_bins;
    match (args.kv_blocks, &args.hardware) {
        (Some(blocks), Some(card)) => blocks_fit(blocks, &card_of(card)?, server),
        _ => Ok(()),
    }
}

/// The model that the flags put on their GPUs.
fn place(args: &ScenarioArgs, s: &mut Scenario) -> Result<(), Error> {
    let Some((model, card)) = args.placed()? else {
        if let Some(LatencyOf::Basis(_)) = args.latency {
            return Err(Error::contradiction(
                "--latency",
                "typical and datasheet are about a model on a GPU; add --model and --hardware",
            ));
        }
        return Ok(());
    };
    if args.calibration().is_some() {
        return Err(Error::contradiction(
            "--latency",
            "a calibration has a model and a GPU of its own; leave out --model and --hardware, or the file",
        ));
    }
    let placement = Placement {
        model: &model,
        precision: args.precision,
        card: &card,
        tensor_parallel: args.tensor_parallel.unwrap_or(1),
        expert_parallel: args.expert_parallel,
        memory_share: MEMORY_SHARE,
        basis: args.basis(),
    };
    placement.put_on(s)
}

/// The settings of closed batches; flags of continuous batching are refused.
fn closed_batches(args: &ScenarioArgs, closed: &mut Closed) -> Result<(), Error> {
    set(&mut closed.policy, args.scheduler);
    set(&mut closed.max_batch, args.max_batch);
    set(&mut closed.static_batch, args.batch);
    if let Some(path) = &args.step_latency {
        closed.latency = Latency::Steps(Box::new(latency::read(path)?));
    }
    match server_flag(args) {
        None => Ok(()),
        Some(flag) => Err(Error::contradiction(
            flag,
            match args.scheduler {
                Some(_) => {
                    "it is about continuous batching, and --scheduler chooses closed batches; remove one of them"
                }
                None => {
                    "it is about continuous batching, and this run is of closed batches; add --rule, or remove it"
                }
            },
        )),
    }
}

/// A flag that sets something of continuous batching, if there is one.
fn server_flag(args: &ScenarioArgs) -> Option<&'static str> {
    first_given([
        ("--order", args.order.is_some()),
        ("--router", args.router.is_some()),
        ("--share-bins", args.share_bins),
        ("--max-sequences", args.max_sequences.is_some()),
        ("--max-batched-tokens", args.max_batched_tokens.is_some()),
        ("--kv-blocks", args.kv_blocks.is_some()),
        ("--reuse", args.reuse.is_some()),
    ])
}

/// A flag that chooses an engine or sets something of one, if there is one.
fn engine_flag(args: &ScenarioArgs) -> Option<&'static str> {
    server_flag(args).or_else(|| {
        first_given([
            ("--rule", args.rule.is_some()),
            ("--model", args.model.is_some()),
            ("--step-latency", args.step_latency.is_some()),
            ("--scheduler", args.scheduler.is_some()),
            ("--max-batch", args.max_batch.is_some()),
        ])
    })
}

fn first_given<const N: usize>(flags: [(&'static str, bool); N]) -> Option<&'static str> {
    flags
        .into_iter()
        .find_map(|(flag, given)| given.then_some(flag))
}

/// Refuses a cache that the GPUs of the data sheet cannot hold beside the weights.
fn blocks_fit(blocks: u32, card: &Card, server: &Server) -> Result<(), Error> {
    let memory = &server.memory;
    let block_gb = f64::from(server.kv.block_tokens) * memory.kv_gb_per_token;
    // All of the memory: a server may be told to use more than the usual share.
    let gpus = f64::from(server.tensor_parallel);
    let free_gb = gpus * card.memory_bytes / 1e9 - memory.model_gb;
    if f64::from(blocks) * block_gb <= free_gb {
        return Ok(());
    }
    Err(Error::bad_field(
        "--kv-blocks",
        blocks,
        format!(
            "at most {} blocks of {} tokens, which is what {} beside the weights",
            libm::floor((free_gb / block_gb).max(0.0)),
            server.kv.block_tokens,
            match server.tensor_parallel {
                1 => format!("one GPU ({}) holds", card.hardware.name),
                n => format!("{n} GPUs ({}) hold", card.hardware.name),
            }
        ),
    ))
}

/// The settings that the given flags name, by path.
fn flags(args: &ScenarioArgs) -> Vec<(&'static str, &'static str)> {
    let all = [
        ("--trace", args.trace.is_some(), "trace"),
        (
            "--hash-tokens",
            args.reading.hash_tokens.is_some(),
            "trace.file.hash_tokens",
        ),
        ("--limit", args.limit.is_some(), "workload.limit"),
        (
            "--time-scale",
            args.time_scale.is_some(),
            "workload.time_scale",
        ),
        ("--rate", args.rate.is_some(), "workload.rate_per_s"),
        ("--failed", args.failed.is_some(), "workload.failed"),
        (
            "--users",
            !args.users.is_empty(),
            "workload.closed_loop.users",
        ),
        (
            "--requests-per-user",
            args.requests_per_user.is_some(),
            "workload.closed_loop.requests_per_user",
        ),
        (
            "--think",
            args.think.is_some(),
            "workload.closed_loop.think_max_s",
        ),
        ("--predictor", args.predictor.is_some(), "predictor.kind"),
        ("--sigma", args.sigma.is_some(), "predictor.sigma"),
        (
            "--bin-error",
            args.bin_error.is_some(),
            "predictor.bin_error",
        ),
        ("--bins", args.bins.is_some(), "bins.count"),
        ("--boundaries", args.boundaries.is_some(), "bins.boundaries"),
        ("--batch", args.batch.is_some(), "bins.full_batch"),
        (
            "--batch",
            args.batch.is_some(),
            "engine.closed.static_batch",
        ),
        (
            "--scheduler",
            args.scheduler.is_some(),
            "engine.closed.policy",
        ),
        (
            "--max-batch",
            args.max_batch.is_some(),
            "engine.closed.max_batch",
        ),
        ("--rule", args.rule.is_some(), "engine.continuous.rule"),
        ("--order", args.order.is_some(), "engine.continuous.order"),
        (
            "--router",
            args.router.is_some(),
            "engine.continuous.router",
        ),
        ("--share-bins", args.share_bins, "engine.continuous.bins"),
        (
            "--max-sequences",
            args.max_sequences.is_some(),
            "engine.continuous.max_sequences",
        ),
        (
            "--max-batched-tokens",
            args.max_batched_tokens.is_some(),
            "engine.continuous.max_batched_tokens",
        ),
        (
            "--kv-blocks",
            args.kv_blocks.is_some(),
            "engine.continuous.kv.capacity",
        ),
        (
            "--reuse",
            args.reuse.is_some(),
            "engine.continuous.kv.prefix.reuse",
        ),
        ("--gpus", args.gpus.is_some(), "fleet.gpus"),
        ("--token-sla", args.token_sla.is_some(), "sla.token_ms"),
        ("--request-sla", args.request_sla.is_some(), "sla.request_s"),
        ("--seed", args.seed.is_some(), "seed"),
    ];
    let mut given: Vec<(&str, &str)> = all
        .into_iter()
        .filter_map(|(flag, given, path)| given.then_some((flag, path)))
        .collect();
    let steps = [
        ("--latency", args.latency.is_some()),
        ("--step-latency", args.step_latency.is_some()),
    ];
    for (flag, _) in steps.into_iter().filter(|(_, given)| *given) {
        given.extend(
            ["engine.closed.latency", "engine.continuous.latency"].map(|path| (flag, path)),
        );
    }
    given
}

/// Refuses a flag whose field has no effect in the resolved scenario, whatever the flag says.
fn flags_without_effect(args: &ScenarioArgs, s: &Scenario) -> Result<(), Error> {
    for (flag, field) in flags(args) {
        if flag != "--batch"
            && let Some(why) = s.no_effect_of(field)
        {
            return Err(no_effect(flag, &why));
        }
    }
    // One flag for two fields: it has no effect where neither has.
    if args.batch.is_some()
        && let Some(why) = s.no_effect_of("engine.closed.static_batch")
        && s.no_effect_of("bins.full_batch").is_some()
    {
        return Err(no_effect("--batch", &why));
    }
    Ok(())
}

/// The flags of a closed loop, on top of the scenario's, if it has one.
fn users(args: &ScenarioArgs, s: &mut Scenario) -> Result<(), Error> {
    let workload = &mut s.workload;
    let closed_loop = &mut workload.closed_loop;
    if let Some(&users) = args.users.iter().max() {
        workload.time_scale = 1.0;
        workload.rate_per_s = None;
        workload.ties = Ties::Fixed;
        closed_loop.get_or_insert(ClosedLoop::default()).users = users;
    }
    match closed_loop {
        Some(closed_loop) => {
            set(&mut closed_loop.requests_per_user, args.requests_per_user);
            if let Some([least, most]) = args.think {
                closed_loop.think_min_s = least;
                closed_loop.think_max_s = most;
            }
            if let Some((prompt, output)) = args.prompt.zip(args.output) {
                let requests = closed_loop.requests();
                if requests > u64::from(MAX_REQUESTS) {
                    return Err(Error::bad_argument(
                        "--users",
                        format!(
                            "{} with {} each are {requests} requests; allowed are {MAX_REQUESTS}",
                            counted(closed_loop.users, "user"),
                            counted(closed_loop.requests_per_user, "request")
                        ),
                    ));
                }
                s.trace = Source::Synthetic(Synthetic::alike(requests as u32, prompt, output));
            }
            Ok(())
        }
        None if args.requests_per_user.is_some() || args.think.is_some() => {
            Err(Error::contradiction(
                if args.think.is_some() {
                    "--think".to_owned()
                } else {
                    "--requests-per-user".to_owned()
                },
                "the scenario has no users; say how many with --users",
            ))
        }
        None => Ok(()),
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// The rows of the scenario's trace; of a pipe only as many as the run takes.
pub fn load(scenario: &Scenario, file: Option<&Path>) -> Result<Trace, Error> {
    let name = match (&scenario.trace, file) {
        (Source::Synthetic(synthetic), _) => return synthetic.generate(scenario.seed),
        (Source::File { .. }, Some(path)) => path,
        (Source::File { name, .. }, None) => Path::new(name),
    };
    let mut reading = scenario.trace.reading();
    if files::is_stream(name) {
        reading.most_rows = rows_needed(scenario);
    }
    files::read_trace(name, &reading)
}

/// How many rows of its trace a run looks at: those inside its limit, and the beginning that bins come from.
fn rows_needed(scenario: &Scenario) -> Option<u64> {
    let workload = &scenario.workload;
    // A window is a part of the time, and how many rows come before it is not known.
    let limit = workload
        .limit
        .filter(|_| workload.window_start_s.is_none())?;
    let sampled = if scenario.predicts() {
        scenario.bins.sample_rows
    } else {
        0
    };
    Some(u64::from(limit.max(sampled)))
}

/// A run shorter than this shows no bar.
const PATIENCE: Duration = Duration::from_secs(2);

fn replay(
    trace: &Trace,
    scenario: &Scenario,
    steps: bool,
) -> Result<(Outcome, Vec<StepRow>), Error> {
    let started = Instant::now();
    let mut run = Run::new(trace, scenario)?;
    if steps {
        run.record_steps();
    }
    let mut bar: Option<ProgressBar> = None;
    while !run.advance(trace, SLICE) {
        interrupt::check()?;
        if bar.is_none() && started.elapsed() > PATIENCE && std::io::stderr().is_terminal() {
            bar = Some(new_bar());
        }
        if let Some(bar) = &bar {
            bar.set_position((run.progress() * 1000.0) as u64);
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let steps = run.take_steps()?;
    Ok((Outcome::of(trace, run.finish()), steps))
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::new(1000);
    // The template is a constant that indicatif accepts; were it not, the default bar would do.
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent} % replayed, {eta} left") {
        bar.set_style(style);
    }
    bar
}
