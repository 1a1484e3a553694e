//! The shape of a scenario, read from the TypeScript declarations that `tests/types.rs` generates from
//! the Rust types. A setting that is added to a type is in this schema on the same day.

use std::collections::BTreeMap;

/// Generated from the Rust types; a test of the product fails where the file is stale.
const DECLARATIONS: &str = include_str!("../../../www/types.d.ts");

/// A type of a JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Number,
    Text,
    Bool,
    Null,
    /// One word.
    Word(String),
    Object(Vec<(String, Shape)>),
    /// Names that the data chooses.
    Map(Box<Shape>),
    List(Box<Shape>),
    Tuple(Vec<Shape>),
    OneOf(Vec<Shape>),
}

impl Shape {
    /// The scenario's.
    ///
    /// # Panics
    /// Where the declarations are not of the form that ts-rs writes.
    pub fn scenario() -> Shape {
        let text = without_comments(DECLARATIONS);
        let mut declared = BTreeMap::new();
        for part in text.split("export type ").skip(1) {
            if let Some((name, body)) = part.split_once('=') {
                declared.insert(name.trim().to_owned(), body.to_owned());
            }
        }
        resolve("Scenario", &declared)
    }

    /// How an alternative of a union is named in a path: its word, or the key that tags it.
    pub fn alternative(&self) -> String {
        match self {
            Shape::Word(word) => word.clone(),
            Shape::Null => "null".to_owned(),
            Shape::Object(fields) if fields.len() == 1 => fields[0].0.clone(),
            _ => "given".to_owned(),
        }
    }

    /// The alternative of a union that a value is of.
    pub fn chosen<'a>(&'a self, value: &serde_json::Value) -> Option<&'a Shape> {
        let Shape::OneOf(all) = self else {
            return Some(self);
        };
        all.iter().find(|shape| match (shape, value) {
            (Shape::Word(word), serde_json::Value::String(text)) => word == text,
            (Shape::Null, serde_json::Value::Null) => true,
            (Shape::Number, serde_json::Value::Number(_))
            | (Shape::Text, serde_json::Value::String(_))
            | (Shape::Bool, serde_json::Value::Bool(_))
            | (Shape::List(_) | Shape::Tuple(_), serde_json::Value::Array(_)) => true,
            (Shape::Object(fields), serde_json::Value::Object(object)) => object
                .keys()
                .all(|key| fields.iter().any(|(name, _)| name == key)),
            (Shape::Map(_), serde_json::Value::Object(_)) => true,
            _ => false,
        })
    }

    /// Everything that can be set: paths of numbers, texts and switches, and `path = alternative` of each
    /// choice.
    pub fn settings(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.collect("", &mut found);
        found
    }

    fn collect(&self, path: &str, found: &mut Vec<String>) {
        match self {
            Shape::Number | Shape::Text | Shape::Bool => found.push(path.to_owned()),
            Shape::Null | Shape::Word(_) => {}
            Shape::Object(fields) => {
                for (name, shape) in fields {
                    shape.collect(&join(path, name), found);
                }
            }
            Shape::Map(of) => of.collect(&join(path, "*"), found),
            Shape::List(of) => of.collect(&format!("{path}[]"), found),
            Shape::Tuple(all) => {
                for shape in all {
                    shape.collect(&format!("{path}[]"), found);
                }
            }
            Shape::OneOf(all) => {
                for shape in all {
                    found.push(format!("{path} = {}", shape.alternative()));
                    shape.collect(path, found);
                }
            }
        }
    }

    /// Notes what a value sets: by setting, the values that it has had, two at most.
    pub fn note(
        &self,
        path: &str,
        value: &serde_json::Value,
        seen: &mut BTreeMap<String, Vec<String>>,
    ) {
        let mut add = |path: &str, value: String| {
            let values = seen.entry(path.to_owned()).or_default();
            if values.len() < 2 && !values.contains(&value) {
                values.push(value);
            }
        };
        match self {
            Shape::Number | Shape::Text | Shape::Bool => add(path, value.to_string()),
            Shape::Null | Shape::Word(_) => {}
            Shape::Object(fields) => {
                for (name, shape) in fields {
                    if let Some(value) = value.get(name) {
                        shape.note(&join(path, name), value, seen);
                    }
                }
            }
            Shape::Map(of) => {
                for value in value.as_object().into_iter().flat_map(|map| map.values()) {
                    of.note(&join(path, "*"), value, seen);
                }
            }
            Shape::List(of) => {
                for value in value.as_array().into_iter().flatten() {
                    of.note(&format!("{path}[]"), value, seen);
                }
            }
            Shape::Tuple(all) => {
                for (shape, value) in all.iter().zip(value.as_array().into_iter().flatten()) {
                    shape.note(&format!("{path}[]"), value, seen);
                }
            }
            Shape::OneOf(_) => {
                if let Some(shape) = self.chosen(value) {
                    add(
                        &format!("{path} = {}", shape.alternative()),
                        "chosen".to_owned(),
                    );
                    shape.note(path, value, seen);
                }
            }
        }
    }
}

