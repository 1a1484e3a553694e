//! Every test there is, in one run with one closing line: `N passed, N failed` (`, N skipped`).
//!
//! A runner that crashes, or that runs nothing, counts as one failure: silence is never success.

use std::{
    env,
    ffi::OsString,
    fmt, fs,
    ops::AddAssign,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    serve::{Site, take_port},
    setup::{self, Need, Tools},
    sh::{self, Finished, Step, find_program},
    site::{self, Effort},
    swarm,
};

/// What one or several runners counted.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Tally {
    const ONE_FAILURE: Self = Self {
        passed: 0,
        failed: 1,
        skipped: 0,
    };

    /// Whether nothing failed.
    pub fn is_good(self) -> bool {
        self.failed == 0
    }

    fn ran(self) -> u64 {
        self.passed + self.failed
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// Sets up, builds, runs every test and returns the sum; what went wrong has been printed by then.
pub fn test() -> Tally {
    let mut sum = Tally::default();
    let mut add = |name: &str, result: Result<Tally>| {
        let tally = result.unwrap_or_else(|error| {
            println!("   {name}: {error:#}");
            Tally::ONE_FAILURE
        });
        println!("   {name}: {tally}\n");
        sum += tally;
        tally.is_good()
    };

    let tools = match setup::ensure(Need::Test) {
        Ok(tools) => tools,
        Err(error) => {
            add("set-up", Err(error));
            return sum;
        }
    };
    add("Rust tests of the product", product(&tools));
    add("documentation examples", examples());
    add("Rust tests of the swarm", of_the_swarm());
    add("Rust tests of the helper", helper());
    match stage(&tools) {
        Ok(stage) => {
            add("the swarm, a minute of it", a_minute_of_the_swarm());
            add("tests in Node.js", node("node", &stage));
            add("tests in the browser", node("e2e", &stage));
        }
        Err(error) => {
            add("building what the page's tests need", Err(error));
        }
    }
    sum
}

// ---- Rust --------------------------------------------------------------------------------------

// The two packages are tested one at a time: together, cargo would unite the features of their shared
// dependencies and compile those once more.

/// The product with its every native feature.
const PRODUCT: [&str; 4] = ["--package", "batchscope", "--features", "cli,ts,web,gpu"];

fn product(tools: &Tools) -> Result<Tally> {
    let step = Step::new("Rust tests of the product", sh::cargo());
    rust(with_drivers(step, tools)?, &PRODUCT, None)
}

/// GPU tests run on every Vulkan driver there is. The software one that comes with the browser is an
/// other than Mesa's, with other sizes of subgroups and buffers, and is not where drivers are looked for.
fn with_drivers(mut step: Step, tools: &Tools) -> Result<Step> {
    // What the person has set is what they want to test.
    let is_set = |name| env::var_os(name).is_some();
    if !DRIVER_SETTINGS.into_iter().any(is_set)
        && let Some(driver) = tools.chromium.as_deref().and_then(setup::browser_driver)
    {
        step = step.env("VK_ADD_DRIVER_FILES", driver);
    }
    // Mesa prints a complaint for every device where there is none.
    if cfg!(target_os = "linux") && !is_set(RUNTIME_DIR) {
        step = step.passing_env(RUNTIME_DIR, private_folder()?);
    }
    Ok(step)
}

/// By which a person chooses drivers (the first is today's name, the second yesterday's).
const DRIVER_SETTINGS: [&str; 3] = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES"];
const RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";

/// A fresh folder that nobody else may look into, as programs expect of this variable.
fn private_folder() -> Result<PathBuf> {
    let parent = sh::root().join("target/xtask");
    fs::create_dir_all(&parent).with_context(|| format!("creating {}", parent.display()))?;
    let folder = parent.join("runtime");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(&folder)
        .with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}

/// The crate of the swarm, with the features that the product has just been compiled with.
fn of_the_swarm() -> Result<Tally> {
    let features = "batchscope/cli,batchscope/ts,batchscope/web,batchscope/gpu";
    rust(
        Step::new("Rust tests of the swarm", sh::cargo()),
        &["--package", "swarm", "--features", features],
        None,
    )
}

/// Counts as one test.
fn a_minute_of_the_swarm() -> Result<Tally> {
    Ok(match swarm::minute()? {
        true => Tally {
            passed: 1,
            ..Tally::default()
        },
        false => Tally::ONE_FAILURE,
    })
}

fn helper() -> Result<Tally> {
    // The profile by which `cargo xtask` has just been compiled: nothing is compiled twice.
    rust(
        Step::new("Rust tests of the helper", sh::cargo()),
        &["--package", "xtask"],
        Some("tool"),
    )
}

/// Runs a package's tests with nextest where it is installed, else with cargo's own runner.
fn rust(step: Step, package: &[&str], profile: Option<&str>) -> Result<Tally> {
    let (step, count): (_, fn(&str) -> Option<Tally>) = if find_program("cargo-nextest").is_some() {
        let profile = profile.map(|profile| ["--cargo-profile", profile]);
        (
            step.args(["nextest", "run", "--no-fail-fast"])
                .args(package)
                .args(profile.iter().flatten()),
            nextest_counts,
        )
    } else {
        let profile = profile.map(|profile| ["--profile", profile]);
        (
            step.args(["test", "--no-fail-fast", "--tests"])
                .args(package)
                .args(profile.iter().flatten()),
            libtest_counts,
        )
    };
    let done = step.watch()?;
    judge(&done, count(&done.output), Empty::IsFailure)
}

/// The examples in the documentation, which nextest does not run. There may be none.
fn examples() -> Result<Tally> {
    let done = Step::new("Documentation examples", sh::cargo())
        .args(["test", "--doc", "--no-fail-fast"])
        .args(PRODUCT)
        .watch()?;
    judge(&done, libtest_counts(&done.output), Empty::IsFine)
}

/// Whether a runner may find nothing to run.
#[derive(PartialEq, Eq)]
enum Empty {
    IsFine,
    IsFailure,
}

/// The runner's counts, if its exit code and they tell the same story; else an error that says why not.
fn judge(done: &Finished, counts: Option<Tally>, empty: Empty) -> Result<Tally> {
    let Some(mut tally) = counts else {
        bail!(
            "the runner printed no counts ({}); the reason is above",
            done.status
        )
    };
    if tally.ran() == 0 && empty == Empty::IsFailure {
        bail!("the runner ran no test ({})", done.status);
    }
    if !done.status.success() && tally.is_good() {
        println!(
            "   The runner counted no failure and yet ended with {}: that counts as one.",
            done.status
        );
        tally += Tally::ONE_FAILURE;
    }
    Ok(tally)
}

/// Reads nextest's summary, e.g. `Summary [ 1.2s] 5/7 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 2 skipped`.
fn nextest_counts(output: &str) -> Option<Tally> {
    let summary = output
        .lines()
        .rev()
        .find(|line| line.trim_start().starts_with("Summary ["))?;
    let (_, counts) = summary.split_once("run: ")?;
    let mut tally = Tally::default();
    for count in counts.split(", ") {
        // What stands in brackets ("1 slow, 1 leaky") is a remark on a count, and no count; a piece
        // of one that the comma cut off has no number or an unknown word.
        let mut words = count.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse::<u64>().ok()) else {
            continue;
        };
        match words.next().map(|word| word.trim_end_matches([')', ':'])) {
            Some("passed") => tally.passed += number,
            Some("skipped") => tally.skipped += number,
            // Each is a way to fail, counted apart: an exit code, a timeout, a start that failed.
            Some("failed" | "timed" | "exec") => tally.failed += number,
            _ => {}
        }
    }
    // "5/7 tests run": the two that were never started did not pass.
    let planned = summary
        .split_whitespace()
        .find_map(|word| word.split_once('/'))
        .and_then(|(run, all)| Some(all.parse::<u64>().ok()?.saturating_sub(run.parse().ok()?)));
    tally.failed += planned.unwrap_or(0);
    Some(tally)
}

