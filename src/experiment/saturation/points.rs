//! Load levels in: CSV, JSON, or made by a caller, and what they must fulfil.

use std::io::Read;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, printable};

/// One level of load: how many users there were and what they got. What is not known is `None`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Level {
    /// Users who each keep one request under way, apart from think time.
    pub users: u32,
    /// Output tokens per second of all users together.
    pub tok_s: f64,
    pub requests: Option<u32>,
    pub successful: Option<u32>,
    /// From the first start to the last end, s.
    pub duration_s: Option<f64>,
    /// Time to first token, ms.
    pub ttft_ms: Times,
    /// From a request's start to its end, ms.
    pub latency_ms: Times,
    /// Output tokens over latency of one request, mean and median, tok/s.
    pub request_tok_s: Option<f64>,
    pub request_tok_s_p50: Option<f64>,
    /// Mean power of the accelerators, W.
    pub power_w: Option<f64>,
    /// Mean output of a request, tokens.
    pub tokens_per_request: Option<f64>,
}

/// Mean and percentiles of a time, ms.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Times {
    pub avg: Option<f64>,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

impl Times {
    /// The four with their names, in the order in which they are shown.
    pub fn named(&self) -> [(&'static str, Option<f64>); 4] {
        [
            ("avg", self.avg),
            ("P50", self.p50),
            ("P95", self.p95),
            ("P99", self.p99),
        ]
    }
}

impl Level {
    /// Mean output of a request, tokens: as given, or throughput x duration / requests.
    pub fn output_tokens(&self) -> Option<f64> {
        self.tokens_per_request.or_else(|| {
            let requests = self.successful.or(self.requests)?;
            Some(self.tok_s * self.duration_s? / f64::from(requests))
        })
    }

    /// Requests in service on average, by Little's law: throughput in requests/s x mean latency.
    pub fn in_service(&self) -> Option<f64> {
        Some(self.tok_s / self.output_tokens()? * self.latency_ms.avg? / 1e3)
    }

    /// Throughput of a closed loop at this latency, tok/s: users x tokens / (latency + think time
    /// (R - 1)/R), since no think time follows the last of a user's R requests. Where the requests
    /// are not known there are taken to be many.
    pub fn closed_loop_tok_s(&self, think_time_s: f64) -> Option<f64> {
        let pauses = self.requests.map_or(1.0, |requests| {
            (1.0 - f64::from(self.users) / f64::from(requests)).max(0.0)
        });
        let cycle_s = self.latency_ms.avg? / 1e3 + think_time_s * pauses;
        Some(f64::from(self.users) * self.output_tokens()? / cycle_s)
    }

    /// Output tokens per joule, which is tok/s per watt.
    pub fn tokens_per_joule(&self) -> Option<f64> {
        self.power_w.map(|power| self.tok_s / power)
    }

    pub fn tok_s_per_user(&self) -> f64 {
        self.tok_s / f64::from(self.users)
    }
}

/// The largest file of levels that is read, bytes.
const MOST_BYTES: u64 = 4 << 20;

#[derive(Clone, Copy)]
enum Range {
    /// 1 to 1e9.
    Whole,
    /// Above 0.
    Positive,
    /// 0, or as much as [`Range::Positive`].
    NotNegative,
}

impl Range {
    fn holds(self, x: f64) -> bool {
        match self {
            Range::Whole => (1.0..=1e9).contains(&x) && x == libm::trunc(x),
            Range::Positive => (1e-9..=1e12).contains(&x),
            Range::NotNegative => x == 0.0 || (1e-9..=1e12).contains(&x),
        }
    }

    fn allowed(self) -> &'static str {
        match self {
            Range::Whole => "a whole number from 1 to 1000000000",
            Range::Positive => "a number from 1e-9 to 1e12",
            Range::NotNegative => "0, or a number from 1e-9 to 1e12",
        }
    }
}

struct Column {
    /// The name that is written first, then what is accepted too.
    names: &'static [&'static str],
    range: Range,
    get: fn(&Level) -> Option<f64>,
    put: fn(&mut Level, f64),
}

impl Column {
    fn name(&self) -> &'static str {
        self.names[0]
    }
}

/// A column of a number that may be absent, by its place in [`Level`].
macro_rules! column {
    ($range:ident, $($field:ident).+, $($name:literal),+) => {
        Column {
            names: &[$($name),+],
            range: Range::$range,
            get: |l| l.$($field).+.map(f64::from),
            // Of a whole number the range is checked before.
            put: |l, x| l.$($field).+ = Some(x as _),
        }
    };
}

