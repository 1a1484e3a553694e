//! One table of everything that is measured, natively and in the browser, with a verdict per row.
//!
//! A bench writes a JSON array of rows; this module judges them, prints the table and keeps it, with a
//! description of the machine, in `docs/BENCH.md`.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{
    setup::{self, Need},
    sh::{self, Step},
    test::stage,
};

/// One measurement, as a bench writes it.
#[derive(Deserialize, Clone, Debug)]
struct Row {
    /// A stable name for scripts: `mbd_native`.
    id: String,
    /// What was measured, for a person.
    what: String,
    /// The number; `null` when it could not be measured.
    measured: Option<f64>,
    /// Of `measured` and of `bar`.
    #[serde(default)]
    unit: String,
    /// The number to reach; without one there is no verdict.
    bar: Option<f64>,
    /// On which side of the bar is good.
    #[serde(default)]
    sense: Sense,
    /// The same result in everyday units ("81 ms"), where `measured` is relative.
    absolute: Option<String>,
}

#[derive(Deserialize, Clone, Copy, Default, PartialEq, Eq, Debug)]
enum Sense {
    #[default]
    #[serde(rename = "<=")]
    AtMost,
    #[serde(rename = ">=")]
    AtLeast,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Met,
    Missed,
    NoBar,
    NotMeasured,
}

impl Row {
    fn not_measured(part: &str) -> Self {
        Self {
            id: part.to_owned(),
            what: format!("the {part} benches"),
            measured: None,
            unit: String::new(),
            bar: None,
            sense: Sense::default(),
            absolute: None,
        }
    }

    fn verdict(&self) -> Verdict {
        match (self.measured, self.bar, self.sense) {
            (None, _, _) => Verdict::NotMeasured,
            // A bench that divided by zero has measured nothing.
            (Some(measured), _, _) if !measured.is_finite() => Verdict::NotMeasured,
            (_, None, _) => Verdict::NoBar,
            (Some(measured), Some(bar), Sense::AtMost) if measured <= bar => Verdict::Met,
            (Some(measured), Some(bar), Sense::AtLeast) if measured >= bar => Verdict::Met,
            _ => Verdict::Missed,
        }
    }

    /// The row's cells: what, measured, bar, verdict.
    fn cells(&self) -> [String; 4] {
        let with_unit = |number: f64| {
            format!("{} {}", short(number), self.unit)
                .trim_end()
                .to_owned()
        };
        let verdict = self.verdict();
        let measured = match (self.measured, &self.absolute) {
            _ if verdict == Verdict::NotMeasured => "–".to_owned(),
            (Some(number), Some(absolute)) => format!("{} ({absolute})", with_unit(number)),
            (Some(number), None) => with_unit(number),
            (None, _) => "–".to_owned(),
        };
        let sign = match self.sense {
            Sense::AtMost => "≤",
            Sense::AtLeast => "≥",
        };
        let bar = self.bar.map_or_else(
            || "–".to_owned(),
            |bar| format!("{sign} {}", with_unit(bar)),
        );
        let verdict = match verdict {
            Verdict::Met => "met",
            Verdict::Missed => "MISSED",
            Verdict::NoBar => "no bar",
            Verdict::NotMeasured => "NOT MEASURED",
        };
        [self.what.clone(), measured, bar, verdict.to_owned()]
    }
}