/// Adds up the `test result:` lines that cargo's own runner prints, one per test binary.
fn libtest_counts(output: &str) -> Option<Tally> {
    let mut sum = None;
    for line in output.lines() {
        let Some(counts) = line.trim_start().strip_prefix("test result: ") else {
            continue;
        };
        let sum = sum.get_or_insert_with(Tally::default);
        for count in counts.split([';', '.']) {
            let mut words = count.split_whitespace();
            let Some(number) = words.next().and_then(|word| word.parse::<u64>().ok()) else {
                continue;
            };
            match words.next() {
                Some("passed") => sum.passed += number,
                Some("failed") => sum.failed += number,
                Some("ignored") => sum.skipped += number,
                _ => {}
            }
        }
    }
    sum
}

// ---- Node.js and the browser -------------------------------------------------------------------

/// What the scripts under `tests/` (and the browser's bench) find in their environment:
/// `BATCHSCOPE_SITE_URL`, the address of the built site; `BATCHSCOPE_CHROMIUM`, the browser's program;
/// `BATCHSCOPE_CLI`, the native command line. Run by hand, they find the same by themselves.
pub struct Stage {
    url: String,
    chromium: PathBuf,
    cli: PathBuf,
}

impl Stage {
    /// A step that runs a script with this environment.
    pub fn step(&self, name: &str) -> Step {
        Step::new(name, "node")
            .passing_env("BATCHSCOPE_SITE_URL", &self.url)
            .passing_env("BATCHSCOPE_CHROMIUM", &self.chromium)
            .passing_env("BATCHSCOPE_CLI", &self.cli)
    }
}

