//! Step times from kernel profiles: the sum over a model's layers of what each kernel takes (docs/MODEL.md,
//! "Kernel profiles").

use std::collections::BTreeMap;
use std::io::Read;

use serde::{Deserialize, Serialize};

use super::columns::columns;
use super::curve::{Curve, Family};
use super::work::{Piece, StepWork, Timed};
use crate::Error;

/// Times of a model's kernels on one GPU, as they were measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "KernelProfile"))]
pub struct Profile {
    /// Layers of the model; attention and most dense kernels run once in each.
    pub layers: u32,
    pub attention: Attention,
    /// By layer name: time over tokens of the step.
    pub dense: BTreeMap<String, Sweep>,
    /// By layer name: time over sequences that are sampled. Without a time at 0, a step that samples none takes
    /// what one takes, as on engines that compute its logits all the same.
    pub per_sequence: BTreeMap<String, Sweep>,
    /// Batch sizes that CUDA graphs were captured for, ascending: a step that only decodes runs its dense kernels
    /// at the next of these. Empty: at its own size.
    #[serde(default)]
    pub captured: Vec<u32>,
    /// What decoding sequences of unequal contexts cost, where it was measured.
    #[serde(default)]
    pub skew: Option<Skew>,
}

/// Attention of one layer over decoding sequences of unequal contexts, a column per number.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "SkewProfile"))]
pub struct Skew {
    /// Decoding sequences.
    pub n_decode: Vec<u32>,
    /// Prompt tokens beside them.
    pub prefill_chunk: Vec<u32>,
    /// Measured with all at the mean context, µs.
    pub mean_us: Vec<f64>,
    /// Measured with all at the longest context, µs.
    pub longest_us: Vec<f64>,
    /// Measured with their own contexts, µs.
    pub skewed_us: Vec<f64>,
}

/// Attention of one layer, a column per number: a chunk of a prompt behind a context, beside sequences that
/// decode with a context each.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "AttentionProfile"))]
pub struct Attention {
    /// Tokens of the chunk.
    pub prefill_chunk: Vec<u32>,
    /// Context before the chunk, tokens.
    pub kv_prefill: Vec<u32>,
    /// Decoding sequences.
    pub n_decode: Vec<u32>,
    /// Context of each decoding sequence, tokens.
    pub kv_decode: Vec<u32>,
    /// Time of the kernel, µs.
    pub time_us: Vec<f64>,
}

/// One kernel over one count.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "KernelSweep"))]
pub struct Sweep {
    /// Tokens or sequences.
    pub count: Vec<u32>,
    /// Time of the kernel, µs.
    pub time_us: Vec<f64>,
}

/// Kernels by name: how often each runs in a layer, and once in a step. A model that fuses some lacks
/// their names; any other dense kernel that a profile names runs once in a layer, and any other kernel per
/// sequence once in a step.
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
/// Without these there is no decoder, unless [`WHOLE`] has them all.
const NEEDED: [&str; 4] = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"];
/// The dense part of whole steps that were measured as they run, divided by the layers.
pub(super) const WHOLE: &str = "whole_step";
/// The kernels that turn sampled sequences into tokens.
pub(super) const HEAD: &str = "lm_head";

/// Shortest time of a kernel, us.
pub(super) const LEAST_US: f64 = 1e-3;
/// Largest count of a profile, tokens or sequences.
const MOST: u32 = 1 << 20;

/// By a count, points of a curve.
type Points = BTreeMap<u32, Vec<(f64, f64)>>;

