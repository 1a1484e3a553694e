//! Many inputs on every core: counts, failures, replay.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};
use std::{fs, process, thread};

use serde_json::json;

use crate::invariants::Broken;
use crate::shrink::shrink;
use crate::targets::{Input, Target};
use crate::wasm::{self, NATIVE_AND_WASM, Wasm};

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    pub seed: u64,
    /// The first case.
    pub from: u64,
    /// No new case begins after this time.
    pub seconds: u64,
    /// No more cases than this, where given.
    pub cases: Option<u64>,
    /// Cases of other targets are passed over; empty means all.
    pub targets: Vec<Target>,
    pub threads: usize,
    /// Compares simulated cases with the browser's module, which has to be built.
    pub wasm: bool,
    /// Where failing cases are written; `None` writes none.
    pub keep: Option<PathBuf>,
    /// A case that takes longer than this hangs, and ends the program.
    pub longest: Duration,
    /// Ends at the first failure, without making it smaller: where only its being there is asked.
    pub fail_fast: bool,
}

impl Default for Options {
    /// Cases of every target for ever, natively, on one thread.
    fn default() -> Options {
        Options {
            seed: 1,
            from: 0,
            seconds: u64::MAX,
            cases: None,
            targets: Vec::new(),
            threads: 1,
            wasm: false,
            keep: None,
            longest: LONGEST,
            fail_fast: false,
        }
    }
}

/// What became of a target's inputs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    pub inputs: u64,
    pub accepted: u64,
    pub failures: u64,
    pub busy: Duration,
}

/// What a run found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub by_target: BTreeMap<&'static str, Tally>,
    pub failures: u64,
    pub elapsed: Duration,
}

/// What a case may take, unless another limit is asked for.
pub const LONGEST: Duration = Duration::from_secs(120);
/// How often the running cases are looked at, and so the shortest time after which one hangs.
const LOOK: Duration = Duration::from_millis(20);
/// Failures of one kind that are shrunk and written.
const SHOWN: u64 = 3;
/// How long a failing input is made smaller.
pub const SHRINKING: Duration = Duration::from_secs(20);
/// One in so many simulated cases is compared with the browser's module.
const WASM_EVERY: u64 = 20;

/// The case at hand of each worker, one more than its number; 0 for none. And when it began, ms.
static AT_HAND: [(AtomicU64, AtomicU64); 64] =
    [const { (AtomicU64::new(0), AtomicU64::new(0)) }; 64];
static SEED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static WORKER: Cell<usize> = const { Cell::new(63) };
    static PANIC: Cell<Option<String>> = const { Cell::new(None) };
}

/// The line that replays a case on any machine, with the browser's module where that is what it is about.
pub fn replay_line(seed: u64, case: u64, broke: &str) -> String {
    let wasm = if broke == NATIVE_AND_WASM {
        " --wasm"
    } else {
        ""
    };
    format!("cargo xtask swarm --seed {seed} --case {case}{wasm}")
}

/// Ends the program over a case that cannot be stopped in another way. Allocates nothing.
pub fn give_up(name: &str, detail: &str) -> ! {
    let worker = WORKER.try_with(Cell::get).unwrap_or(63);
    stop_over(worker, name, detail)
}

fn stop_over(worker: usize, name: &str, detail: &str) -> ! {
    let case = AT_HAND[worker].0.load(Relaxed);
    let seed = SEED.load(Relaxed);
    let mut out = std::io::stderr();
    let _ = match case {
        0 => writeln!(out, "FAILED outside any case: {name}: {detail}"),
        case => writeln!(
            out,
            "FAILED {name}: {detail}\n  cargo xtask swarm --seed {seed} --case {}",
            case - 1
        ),
    };
    process::exit(1)
}

/// Judges an input: whether it is accepted, or what is broken.
pub fn judge(target: Target, input: &Input) -> Result<bool, Broken> {
    guarded(|| target.judge(input).map(|verdict| verdict.is_ok()))
}