/// Runs all benches, prints the table, writes `docs/BENCH.md`; true when every bar is met and nothing
/// was left unmeasured.
pub fn bench() -> Result<bool> {
    let tools = setup::ensure(Need::Test)?;
    let folder = sh::root().join("target/xtask");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;

    let cargo_bench = |what: &str, bench: &str, file: &Path| {
        Step::new(what, sh::cargo())
            .args(["bench", "--package", "batchscope", "--bench", bench])
            .args(["--", "--json"])
            .args([file])
            .run()
    };
    let mut rows = part("native", &folder, |file| {
        cargo_bench("Native benches", "table", file)
    });
    rows.extend(part("studies", &folder, |file| {
        cargo_bench("Studies", "studies", file)
    }));
    rows.extend(part("gpu", &folder, |file| {
        cargo_bench("Kernels on a software adapter", "gpu", file)
    }));
    rows.extend(part("browser", &folder, |file| {
        stage(&tools)?
            .step("Browser benches")
            .args(["tests/e2e/bench.mjs", "--json"])
            .args([file])
            // What the browser's times are measured against.
            .args(["--native"])
            .args([folder.join("bench-native.json")])
            .run()
    }));

    let table = table(&rows);
    let chromium = tools.chromium.as_deref().and_then(setup::chromium_version);
    let document = format!(
        "# Measured\n\nWritten by `cargo xtask bench`; do not edit by hand.\n\n{}\n{table}",
        machine(chromium.as_deref())
    );
    let path = sh::root().join("docs/BENCH.md");
    fs::create_dir_all(sh::root().join("docs")).context("creating docs")?;
    fs::write(&path, document).with_context(|| format!("writing {}", path.display()))?;
    println!("\n{table}\nWritten to {}", path.display());
    Ok(rows
        .iter()
        .all(|row| matches!(row.verdict(), Verdict::Met | Verdict::NoBar)))
}

/// The rows of one part; a part that fails, or measures nothing, is one row that says so.
fn part(name: &str, folder: &Path, run: impl FnOnce(&Path) -> Result<()>) -> Vec<Row> {
    let file = folder.join(format!("bench-{name}.json"));
    let rows = run_part(&file, run);
    match rows {
        Ok(rows) if !rows.is_empty() => rows,
        Ok(_) => {
            println!("   The {name} benches wrote no row.");
            vec![Row::not_measured(name)]
        }
        Err(error) => {
            println!("   {error:#}");
            vec![Row::not_measured(name)]
        }
    }
}

fn run_part(file: &Path, run: impl FnOnce(&Path) -> Result<()>) -> Result<Vec<Row>> {
    if file.exists() {
        // The rows of an earlier run must not pass for this one's.
        fs::remove_file(file).with_context(|| format!("removing {}", file.display()))?;
    }
    run(file)?;
    let text = fs::read_to_string(file)
        .with_context(|| format!("the bench did not write {}", file.display()))?;
    let rows: Vec<Row> = serde_json::from_str(&text)
        .with_context(|| format!("{} is not an array of rows", file.display()))?;
    let mut ids = HashSet::new();
    if let Some(twice) = rows.iter().find(|row| !ids.insert(&row.id)) {
        bail!("two rows of {} are called {}", file.display(), twice.id);
    }
    Ok(rows)
}

/// The rows as a Markdown table whose columns also line up in a terminal.
fn table(rows: &[Row]) -> String {
    let head = ["what", "measured", "bar", "verdict"].map(str::to_owned);
    let lines: Vec<[String; 4]> = std::iter::once(head)
        .chain(rows.iter().map(Row::cells))
        .collect();
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        text.push('|');
        for (cell, width) in line.iter().zip(widths) {
            text.push_str(&format!(
                " {}{} |",
                cell,
                " ".repeat(width - cell.chars().count())
            ));
        }
        text.push('\n');
        if number == 0 {
            let rule = widths.map(|width| "-".repeat(width + 2));
            text.push_str(&format!("|{}|\n", rule.join("|")));
        }
    }
    text
}

