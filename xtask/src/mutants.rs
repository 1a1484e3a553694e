//! `cargo xtask mutants`: breaks the engines in a sample of places, one at a time, and says which breaks no test
//! notices. cargo-mutants makes the breaks; the swarm and the modules' own tests judge them.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::sh::{self, Step};

/// What is broken.
const FILES: [&str; 3] = ["src/sim/**", "src/sched/**", "src/metrics/**"];

/// A run of tests that may notice a break.
struct Judge {
    name: &'static str,
    package: &'static str,
    /// For cargo, of what is built and run.
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
        name: "the modules' tests",
        package: "batchscope",
        targets: &["--no-default-features", "--features=cli", "--lib"],
        tests: &["sim::", "sched::", "metrics::"],
    },
    Judge {
        name: "the tests of whole runs",
        package: "batchscope",
        targets: &["--no-default-features", "--features=cli", "--test=sim"],
        tests: &[],
    },
];

/// What became of the breaks that one judge saw, by name.
struct Outcome {
    caught: Vec<String>,
    missed: Vec<String>,
    /// Without end, or nearly.
    timeout: Vec<String>,
    /// Do not compile.
    unviable: Vec<String>,
}

/// Judges about `sample` mutants, every so many from number `seed` on, and prints what came of it.
pub fn mutants(seed: usize, sample: usize, jobs: usize) -> Result<bool> {
    if sh::find_program("cargo-mutants").is_none() {
        Step::new("Installing cargo-mutants", sh::cargo())
            .args(["install", "cargo-mutants", "--version=27.1.0", "--locked"])
            .run()?;
    }
    let folder = sh::root().join("target/mutants");
    let copies = folder.join("copies");
    fs::create_dir_all(&copies)?;
    traces_beside(&copies)?;
    let all = listed()?;
    let every = (all.len() / sample.max(1)).max(1);
    let from = seed % every;
    let drawn: Vec<String> = all.iter().skip(from).step_by(every).cloned().collect();
    let mut left = drawn.clone();
    let mut judged = Vec::new();
    for judge in &JUDGES {
        if left.is_empty() {
            break;
        }
        let outcome = judge.judges(&left, &folder, &copies, jobs)?;
        left.clone_from(&outcome.missed);
        judged.push((judge.name, outcome));
    }
    print!("{}", report(all.len(), drawn.len(), from, &judged));
    Ok(true)
}

impl Judge {
    /// Shows the judge these mutants.
    fn judges(
        &self,
        mutants: &[String],
        folder: &Path,
        copies: &Path,
        jobs: usize,
    ) -> Result<Outcome> {
        // A judge that complains of unbroken code notices nothing.
        Step::new(format!("Unbroken before {}", self.name), sh::cargo())
            .args(["test", "--profile=mutants", "--package", self.package])
            .args(self.targets)
            .args(["--"])
            .args(self.tests)
            .run()?;
        let results = folder.join("mutants.out");
        if results.exists() {
            fs::remove_dir_all(&results)?;
        }
        let names = mutants
            .iter()
            .map(|name| format!("--re=^{}$", escaped(name)));
        let finished = Step::new(format!("Mutants before {}", self.name), sh::cargo())
            .passing_env("TMPDIR", copies)
            .args([
                "mutants",
                "--profile=mutants",
                "--timeout=300",
                "--baseline=skip",
            ])
            .args([
                format!("--jobs={jobs}"),
                format!("--output={}", folder.display()),
                format!("--test-package={}", self.package),
            ])
            .args(self.targets.iter().map(|arg| format!("--cargo-arg={arg}")))
            .args(FILES.map(|files| format!("--file={files}")))
            .args(names)
            .args(["--", "--"])
            .args(self.tests)
            .watch()?;
        // 2 and 3: some were missed, or ran out of time. That is the question here, not an error.
        if !matches!(finished.status.code(), Some(0 | 2 | 3)) {
            bail!("cargo-mutants ended with {}", finished.status);
        }
        Outcome::read(&results, mutants)
    }
}

/// A name as a regular expression that it alone matches.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(2 * name.len());
    for c in name.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// Tests look for traces beside the checkout; cargo-mutants tests copies of it, so the traces stand beside those too.
fn traces_beside(copies: &Path) -> Result<()> {
    let root = sh::root();
    let shared = root.parent().unwrap_or(&root).join("shared");
    let link = copies.join("shared");
    #[cfg(unix)]
    if shared.is_dir() && !link.exists() {
        std::os::unix::fs::symlink(&shared, &link)?;
    }
    Ok(())
}

/// Every mutant that there is.
fn listed() -> Result<Vec<String>> {
    let listed = Step::new("Listing the mutants", sh::cargo())
        .args(["mutants", "--list"])
        .args(FILES.map(|files| format!("--file={files}")))
        .read()?;
    // Fields left out are shown to a judge whatever it is asked about, so they are no part of a sample.
    let names = listed
        .lines()
        .filter(|line| line.starts_with("src/") && !line.contains(": delete field "));
    let names: Vec<String> = names.map(str::to_owned).collect();
    if names.is_empty() {
        bail!("cargo-mutants found nothing to break");
    }
    Ok(names)
}

impl Outcome {
    /// Reads what cargo-mutants wrote of these mutants.
    fn read(folder: &Path, mutants: &[String]) -> Result<Outcome> {
        let names = |outcome: &str| -> Result<Vec<String>> {
            let path = folder.join(format!("{outcome}.txt"));
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cargo-mutants left no {}", path.display()))?;
            let names = text.lines().map(str::to_owned);
            Ok(names.filter(|name| mutants.contains(name)).collect())
        };
        Ok(Outcome {
            caught: names("caught")?,
            missed: names("missed")?,
            timeout: names("timeout")?,
            unviable: names("unviable")?,
        })
    }
}

/// The counts as a table, and the mutants that nothing notices.
fn report(all: usize, drawn: usize, from: usize, judged: &[(&str, Outcome)]) -> String {
    let mut text = format!(
        "\n{drawn} of {all} mutants, from number {from} on\n\n| judge | noticed | by their never ending |\n|---|---:|---:|\n"
    );
    let mut noticed = 0;
    for (name, outcome) in judged {
        let (caught, timeout) = (outcome.caught.len(), outcome.timeout.len());
        let _ = writeln!(text, "| {name} | {caught} | {timeout} |");
        noticed += caught + timeout;
    }
    let unviable: usize = judged.iter().map(|(_, o)| o.unviable.len()).sum();
    let missed = judged.last().map_or(&[][..], |(_, o)| &o.missed);
    let viable = noticed + missed.len();
    let _ = writeln!(
        text,
        "\n{noticed} of {viable} noticed ({:.1} %); {unviable} do not compile. Not noticed:",
        100.0 * noticed as f64 / viable.max(1) as f64
    );
    for name in missed {
        let _ = writeln!(text, "  {name}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_counts_once() {
        let names = |names: &str| names.split_whitespace().map(str::to_owned).collect();
        let outcome = |caught, missed, timeout, unviable| Outcome {
            caught: names(caught),
            missed: names(missed),
            timeout: names(timeout),
            unviable: names(unviable),
        };
        let judged = [
            ("one", outcome("a b c d e", "f g h", "i", "j")),
            ("two", outcome("f g", "h", "", "")),
        ];
        let text = report(90, 10, 7, &judged);
        assert!(
            text.contains("8 of 9 noticed (88.9 %); 1 do not compile"),
            "{text}"
        );
        assert!(text.ends_with("Not noticed:\n  h\n"), "{text}");
    }
}
