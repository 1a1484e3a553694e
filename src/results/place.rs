//! Values of a file's JSON with the places where they stand, for readers that say what is wrong, and where.

use std::borrow::Cow;

use serde_json::Value;

use crate::{Error, json};

/// Beyond every count, length and time of a benchmark.
pub const MOST: f64 = 1e12;
/// Below every one of them but 0: a proportion of two figures stays finite.
pub const LEAST: f64 = 1e-12;

/// Where a benchmark stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Origin {
    pub file: String,
    /// Where its result begins, in a file of several; else 0.
    pub line: usize,
    /// Within the result, as in "benchmarks\[0\]"; empty for all of it.
    pub path: String,
}

impl Origin {
    /// The path of a field.
    pub fn at(&self, name: &str) -> String {
        match (self.path.as_str(), name.starts_with('[')) {
            ("", _) => name.to_owned(),
            (path, true) => format!("{path}{name}"),
            (path, false) => format!("{path}.{name}"),
        }
    }

    /// A field that is not what it should be.
    pub fn refuse(&self, name: &str, value: &str, allowed: &str) -> Error {
        self.problem(
            self.at(name),
            format!("{value} is not allowed; allowed is {allowed}"),
        )
    }

    /// A field that is not there.
    pub fn missing(&self, name: &str) -> Error {
        self.refuse(
            name,
            "a missing field",
            "what the benchmark's program writes there",
        )
    }

    /// Two figures of the result that cannot both be true; `says`: what the first gives, and the second.
    pub fn contradiction(&self, name: &str, says: &str) -> Error {
        let problem = format!(
            "it gives {says}: the file contradicts itself, as where a figure of messages is taken for one of tokens"
        );
        self.problem(self.at(name), problem)
    }

    pub fn problem(&self, field: String, problem: String) -> Error {
        Error::BadCalibration {
            file: self.file.clone(),
            line: self.line,
            column: usize::from(self.line > 0),
            field,
            problem,
        }
    }
}

/// A value, and where it stands.
#[derive(Clone)]
pub struct Place<'a> {
    pub value: &'a Value,
    pub origin: Origin,
}

impl<'a> Place<'a> {
    /// The value of a name, `None` where there is none or it is null.
    pub fn maybe(&self, name: &str) -> Option<Place<'a>> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(self.inner(name, value))
    }

    /// The value of a name, whatever it is.
    ///
    /// Errors: the name is missing.
    pub fn get(&self, name: &str) -> Result<Place<'a>, Error> {
        match self.value.get(name) {
            Some(value) => Ok(self.inner(name, value)),
            None => Err(self.origin.missing(name)),
        }
    }

    fn inner(&self, name: &str, value: &'a Value) -> Place<'a> {
        Place {
            value,
            origin: Origin {
                path: self.origin.at(name),
                ..self.origin.clone()
            },
        }
    }

    /// The values of a list with their places; `allowed`: what should stand there.
    ///
    /// Errors: it is no list.
    pub fn all(&self, allowed: &str) -> Result<Vec<Place<'a>>, Error> {
        let Value::Array(all) = self.value else {
            return Err(self.origin.problem(
                self.origin.path.clone(),
                format!("no list is not allowed; allowed is {allowed}"),
            ));
        };
        let one = |(i, value)| self.inner(&format!("[{i}]"), value);
        Ok(all.iter().enumerate().map(one).collect())
    }

    /// A number from `low` to `high`, or 0 where `low` is 0.
    ///
    /// Errors: anything else, Python's NaN and Infinity among it.
    pub fn number(&self, low: f64, high: f64) -> Result<f64, Error> {
        number(self.value, low, high).ok_or_else(|| self.outside(low, high))
    }

    fn outside(&self, low: f64, high: f64) -> Error {
        let allowed = if low > 0.0 {
            format!("a number from {low:e} to {high:e}")
        } else {
            format!("0, or a number from {LEAST:e} to {high:e}")
        };
        let problem = format!("{} is not allowed; allowed is {allowed}", shown(self.value));
        self.origin.problem(self.origin.path.clone(), problem)
    }

    /// A number that is no count, length or time: a moment on a clock, s.
    ///
    /// Errors: anything else.
    pub fn moment(&self) -> Result<f64, Error> {
        let at = self.value.as_f64().filter(|t| t.abs() <= 1e20);
        at.ok_or_else(|| self.outside(0.0, 1e20))
    }

    /// The number of a name; `None` where there is none.
    pub fn maybe_number(&self, name: &str, low: f64) -> Result<Option<f64>, Error> {
        let found = self.maybe(name);
        found.map(|place| place.number(low, MOST)).transpose()
    }

    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.value.get(name)?.as_str()
    }

    /// A list of numbers, empty where there is none.
    pub fn list(&self, name: &str) -> Result<Vec<f64>, Error> {
        match self.maybe(name) {
            Some(place) if place.value.is_array() => place.numbers(),
            _ => Ok(Vec::new()),
        }
    }

    /// The value as a list of numbers.
    pub fn numbers(&self) -> Result<Vec<f64>, Error> {
        let Value::Array(all) = self.value else {
            let problem = format!("{} is not allowed; allowed is a list", shown(self.value));
            return Err(self.origin.problem(self.origin.path.clone(), problem));
        };
        let one = |(i, value): (usize, &'a Value)| match number(value, 0.0, MOST) {
            Some(number) => Ok(number),
            None => Err(self.inner(&format!("[{i}]"), value).outside(0.0, MOST)),
        };
        all.iter().enumerate().map(one).collect()
    }
}

fn number(value: &Value, low: f64, high: f64) -> Option<f64> {
    value
        .as_f64()
        .filter(|x| (low..=high).contains(x) && (*x == 0.0 || *x >= LEAST))
}

/// Text for a sentence.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The JSON values of a text, one or several after another, each with the line in which it begins.
///
/// Errors: text that is not JSON, by its line.
pub fn documents(text: &str, file: &str) -> Result<Vec<(usize, Value)>, Error> {
    let text = without_python(text);
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let (mut found, mut line, mut counted) = (Vec::new(), 1, 0);
    loop {
        let rest = &text[values.byte_offset()..];
        let begin = text.len() - rest.trim_start().len();
        line += text[counted..begin].bytes().filter(|&b| b == b'\n').count();
        counted = begin;
        match values.next() {
            None => return Ok(found),
            Some(Ok(value)) => found.push((line, value)),
            Some(Err(e)) => {
                return Err(Error::BadRow {
                    file: file.to_owned(),
                    row: e.line() as u64,
                    problem: format!("this is not JSON: {}", json::problem(&e, false)),
                });
            }
        }
    }
}

/// The text with Python's `NaN`, `Infinity` and `-Infinity`, which JSON lacks, as strings: no figure that
/// is read may be one of them, and an error shows what stands there.
fn without_python(text: &str) -> Cow<'_, str> {
    const NAMES: [&str; 3] = ["NaN", "Infinity", "-Infinity"];
    if !NAMES.iter().any(|name| text.contains(name)) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(at) = rest.find(['"', 'N', 'I', '-']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        rest = match NAMES.iter().find(|name| from.starts_with(**name)) {
            Some(name) => {
                out.extend(["\"", name, "\""]);
                &from[name.len()..]
            }
            None => {
                // A string as a whole, whatever it says; else the sign of a number.
                let length = if from.starts_with('"') {
                    string_length(from)
                } else {
                    1
                };
                out.push_str(&from[..length]);
                &from[length..]
            }
        };
    }
    out.push_str(rest);
    out.into()
}

/// Bytes of the string at the beginning of `text`, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}
