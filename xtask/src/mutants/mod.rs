//! `cargo xtask mutants`: breaks the engines in a sample of places, one at a time, and says which breaks no test
//! notices. cargo-mutants says what can be broken; [`switches`] puts all breaks of the sample into one copy of the
//! product; the swarm, the library's unit tests and the tests of whole runs judge them.

mod switches;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::sh::{self, Step};
use switches::Mutant;

/// What is broken.
const FILES: [&str; 3] = ["src/sim/**", "src/sched/**", "src/metrics/**"];
/// Longest run of a judge without a break.
const LIMIT: Duration = Duration::from_secs(600);
/// A judge that takes this many times as long as without a break is stopped; the break counts as noticed.
const PATIENCE: u32 = 10;

/// A run of tests that may notice a break.
struct Judge {
    name: &'static str,
    package: &'static str,
    /// For cargo, of what is built.
    targets: &'static [&'static str],
    /// For the tests' program: which tests.
    tests: &'static [&'static str],
}

/// In the order in which they are asked. A break that one notices is not shown to the next.
const JUDGES: [Judge; 3] = [
    Judge {
        name: "the swarm",
        package: "swarm",
        targets: &["--test=swarm"],
        tests: &["--include-ignored", "the_engines_pass", "every_kept_case"],
    },
    Judge {
        name: "the unit tests",
        package: "batchscope",
        targets: &["--no-default-features", "--features=cli", "--lib"],
        tests: &[],
    },
    Judge {
        name: "the tests of whole runs",
        package: "batchscope",
        targets: &["--no-default-features", "--features=cli", "--test=sim"],
        tests: &[],
    },
];

/// What became of a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// By the judge of this number; `endless`: whose tests did not end.
    Noticed {
        judge: usize,
        endless: bool,
    },
    Missed,
}

/// Judges about `sample` mutants, every k-th of all starting with number `seed`, and prints the result.
pub fn mutants(seed: usize, sample: usize, jobs: usize) -> Result<bool> {
    if sh::find_program("cargo-mutants").is_none() {
        Step::new("Installing cargo-mutants", sh::cargo())
            .args(["install", "cargo-mutants", "--version=27.1.0", "--locked"])
            .run()?;
    }
    let all = listed()?;
    let every = (all.len() / sample.max(1)).max(1);
    let from = seed % every;
    let drawn: Vec<&Mutant> = all.iter().skip(from).step_by(every).collect();
    let copy = Copy::new()?;
    let (programs, unviable) = copy.build(&drawn)?;
    let viable: Vec<usize> = (0..drawn.len())
        .filter(|number| !unviable.contains(number))
        .collect();
    let fates = judged(&programs, &viable, &drawn, jobs)?;
    let fates: Vec<(&str, Fate)> = fates
        .iter()
        .map(|&(number, fate)| (drawn[number].name.as_str(), fate))
        .collect();
    print!("{}", report(all.len(), drawn.len(), from, &fates));
    for number in unviable {
        println!("  does not compile behind a switch: {}", drawn[number].name);
    }
    Ok(true)
}

/// Every mutant that there is.
fn listed() -> Result<Vec<Mutant>> {
    let listed = Step::new("Listing the mutants", sh::cargo())
        .args(["mutants", "--list", "--json"])
        .args(FILES.map(|files| format!("--file={files}")))
        .read()?;
    let mut mutants: Vec<Mutant> =
        serde_json::from_str(&listed).context("cargo-mutants printed no list of mutants")?;
    // A field left out is no expression of its own, and has no place for a switch.
    mutants.retain(|mutant| mutant.genre != "StructField");
    if mutants.is_empty() {
        bail!("cargo-mutants found nothing to break");
    }
    Ok(mutants)
}

/// A copy of the product, for its breaks.
struct Copy {
    root: PathBuf,
    target: PathBuf,
}

impl Copy {
    /// With the files that git knows, as they are now, and the traces beside it.
    fn new() -> Result<Copy> {
        let folder = sh::root().join("target/mutants");
        let copy = Copy {
            root: folder.join("copy"),
            target: folder.join("target"),
        };
        let files = Step::new("Listing the files", "git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .read()?;
        for file in files.lines() {
            let (from, to) = (sh::root().join(file), copy.root.join(file));
            // A file that was deleted and not committed.
            let Ok(content) = fs::read(&from) else {
                continue;
            };
            // One that is as it was keeps its date, so that cargo builds no more than it must.
            if fs::read(&to).is_ok_and(|there| there == content) {
                continue;
            }
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&to, content).with_context(|| format!("writing {}", to.display()))?;
        }
        traces_beside(&folder)?;
        Ok(copy)
    }