/// The columns, the two that must be there first.
#[rustfmt::skip]
const COLUMNS: [Column; 17] = [
    Column {
        names: &["users", "concurrency", "concurrent_users"],
        range: Range::Whole,
        get: |l| Some(f64::from(l.users)),
        put: |l, x| l.users = x as u32,
    },
    Column {
        names: &["tok_s", "tokens_per_s", "tokens_per_second", "throughput", "throughput_tok_s", "aggregate_tok_s"],
        range: Range::Positive,
        get: |l| Some(l.tok_s),
        put: |l, x| l.tok_s = x,
    },
    column!(Whole, requests, "requests", "total_requests"),
    column!(Whole, successful, "successful", "successful_requests"),
    column!(Positive, duration_s, "duration_s", "duration"),
    column!(NotNegative, ttft_ms.avg, "ttft_ms", "ttft_avg_ms", "avg_ttft_ms", "mean_ttft_ms"),
    column!(NotNegative, ttft_ms.p50, "ttft_p50_ms", "p50_ttft_ms", "median_ttft_ms"),
    column!(NotNegative, ttft_ms.p95, "ttft_p95_ms", "p95_ttft_ms"),
    column!(NotNegative, ttft_ms.p99, "ttft_p99_ms", "p99_ttft_ms"),
    column!(NotNegative, latency_ms.avg, "latency_ms", "latency_avg_ms", "avg_latency_ms", "mean_latency_ms"),
    column!(NotNegative, latency_ms.p50, "latency_p50_ms", "p50_latency_ms", "median_latency_ms"),
    column!(NotNegative, latency_ms.p95, "latency_p95_ms", "p95_latency_ms"),
    column!(NotNegative, latency_ms.p99, "latency_p99_ms", "p99_latency_ms"),
    column!(NotNegative, request_tok_s, "request_tok_s", "per_request_tok_s", "request_tok_s_avg"),
    column!(NotNegative, request_tok_s_p50, "request_tok_s_p50", "per_request_tok_s_p50"),
    column!(Positive, power_w, "power_w", "power", "avg_power_w"),
    column!(Positive, tokens_per_request, "tokens_per_request", "output_tokens_per_request"),
];

const REQUIRED: usize = 2;

/// Equal without regard to case, spaces, `_` and `-`, as in trace tables.
fn same_name(a: &str, b: &str) -> bool {
    let bare = |s: &str| -> String {
        s.chars()
            .filter(|c| !matches!(c, ' ' | '_' | '-'))
            .map(|c| c.to_ascii_lowercase())
            .collect()
    };
    bare(a) == bare(b)
}

fn column(name: &str) -> Option<usize> {
    COLUMNS
        .iter()
        .position(|c| c.names.iter().any(|known| same_name(known, name)))
}

/// Which column each of the names is. Errors: an unknown name, or two for one column.
fn columns<'a>(
    names: impl Iterator<Item = &'a str>,
    file: &str,
    row: u64,
) -> Result<Vec<usize>, Error> {
    let bad = |problem| Error::BadRow {
        file: file.to_owned(),
        row,
        problem,
    };
    let mut found = Vec::new();
    for name in names {
        let Some(i) = column(name) else {
            let allowed: Vec<&str> = COLUMNS.iter().map(Column::name).collect();
            return Err(bad(format!(
                "unknown column \"{}\"; allowed are {}",
                printable(name.as_bytes()),
                allowed.join(", ")
            )));
        };
        if found.contains(&i) {
            return Err(bad(format!("two columns for \"{}\"", COLUMNS[i].name())));
        }
        found.push(i);
    }
    Ok(found)
}

fn put(level: &mut Level, i: usize, text: &str, file: &str, row: u64) -> Result<(), Error> {
    let column = &COLUMNS[i];
    match text.parse::<f64>() {
        Ok(x) if column.range.holds(x) => {
            (column.put)(level, x);
            Ok(())
        }
        _ => Err(Error::BadCell {
            file: file.to_owned(),
            row,
            column: column.name().to_owned(),
            value: printable(text.as_bytes()),
            allowed: column.range.allowed().to_owned(),
        }),
    }
}