/// Does something in which a panic is a failure like any other.
pub fn guarded(judge: impl FnOnce() -> Result<bool, Broken>) -> Result<bool, Broken> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            PANIC.with(|panic| panic.set(Some(info.to_string())))
        }));
    });
    match catch_unwind(AssertUnwindSafe(judge)) {
        Ok(judged) => judged,
        Err(_) => Err(Broken {
            name: "no panic",
            detail: PANIC.with(Cell::take).unwrap_or_default(),
        }),
    }
}

/// Runs the swarm.
pub fn swarm(options: &Options) -> Report {
    SEED.store(options.seed, Relaxed);
    let start = Instant::now();
    let next = AtomicU64::new(options.from);
    let last = options
        .cases
        .map(|cases| options.from.saturating_add(cases));
    let wasm = options.wasm.then(|| Mutex::new(Wasm::new()));
    let found = Mutex::new(Report::default());
    let kinds = Kinds::default();
    let (failed, over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.threads.clamp(1, 60))
            .map(|number| {
                let (next, wasm, found, kinds, failed) = (&next, &wasm, &found, &kinds, &failed);
                scope.spawn(move || {
                    WORKER.with(|worker| worker.set(number));
                    let mut mine = Report::default();
                    'cases: loop {
                        // Blocks of cases: the counter is shared.
                        let from = next.fetch_add(64, Relaxed);
                        for case in from..from + 64 {
                            if start.elapsed().as_secs() >= options.seconds
                                || last.is_some_and(|last| case >= last)
                                || options.fail_fast && failed.load(Relaxed)
                            {
                                break 'cases;
                            }
                            let target = Target::of(options.seed, case);
                            if !options.targets.is_empty() && !options.targets.contains(&target) {
                                continue;
                            }
                            AT_HAND[number].1.store(ms(start.elapsed()), Relaxed);
                            AT_HAND[number].0.store(case + 1, Relaxed);
                            one(options, target, case, wasm.as_ref(), kinds, &mut mine);
                            AT_HAND[number].0.store(0, Relaxed);
                            if mine.failures > 0 {
                                failed.store(true, Relaxed);
                            }
                        }
                    }
                    let mut found = found.lock().unwrap_or_else(|e| e.into_inner());
                    found.add(&mine);
                })
            })
            .collect();
        // Ends the program where a case hangs.
        scope.spawn(|| {
            while !over.load(Relaxed) {
                thread::sleep(LOOK);
                for (worker, (case, since)) in AT_HAND.iter().enumerate() {
                    let long = ms(start.elapsed()) > since.load(Relaxed) + ms(options.longest);
                    if case.load(Relaxed) > 0 && long {
                        let after = options.longest.as_secs_f64();
                        let detail = format!("no end after {after} s");
                        stop_over(worker, "time within its limit", &detail);
                    }
                }
            }
        });
        for worker in workers {
            let _ = worker.join();
        }
        over.store(true, Relaxed);
    });
    let mut report = found.into_inner().unwrap_or_else(|e| e.into_inner());
    if let Some(wasm) = wasm {
        let mut wasm = wasm.into_inner().unwrap_or_else(|e| e.into_inner());
        report.failures += differ(options, wasm.compare(), &kinds);
        report.by_target.insert(NATIVE_AND_WASM, wasm.tally);
    }
    report.elapsed = start.elapsed();
    report
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How many failures of each kind there were.
type Kinds = Mutex<BTreeMap<(&'static str, &'static str), u64>>;

fn one(
    options: &Options,
    target: Target,
    case: u64,
    wasm: Option<&Mutex<Wasm>>,
    kinds: &Kinds,
    mine: &mut Report,
) {
    let began = Instant::now();
    let input = target.make(options.seed, case);
    let judged = judge(target, &input);
    let tally = mine.by_target.entry(target.name()).or_default();
    tally.inputs += 1;
    tally.busy += began.elapsed();
    match judged {
        Ok(accepted) => {
            tally.accepted += u64::from(accepted);
            if let (Some(wasm), Input::Case(input)) = (wasm, &input)
                && accepted
                && target == Target::SIMULATE
                && case.is_multiple_of(WASM_EVERY)
            {
                let mut wasm = wasm.lock().unwrap_or_else(|e| e.into_inner());
                let found = wasm.add(case, input);
                drop(wasm);
                mine.failures += differ(options, found, kinds);
            }
        }
        Err(broken) => {
            tally.failures += 1;
            mine.failures += 1;
            let still = |input: &Input| judge(target, input).err();
            report(options, target.name(), case, input, &broken, kinds, &still);
        }
    }
}

