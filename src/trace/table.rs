//! Tables with named columns: generic CSV and JSON lines, and the row loops that every format
//! shares.
//!
//! Names are compared without regard to case, spaces, `_` and `-`. Where a table has several names
//! for one role the one that stands first in the list counts.

use std::io::Read;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::columns::{Clock, Column, Columns};
use super::lines::{Lines, Records, UNDERSTOOD};
use super::{Format, Reading, TimeUnit, Trace};
use crate::error::Error;

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Role {
    Arrival,
    Prompt,
    Output,
    Model,
    LogType,
    Session,
    HashIds,
    /// Tokens of a hash block.
    BlockTokens,
    Chat,
    /// The chat that a chat goes on from.
    Parent,
}

const ROLES: usize = 10;

/// What every request has.
pub(super) const REQUIRED: [Role; 3] = [Role::Arrival, Role::Prompt, Role::Output];

/// Accepted names of each role in generic tables, the preferred first. Times are seconds (or
/// calendar times) except in the `_ms` columns.
pub(super) const SYNONYMS: [(Role, &[&str]); 8] = [
    (
        Role::Arrival,
        &[
            "arrival_s",
            "arrival",
            "arrival_time",
            "arrival_time_s",
            "arrived_at",
            "timestamp",
            "timestamp_s",
            "time",
            "time_s",
            "ts",
            "request_time",
            "arrival_ms",
            "arrival_time_ms",
            "timestamp_ms",
            "time_ms",
        ],
    ),
    (
        Role::Prompt,
        &[
            "prompt",
            "prompt_tokens",
            "prompt_len",
            "prompt_length",
            "input",
            "input_tokens",
            "input_toks",
            "input_len",
            "input_length",
            "num_prefill_tokens",
            "prefill_tokens",
            "context_tokens",
            "request_tokens",
            "num_prompt_tokens",
        ],
    ),
    (
        Role::Output,
        &[
            "output",
            "output_tokens",
            "output_toks",
            "output_len",
            "output_length",
            "num_decode_tokens",
            "decode_tokens",
            "generated_tokens",
            "response_tokens",
            "completion_tokens",
            "num_output_tokens",
        ],
    ),
    (Role::Model, &["model", "model_name"]),
    (Role::LogType, &["log_type"]),
    (Role::Session, &["session_id", "session", "conversation_id"]),
    (Role::HashIds, &["hash_ids"]),
    (
        Role::BlockTokens,
        &["block_tokens", "block_size", "hash_tokens"],
    ),
];

/// Names of a pause between an answer and the next turn: LMCache's agentic traces, Weka's, those of Dynamo
/// and AIPerf. A turn that has one and no time of arrival begins when its server has answered.
const PAUSES: [&str; 12] = [
    "delay",
    "delay_s",
    "delay_ms",
    "pre_gap",
    "pre_gap_s",
    "pre_gap_ms",
    "think_time",
    "think_time_s",
    "think_time_ms",
    "inter_turn_delay",
    "inter_turn_delay_s",
    "inter_turn_delay_ms",
];

/// A format's own names: each role's column, and what one needs.
pub(super) struct Names {
    pub(super) format: Format,
    pub(super) names: &'static [(Role, &'static [&'static str])],
    /// What makes a file one of this format.
    pub(super) required: &'static [Role],
    /// `None` reads the unit off the column's name and the first cell.
    pub(super) clock: Option<Clock>,
    /// Tokens of a hash block.
    pub(super) hash_tokens: Option<u32>,
}

pub(super) const CSV: Names = Names {
    format: Format::Csv,
    names: &SYNONYMS,
    required: &REQUIRED,
    clock: None,
    hash_tokens: None,
};

pub(super) const JSONL: Names = Names {
    format: Format::Jsonl,
    names: &SYNONYMS,
    required: &REQUIRED,
    clock: None,
    hash_tokens: None,
};

impl Names {
    /// The role of a name, and its rank among that role's names. Besides its own, every format knows the
    /// generic names of what a row need not have.
    fn role(&self, name: &str) -> Option<(Role, usize)> {
        self.find(|known| same_name(known, name))
            .map(|(role, rank, _)| (role, rank))
    }