/// Reads levels: a JSON array of objects or `{"points": [...]}` where the text begins with `[` or
/// `{`, else CSV with a header. `name` is for errors; their row is a line in CSV and the place in
/// the array, from 1, in JSON. The levels come back checked and in order of users ([`check`]).
///
/// Empty cells, `null`, "not measured" and "not modelled" all mean that a value is not known.
///
/// Errors: what [`check`] refuses, unknown columns, cells that are no number in their range, text
/// that is neither format, more than 4 MiB.
pub fn read(input: impl Read, name: &str) -> Result<Vec<Level>, Error> {
    let unreadable = |detail: String| Error::File {
        action: "read",
        path: name.to_owned(),
        detail,
    };
    let mut bytes = Vec::new();
    input
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| unreadable(e.to_string()))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(unreadable(
            "a file of load levels has at most 4 MiB".to_owned(),
        ));
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let (levels, rows) = match text.trim_ascii_start().first() {
        Some(b'[' | b'{') => read_json(text, name)?,
        _ => read_csv(text, name)?,
    };
    check_rows(levels, &rows, name)
}

fn unknown(text: &str) -> bool {
    matches!(text, "" | "not measured" | "not modelled")
}

fn read_csv(text: &[u8], file: &str) -> Result<(Vec<Level>, Vec<u64>), Error> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text);
    let broken = |e: csv::Error| Error::of_csv(&e, file);
    let header = reader.headers().map_err(broken)?.clone();
    let found = columns(header.iter(), file, 1)?;
    for (i, needed) in COLUMNS.iter().enumerate().take(REQUIRED) {
        if !found.contains(&i) {
            return Err(Error::MissingColumn {
                file: file.to_owned(),
                needed: format!("\"{}\"", needed.names.join("\" or \"")),
                found: format!("\"{}\"", header.iter().collect::<Vec<_>>().join("\", \"")),
            });
        }
    }
    let (mut levels, mut rows) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let row = record.position().map_or(1, csv::Position::line);
        let mut level = Level::default();
        for (&i, text) in found.iter().zip(&record) {
            if i < REQUIRED || !unknown(text) {
                put(&mut level, i, text, file, row)?;
            }
        }
        levels.push(level);
        rows.push(row);
    }
    Ok((levels, rows))
}

/// A JSON object with its names in order and none lost, also where two are the same.
struct Object(Vec<(String, Value)>);

impl<'a> Deserialize<'a> for Object {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Object, D::Error> {
        struct Pairs;
        impl<'a> Visitor<'a> for Pairs {
            type Value = Object;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object with users and tok_s")
            }
            fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Object(pairs))
            }
        }
        json.deserialize_map(Pairs)
    }
}

fn read_json(text: &[u8], file: &str) -> Result<(Vec<Level>, Vec<u64>), Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped {
        points: Vec<Object>,
    }
    let objects = if text.trim_ascii_start().first() == Some(&b'[') {
        serde_json::from_slice(text)
    } else {
        serde_json::from_slice(text).map(|wrapped: Wrapped| wrapped.points)
    };
    let objects: Vec<Object> = objects.map_err(|e| Error::BadRow {
        file: file.to_owned(),
        row: e.line() as u64,
        problem: format!("{e}; understood is an array of objects, or {{\"points\": [...]}}"),
    })?;
    let (mut levels, mut rows) = (Vec::new(), Vec::new());
    for (object, row) in objects.into_iter().zip(1..) {
        let found = columns(object.0.iter().map(|(name, _)| name.as_str()), file, row)?;
        for (i, needed) in COLUMNS.iter().enumerate().take(REQUIRED) {
            if !found.contains(&i) {
                return Err(Error::BadRow {
                    file: file.to_owned(),
                    row,
                    problem: format!("the object has no \"{}\"", needed.name()),
                });
            }
        }
        let mut level = Level::default();
        for (&i, (_, value)) in found.iter().zip(&object.0) {
            let text = match value {
                Value::Null => String::new(),
                Value::String(text) if unknown(text.trim()) => String::new(),
                // Also what is no number at all, so that the error shows it: text keeps its quotes.
                other => other.to_string(),
            };
            if i < REQUIRED || !text.is_empty() {
                put(&mut level, i, &text, file, row)?;
            }
        }
        levels.push(level);
        rows.push(row);
    }
    Ok((levels, rows))
}

/// Checks levels from anywhere and puts them in order of users. `name` is for errors, whose row is
/// the place in `levels`, from 1.
///
/// Errors: a value outside its range or not finite, two levels with the same users, more successful
/// requests than requests, percentiles that fall, fewer than two levels.
pub fn check(levels: Vec<Level>, name: &str) -> Result<Vec<Level>, Error> {
    let rows: Vec<u64> = (1..=levels.len() as u64).collect();
    check_rows(levels, &rows, name)
}

