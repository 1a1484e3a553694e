//! Reading a scenario from text, and where it is wrong.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Scenario;
use super::version1::Version1;
use crate::error::Error;
use crate::json;

/// Fields whose value is a list.
const LISTS: [&str; 19] = [
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
];

/// No field of a scenario lies as deep.
const DEEPEST: usize = 16;

/// Reads the text, of version 2 or 1, without a look at ranges.
pub(super) fn read(text: &str, file: &str) -> Result<Scenario, Error> {
    if is_version_1(text) {
        parsed::<Version1>(text, file)?.upgrade()
    } else {
        parsed(text, file)
    }
}

/// A text without a version is of version 1 where it has a field that only this version has.
fn is_version_1(text: &str) -> bool {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
    match fields.get("version") {
        Some(version) => version.get() == "1",
        None => {
            let is_named = |engine: &&RawValue| engine.get().starts_with('"');
            let moved = ["scheduler", "latency", "memory"];
            fields.get("engine").is_some_and(is_named)
                || moved.iter().any(|&field| fields.contains_key(field))
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
    // The list is a part of the text.
    let start = (list.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let before = text.as_bytes().get(..start).unwrap_or_default();
    let line_start = before.iter().rposition(|&byte| byte == b'\n');
    Error::BadScenario {
        file: file.to_owned(),
        line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
        column: before.len() - line_start.map_or(0, |at| at + 1) + 1,
        field,
        problem: "expected an object, found a list".to_owned(),
    }
}

/// `whole`: the text is JSON, though not a scenario.
fn refusal(file: &str, field: String, e: &serde_json::Error, whole: bool) -> Error {
    Error::BadScenario {
        file: file.to_owned(),
        line: e.line(),
        column: e.column(),
        field,
        problem: json::problem(e, whole),
    }
}