    fn find(&self, is: impl Fn(&str) -> bool) -> Option<(Role, usize, &'static str)> {
        let own = self.names.iter().map(|one| (0, one));
        let others = SYNONYMS.iter().map(|one| (self.names.len(), one));
        own.chain(others.filter(|(_, (role, _))| !REQUIRED.contains(role)))
            .find_map(|(behind, (role, names))| {
                let rank = names.iter().position(|known| is(known))?;
                Some((*role, behind + rank, *names.get(rank)?))
            })
    }

    fn allowed(&self, role: Role) -> String {
        let what = match role {
            Role::Arrival => "arrival time",
            Role::Prompt => "prompt length",
            Role::Output => "output length",
            Role::Model => "model",
            Role::LogType => "log type",
            Role::Session => "session",
            Role::HashIds => "prefix blocks",
            Role::BlockTokens => "tokens of a prefix block",
            Role::Chat => "chat",
            Role::Parent => "chat before",
        };
        let names = self
            .names
            .iter()
            .find(|(known, _)| *known == role)
            .map(|(_, names)| names.join(", "))
            .unwrap_or_default();
        format!("for the {what} (any of: {names})")
    }

    /// The chosen column of each role, by [`Role`] as index.
    fn locate(&self, header: &[String], file: &str) -> Result<[Option<Column>; ROLES], Error> {
        let mut chosen: [Option<(usize, Column)>; ROLES] = Default::default();
        for (index, name) in header.iter().enumerate() {
            let Some((role, rank)) = self.role(name) else {
                continue;
            };
            let Some(slot) = chosen.get_mut(role as usize) else {
                continue;
            };
            if slot.as_ref().is_some_and(|(best, _)| *best == rank) {
                return Err(Error::UnknownFormat {
                    file: file.to_owned(),
                    problem: format!("two columns are called \"{name}\""),
                    allowed: UNDERSTOOD.to_owned(),
                });
            }
            if slot.as_ref().is_none_or(|(best, _)| rank < *best) {
                let name = name.clone();
                *slot = Some((rank, Column { index, name }));
            }
        }
        let columns = chosen.map(|slot| slot.map(|(_, column)| column));
        for role in REQUIRED {
            if columns.get(role as usize).is_none_or(Option::is_none) {
                return Err(self.missing(role, 1, header, file));
            }
        }
        Ok(columns)
    }

    /// What is wrong with a first row, or a header, without a column for this.
    #[cold]
    fn missing(&self, role: Role, row: u64, header: &[String], file: &str) -> Error {
        if let Some(problem) = self.after_an_answer(role, header) {
            return Error::BadRow {
                file: file.to_owned(),
                row,
                problem,
            };
        }
        let has = |name: &str| header.iter().any(|known| known == name);
        match other_document(has) {
            Some(problem) => Error::UnknownFormat {
                file: file.to_owned(),
                problem: problem.to_owned(),
                allowed: UNDERSTOOD.to_owned(),
            },
            None => Error::MissingColumn {
                file: file.to_owned(),
                needed: self.allowed(role),
                found: listed(header),
            },
        }
    }

    /// Why a turn without a time of arrival cannot be replayed, where it has a pause instead.
    fn after_an_answer(&self, role: Role, names: &[String]) -> Option<String> {
        let pause = names
            .iter()
            .find(|name| PAUSES.iter().any(|known| same_name(known, name)))?;
        (role == Role::Arrival).then(|| {
            format!(
                "this turn has no time of arrival: it begins \"{}\" after the answer to the turn before, \
                 whenever a server gives that; such traces are not supported, every row needs a column {}",
                crate::error::printable(pause.as_bytes()),
                self.allowed(role)
            )
        })
    }

    /// Whether all that the format requires has a column here.
    pub(super) fn fit(&self, header: &[String]) -> bool {
        self.required
            .iter()
            .all(|role| self.count(header, *role) > 0)
    }

