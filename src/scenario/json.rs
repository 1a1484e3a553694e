//! Reading a scenario from text, and where it is wrong.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Scenario;
use super::settings::{Range, SETTINGS};
use super::version1::Version1;
use crate::error::Error;
use crate::json;

/// Fields whose value is a list.
const LISTS: [&str; 20] = [
    "cuts",
    "values",
    "weights",
    "acceptance",
    "classes",
    // Measured steps and kernels.
    "sequences",
    "context",
    "prefill",
    "time_ms",
    "prefill_chunk",
    "kv_prefill",
    "n_decode",
    "kv_decode",
    "count",
    "time_us",
    "captured",
    "mean_us",
    "longest_us",
    "skewed_us",
    // Windows of attention.
    "windows",
];

/// No field of a scenario lies as deep.
const DEEPEST: usize = 16;

/// Fields at the top of version 1 that stand elsewhere in version 2.
pub(super) const MOVED: [&str; 3] = ["scheduler", "latency", "memory"];

/// Where a field of [`MOVED`] stands today.
pub(super) fn moved_to(field: &str) -> String {
    match field {
        "scheduler" => "engine.closed and bins, where its settings stand now".to_owned(),
        field => format!("engine.closed.{field} or engine.continuous.{field}, where it stands now"),
    }
}

/// Reads the text, of version 2 or 1, without a look at ranges.
pub(super) fn read(text: &str, file: &str) -> Result<Scenario, Error> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
    let mixed = |field: &str, problem: String| {
        let value = fields.get(field).map_or("", |value| value.get());
        let (line, column) = place(text, value);
        Err(Error::BadScenario {
            file: file.to_owned(),
            line,
            column,
            field: field.to_owned(),
            problem,
        })
    };
    let moved = MOVED.iter().find(|field| fields.contains_key(**field));
    match (moved, is_version_1(&fields)) {
        (Some(_), true) if fields.contains_key("bins") => mixed(
            "bins",
            "a text of version 1 has it in scheduler; in version 2, scheduler, latency and memory do not stand at the top"
                .to_owned(),
        ),
        (_, true) => parsed::<Version1>(text, file)?.upgrade(),
        (Some(field), false) => mixed(
            field,
            format!("this is its place in version 1, and the text is of version 2; allowed is {}", moved_to(field)),
        ),
        (None, false) => parsed(text, file),
    }
}

/// A text without a version is of version 1 where it has a field that only this version has, and no engine of version 2.
fn is_version_1(fields: &BTreeMap<String, &RawValue>) -> bool {
    match fields.get("version") {
        Some(version) => version.get() == "1",
        None => {
            let engine = fields.get("engine").map(|engine| engine.get());
            let closed = engine.is_some_and(|engine| {
                let choice: BTreeMap<String, &RawValue> =
                    serde_json::from_str(engine).unwrap_or_default();
                choice.contains_key("closed")
            });
            let is_named = engine.is_some_and(|engine| engine.starts_with('"'));
            !closed && (is_named || MOVED.iter().any(|&field| fields.contains_key(field)))
        }
    }
}

fn parsed<T: Default + DeserializeOwned>(text: &str, file: &str) -> Result<T, Error> {
    let whole: Option<&RawValue> = serde_json::from_str(text).ok();
    // serde takes a list for a group of fields, by their order in our code.
    let list = whole.and_then(|whole| find_list(whole, String::new(), DEEPEST));
    let mut reader = serde_json::Deserializer::from_str(text);
    let read: Result<T, _> = serde_path_to_error::deserialize(&mut reader);
    let wrong = match read {
        Ok(read) if list.is_none() => {
            reader
                .end()
                .map_err(|e| refusal(file, String::new(), &e, whole.is_some()))?;
            return Ok(read);
        }
        Ok(_) => None,
        Err(e) => {
            let path = e.path().to_string();
            // "?" is where text that is no JSON ends.
            let field = match path.as_str() {
                "." | "?" => String::new(),
                _ => path,
            };
            Some((field, e.into_inner()))
        }
    };
    match (list, wrong) {
        (Some(list), None) => Err(list_for_object(text, file, list)),
        (Some(list), Some((field, e))) if in_the_list(&field, &list.0, &e) => {
            Err(list_for_object(text, file, list))
        }
        (_, Some((field, e))) => Err(refusal(file, field, &e, whole.is_some())),
        // Handled above: nothing is wrong.
        (None, None) => Ok(T::default()),
    }
}

/// The path and text of the first list that stands where no field has one.
fn find_list(value: &RawValue, path: String, depth: usize) -> Option<(String, &str)> {
    let text = value.get();
    if text.starts_with('[') {
        return Some((path, text));
    }
    if depth == 0 || !text.starts_with('{') {
        return None;
    }
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    fields
        .into_iter()
        .filter(|(name, _)| !LISTS.contains(&name.as_str()))
        .find_map(|(name, value)| {
            let path = match path.as_str() {
                "" => name,
                group => format!("{group}.{name}"),
            };
            find_list(value, path, depth - 1)
        })
}

/// Whether serde took the list at `path` for a group and failed over what is in it. Where it
/// failed over the list itself, a single value was wanted.
fn in_the_list(field: &str, path: &str, e: &serde_json::Error) -> bool {
    match field.strip_prefix(path) {
        Some("") => e.to_string().starts_with("invalid length"),
        Some(rest) => rest.starts_with('['),
        None => false,
    }
}

fn list_for_object(text: &str, file: &str, (field, list): (String, &str)) -> Error {
    let (line, column) = place(text, list);
    Error::BadScenario {
        file: file.to_owned(),
        line,
        column,
        field,
        problem: "expected an object, found a list".to_owned(),
    }
}

/// Line and column of a part of the text.
fn place(text: &str, part: &str) -> (usize, usize) {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let before = text.as_bytes().get(..start).unwrap_or_default();
    let line_start = before.iter().rposition(|&byte| byte == b'\n');
    (
        1 + before.iter().filter(|&&byte| byte == b'\n').count(),
        before.len() - line_start.map_or(0, |at| at + 1) + 1,
    )
}

/// `whole`: the text is JSON, though not a scenario.
fn refusal(file: &str, field: String, e: &serde_json::Error, whole: bool) -> Error {
    Error::BadScenario {
        file: file.to_owned(),
        line: e.line(),
        column: e.column(),
        problem: in_its_range(&field, json::problem(e, whole)),
        field,
    }
}

/// A setting's own range in place of that of its type.
fn in_its_range(field: &str, problem: String) -> String {
    let found = SETTINGS.iter().find(|setting| setting.path == field);
    match found.map(|setting| &setting.range) {
        Some(Range::Whole { low, high, .. }) => {
            problem.replace("from 0 to 4294967295", &format!("from {low} to {high}"))
        }
        _ => problem,
    }
}
