//! Step times from kernel profiles: the sum over a model's layers of what each kernel takes (docs/MODEL.md,
//! "Kernel profiles").

use std::collections::BTreeMap;
use std::io::Read;

use serde::{Deserialize, Serialize};

use super::curve::{Curve, Family};
use super::step_latency::{Piece, StepWork, Timed};
use crate::Error;

/// Times of a model's kernels on one GPU, as they were measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "KernelProfile"))]
pub struct Profile {
    /// Layers of the model; attention and most dense kernels run once in each.
    pub layers: u32,
    pub attention: Attention,
    /// By layer name: time over tokens of the step.
    pub dense: BTreeMap<String, Sweep>,
    /// By layer name: time over sequences that are sampled.
    pub per_sequence: BTreeMap<String, Sweep>,
}

/// Attention of one layer, a column per number: a chunk of a prompt behind a context, beside sequences that
/// decode with a context each.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "AttentionProfile"))]
pub struct Attention {
    pub prefill_chunk: Vec<u32>,
    pub kv_prefill: Vec<u32>,
    pub n_decode: Vec<u32>,
    /// Of each sequence.
    pub kv_decode: Vec<u32>,
    pub time_us: Vec<f64>,
}

/// One kernel over one count.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "KernelSweep"))]
pub struct Sweep {
    pub count: Vec<u32>,
    pub time_us: Vec<f64>,
}

/// Kernels by name: how often each runs in a layer, and once in a step. A model that fuses some lacks
/// their names.
const IN_LAYER: [(&str, f64); 7] = [
    ("layernorm", 2.0),
    ("qkv_proj", 1.0),
    ("rotary_emb", 1.0),
    ("o_proj", 1.0),
    ("gate_up_proj", 1.0),
    ("act_fn", 1.0),
    ("down_proj", 1.0),
];
const ONCE: [&str; 2] = ["embedding", "final_layernorm"];
const PER_SEQUENCE: [&str; 2] = ["lm_head", "sampler"];
/// Without these there is no decoder.
const NEEDED: [&str; 4] = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"];

/// Largest count of a profile, tokens or sequences.
const MOST: u32 = 1 << 20;

/// By a count, points of a curve.
type Points = BTreeMap<u32, Vec<(f64, f64)>>;

impl Profile {
    /// Errors: names the first thing wrong, by its path under `at`.
    pub fn check(&self, at: &str) -> Result<(), Error> {
        let refuse = |field: String, value: String, allowed: &str| {
            Err(Error::BadField {
                field: format!("{at}.{field}"),
                value,
                allowed: allowed.to_owned(),
            })
        };
        if !(1..=1024).contains(&self.layers) {
            let value = self.layers.to_string();
            return refuse("layers".to_owned(), value, "a whole number from 1 to 1024");
        }
        let a = &self.attention;
        let rows = a.time_us.len();
        let columns = [&a.prefill_chunk, &a.kv_prefill, &a.n_decode, &a.kv_decode];
        if columns.iter().any(|column| column.len() != rows) {
            return refuse(
                "attention".to_owned(),
                "columns of different lengths".to_owned(),
                "one entry per measurement in each",
            );
        }
        let good = |time: f64| (1e-3..1e9).contains(&time);
        if let Some(row) = a.time_us.iter().position(|&time| !good(time)) {
            return refuse(
                format!("attention.time_us[{row}]"),
                a.time_us[row].to_string(),
                "a time of at least 1e-3 and below 1e9 us",
            );
        }
        for column in columns {
            if let Some(value) = column.iter().find(|&&value| value > 1 << 26) {
                return refuse(
                    "attention".to_owned(),
                    value.to_string(),
                    "counts up to 67108864",
                );
            }
        }
        for (group, sweeps) in [("dense", &self.dense), ("per_sequence", &self.per_sequence)] {
            for (name, sweep) in sweeps {
                let path = format!("{group}.{name}");
                if !knows(name) {
                    return refuse(path, "this name".to_owned(), &known());
                }
                let fits = sweep.count.len() == sweep.time_us.len() && !sweep.count.is_empty();
                if !fits {
                    let value = format!(
                        "{} counts, {} times",
                        sweep.count.len(),
                        sweep.time_us.len()
                    );
                    return refuse(path, value, "as many times as counts, and at least one");
                }
                if let Some(count) = sweep
                    .count
                    .iter()
                    .find(|count| !(1..=MOST).contains(*count))
                {
                    return refuse(path, count.to_string(), "counts from 1 to 1048576");
                }
                if let Some(time) = sweep.time_us.iter().find(|time| !good(**time)) {
                    return refuse(
                        path,
                        time.to_string(),
                        "times of at least 1e-3 and below 1e9 us",
                    );
                }
            }
        }
        if let Some(missing) = NEEDED.iter().find(|name| !self.dense.contains_key(**name)) {
            return refuse(
                "dense".to_owned(),
                format!("a profile without {missing}"),
                &known(),
            );
        }
        if !self.per_sequence.contains_key("lm_head") {
            return refuse(
                "per_sequence".to_owned(),
                "a profile without lm_head".to_owned(),
                &known(),
            );
        }
        let decodes = (0..rows).any(|i| a.prefill_chunk[i] == 0 && a.n_decode[i] > 0);
        let prefills = (0..rows).any(|i| a.prefill_chunk[i] > 0 && a.n_decode[i] == 0);
        if !decodes || !prefills {
            return refuse(
                "attention".to_owned(),
                format!("{rows} measurements"),
                "some that only decode (prefill_chunk 0) and some with a prompt alone (n_decode 0)",
            );
        }
        Ok(())
    }