    /// Builds the judges' programs with the breaks that compile; gives the numbers of the others too.
    fn build(&self, drawn: &[&Mutant]) -> Result<(Vec<Program>, Vec<usize>)> {
        let mut unviable = Vec::new();
        loop {
            unviable.extend(self.broken(drawn, &unviable)?);
            // What does not compile is found faster by a check.
            let mut wrong = Vec::new();
            for judge in &JUDGES {
                let checked = self.cargo(judge, &["check"])?;
                wrong.extend(checked.err().unwrap_or_default());
            }
            if wrong.is_empty() {
                let programs: Result<_> = JUDGES.iter().map(|judge| self.program(judge)).collect();
                return Ok((programs?, unviable));
            }
            let guilty = guilty(drawn, &unviable, &wrong);
            if guilty.is_empty() {
                bail!("the copy does not compile, and no break stands at {wrong:?}");
            }
            unviable.extend(guilty);
        }
    }

    /// Writes the sources with the breaks; gives the numbers of those that have no place.
    fn broken(&self, drawn: &[&Mutant], without: &[usize]) -> Result<Vec<usize>> {
        let mut by_file: BTreeMap<&str, Vec<(usize, &Mutant)>> = BTreeMap::new();
        for (number, mutant) in drawn.iter().enumerate() {
            let numbers = by_file.entry(&mutant.file).or_default();
            if !without.contains(&number) {
                numbers.push((number, mutant));
            }
        }
        let mut homeless = Vec::new();
        for (file, mutants) in by_file {
            let text = fs::read_to_string(sh::root().join(file))?;
            let (text, left) = switches::put_in(&text, &mutants).context(file.to_owned())?;
            fs::write(self.root.join(file), text)?;
            homeless.extend(left);
        }
        let library = fs::read_to_string(sh::root().join("src/lib.rs"))?;
        fs::write(self.root.join("src/lib.rs"), library + switches::MODULE)?;
        Ok(homeless)
    }

    /// Builds a judge's program.
    fn program(&self, judge: &Judge) -> Result<Program> {
        println!("== Building {} with the breaks", judge.name);
        let built = self.cargo(judge, &["test", "--no-run"])?;
        let messages = built.unwrap_or_default();
        let program = messages.into_iter().rev().find_map(|m| m.executable);
        Ok(Program {
            path: program.with_context(|| format!("cargo built no program for {}", judge.name))?,
            folder: match judge.package {
                "batchscope" => self.root.clone(),
                package => self.root.join("tests").join(package),
            },
            tests: judge.tests,
        })
    }

    /// What cargo says of a judge's program; the places of errors where it does not compile.
    fn cargo(
        &self,
        judge: &Judge,
        command: &[&str],
    ) -> Result<std::result::Result<Vec<Message>, Vec<Line>>> {
        let output = Command::new(sh::cargo())
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .args(command)
            .args(["--profile=mutants", "--message-format=json"])
            .args(["--package", judge.package])
            .args(judge.targets)
            .stderr(Stdio::null())
            .output()
            .context("cargo could not be started")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let messages: Vec<Message> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        if output.status.success() {
            return Ok(Ok(messages));
        }
        let errors = messages.iter().filter_map(|m| m.message.as_ref());
        let errors = errors.filter(|error| error.level == "error");
        let spans = errors.flat_map(|error| &error.spans);
        let places = spans.map(|span| (span.file_name.clone(), span.line_start));
        Ok(Err(places.collect()))
    }
}

/// A file, and a line of it.
type Line = (String, usize);

/// What cargo says of a build, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    message: Option<Diagnostic>,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    spans: Vec<SourceSpan>,
}

#[derive(Deserialize)]
struct SourceSpan {
    file_name: String,
    line_start: usize,
}

/// The numbers of the breaks that stand in lines with errors.
fn guilty(drawn: &[&Mutant], without: &[usize], wrong: &[Line]) -> Vec<usize> {
    let stands = |mutant: &Mutant, line: usize| match mutant.genre.as_str() {
        // Its text stands before the first statement.
        "FnValue" => mutant.span.start.line == line,
        _ => (mutant.span.start.line..=mutant.span.end.line).contains(&line),
    };
    let numbers = (0..drawn.len()).filter(|number| !without.contains(number));
    let guilty = numbers.filter(|&number| {
        let mutant = drawn[number];
        let mut places = wrong.iter();
        places.any(|(file, line)| *file == mutant.file && stands(mutant, *line))
    });
    guilty.collect()
}

/// Tests look for traces beside the checkout, so they stand beside the copy too.
fn traces_beside(folder: &Path) -> Result<()> {
    let root = sh::root();
    let shared = root.parent().unwrap_or(&root).join("shared");
    let link = folder.join("shared");
    #[cfg(unix)]
    if shared.is_dir() && !link.exists() {
        std::os::unix::fs::symlink(&shared, &link)?;
    }
    Ok(())
}

/// A judge's tests, built.
struct Program {
    path: PathBuf,
    folder: PathBuf,
    tests: &'static [&'static str],
}