/// Reports the cases whose native and browser's runs differ; returns how many there are.
fn differ(options: &Options, found: Vec<(u64, Broken)>, kinds: &Kinds) -> u64 {
    let count = found.len() as u64;
    for (case, broken) in found {
        let input = Target::of(options.seed, case).make(options.seed, case);
        let still = |input: &Input| match input {
            Input::Case(case) => wasm::differs(case),
            Input::File(_) => None,
        };
        report(
            options,
            NATIVE_AND_WASM,
            case,
            input,
            &broken,
            kinds,
            &still,
        );
    }
    count
}

/// Prints one of the first failures of its kind with the line that replays it, shrinks it, and writes a test.
fn report(
    options: &Options,
    target: &'static str,
    case: u64,
    input: Input,
    broken: &Broken,
    kinds: &Kinds,
    still: &dyn Fn(&Input) -> Option<Broken>,
) {
    let name = broken.name;
    let mut seen = kinds.lock().unwrap_or_else(|e| e.into_inner());
    let count = seen.entry((target, name)).or_insert(0);
    *count += 1;
    let shown = *count <= SHOWN;
    drop(seen);
    if !shown {
        return;
    }
    let (small, now) = if options.fail_fast {
        (input, broken.clone())
    } else {
        let small = shrink(input, SHRINKING, &|input| {
            still(input).is_some_and(|now| now.name == name)
        });
        let now = still(&small).unwrap_or_else(|| broken.clone());
        (small, now)
    };
    let mut text = format!(
        "FAILED {target}: {name}: {}\n  {}\n",
        now.detail,
        replay_line(options.seed, case, name)
    );
    if let Some(folder) = &options.keep {
        match write(folder, target, case, &small, &now) {
            Ok(path) => text += &format!("  shrunk into {}\n", path.display()),
            Err(error) => text += &format!("  not written: {error}\n"),
        }
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Writes a case that `tests/swarm/tests` replays.
fn write(
    folder: &Path,
    target: &str,
    case: u64,
    input: &Input,
    broken: &Broken,
) -> std::io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let mut document = input.to_json();
    document["target"] = json!(target);
    document["broke"] = json!(broken.name);
    document["detail"] = json!(broken.detail.chars().take(300).collect::<String>());
    let words = |text: &str| {
        text.to_lowercase()
            .replace(|c: char| !c.is_alphanumeric(), "-")
    };
    let path = folder.join(format!(
        "{}-{}-{case}.json",
        words(target),
        words(broken.name)
    ));
    fs::write(
        &path,
        serde_json::to_string_pretty(&document).unwrap_or_default() + "\n",
    )?;
    Ok(path)
}

impl Report {
    fn add(&mut self, other: &Report) {
        self.failures += other.failures;
        for (name, tally) in &other.by_target {
            let sum = self.by_target.entry(name).or_default();
            sum.inputs += tally.inputs;
            sum.accepted += tally.accepted;
            sum.failures += tally.failures;
            sum.busy += tally.busy;
        }
    }

    /// The counts as a Markdown table.
    pub fn table(&self) -> String {
        let mut text = "| target | inputs | accepted | failures | inputs/s of a core |\n|---|---:|---:|---:|---:|\n".to_owned();
        let mut sum = Tally::default();
        for (name, tally) in &self.by_target {
            text += &line(name, tally);
            sum.inputs += tally.inputs;
            sum.accepted += tally.accepted;
            sum.failures += tally.failures;
            sum.busy += tally.busy;
        }
        text + &line("all", &sum)
    }
}

fn line(name: &str, tally: &Tally) -> String {
    let rate = tally.inputs as f64 / tally.busy.as_secs_f64().max(1e-9);
    format!(
        "| {name} | {} | {} ({:.0} %) | {} | {rate:.0} |\n",
        grouped(tally.inputs),
        grouped(tally.accepted),
        100.0 * tally.accepted as f64 / tally.inputs.max(1) as f64,
        tally.failures
    )
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