    /// The profile for the inner loop.
    pub fn model(&self) -> ProfileModel {
        let sum = |names: &[(&str, f64)], sweeps: &BTreeMap<String, Sweep>| {
            let curves: Vec<(Curve, f64)> = names
                .iter()
                .filter_map(|(name, times)| Some((sweeps.get(*name)?.curve(), *times)))
                .collect();
            let most = names
                .iter()
                .filter_map(|(name, _)| sweeps.get(*name)?.count.iter().max())
                .min()
                .copied()
                .unwrap_or(0);
            let at = |count: u32| -> f64 {
                let x = f64::from(count);
                let sum: f64 = curves.iter().map(|(curve, n)| curve.line(x).y * n).sum();
                sum * 1e-6
            };
            Sum {
                seconds: (0..=most).map(at).collect(),
                // Beyond the last, the line through it and the one half as far, where that rises.
                slope: (at(most) - at(most / 2)).max(0.0) / f64::from((most - most / 2).max(1)),
            }
        };
        let layers = f64::from(self.layers);
        let dense: Vec<(&str, f64)> = IN_LAYER
            .iter()
            .map(|&(name, times)| (name, times * layers))
            .chain(ONCE.iter().map(|&name| (name, 1.0)))
            .collect();
        let per_sequence = PER_SEQUENCE.map(|name| (name, 1.0));

        let a = &self.attention;
        // Of a whole step, s.
        let time = |i: usize| a.time_us[i] * 1e-6 * layers;
        let mut decode = Points::new();
        let mut prefill = Points::new();
        let mut alone: BTreeMap<(u32, u32), f64> = BTreeMap::new();
        for i in 0..a.time_us.len() {
            let (q, s, n) = (a.prefill_chunk[i], a.kv_prefill[i], a.n_decode[i]);
            let context = f64::from(n) * f64::from(a.kv_decode[i]);
            if q == 0 && n > 0 {
                decode.entry(n).or_default().push((context, time(i)));
            } else if q > 0 && n == 0 {
                prefill.entry(q).or_default().push((f64::from(s), time(i)));
                alone.insert((q, s), time(i));
            }
        }
        // What the decoding sequences add beside a chunk: at the shortest context of the chunk, because
        // that context hardly matters to them.
        let mut beside: BTreeMap<u32, (u32, Points)> = BTreeMap::new();
        for i in 0..a.time_us.len() {
            let (q, s, n) = (a.prefill_chunk[i], a.kv_prefill[i], a.n_decode[i]);
            let Some(prompt) = alone.get(&(q, s)).filter(|_| q > 0 && n > 0) else {
                continue;
            };
            let curves = beside.entry(q).or_insert((s, BTreeMap::new()));
            if s < curves.0 {
                *curves = (s, BTreeMap::new());
            }
            if s == curves.0 {
                let context = f64::from(n) * f64::from(a.kv_decode[i]);
                let added = (time(i) - prompt).max(0.0);
                curves.1.entry(n).or_default().push((context, added));
            }
        }
        let family = |curves: Points| {
            Family::new(
                curves
                    .into_iter()
                    .map(|(key, points)| (f64::from(key), Curve::new(points))),
            )
        };
        let prefill = family(prefill);
        ProfileModel {
            dense: sum(&dense, &self.dense),
            per_sequence: sum(&per_sequence, &self.per_sequence),
            decode: family(decode),
            // What any chunk costs, however short.
            least_prefill_s: prefill.line(0.0, 0.0).y,
            prefill,
            beside: beside
                .into_iter()
                .map(|(q, (_, curves))| (f64::from(q), family(curves)))
                .collect(),
        }
    }
}