    /// Whether any column here has a known name.
    pub(super) fn know_any(&self, header: &[String]) -> bool {
        header.iter().any(|name| self.role(name).is_some())
    }

    fn count(&self, header: &[String], role: Role) -> usize {
        header
            .iter()
            .filter(|name| self.role(name).is_some_and(|(r, _)| r == role))
            .count()
    }

    fn clock_of(&self, column: &str, cell: &[u8], reading: &Reading) -> Clock {
        match (reading.time_unit, self.clock) {
            (Some(unit), _) => Clock::Unit(unit),
            (None, Some(clock)) => clock,
            (None, None) if cell.get(4) == Some(&b'-') => Clock::Calendar,
            (None, None) if column.to_ascii_lowercase().ends_with("ms") => {
                Clock::Unit(TimeUnit::Ms)
            }
            (None, None) => Clock::Unit(TimeUnit::S),
        }
    }
}

/// Equal without regard to case, spaces, `_` and `-`.
fn same_name(a: &str, b: &str) -> bool {
    let letter = |b: &u8| !matches!(b, b' ' | b'_' | b'-');
    let lower = |b: u8| b.to_ascii_lowercase();
    a.bytes()
        .filter(letter)
        .map(lower)
        .eq(b.bytes().filter(letter).map(lower))
}

fn listed(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(|name| crate::error::printable(name.as_bytes()))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// Reads a CSV table with the given names.
pub(super) fn read_csv<R: Read>(
    lines: Lines<R>,
    names: &Names,
    reading: &Reading,
) -> Result<Trace, Error> {
    let mut records = Records::new(lines);
    let file = records.file().to_owned();
    let header = match records.next()? {
        Some(record) => record.names(),
        None => Vec::new(),
    };
    let [
        arrival,
        prompt,
        output,
        model,
        log_type,
        session,
        hash_ids,
        block_tokens,
        ..,
    ] = names.locate(&header, &file)?;
    let (Some(arrival), Some(prompt), Some(output)) = (arrival, prompt, output) else {
        // `locate` has refused this already.
        return Err(names.missing(Role::Arrival, 1, &header, &file));
    };
    let mut columns = Columns::new(&file, reading, names.hash_tokens);
    let mut clock = None;
    while let Some(record) = records.next()? {
        let row = record.row;
        let time = record.field(arrival.index);
        let clock = *clock.get_or_insert_with(|| names.clock_of(&arrival.name, time, reading));
        columns.push_time(row, time, clock, &arrival.name)?;
        columns.push_prompt(row, record.field(prompt.index), &prompt.name)?;
        columns.push_output(row, record.field(output.index), &output.name)?;
        if let Some(model) = &model {
            columns.push_model(row, Some(record.field(model.index)), &model.name)?;
        }
        if let Some(log_type) = &log_type {
            columns.push_log_type(row, Some(record.field(log_type.index)), &log_type.name)?;
        }
        if let Some(session) = &session {
            columns.push_session(row, Some(record.field(session.index)), &session.name)?;
        }
        if hash_ids.is_some() {
            let cell = |column: &Option<Column>| {
                let column = column.as_ref()?;
                let cell = record.field(column.index);
                (!cell.is_empty()).then(|| (column.name.clone(), cell.to_vec()))
            };
            let (hashes, size) = (cell(&hash_ids), cell(&block_tokens));
            columns.push_hashes(row, borrowed(&hashes), borrowed(&size))?;
        }
        if columns.enough() {
            break;
        }
    }
    columns.finish(names.format.name(), records.blank())
}

fn borrowed(cell: &Option<(String, Vec<u8>)>) -> Option<(&str, &[u8])> {
    cell.as_ref()
        .map(|(name, cell)| (name.as_str(), cell.as_slice()))
}

/// Reads JSON lines with the given names. A field that a row need not have may be absent or null.
pub(super) fn read_json<R: Read>(
    mut lines: Lines<R>,
    names: &Names,
    reading: &Reading,
) -> Result<Trace, Error> {
    let file = lines.file().to_owned();
    let mut columns = Columns::new(&file, reading, names.hash_tokens);
    let mut clock = None;
    while let Some(line) = lines.next_filled()? {
        let row = lines.row();
        let text = lines.bytes(line);
        let bad_row = |problem: String| Error::BadRow {
            file: file.clone(),
            row,
            problem,
        };
        let fields = match parse_object(text, names) {
            Ok(fields) => fields,
            Err(e) if e.is_eof() && columns.rows() == 0 => {
                let first = text.to_vec();
                return Err(document(lines, first));
            }
            Err(e) => return Err(bad_row(json_problem(&e))),
        };
        let field = |role: Role| -> Option<(&str, &[u8])> {
            let field = fields.get(role as usize).copied().flatten()?;
            let value = field.value.get().as_bytes();
            (value != b"null").then_some((field.name, value))
        };
        let cell = |role: Role| -> Result<(&str, &[u8]), Error> {
            match fields.get(role as usize).copied().flatten() {
                // A number may stand in quotes, and a calendar time must.
                Some(field) if role != Role::Arrival || field.value.get() != "null" => {
                    Ok((field.name, bare(field.value.get().as_bytes())))
                }
                // A first row without it means that the file is not such a table at all.
                _ if columns.rows() == 0 => Err(names.missing(role, row, &keys(text), &file)),
                _ => Err(bad_row(
                    names
                        .after_an_answer(role, &keys(text))
                        .unwrap_or_else(|| format!("no field {}", names.allowed(role))),
                )),
            }
        };
        let (time_name, time) = cell(Role::Arrival)?;
        let (prompt_name, prompt) = cell(Role::Prompt)?;
        let (output_name, output) = cell(Role::Output)?;
        let clock = *clock.get_or_insert_with(|| names.clock_of(time_name, time, reading));
        let text_of = |role: Role| field(role).map(|(name, value)| (name, label(value)));
        columns.push_time(row, time, clock, time_name)?;
        columns.push_prompt(row, prompt, prompt_name)?;
        columns.push_output(row, output, output_name)?;
        let model = text_of(Role::Model);
        let (name, value) = split(&model);
        columns.push_model(row, value, name)?;
        let log_type = text_of(Role::LogType);
        let (name, value) = split(&log_type);
        columns.push_log_type(row, value, name)?;
        let session = text_of(Role::Session);
        let (name, value) = split(&session);
        columns.push_session(row, value, name)?;
        if let Some((name, chat)) = text_of(Role::Chat) {
            let parent = text_of(Role::Parent);
            columns.push_chat(row, &chat, split(&parent).1, name)?;
        } else if names.required.contains(&Role::Chat) {
            return Err(bad_row(format!("no field {}", names.allowed(Role::Chat))));
        }
        let size = field(Role::BlockTokens).map(|(name, value)| (name, bare(value)));
        columns.push_hashes(row, field(Role::HashIds), size)?;
        if columns.enough() {
            break;
        }
    }
    columns.finish(names.format.name(), lines.blank())
}

/// A value without the quotes around it.
fn bare(value: &[u8]) -> &[u8] {
    value
        .strip_prefix(b"\"")
        .and_then(|t| t.strip_suffix(b"\""))
        .unwrap_or(value)
}

fn split<'a>(field: &'a Option<(&'a str, Vec<u8>)>) -> (&'a str, Option<&'a [u8]>) {
    match field {
        Some((name, value)) => (name, Some(value)),
        None => ("", None),
    }
}

/// What is wrong with JSON that goes on behind its first line.
#[cold]
fn document<R: Read>(mut lines: Lines<R>, mut head: Vec<u8>) -> Error {
    const LOOKED_AT: usize = 1 << 16;
    let row = lines.row();
    while let (true, Ok(Some(line))) = (head.len() < LOOKED_AT, lines.next()) {
        head.extend_from_slice(lines.bytes(line));
    }
    let has = |name: &str| {
        let quoted = format!("\"{name}\"");
        head.windows(quoted.len())
            .any(|text| text == quoted.as_bytes())
    };
    match other_document(has) {
        Some(problem) => Error::UnknownFormat {
            file: lines.file().to_owned(),
            problem: problem.to_owned(),
            allowed: UNDERSTOOD.to_owned(),
        },
        None => Error::BadRow {
            file: lines.file().to_owned(),
            row,
            problem: "a JSON object over several lines, or one cut short; a trace has one object per line"
                .to_owned(),
        },
    }
}

/// What a JSON document is that holds no trace, by the names in it.
fn other_document(has: impl Fn(&str) -> bool) -> Option<&'static str> {
    if has("spans") || has("resourceSpans") {
        Some(
            "spans of OpenTelemetry are not supported; write a line per request with its start, prompt tokens \
             and output tokens",
        )
    } else if has("requests") && (has("hash_id_scope") || has("think_time")) {
        Some(
            "a session of Weka's traces is not supported; write a line per request with its arrival, prompt \
             tokens and output tokens",
        )
    } else if has("benchmarks")
        || has("mean_ttft_ms")
        || has("load_summary")
        || has("metrics") && has("metadata")
    {
        Some(
            "the result of a benchmark, and no trace of requests; `batchscope latency fit` reads those of vllm \
             bench serve, guidellm and aiperf",
        )
    } else if has("0") && has("input_tokens") && has("output_tokens") {
        Some("distributions of lengths by time, as ServeGen has them, and no requests")
    } else {
        None
    }
}

/// The text of a label: a string without its quotes, anything else as it is written.
fn label(raw: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<String>(raw) {
        Ok(text) => text.into_bytes(),
        Err(_) => raw.to_vec(),
    }
}

/// A field of a JSON object: its name as written in the list of names, and its unparsed value, so
/// that numbers go through the same parser as CSV's.
#[derive(Clone, Copy)]
struct Field<'a> {
    name: &'static str,
    rank: usize,
    value: &'a RawValue,
}

