//! Random requests, and the text of a trace file that has them.

use std::fmt::Write;

use batchscope::trace::{Format, Reading, TimeUnit};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::rng::Rng;

/// One request of a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// s.
    pub at: f64,
    pub prompt: u32,
    pub output: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The family of prompts, and the number of blocks that the prompt shares with it; absent: no hashes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<(u32, u32)>,
}

const CLASSES: [&str; 2] = ["chat", "api"];

/// Up to 200 requests: ties, failed ones, huge gaps, sessions, classes and shared prompts.
pub fn rows(rng: &mut Rng) -> Vec<Row> {
    let count = match rng.below(20) {
        0 => 0,
        1 => 1,
        2..8 => rng.between(2, 12),
        8..17 => rng.between(8, 60),
        _ => rng.between(60, 200),
    };
    let (whole_seconds, sessions, classes, hashes) = (
        rng.chance(0.25),
        rng.chance(0.5),
        rng.chance(0.5),
        rng.chance(0.5),
    );
    let pace = *rng.pick(&[0.01, 0.1, 1.0, 1.0, 10.0]);
    let long = *rng.pick(&[20, 200, 200, 1000]);
    let mut at = if rng.chance(0.5) {
        0.0
    } else {
        rng.float(0.0, 100.0).floor()
    };
    let mut rows = Vec::new();
    for _ in 0..count {
        let gap = match rng.below(12) {
            0..3 => 0.0,
            3 => 1.0,
            4 => pace * 20.0,
            5 if rng.chance(0.05) => 1e7,
            _ => pace * rng.unit(),
        };
        at += if whole_seconds { gap.floor() } else { gap };
        let length = |rng: &mut Rng, zero: f64| match rng.below(10) {
            0 if rng.chance(zero) => 0,
            1 => 1,
            2 => 64,
            3 if rng.chance(0.1) => rng.between(1000, 20_000) as u32,
            _ => rng.between(1, long) as u32,
        };
        let prompt = length(rng, 0.5);
        let output = length(rng, 0.7).min(2000);
        rows.push(Row {
            at,
            prompt,
            output,
            session: (sessions && rng.chance(0.9)).then(|| rng.below(8) as u32),
            class: classes.then(|| (*rng.pick(&CLASSES)).to_owned()),
            family: hashes.then(|| (rng.below(4) as u32, rng.below(12) as u32)),
        });
    }
    rows
}

/// The text of a trace file with these rows, as the reading expects it.
pub fn text(rows: &[Row], reading: &Reading) -> String {
    let format = reading.format.unwrap_or(Format::Jsonl);
    let mut text = String::new();
    match format {
        Format::Burstgpt => text.push_str(
            "Timestamp,Session ID,Model,Request tokens,Response tokens,Total tokens,Log Type\n",
        ),
        Format::Azure => text.push_str("TIMESTAMP,ContextTokens,GeneratedTokens\n"),
        Format::Csv => text.push_str("arrival,prompt_tokens,output_tokens,session_id,log_type\n"),
        Format::Bailian | Format::Mooncake | Format::Jsonl => {}
    }
    let unit = reading.hash_tokens.unwrap_or(match format {
        Format::Mooncake => 512,
        _ => 16,
    });
    for (i, row) in rows.iter().enumerate() {
        let session = row
            .session
            .map_or(String::new(), |session| session.to_string());
        let class = row.class.as_deref().unwrap_or("");
        let (prompt, output) = (row.prompt, row.output);
        let at = in_unit(row.at, reading.time_unit);
        match format {
            Format::Burstgpt => {
                let total = prompt + output;
                let _ = writeln!(
                    text,
                    "{at},{session},ChatGPT,{prompt},{output},{total},{class}"
                );
            }
            Format::Azure => {
                let _ = writeln!(text, "{},{prompt},{output}", calendar(row.at));
            }
            Format::Csv => {
                let _ = writeln!(text, "{at},{prompt},{output},{session},{class}");
            }
            Format::Mooncake => {
                let ms = match reading.time_unit {
                    None => (row.at * 1e3).floor(),
                    Some(_) => at.floor(),
                };
                let line = json!({ "timestamp": ms as u64, "input_length": prompt, "output_length": output,
                    "hash_ids": hashes(i, row, unit) });
                let _ = writeln!(text, "{line}");
            }
            Format::Bailian => {
                let line = json!({ "chat_id": i, "parent_chat_id": parent(rows, i), "timestamp": at,
                    "input_length": prompt, "output_length": output, "type": class,
                    "hash_ids": hashes(i, row, unit) });
                let _ = writeln!(text, "{line}");
            }
            Format::Jsonl => {
                let mut line = json!({ "arrival": at, "prompt": prompt, "output": output });
                if row.session.is_some() {
                    line["session_id"] = json!(session);
                }
                if let Some(class) = &row.class {
                    line["log_type"] = json!(class);
                }
                if row.family.is_some() || reading.hash_tokens.is_some() {
                    line["hash_ids"] = hashes(i, row, unit);
                    if reading.hash_tokens.is_none() {
                        line["block_tokens"] = json!(unit);
                    }
                }
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text
}

/// A hash for each block of the prompt; families share them up to a depth.
fn hashes(number: usize, row: &Row, unit: u32) -> Value {
    let (family, depth) = row.family.unwrap_or((number as u32, 0));
    let count = row.prompt.div_ceil(unit.max(1));
    (0..count)
        .map(|block| {
            if block < depth {
                json!(u64::from(family) * 100_000 + u64::from(block))
            } else {
                json!(1_000_000 + number as u64 * 100_000 + u64::from(block))
            }
        })
        .collect()
}

/// The chat that a request goes on with.
fn parent(rows: &[Row], number: usize) -> i64 {
    let session = rows[number].session;
    let before = rows[..number]
        .iter()
        .rposition(|row| row.session == session);
    match before {
        Some(before) if session.is_some() => before as i64,
        _ => -1,
    }
}

fn in_unit(seconds: f64, unit: Option<TimeUnit>) -> f64 {
    match unit {
        None | Some(TimeUnit::S) => seconds,
        Some(TimeUnit::Ms) => seconds * 1e3,
        Some(TimeUnit::Us) => seconds * 1e6,
        Some(TimeUnit::Ns) => seconds * 1e9,
    }
}

/// A calendar time so many seconds after midnight of a day of 2023.
fn calendar(seconds: f64) -> String {
    let whole = seconds as u64;
    let (day, second) = (whole / 86_400, whole % 86_400);
    let fraction = ((seconds - whole as f64) * 1e7) as u64;
    format!(
        "2023-{:02}-{:02} {:02}:{:02}:{:02}.{fraction:07}",
        1 + day / 28 % 12,
        1 + day % 28,
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}