fn knows(name: &str) -> bool {
    let in_layer = IN_LAYER.iter().map(|(name, _)| name);
    in_layer
        .chain(&ONCE)
        .chain(&PER_SEQUENCE)
        .any(|n| *n == name)
}

fn known() -> String {
    let in_layer = IN_LAYER.iter().map(|(name, _)| *name);
    let names: Vec<&str> = in_layer.chain(ONCE).chain(PER_SEQUENCE).collect();
    format!(
        "the kernels {}; {} and lm_head are needed",
        names.join(", "),
        NEEDED.join(", ")
    )
}

impl Sweep {
    fn curve(&self) -> Curve {
        let counts = self.count.iter().map(|&count| f64::from(count));
        Curve::new(counts.zip(self.time_us.iter().copied()).collect())
    }
}

/// A sum of kernels, by their count.
#[derive(Debug, Clone, PartialEq)]
struct Sum {
    seconds: Vec<f64>,
    /// Beyond the last, per count; not negative.
    slope: f64,
}

impl Sum {
    #[inline]
    fn at(&self, count: u32) -> Timed {
        match self.seconds.get(count as usize) {
            Some(&seconds) => Timed {
                seconds,
                inside: true,
            },
            None => {
                let last = self.seconds.len() - 1;
                Timed {
                    seconds: self.seconds[last] + self.slope * (f64::from(count) - last as f64),
                    inside: false,
                }
            }
        }
    }
}

/// A profile, ready to be asked.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileModel {
    /// By tokens of the step.
    dense: Sum,
    /// By sampled sequences.
    per_sequence: Sum,
    /// By decoding sequences, over their contexts together.
    decode: Family,
    /// By tokens of a chunk, over its context.
    prefill: Family,
    least_prefill_s: f64,
    /// By tokens of all chunks: what decoding sequences add, as `decode`.
    beside: Vec<(f64, Family)>,
}

impl ProfileModel {
    /// Time of a step.
    pub fn step(&self, work: &StepWork<'_>) -> Timed {
        if work.chunks.is_empty() {
            let piece = self.decode(work.sequences, work.context);
            return Timed {
                seconds: piece.at_s,
                inside: piece.inside,
            };
        }
        let mut tokens = 0;
        // Chunks of several prompts run in one kernel: each costs what it costs alone, but for the least
        // that any costs, which is paid once.
        let mut attention = self.least_prefill_s;
        let mut inside = true;
        for chunk in work.chunks {
            tokens += chunk.tokens;
            let line = self
                .prefill
                .line(f64::from(chunk.tokens), f64::from(chunk.before));
            attention += (line.y - self.least_prefill_s).max(0.0);
            inside &= line.inside || line.y <= self.least_prefill_s;
        }
        if work.sequences > 0 {
            let (added, is) = self.beside(f64::from(tokens), work);
            attention += added;
            inside &= is;
        }
        let dense = self.dense.at(work.sequences + tokens);
        let per_sequence = self.per_sequence.at(work.sampled.max(1));
        Timed {
            seconds: dense.seconds + per_sequence.seconds + attention,
            inside: inside && dense.inside && per_sequence.inside,
        }
    }

    /// What decoding sequences add to a step with chunks of `tokens` together.
    fn beside(&self, tokens: f64, work: &StepWork<'_>) -> (f64, bool) {
        let sequences = f64::from(work.sequences);
        let context = work.context as f64;
        let at = |place: usize| self.beside[place].1.line(sequences, context);
        let after = self.beside.partition_point(|(q, _)| *q < tokens);
        let (first, last) = (0, self.beside.len().saturating_sub(1));
        let line = if self.beside.is_empty() {
            self.decode.line(sequences, context)
        } else if after == 0 {
            at(first)
        } else if after > last {
            at(last)
        } else {
            let (low, high) = (at(after - 1), at(after));
            let (a, b) = (self.beside[after - 1].0, self.beside[after].0);
            let weight = (tokens - a) / (b - a);
            return (low.y + (high.y - low.y) * weight, low.inside && high.inside);
        };
        (line.y.max(0.0), line.inside)
    }

