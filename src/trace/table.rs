//! Tables with named columns: generic CSV and JSON lines, and the row loops that every format
//! shares.
//!
//! Names are compared without regard to case, spaces, `_` and `-`. Where a table has several names
//! for one role the one that stands first in the list counts.

use std::io::Read;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::columns::{Clock, Column, Columns, Prefixes};
use super::lines::{Lines, Records, UNDERSTOOD};
use super::{Format, Trace};
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
}

const ROLES: usize = 7;

/// Accepted names of each role in generic tables, the preferred first. Times are seconds (or
/// calendar times) except in the `_ms` columns.
pub(super) const SYNONYMS: [(Role, &[&str]); 6] = [
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
];

/// A format's own names: each role's column, and what one needs.
pub(super) struct Names {
    pub(super) format: Format,
    pub(super) names: &'static [(Role, &'static [&'static str])],
    /// `None` reads the unit off the column's name and the first cell.
    pub(super) clock: Option<Clock>,
    pub(super) tokens_per_block: u32,
}

pub(super) const CSV: Names = Names {
    format: Format::Csv,
    names: &SYNONYMS,
    clock: None,
    tokens_per_block: 0,
};

pub(super) const JSONL: Names = Names {
    format: Format::Jsonl,
    names: &SYNONYMS,
    clock: None,
    tokens_per_block: 0,
};

impl Names {
    /// The role of a name, and its rank among that role's names.
    fn role(&self, name: &str) -> Option<(Role, usize)> {
        self.names.iter().find_map(|(role, names)| {
            let rank = names.iter().position(|known| same_name(known, name))?;
            Some((*role, rank))
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
        for role in [Role::Arrival, Role::Prompt, Role::Output] {
            if columns.get(role as usize).is_none_or(Option::is_none) {
                return Err(Error::MissingColumn {
                    file: file.to_owned(),
                    needed: self.allowed(role),
                    found: listed(header),
                });
            }
        }
        Ok(columns)
    }

    /// Whether each of arrival, prompt and output has a column here.
    pub(super) fn fit(&self, header: &[String]) -> bool {
        [Role::Arrival, Role::Prompt, Role::Output]
            .into_iter()
            .all(|role| self.count(header, role) > 0)
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

    fn clock_of(&self, column: &str, cell: &[u8]) -> Clock {
        match self.clock {
            Some(clock) => clock,
            None if cell.get(4) == Some(&b'-') => Clock::Calendar,
            None if column.to_ascii_lowercase().ends_with("ms") => Clock::Milliseconds,
            None => Clock::Seconds,
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
pub(super) fn read_csv<R: Read>(lines: Lines<R>, names: &Names) -> Result<Trace, Error> {
    let mut records = Records::new(lines);
    let file = records.file().to_owned();
    let header = match records.next()? {
        Some(record) => record.names(),
        None => Vec::new(),
    };
    let [arrival, prompt, output, model, log_type, session, _] = names.locate(&header, &file)?;
    let (Some(arrival), Some(prompt), Some(output)) = (arrival, prompt, output) else {
        // `locate` has refused this already.
        return Err(Error::MissingColumn {
            file,
            needed: names.allowed(Role::Arrival),
            found: listed(&header),
        });
    };
    let mut columns = Columns::new(
        &file,
        model.is_some(),
        log_type.is_some(),
        session.is_some(),
    );
    let mut clock = None;
    while let Some(record) = records.next()? {
        let row = record.row;
        let time = record.field(arrival.index);
        let clock = *clock.get_or_insert_with(|| names.clock_of(&arrival.name, time));
        columns.push_time(row, time, clock, &arrival.name)?;
        columns.push_prompt(row, record.field(prompt.index), &prompt.name)?;
        columns.push_output(row, record.field(output.index), &output.name)?;
        if let Some(model) = &model {
            columns.push_model(row, record.field(model.index), &model.name)?;
        }
        if let Some(log_type) = &log_type {
            columns.push_log_type(row, record.field(log_type.index), &log_type.name)?;
        }
        if let Some(session) = &session {
            columns.push_session(record.field(session.index));
        }
    }
    columns.finish(names.format.name(), records.blank(), None)
}

/// Reads JSON lines with the given names. Which optional fields there are is settled by the first
/// row: a later row without one of them is an error.
pub(super) fn read_json<R: Read>(mut lines: Lines<R>, names: &Names) -> Result<Trace, Error> {
    let file = lines.file().to_owned();
    let mut columns: Option<Columns> = None;
    let mut first_has = [false; ROLES];
    let mut clock = None;
    let mut prefixes = Prefixes::default();
    while let Some(line) = lines.next_filled()? {
        let row = lines.row();
        let text = lines.bytes(line);
        let bad_row = |problem: String| Error::BadRow {
            file: file.clone(),
            row,
            problem,
        };
        let fields = parse_object(text, names).map_err(|e| bad_row(json_problem(&e)))?;
        let columns = columns.get_or_insert_with(|| {
            first_has = std::array::from_fn(|i| fields.get(i).is_some_and(Option::is_some));
            Columns::new(
                &file,
                fields[Role::Model as usize].is_some(),
                fields[Role::LogType as usize].is_some(),
                fields[Role::Session as usize].is_some(),
            )
        });
        let cell = |role: Role| -> Result<(&str, &[u8]), Error> {
            match fields.get(role as usize) {
                Some(Some(field)) => Ok((field.name, field.value.get().as_bytes())),
                // A first row without it means that the file is not such a table at all.
                _ if columns.rows() == 0 => Err(Error::MissingColumn {
                    file: file.clone(),
                    needed: names.allowed(role),
                    found: listed(&keys(text)),
                }),
                _ => Err(bad_row(format!("no field {}", names.allowed(role)))),
            }
        };
        let (time_name, time) = cell(Role::Arrival)?;
        let (prompt_name, prompt) = cell(Role::Prompt)?;
        let (output_name, output) = cell(Role::Output)?;
        // A calendar time is a JSON string; a number never is.
        let bare = time
            .strip_prefix(b"\"")
            .and_then(|t| t.strip_suffix(b"\""))
            .unwrap_or(time);
        let clock = *clock.get_or_insert_with(|| names.clock_of(time_name, bare));
        let time = if clock == Clock::Calendar { bare } else { time };
        let optional = |role: Role| -> Result<Option<(&str, Vec<u8>)>, Error> {
            if !first_has.get(role as usize).is_some_and(|has| *has) {
                return Ok(None);
            }
            let (name, value) = cell(role)?;
            Ok(Some((name, label(value))))
        };
        let model = optional(Role::Model)?;
        let log_type = optional(Role::LogType)?;
        let session = optional(Role::Session)?;
        let hash_ids = optional(Role::HashIds)?;
        columns.push_time(row, time, clock, time_name)?;
        columns.push_prompt(row, prompt, prompt_name)?;
        columns.push_output(row, output, output_name)?;
        if let Some((name, value)) = &model {
            columns.push_model(row, value, name)?;
        }
        if let Some((name, value)) = &log_type {
            columns.push_log_type(row, value, name)?;
        }
        if let Some((_, value)) = &session {
            columns.push_session(value);
        }
        if let Some((name, value)) = &hash_ids {
            prefixes.push(value).ok_or_else(|| {
                columns.bad_cell(row, name, value, "a list of whole numbers, as in [0, 1, 2]")
            })?;
        }
    }
    let prefix = first_has[Role::HashIds as usize].then(|| prefixes.finish(names.tokens_per_block));
    columns
        .unwrap_or_else(|| Columns::new(&file, false, false, false))
        .finish(names.format.name(), lines.blank(), prefix)
}

/// The text of a label: a string without its quotes, anything else as it is written.
fn label(raw: &[u8]) -> Vec<u8> {
    if raw == b"null" {
        return Vec::new();
    }
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
        let exact = self.0.names.iter().find_map(|(role, names)| {
            let rank = names.iter().position(|known| *known == name)?;
            Some((*role, rank))
        });
        let found = exact.or_else(|| self.0.role(name));
        Ok(found.and_then(|(role, rank)| {
            let (_, names) = self.0.names.iter().find(|(known, _)| *known == role)?;
            Some((role, rank, *names.get(rank)?))
        }))
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