/// A field's path under another's.
pub fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn without_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, comment)) = rest.split_once("/*") {
        out.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    let lines = out
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn resolve(name: &str, declared: &BTreeMap<String, String>) -> Shape {
    let body = declared
        .get(name)
        .unwrap_or_else(|| panic!("www/types.d.ts declares no {name}"));
    let mut reader = Reader {
        rest: body,
        declared,
    };
    reader.union()
}

struct Reader<'a> {
    rest: &'a str,
    declared: &'a BTreeMap<String, String>,
}

impl Reader<'_> {
    fn takes(&mut self, mark: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, mark: &str) {
        let shown: String = self.rest.chars().take(40).collect();
        assert!(self.takes(mark), "\"{mark}\" expected before \"{shown}\"");
    }

    fn word(&mut self) -> String {
        self.rest = self.rest.trim_start();
        if self.takes("\"") {
            let (word, rest) = self.rest.split_once('"').unwrap_or((self.rest, ""));
            self.rest = rest;
            return word.to_owned();
        }
        let end = self
            .rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    fn union(&mut self) -> Shape {
        self.takes("|");
        let mut all = vec![self.single()];
        while self.takes("|") {
            all.push(self.single());
        }
        // A name that stands for a choice is part of the choice around it.
        let flat = all.into_iter().flat_map(|shape| match shape {
            Shape::OneOf(inner) => inner,
            one => vec![one],
        });
        let mut flat: Vec<Shape> = flat.collect();
        if flat.len() == 1 {
            flat.remove(0)
        } else {
            Shape::OneOf(flat)
        }
    }

    fn single(&mut self) -> Shape {
        if self.takes("{") {
            if self.takes("[") {
                while !self.takes("]") {
                    self.word();
                }
                self.takes("?");
                self.expect(":");
                let of = self.union();
                self.takes(";");
                self.takes(",");
                self.expect("}");
                return Shape::Map(Box::new(of));
            }
            let mut fields = Vec::new();
            while !self.takes("}") {
                let name = self.word();
                self.takes("?");
                self.expect(":");
                fields.push((name, self.union()));
                self.takes(",");
                self.takes(";");
            }
            return Shape::Object(fields);
        }
        if self.takes("[") {
            let mut all = Vec::new();
            while !self.takes("]") {
                all.push(self.union());
                self.takes(",");
            }
            return Shape::Tuple(all);
        }
        if self.rest.trim_start().starts_with('"') {
            return Shape::Word(self.word());
        }
        let name = self.word();
        match name.as_str() {
            "number" => Shape::Number,
            "string" => Shape::Text,
            "boolean" => Shape::Bool,
            "null" => Shape::Null,
            "Array" => {
                self.expect("<");
                let of = self.union();
                self.expect(">");
                Shape::List(Box::new(of))
            }
            name => resolve(name, self.declared),
        }
    }
}