fn check_rows(levels: Vec<Level>, rows: &[u64], file: &str) -> Result<Vec<Level>, Error> {
    let mut numbered: Vec<(u64, Level)> = rows.iter().copied().zip(levels).collect();
    for (row, level) in &numbered {
        let bad = |column: &str, value: f64, allowed: String| Error::BadCell {
            file: file.to_owned(),
            row: *row,
            column: column.to_owned(),
            value: value.to_string(),
            allowed,
        };
        for column in &COLUMNS {
            if let Some(x) = (column.get)(level).filter(|&x| !column.range.holds(x)) {
                return Err(bad(column.name(), x, column.range.allowed().to_owned()));
            }
        }
        if let (Some(successful), Some(requests)) = (level.successful, level.requests)
            && successful > requests
        {
            return Err(bad(
                "successful",
                f64::from(successful),
                format!("at most the {requests} requests of its row"),
            ));
        }
        for (quantity, times) in [("ttft", level.ttft_ms), ("latency", level.latency_ms)] {
            let mut below: Option<(&str, f64)> = None;
            for (name, value) in [("p50", times.p50), ("p95", times.p95), ("p99", times.p99)] {
                let Some(value) = value else { continue };
                if let Some((lower, least)) = below
                    && value < least
                {
                    return Err(bad(
                        &format!("{quantity}_{name}_ms"),
                        value,
                        format!("at least the {lower} of its row, {least}"),
                    ));
                }
                below = Some((name, value));
            }
        }
    }
    numbered.sort_by_key(|(row, level)| (level.users, *row));
    for pair in numbered.windows(2) {
        let [(first, a), (second, b)] = pair else {
            continue;
        };
        if a.users == b.users {
            return Err(Error::BadCell {
                file: file.to_owned(),
                row: *second,
                column: "users".to_owned(),
                value: b.users.to_string(),
                allowed: format!("a number of users of its own: row {first} has it too"),
            });
        }
    }
    if numbered.len() < 2 {
        return Err(Error::NoFit {
            file: file.to_owned(),
            problem: format!(
                "{} load levels; at least 2 with different users are needed",
                numbered.len()
            ),
        });
    }
    Ok(numbered.into_iter().map(|(_, level)| level).collect())
}

/// Half a unit of the last decimal to which the throughputs are given, tok/s; `None` where they
/// have more than six decimals, as computed numbers do.
pub fn half_unit(levels: &[Level]) -> Option<f64> {
    let decimals = levels
        .iter()
        .map(|l| {
            let text = l.tok_s.to_string();
            text.split_once('.').map_or(0, |(_, behind)| behind.len())
        })
        .max()?;
    let units = [0.5, 0.05, 0.005, 5e-4, 5e-5, 5e-6, 5e-7];
    units.get(decimals).copied()
}

/// The published benchmark's three levels (Llama-3-8B on an NVIDIA A40, LMDeploy, December 2025),
/// as printed.
pub fn published() -> Vec<Level> {
    let level = |users, requests, duration_s, tok_s, ttft: [f64; 4], latency: [f64; 3]| Level {
        users,
        tok_s,
        requests: Some(requests),
        successful: Some(requests),
        duration_s: Some(duration_s),
        ttft_ms: Times {
            avg: Some(ttft[0]),
            p50: Some(ttft[1]),
            p95: Some(ttft[2]),
            p99: Some(ttft[3]),
        },
        latency_ms: Times {
            avg: Some(latency[0]),
            p50: None,
            p95: Some(latency[1]),
            p99: Some(latency[2]),
        },
        ..Level::default()
    };
    let mut levels = vec![
        level(
            10,
            50,
            31.9,
            184.1,
            [4783.6, 5069.0, 5975.1, 5976.2],
            [4783.7, 5975.1, 5976.2],
        ),
        level(
            50,
            250,
            37.1,
            756.9,
            [5922.9, 6231.2, 6835.6, 7856.4],
            [5922.9, 6835.6, 7856.4],
        ),
        level(
            100,
            500,
            40.1,
            1457.8,
            [6281.1, 6521.6, 7321.3, 7918.1],
            [6281.2, 7321.4, 7918.2],
        ),
    ];
    let rest = [
        (24.0, 25.1, 242.3),
        (18.5, 20.3, 250.4),
        (18.1, 19.2, 257.0),
    ];
    for (level, (mean, median, power)) in levels.iter_mut().zip(rest) {
        level.request_tok_s = Some(mean);
        level.request_tok_s_p50 = Some(median);
        level.power_w = Some(power);
    }
    levels
}