    /// The line of steps that only decode.
    #[inline]
    pub fn decode(&self, sequences: u32, context: u64) -> Piece {
        let line = self.decode.line(f64::from(sequences), context as f64);
        let dense = self.dense.at(sequences);
        let per_sequence = self.per_sequence.at(sequences);
        Piece {
            at_s: dense.seconds + per_sequence.seconds + line.y,
            per_token_s: line.slope,
            until: if line.until < 1e18 {
                line.until as u64
            } else {
                u64::MAX
            },
            inside: line.inside && dense.inside && per_sequence.inside,
        }
    }
}

/// Reads a profile from its three CSV files; names are for errors.
///
/// # Errors
/// A missing column, a cell that is no number, a kernel that is not known, or what [`Profile::check`] refuses.
pub fn read(
    layers: u32,
    attention: (impl Read, &str),
    dense: (impl Read, &str),
    per_sequence: (impl Read, &str),
) -> Result<Profile, Error> {
    let [chunk, kv_prefill, decode, kv_decode, time] = table(
        attention.0,
        attention.1,
        [
            "prefill_chunk",
            "kv_prefill",
            "n_decode",
            "kv_decode",
            "time_us",
        ],
        None,
    )?
    .1;
    let counts = |column: Vec<f64>| column.into_iter().map(|x| x as u32).collect();
    let profile = Profile {
        layers,
        attention: Attention {
            prefill_chunk: counts(chunk),
            kv_prefill: counts(kv_prefill),
            n_decode: counts(decode),
            kv_decode: counts(kv_decode),
            time_us: time,
        },
        dense: sweeps(dense.0, dense.1, "tokens")?,
        per_sequence: sweeps(per_sequence.0, per_sequence.1, "sequences")?,
    };
    profile.check("latency.profile")?;
    Ok(profile)
}

fn sweeps(
    input: impl Read,
    file: &str,
    count: &'static str,
) -> Result<BTreeMap<String, Sweep>, Error> {
    let (names, [counts, times]) = table(input, file, [count, "time_us"], Some("layer"))?;
    let mut sweeps: BTreeMap<String, Sweep> = BTreeMap::new();
    for ((name, count), time) in names.into_iter().zip(counts).zip(times) {
        let sweep = sweeps.entry(name).or_default();
        sweep.count.push(count as u32);
        sweep.time_us.push(time);
    }
    Ok(sweeps)
}

/// The named columns of a CSV file as numbers, and one as text; other columns are not read.
pub(super) fn table<const N: usize>(
    input: impl Read,
    file: &str,
    columns: [&str; N],
    text: Option<&str>,
) -> Result<(Vec<String>, [Vec<f64>; N]), Error> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(input);
    let broken = |e: csv::Error, row: u64| Error::BadRow {
        file: file.to_owned(),
        row,
        problem: e.to_string(),
    };
    let header = reader.headers().map_err(|e| broken(e, 1))?.clone();
    let place = |name: &str| {
        let found = header.iter().position(|h| h.eq_ignore_ascii_case(name));
        found.ok_or_else(|| Error::MissingColumn {
            file: file.to_owned(),
            needed: name.to_owned(),
            found: header.iter().collect::<Vec<_>>().join(", "),
        })
    };
    let mut places = [0; N];
    for (at, name) in places.iter_mut().zip(columns) {
        *at = place(name)?;
    }
    let text = text.map(place).transpose()?;
    let mut names = Vec::new();
    let mut values: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for (row, record) in (2u64..).zip(reader.records()) {
        let record = record.map_err(|e| broken(e, row))?;
        for ((column, &at), name) in values.iter_mut().zip(&places).zip(columns) {
            let cell = record.get(at).unwrap_or_default();
            let value = cell.parse::<f64>().ok();
            // Counts are whole and fit; the checks of their ranges come with the whole.
            let fits = |v: &f64| {
                v.is_finite()
                    && *v >= 0.0
                    && (name.contains("time") || (*v <= 4e9 && v.fract() == 0.0))
            };
            match value.filter(fits) {
                Some(value) => column.push(value),
                None => {
                    return Err(Error::BadCell {
                        file: file.to_owned(),
                        row,
                        column: name.to_owned(),
                        value: crate::error::printable(cell.as_bytes()),
                        allowed: if name.contains("time") {
                            "a time from 0 up"
                        } else {
                            "a whole number from 0 to 4e9"
                        }
                        .to_owned(),
                    });
                }
            }
        }
        if let Some(at) = text {
            names.push(record.get(at).unwrap_or_default().to_owned());
        }
    }
    if values[0].is_empty() {
        return Err(Error::EmptyTrace {
            file: file.to_owned(),
            problem: "there is no row of data in it".to_owned(),
        });
    }
    Ok((names, values))
}
