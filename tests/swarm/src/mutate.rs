//! Mutations that know what they change: cells of tables, values of JSON, rows, bytes.

use serde_json::Value;

use crate::rng::Rng;
use crate::settings::{leaves, wild};

/// Words that a number may be replaced by.
const NUMBERS: [&str; 26] = [
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "1e300",
    "-1e300",
    "1e-320",
    "1e999",
    "NaN",
    "nan",
    "inf",
    "-Infinity",
    "4294967295",
    "4294967296",
    "18446744073709551616",
    "9007199254740993",
    "100000001",
    "0.1",
    "1.5",
    ".5",
    "0x10",
    "1_000",
    "1,5",
    "",
    " 7 ",
];
/// Text that a cell or a string may become.
const TEXTS: [&str; 12] = [
    "",
    " ",
    "\"",
    "\"\"",
    "null",
    "true",
    "\u{feff}",
    "\u{0}",
    "\u{202e}abc",
    "\u{1f600}\u{301}",
    "\u{fc}\u{df}\u{4e2d}",
    "a,b\nc",
];

/// A variation of a text: most are close to it.
pub fn text(original: &str, rng: &mut Rng) -> Vec<u8> {
    let json = original.trim_start().starts_with(['{', '[']);
    let rounds = *rng.pick(&[0, 1, 1, 1, 2, 2, 3, 6]);
    let mut bytes = original.as_bytes().to_vec();
    for _ in 0..rounds {
        bytes = match (rng.below(10), std::str::from_utf8(&bytes)) {
            (0..5, Ok(text)) if json => in_json(text, rng),
            (0..5, Ok(text)) => in_table(text, rng),
            (5..8, Ok(text)) => in_lines(text, rng),
            _ => in_bytes(bytes, rng),
        };
    }
    match rng.below(40) {
        0 => [b"\xef\xbb\xbf".as_slice(), &bytes].concat(),
        1 => String::from_utf8_lossy(&bytes)
            .replace('\n', "\r\n")
            .into_bytes(),
        _ => bytes,
    }
}

/// A value within a JSON document, or within one of several lines of JSON.
fn in_json(text: &str, rng: &mut Rng) -> Vec<u8> {
    if let Ok(mut value) = serde_json::from_str::<Value>(text) {
        value_within(&mut value, rng);
        return value.to_string().into_bytes();
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return text.as_bytes().to_vec();
    }
    let place = rng.below(lines.len());
    if let Ok(mut value) = serde_json::from_str::<Value>(&lines[place]) {
        value_within(&mut value, rng);
        lines[place] = value.to_string();
    }
    (lines.join("\n") + "\n").into_bytes()
}

fn value_within(value: &mut Value, rng: &mut Rng) {
    let places = leaves(value);
    if places.is_empty() {
        *value = wild(rng);
        return;
    }
    let place = rng.pick(&places).clone();
    let other = rng.pick(&places).clone();
    let (above, name) = place.rsplit_once('/').unwrap_or(("", ""));
    let name = name.to_owned();
    match rng.below(8) {
        0..3 => put(value, &place, wild(rng)),
        3 => {
            // A number near the one that is there.
            let number = value.pointer(&place).and_then(Value::as_f64);
            let near =
                number.map(|x| *rng.pick(&[x + 1.0, x - 1.0, x * 1e6, -x, x / 3.0, x + 0.5]));
            put(value, &place, near.map_or_else(|| wild(rng), Value::from));
        }
        4 => {
            let (one, two) = (
                value.pointer(&place).cloned(),
                value.pointer(&other).cloned(),
            );
            if let (Some(one), Some(two)) = (one, two) {
                put(value, &place, two);
                put(value, &other, one);
            }
        }
        5 => match value.pointer_mut(above) {
            Some(Value::Object(map)) => drop(map.remove(&name)),
            Some(Value::Array(list)) if !list.is_empty() => {
                drop(list.remove(rng.below(list.len())))
            }
            _ => {}
        },
        6 => match value.pointer_mut(above) {
            Some(Value::Object(map)) => drop(map.insert((*rng.pick(&TEXTS)).to_owned(), wild(rng))),
            Some(Value::Array(list)) => {
                let again = list.first().cloned().unwrap_or(Value::Null);
                list.extend(vec![again; rng.below(5) + 1]);
            }
            _ => {}
        },
        _ => put(value, above, wild(rng)),
    }
}