impl Profile {
    /// Errors: names the first thing wrong, by its path under `at`.
    pub fn check(&self, at: &str) -> Result<(), Error> {
        let refuse = |field: String, value: String, allowed: &str| {
            Err(Error::bad_field(format!("{at}.{field}"), value, allowed))
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
        let good = |time: f64| (LEAST_US..1e9).contains(&time);
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
                let fits = sweep.count.len() == sweep.time_us.len() && !sweep.count.is_empty();
                if !fits {
                    let value = format!(
                        "{} counts, {} times",
                        sweep.count.len(),
                        sweep.time_us.len()
                    );
                    return refuse(path, value, "as many times as counts, and at least one");
                }
                let least = u32::from(group == "dense");
                if let Some(count) = sweep
                    .count
                    .iter()
                    .find(|count| !(least..=MOST).contains(*count))
                {
                    let allowed = format!("counts from {least} to {MOST}");
                    return refuse(path, count.to_string(), &allowed);
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
        let whole = self.dense.contains_key(WHOLE);
        if let Some(missing) = NEEDED
            .iter()
            .find(|name| !whole && !self.dense.contains_key(**name))
        {
            return refuse(
                "dense".to_owned(),
                format!("a profile without {missing}"),
                &needed(),
            );
        }
        if !self.per_sequence.contains_key(HEAD) {
            return refuse(
                "per_sequence".to_owned(),
                "a profile without lm_head".to_owned(),
                &needed(),
            );
        }
        let ascending = self.captured.is_sorted_by(|a, b| a < b);
        if !ascending || !self.captured.iter().all(|size| (1..=MOST).contains(size)) {
            return refuse(
                "captured".to_owned(),
                format!("{:?}", self.captured),
                "batch sizes from 1 to 1048576, ascending",
            );
        }
        if let Some(skew) = &self.skew {
            let times = [&skew.mean_us, &skew.longest_us, &skew.skewed_us];
            let rows = skew.n_decode.len();
            if skew.prefill_chunk.len() != rows || times.iter().any(|column| column.len() != rows) {
                return refuse(
                    "skew".to_owned(),
                    "columns of different lengths".to_owned(),
                    "one entry per measurement in each",
                );
            }
            if let Some(time) = times.into_iter().flatten().find(|time| !good(**time)) {
                let allowed = "times above 0 and below 1e9 us";
                return refuse("skew".to_owned(), time.to_string(), allowed);
            }
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

    /// Multiplies every time; none becomes shorter than a profile allows.
    pub fn multiply(&mut self, factor: f64) {
        let sweeps = self
            .dense
            .values_mut()
            .chain(self.per_sequence.values_mut());
        let sweeps = sweeps.flat_map(|sweep| &mut sweep.time_us);
        // Times of unequal contexts count only in proportion.
        for time in sweeps.chain(&mut self.attention.time_us) {
            *time = (*time * factor).max(LEAST_US);
        }
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
        // In this order, the known ones first: sums of floats depend on it.
        let known = IN_LAYER
            .iter()
            .map(|&(name, times)| (name, times * layers))
            .chain(ONCE.iter().map(|&name| (name, 1.0)));
        let mut dense: Vec<(&str, f64)> = known.collect();
        for name in self.dense.keys() {
            if !dense.iter().any(|(known, _)| known == name) {
                dense.push((name, layers));
            }
        }
        let per_sequence: Vec<(&str, f64)> = self
            .per_sequence
            .keys()
            .map(|name| (&**name, 1.0))
            .collect();

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
        let dense = sum(&dense, &self.dense);
        let mut heads = sum(&per_sequence, &self.per_sequence);
        let idle = |sweep: &Sweep| sweep.count.contains(&0);
        if !self.per_sequence.values().all(idle) && heads.seconds.len() > 1 {
            heads.seconds[0] = heads.seconds[1];
        }
        let padded = self.captured.last().map_or_else(Vec::new, |&most| {
            let size = |n: u32| self.captured[self.captured.partition_point(|&c| c < n)];
            (0..=most).map(|n| dense.at(size(n)).seconds).collect()
        });
        ProfileModel {
            padded,
            skew: self.skew.as_ref().map(Skew::model),
            dense,
            per_sequence: heads,
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

fn needed() -> String {
    format!(
        "dense kernels {}, or {WHOLE}, and {HEAD} per sequence",
        NEEDED.join(", ")
    )
}

impl Sweep {
    fn curve(&self) -> Curve {
        let counts = self.count.iter().map(|&count| f64::from(count));
        Curve::new(counts.zip(self.time_us.iter().copied()).collect())
    }
}

/// By decoding sequences, the share of the way from the time at the mean context to the time at the longest.
#[derive(Debug, Clone, PartialEq)]
struct SkewModel {
    alone: Curve,
    beside: Curve,
    most: f64,
}

impl Skew {
    /// Least squares of relative errors, by number of sequences, without and with a prompt.
    fn model(&self) -> SkewModel {
        let shares = |beside: bool| {
            let mut sums: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
            for i in 0..self.n_decode.len() {
                if (self.prefill_chunk[i] > 0) == beside {
                    let mean = self.mean_us[i];
                    let way = (self.longest_us[i] - mean) / mean;
                    let gone = (self.skewed_us[i] - mean) / mean;
                    let sums = sums.entry(self.n_decode[i]).or_default();
                    sums.0 += way * gone;
                    sums.1 += way * way;
                }
            }
            let share = |(a, b): (f64, f64)| {
                if b > 0.0 {
                    (a / b).clamp(0.0, 1.0)
                } else {
                    0.0
                }
            };
            let points = sums.into_iter().map(|(n, of)| (f64::from(n), share(of)));
            Curve::new(points.collect())
        };
        SkewModel {
            alone: shares(false),
            beside: shares(true),
            most: self.n_decode.iter().max().copied().map_or(0.0, f64::from),
        }
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
    /// The same of a step that only decodes, up to the largest captured size.
    padded: Vec<f64>,
    skew: Option<SkewModel>,
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
        let per_sequence = self.per_sequence.at(work.sampled);
        Timed {
            seconds: dense.seconds + per_sequence.seconds + attention,
            inside: inside && dense.inside && per_sequence.inside,
        }
    }

    /// Whether unequal contexts cost anything.
    pub fn is_skewed(&self) -> bool {
        self.skew.is_some()
    }

    /// What unequal contexts add to a step, as a line in the contexts together while all grow by one token a step.
    pub fn skew(&self, work: &StepWork<'_>, longest: u64) -> Piece {
        let level = f64::from(work.sequences) * longest as f64;
        let context = work.context as f64;
        let none = Piece {
            at_s: 0.0,
            per_token_s: 0.0,
            until: u64::MAX,
            inside: true,
        };
        let Some(skew) = self.skew.as_ref().filter(|_| level > context) else {
            return none;
        };
        let n = f64::from(work.sequences).min(skew.most);
        if !work.chunks.is_empty() {
            let tokens = f64::from(work.chunks.iter().map(|c| c.tokens).sum::<u32>());
            let all_longest = StepWork {
                context: level as u64,
                ..*work
            };
            let more = self.beside(tokens, &all_longest).0 - self.beside(tokens, work).0;
            return Piece {
                at_s: skew.beside.line(n).y.clamp(0.0, 1.0) * more.max(0.0),
                until: work.context,
                ..none
            };
        }
        let share = skew.alone.line(n).y.clamp(0.0, 1.0);
        let sequences = f64::from(work.sequences);
        let (at_mean, at_longest) = (
            self.decode.line(sequences, context),
            self.decode.line(sequences, level),
        );
        let at_s = share * (at_longest.y - at_mean.y);
        if at_s < 0.0 {
            return Piece {
                until: work.context,
                ..none
            };
        }
        let per_token_s = share * (at_longest.slope - at_mean.slope);
        let mut until = context + (at_longest.until - level);
        if per_token_s < 0.0 {
            until = until.min(context + at_s / -per_token_s);
        }
        Piece {
            at_s,
            per_token_s,
            until: if until < 1e18 { until as u64 } else { u64::MAX },
            inside: at_longest.inside,
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
        let mut dense = self.dense.at(sequences);
        if let Some(&padded) = self.padded.get(sequences as usize) {
            dense.seconds = padded;
        }
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
    let [chunk, kv_prefill, decode, kv_decode, time] = columns(
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
        captured: Vec::new(),
        skew: None,
    };
    profile.check("latency.profile")?;
    Ok(profile)
}

fn sweeps(
    input: impl Read,
    file: &str,
    count: &'static str,
) -> Result<BTreeMap<String, Sweep>, Error> {
    let (names, [counts, times]) = columns(input, file, [count, "time_us"], Some("layer"))?;
    let mut sweeps: BTreeMap<String, Sweep> = BTreeMap::new();
    for ((name, count), time) in names.into_iter().zip(counts).zip(times) {
        let sweep = sweeps.entry(name).or_default();
        sweep.count.push(count as u32);
        sweep.time_us.push(time);
    }
    Ok(sweeps)
}

/// Reads measurements of unequal contexts from a CSV with `n`, `pc`, `t_mean_us`, `t_max_us` and `t_skew_us`.
///
/// # Errors
/// A missing column, or a cell that is no number.
pub fn read_skew(input: impl Read, file: &str) -> Result<Skew, Error> {
    let names = ["n", "pc", "t_mean_us", "t_max_us", "t_skew_us"];
    let [n, chunk, mean_us, longest_us, skewed_us] = columns(input, file, names, None)?.1;
    let counts = |column: Vec<f64>| column.into_iter().map(|x| x as u32).collect();
    Ok(Skew {
        n_decode: counts(n),
        prefill_chunk: counts(chunk),
        mean_us,
        longest_us,
        skewed_us,
    })
}