/// Three significant digits, and whole numbers in full.
fn short(number: f64) -> String {
    if number == 0.0 || number.abs() >= 100.0 {
        return format!("{number:.0}");
    }
    let digits = (2 - number.abs().log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{number:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// What the numbers were measured on. A line that this machine cannot tell says so.
fn machine(chromium: Option<&str>) -> String {
    let field = |path: &str, key: &str| {
        let text = fs::read_to_string(PathBuf::from(path)).ok()?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        let (_, value) = line.split_once([':', '='])?;
        Some(value.trim().trim_matches('"').to_owned())
    };
    let ask = |program: &str, args: &[&str]| {
        Step::new("describing the machine", program)
            .args(args)
            .read()
            .ok()
    };
    let memory = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok())
        .map(|kib| format!("{:.1} GiB", kib as f64 / f64::from(1 << 20)));
    let today = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .map(|since| date(since.as_secs() / 86_400));
    let lines = [
        ("date", today),
        ("commit", ask("git", &["rev-parse", "--short=12", "HEAD"])),
        ("processor", field("/proc/cpuinfo", "model name")),
        (
            "cores",
            thread::available_parallelism()
                .ok()
                .map(|cores| cores.to_string()),
        ),
        ("memory", memory),
        (
            "system",
            field("/etc/os-release", "PRETTY_NAME")
                .or_else(|| Some(std::env::consts::OS.to_owned())),
        ),
        ("rustc", ask("rustc", &["--version"])),
        ("node", ask("node", &["--version"])),
        ("browser", chromium.map(str::to_owned)),
    ];
    lines
        .map(|(what, value)| format!("- {what}: {}\n", value.as_deref().unwrap_or("not known")))
        .concat()
}

/// The calendar date, as 2026-01-31, of a day counted from 1970-01-01.
fn date(day: u64) -> String {
    // Years counted from March end with the leap day, and eras of 400 years all have the same length.
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 {
        (year, month + 3)
    } else {
        (year + 1, month - 9)
    };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: &str) -> Result<Row> {
        Ok(serde_json::from_str(json)?)
    }

    #[test]
    fn verdicts_follow_the_sense_of_the_bar() -> Result<()> {
        let at_most = |measured: &str| {
            row(&format!(
                r#"{{"id":"a","what":"a","measured":{measured},"unit":"floors","bar":8.0,"sense":"<="}}"#
            ))
        };
        assert_eq!(at_most("6.1")?.verdict(), Verdict::Met);
        assert_eq!(at_most("8.0")?.verdict(), Verdict::Met);
        assert_eq!(at_most("8.1")?.verdict(), Verdict::Missed);
        assert_eq!(at_most("null")?.verdict(), Verdict::NotMeasured);
        let at_least =
            row(r#"{"id":"a","what":"a","measured":6,"unit":"x","bar":8,"sense":">="}"#)?;
        assert_eq!(at_least.verdict(), Verdict::Missed);
        assert_eq!(
            row(r#"{"id":"a","what":"a","measured":6}"#)?.verdict(),
            Verdict::NoBar
        );
        assert!(row(r#"{"id":"a","what":"a","measured":6,"bar":1,"sense":"<"}"#).is_err());
        Ok(())
    }

    #[test]
    fn the_table_lines_up() -> Result<()> {
        let rows = [
            row(
                r#"{"id":"m","what":"a sweep","measured":6.123,"unit":"floors","bar":8.0,"sense":"<=","absolute":"81 ms"}"#,
            )?,
            Row::not_measured("browser"),
        ];
        assert_eq!(
            table(&rows),
            "| what                | measured            | bar        | verdict      |\n\
             |---------------------|---------------------|------------|--------------|\n\
             | a sweep             | 6.12 floors (81 ms) | ≤ 8 floors | met          |\n\
             | the browser benches | –                   | –          | NOT MEASURED |\n"
        );
        Ok(())
    }

    #[test]
    fn numbers_are_short_and_whole_ones_whole() {
        let shown = [0.0, 8.0, 6.123, 0.012_345, 81.04, 100.0, 123_456.7, -2.5].map(short);
        assert_eq!(
            shown,
            ["0", "8", "6.12", "0.0123", "81", "100", "123457", "-2.5"]
        );
    }

    #[test]
    fn dates_are_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_088), "2024-12-31");
        assert_eq!(date(20_089), "2025-01-01");
    }
}