/// Builds the site and the command line, and serves the site from a free port until the process ends.
pub fn stage(tools: &Tools) -> Result<Stage> {
    let dir = site::default_dir();
    site::build(&tools.wasm, Effort::Full, &dir)?;
    Step::new("Building the command line", sh::cargo())
        .args(["build", "--bin", "batchscope"])
        .args(PRODUCT)
        .run()?;
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target"));
    let cli = sh::root()
        .join(target)
        .join(format!("debug/batchscope{}", env::consts::EXE_SUFFIX));
    let site = Site::new(&dir, take_port("127.0.0.1", 0)?)?;
    site.spawn();
    let chromium = tools.chromium.clone().context("no Chromium was set up")?;
    Ok(Stage {
        url: site.url().to_owned(),
        chromium,
        cli,
    })
}

/// Runs `tests/<folder>/*.test.mjs` with Node's own test runner.
fn node(folder: &str, stage: &Stage) -> Result<Tally> {
    let files = test_files(&Path::new("tests").join(folder))?;
    // People read one report; the counts are read from the other.
    let report = sh::root()
        .join("target/xtask")
        .join(format!("{folder}.tap"));
    if let Some(parent) = report.parent() {
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    }
    if report.exists() {
        // A runner that crashes must not be judged by the report of the run before.
        fs::remove_file(&report).with_context(|| format!("removing {}", report.display()))?;
    }
    let done = stage
        .step(&format!("Tests in tests/{folder}"))
        // One file at a time: timings and WebGPU tests disturb each other on few cores.
        .args(["--test", "--test-concurrency=1"])
        .args(["--test-reporter=spec", "--test-reporter-destination=stdout"])
        .args([
            "--test-reporter=tap".into(),
            format!("--test-reporter-destination={}", report.display()),
        ])
        .args(&files)
        .watch()?;
    let tap = fs::read_to_string(&report)
        .with_context(|| format!("the runner wrote no report ({})", done.status))?;
    judge(&done, tap_counts(&tap), Empty::IsFailure)
}

fn test_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let full = sh::root().join(folder);
    let entries = fs::read_dir(&full).with_context(|| format!("reading {}", full.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        if name.to_string_lossy().ends_with(".test.mjs") {
            files.push(folder.join(name));
        }
    }
    files.sort();
    if files.is_empty() {
        bail!("there is no *.test.mjs in {}", full.display());
    }
    Ok(files)
}