impl Program {
    /// Whether the tests pass; `None` where they did not end.
    fn passes(&self, number: Option<usize>, limit: Duration) -> Result<Option<bool>> {
        let mut command = Command::new(&self.path);
        if let Some(number) = number {
            command.env("MUTATION", number.to_string());
        }
        let mut child = command
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder)
            // Seeds of one break say nothing of the next.
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true")
            .args(self.tests)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("could not start {}", self.path.display()))?;
        let stdout = child.stdout.take();
        let (failed, fails) = mpsc::channel();
        let reader = thread::spawn(move || {
            let lines = stdout.map(|stdout| BufReader::new(stdout).lines());
            for line in lines.into_iter().flatten().map_while(Result::ok) {
                if line.ends_with("... FAILED") {
                    // Nobody waits for it any more where the tests have ended.
                    let _ = failed.send(());
                }
            }
        });
        let end = Instant::now() + limit;
        let passes = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status.success());
            }
            let fails = fails.recv_timeout(Duration::from_millis(50)).is_ok();
            if fails || Instant::now() >= end {
                child.kill()?;
                child.wait()?;
                break fails.then_some(false);
            }
        };
        let _ = reader.join();
        Ok(passes)
    }
}

/// Shows each break to the judges in turn.
fn judged(
    programs: &[Program],
    numbers: &[usize],
    drawn: &[&Mutant],
    jobs: usize,
) -> Result<Vec<(usize, Fate)>> {
    let mut limits = Vec::new();
    // A judge that complains of unbroken code notices nothing.
    for (program, judge) in programs.iter().zip(&JUDGES) {
        let begun = Instant::now();
        // Random cases differ from run to run.
        for _ in 0..3 {
            if program.passes(None, LIMIT)? != Some(true) {
                bail!("{} fails without a break", judge.name);
            }
        }
        let one = begun.elapsed() / 3;
        println!("   {}: {} s without a break", judge.name, one.as_secs());
        limits.push((one + Duration::from_secs(2)) * PATIENCE);
    }
    let left = Mutex::new(numbers.iter().copied());
    let fates = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let next = left.lock().ok().and_then(|mut left| left.next());
                let Some(number) = next else {
                    return Ok(());
                };
                let fate = fate(programs, &limits, number)?;
                println!("   {fate:?}: {}", drawn[number].name);
                if let Ok(mut fates) = fates.lock() {
                    fates.push((number, fate));
                }
            }
        };
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a worker crashed"))??;
        }
        Ok::<(), anyhow::Error>(())
    })?;
    let mut fates = fates.into_inner().unwrap_or_default();
    fates.sort_unstable_by_key(|&(number, _)| number);
    Ok(fates)
}

fn fate(programs: &[Program], limits: &[Duration], number: usize) -> Result<Fate> {
    for (judge, (program, &limit)) in programs.iter().zip(limits).enumerate() {
        match program.passes(Some(number), limit)? {
            Some(true) => {}
            Some(false) => {
                return Ok(Fate::Noticed {
                    judge,
                    endless: false,
                });
            }
            None => {
                return Ok(Fate::Noticed {
                    judge,
                    endless: true,
                });
            }
        }
    }
    Ok(Fate::Missed)
}

/// The counts as a table, and the mutants that nothing notices.
fn report(all: usize, drawn: usize, from: usize, fates: &[(&str, Fate)]) -> String {
    let mut text = format!(
        "\n{drawn} of {all} mutants, from number {from} on\n\n| judge | noticed | by their never ending |\n|---|---:|---:|\n"
    );
    let mut noticed = 0;
    for (number, judge) in JUDGES.iter().enumerate() {
        let by = |endless: bool| {
            let wanted = Fate::Noticed {
                judge: number,
                endless,
            };
            fates.iter().filter(|(_, fate)| *fate == wanted).count()
        };
        let _ = writeln!(text, "| {} | {} | {} |", judge.name, by(false), by(true));
        noticed += by(false) + by(true);
    }
    let _ = writeln!(
        text,
        "\n{noticed} of {} noticed ({:.1} %); {} do not compile. Not noticed:",
        fates.len(),
        100.0 * noticed as f64 / fates.len().max(1) as f64,
        drawn - fates.len()
    );
    for (name, _) in fates.iter().filter(|(_, fate)| *fate == Fate::Missed) {
        let _ = writeln!(text, "  {name}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_counts_once() {
        let noticed = |judge, endless| Fate::Noticed { judge, endless };
        let fates = [
            ("a", noticed(0, false)),
            ("b", noticed(0, true)),
            ("c", noticed(1, false)),
            ("d", noticed(2, false)),
            ("e", Fate::Missed),
        ];
        let text = report(90, 7, 7, &fates);
        assert!(text.contains("| the swarm | 1 | 1 |"), "{text}");
        assert!(
            text.contains("4 of 5 noticed (80.0 %); 2 do not compile"),
            "{text}"
        );
        assert!(text.ends_with("Not noticed:\n  e\n"), "{text}");
    }
}