type Fields<'a> = [Option<Field<'a>>; ROLES];

fn parse_object<'a>(line: &'a [u8], names: &Names) -> Result<Fields<'a>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(line);
    let fields = ObjectSeed(names).deserialize(&mut json)?;
    json.end()?;
    Ok(fields)
}

struct ObjectSeed<'n>(&'n Names);

impl<'a> DeserializeSeed<'a> for ObjectSeed<'_> {
    type Value = Fields<'a>;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Fields<'a>, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for ObjectSeed<'_> {
    type Value = Fields<'a>;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("one JSON object per line")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Fields<'a>, A::Error> {
        let mut fields: Fields<'a> = [None; ROLES];
        while let Some(known) = map.next_key_seed(NameSeed(self.0))? {
            let Some((role, rank, name)) = known else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value: &RawValue = map.next_value()?;
            let Some(slot) = fields.get_mut(role as usize) else {
                continue;
            };
            if slot.is_some_and(|field| field.rank == rank) {
                let twice = format!("the field \"{name}\" stands here twice");
                return Err(serde::de::Error::custom(twice));
            }
            if slot.is_none_or(|field| rank < field.rank) {
                *slot = Some(Field { name, rank, value });
            }
        }
        Ok(fields)
    }
}

struct NameSeed<'n>(&'n Names);

impl<'a> DeserializeSeed<'a> for NameSeed<'_> {
    type Value = Option<(Role, usize, &'static str)>;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for NameSeed<'_> {
    type Value = Option<(Role, usize, &'static str)>;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        // Exact spelling first: it settles every row of the usual files without an allocation.
        let found = self.0.find(|known| known == name);
        Ok(found.or_else(|| self.0.find(|known| same_name(known, name))))
    }
}

fn json_problem(e: &serde_json::Error) -> String {
    // The row is in front of the sentence already, and its "line 1" would contradict it.
    let text = e.to_string();
    let problem = text
        .rfind(" at line ")
        .and_then(|end| text.get(..end))
        .unwrap_or(&text);
    format!(
        "not a JSON object as expected: {problem} (character {})",
        e.column()
    )
}

/// The keys of an object, for the sentence of an error.
pub(super) fn keys(line: &[u8]) -> Vec<String> {
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(line)
        .map(|map| map.keys().cloned().collect())
        .unwrap_or_default()
}