/// Reads the totals that close a TAP report. A file in which no test was defined is reported by Node
/// as one passed test of the file's name; here it is a failure.
fn tap_counts(tap: &str) -> Option<Tally> {
    let total = |name: &str| {
        tap.lines().rev().find_map(|line| {
            line.strip_prefix("# ")?
                .strip_prefix(name)?
                .trim()
                .parse::<u64>()
                .ok()
        })
    };
    let empty = tap
        .lines()
        .filter(|line| {
            line.starts_with("ok ") && line.contains(" - ") && line.ends_with(".test.mjs")
        })
        .inspect(|line| println!("   No test is defined in this file: {line}"))
        .count() as u64;
    Some(Tally {
        passed: total("pass")?.saturating_sub(empty),
        failed: total("fail")? + total("cancelled").unwrap_or(0) + empty,
        skipped: total("skipped").unwrap_or(0) + total("todo").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64, skipped: u64) -> Option<Tally> {
        Some(Tally {
            passed,
            failed,
            skipped,
        })
    }

    #[test]
    fn the_closing_line_is_plain() {
        let line = |passed, failed, skipped| {
            Tally {
                passed,
                failed,
                skipped,
            }
            .to_string()
        };
        assert_eq!(line(12, 0, 0), "12 passed, 0 failed");
        assert_eq!(line(12, 1, 3), "12 passed, 1 failed, 3 skipped");
    }

    #[test]
    fn nextest_summaries_are_read() {
        let read = |line| {
            nextest_counts(&format!(
                "noise\n------------\n     Summary [   0.005s] {line}\n"
            ))
        };
        assert_eq!(read("12 tests run: 12 passed, 0 skipped"), tally(12, 0, 0));
        assert_eq!(read("1 test run: 1 passed, 2 skipped"), tally(1, 0, 2));
        assert_eq!(
            read("4 tests run: 3 passed (1 slow, 1 leaky), 1 failed, 2 skipped"),
            tally(3, 1, 2)
        );
        assert_eq!(
            read("5 tests run: 2 passed, 1 failed, 1 timed out, 1 exec failed, 0 skipped"),
            tally(2, 3, 0)
        );
        assert_eq!(
            read("5/7 tests run: 4 passed, 1 failed, 0 skipped"),
            tally(4, 3, 0)
        );
        assert_eq!(nextest_counts("error: could not compile"), None);
    }

    #[test]
    fn libtest_results_are_added_up() {
        let output = "test a ... ok\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
            \n\
            test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 5 filtered out; finished in 12.30s\n";
        assert_eq!(libtest_counts(output), tally(5, 1, 1));
        assert_eq!(libtest_counts("error[E0425]"), None);
    }

    #[test]
    fn tap_totals_are_read() {
        let tap = "TAP version 13\nok 1 - adds\n1..1\n# tests 6\n# suites 0\n# pass 2\n# fail 1\n\
            # cancelled 1\n# skipped 1\n# todo 1\n# duration_ms 12.5\n";
        assert_eq!(tap_counts(tap), tally(2, 2, 2));
        assert_eq!(tap_counts("TAP version 13\n"), None);
    }

    #[test]
    fn a_file_without_tests_is_a_failure() {
        let tap = "ok 1 - /x/tests/node/empty.test.mjs\n# pass 1\n# fail 0\n";
        assert_eq!(tap_counts(tap), tally(0, 1, 0));
    }

    #[cfg(unix)]
    #[test]
    fn silence_and_crashes_are_failures() -> Result<()> {
        let ended = |code: &str| {
            Step::new("x", "sh")
                .args(["-c", &format!("exit {code}")])
                .watch()
        };
        assert!(judge(&ended("0")?, None, Empty::IsFine).is_err());
        assert!(judge(&ended("0")?, tally(0, 0, 4), Empty::IsFailure).is_err());
        assert_eq!(
            judge(&ended("0")?, tally(0, 0, 4), Empty::IsFine).ok(),
            tally(0, 0, 4)
        );
        assert_eq!(
            judge(&ended("101")?, tally(5, 0, 0), Empty::IsFailure).ok(),
            tally(5, 1, 0)
        );
        assert_eq!(
            judge(&ended("100")?, tally(5, 2, 0), Empty::IsFailure).ok(),
            tally(5, 2, 0)
        );
        Ok(())
    }
}
