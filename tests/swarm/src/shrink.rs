//! Smaller inputs with the same fault.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::case::Case;
use crate::readers::File;
use crate::settings::leaves;
use crate::targets::Input;

/// The smallest input found that still fails, within this time.
pub fn shrink(input: Input, within: Duration, fails: &dyn Fn(&Input) -> bool) -> Input {
    let until = Instant::now() + within;
    let still = |input: &Input| Instant::now() < until && fails(input);
    match input {
        Input::Case(case) => {
            Input::Case(shrink_case(case, &|case| still(&Input::Case(case.clone()))))
        }
        Input::File(file) => {
            let choice = file.choice;
            let with = |bytes: Vec<u8>| Input::File(File { bytes, choice });
            let lines: Vec<Vec<u8>> = file
                .bytes
                .split_inclusive(|b| *b == b'\n')
                .map(<[u8]>::to_vec)
                .collect();
            let lines = fewer(lines, &|lines| still(&with(lines.concat())));
            let bytes = fewer(lines.concat(), &|bytes| still(&with(bytes.to_vec())));
            with(bytes)
        }
    }
}

/// Leaves parts of a list out, halves first, as long as it fails.
fn fewer<T: Clone>(mut list: Vec<T>, fails: &dyn Fn(&[T]) -> bool) -> Vec<T> {
    let mut size = list.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < list.len() {
            let mut without = list.clone();
            without.drain(from..(from + size).min(list.len()));
            if fails(&without) {
                list = without;
            } else {
                from += size;
            }
        }
        size /= 2;
    }
    list
}

fn shrink_case(mut case: Case, fails: &dyn Fn(&Case) -> bool) -> Case {
    for _ in 0..2 {
        let scenario = case.scenario.clone();
        let rows = fewer(case.rows.clone(), &|rows| {
            fails(&Case {
                scenario: scenario.clone(),
                rows: rows.to_vec(),
            })
        });
        case.rows = rows;
        case = plain(case, fails);
    }
    case
}

/// Leaves settings out (they take their defaults), groups first.
fn plain(mut case: Case, fails: &dyn Fn(&Case) -> bool) -> Case {
    let mut places = groups(&case.scenario);
    places.extend(leaves(&case.scenario));
    for place in places {
        let mut without = case.clone();
        let (above, name) = place.rsplit_once('/').unwrap_or(("", ""));
        if let Some(Value::Object(map)) = without.scenario.pointer_mut(above)
            && map.remove(name).is_some()
            && fails(&without)
        {
            case = without;
            continue;
        }
        for simple in [json!(0), json!(1)] {
            let mut simpler = case.clone();
            if let Some(value) = simpler.scenario.pointer_mut(&place)
                && value.is_number()
                && *value != simple
            {
                *value = simple;
                if fails(&simpler) {
                    case = simpler;
                    break;
                }
            }
        }
    }
    case
}

fn groups(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Value::Object(map) = value {
        for (name, inner) in map {
            if inner.is_object() {
                found.push(format!("/{name}"));
                found.extend(
                    groups(inner)
                        .into_iter()
                        .map(|place| format!("/{name}{place}")),
                );
            }
        }
    }
    found
}
