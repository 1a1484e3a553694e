//! Reading a scenario from text, and where it is wrong.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::Engine;
use super::Scenario;
use crate::error::Error;
use crate::json;
use crate::sched::memory::Memory;

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

/// Reads the text, without a look at ranges.
pub(super) fn read(text: &str, file: &str) -> Result<Scenario, Error> {
    let whole: Option<&RawValue> = serde_json::from_str(text).ok();
    // serde takes a list for a group of fields, by their order in our code.
    let list = whole.and_then(|whole| find_list(whole, String::new(), DEEPEST));
    let mut reader = serde_json::Deserializer::from_str(text);
    let read: Result<Scenario, _> = serde_path_to_error::deserialize(&mut reader);
    let wrong = match read {
        Ok(mut scenario) if list.is_none() => {
            reader
                .end()
                .map_err(|e| refusal(file, String::new(), &e, whole.is_some()))?;
            memory_of_the_engine(text, &mut scenario);
            return Ok(scenario);
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
        (None, None) => Ok(Scenario::default()),
    }
}

/// With continuous batching, fields of `memory` that the text does not give are those of the machine whose
/// step is the default.
fn memory_of_the_engine(text: &str, scenario: &mut Scenario) {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Given {
        memory: Fields,
    }
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Fields {
        capacity_gb: Option<f64>,
        model_gb: Option<f64>,
        kv_gb_per_token: Option<f64>,
        margin_gb: Option<f64>,
    }
    if scenario.engine == Engine::Closed {
        return;
    }
    let given: Given = serde_json::from_str(text).unwrap_or_default();
    let (given, usual) = (given.memory, Memory::LLAMA_3_1_8B_ON_H100);
    scenario.memory = Memory {
        capacity_gb: given.capacity_gb.unwrap_or(usual.capacity_gb),
        model_gb: given.model_gb.unwrap_or(usual.model_gb),
        kv_gb_per_token: given.kv_gb_per_token.unwrap_or(usual.kv_gb_per_token),
        margin_gb: given.margin_gb.unwrap_or(usual.margin_gb),
    };
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