fn put(value: &mut Value, pointer: &str, new: Value) {
    if let Some(place) = value.pointer_mut(pointer) {
        *place = new;
    }
}

/// A cell or a column of a table.
fn in_table(text: &str, rng: &mut Rng) -> Vec<u8> {
    let mut rows: Vec<Vec<String>> = text
        .lines()
        .map(|line| line.split(',').map(str::to_owned).collect())
        .collect();
    if rows.is_empty() {
        return text.as_bytes().to_vec();
    }
    let row = rng.below(rows.len());
    let cells = rows[row].len();
    let (cell, other) = (rng.below(cells), rng.below(cells));
    match rng.below(9) {
        0..4 => rows[row][cell] = (*rng.pick(&NUMBERS)).to_owned(),
        4 => rows[row][cell] = (*rng.pick(&TEXTS)).to_owned(),
        5 => rows[row].swap(cell, other),
        6 => rows
            .iter_mut()
            .filter(|row| row.len() > cell.max(other))
            .for_each(|row| row.swap(cell, other)),
        7 => drop(rows[row].remove(cell)),
        _ => {
            let again = rows[row][cell].clone();
            rows[row].insert(cell, again);
        }
    }
    let lines: Vec<String> = rows.iter().map(|row| row.join(",")).collect();
    (lines.join("\n") + "\n").into_bytes()
}

/// Whole lines: again, gone, in another order, long.
fn in_lines(text: &str, rng: &mut Rng) -> Vec<u8> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return text.as_bytes().to_vec();
    }
    let (one, two) = (rng.below(lines.len()), rng.below(lines.len()));
    match rng.below(8) {
        0 => lines.insert(two, lines[one].clone()),
        1 => drop(lines.remove(one)),
        2 => lines.swap(one, two),
        3 => lines.insert(one, String::new()),
        4 => {
            let again = lines[lines.len() - 1].clone();
            lines.extend(vec![again; rng.below(60)]);
        }
        5 => lines.truncate(one),
        6 => {
            let length = if rng.chance(0.002) {
                5 << 20
            } else {
                rng.below(3000)
            };
            let filler = rng.pick(&["x", "9", "[", "\"", ",", " "]).repeat(length);
            lines[one].push_str(&filler);
        }
        _ => lines[one] = (*rng.pick(&TEXTS)).to_owned(),
    }
    let end = if rng.chance(0.9) { "\n" } else { "" };
    (lines.join("\n") + end).into_bytes()
}

fn in_bytes(mut bytes: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    if bytes.is_empty() {
        return vec![rng.word() as u8];
    }
    let place = rng.below(bytes.len());
    let end = (place + rng.below(20)).min(bytes.len());
    match rng.below(6) {
        0 => bytes.truncate(place),
        1 => bytes[place] ^= 1 << rng.below(8),
        2 => drop(bytes.drain(place..end)),
        3 => {
            let again = bytes[place..end].to_vec();
            bytes.splice(place..place, again);
        }
        4 => {
            let word = rng.pick(&NUMBERS).as_bytes().to_vec();
            bytes.splice(place..end, word);
        }
        _ => bytes.insert(
            place,
            *rng.pick(&[0, 0xff, 0xc3, b'"', b',', b'\n', b'\r', b'{', b']']),
        ),
    }
    bytes
}

/// The bytes as gzip, some of them damaged.
pub fn gzip(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing to memory does not fail.
    let _ = encoder.write_all(bytes);
    let mut packed = encoder.finish().unwrap_or_default();
    match rng.below(4) {
        0 => packed = in_bytes(packed, rng),
        1 => {
            let place = 2 + rng.below(packed.len().saturating_sub(2));
            packed.truncate(place);
        }
        2 => packed.extend(packed.clone()),
        _ => {}
    }
    packed
}
