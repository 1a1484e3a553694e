//! A scenario's settings for people and programs: the JSON schema, what a path means, and setting a path.
//!
//! Kinds, defaults and sentences come from the Rust types and their comments, by schemars; ranges and where a setting has an
//! effect come from [`SETTINGS`].

use std::fmt::Write as _;
use std::sync::OnceLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::settings::{Range, SETTINGS};
use super::{Scenario, json as reading};
use crate::error::Error;
use crate::sched::Policy;

/// The JSON schema (draft 2020-12) of a scenario, with the ranges of all numbers that have one of their own.
pub fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(with_ranges)
}

fn with_ranges() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Scenario>().to_value();
    for setting in SETTINGS {
        let (low, high) = match setting.range {
            Range::Number { low, high, .. } => (json!(low), json!(high)),
            Range::Whole { low, high, .. } => (json!(low), json!(high)),
            Range::Elsewhere => continue,
        };
        let place = Schema::new(&schema).at(setting.path).map(|node| node.place);
        if let Some(Value::Object(node)) = place.and_then(|place| schema.pointer_mut(&place)) {
            node.insert("minimum".to_owned(), low);
            node.insert("maximum".to_owned(), high);
        }
    }
    schema
}

/// The words of a choice in JSON, each with its sentence.
pub fn choices<T: JsonSchema>() -> Vec<(String, String)> {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let schema = generator.into_root_schema_for::<T>().to_value();
    let choices = Schema::new(&schema).choices();
    let plain = |about: &str| about.replace('\n', " ").trim_end_matches('.').to_owned();
    choices
        .into_iter()
        .map(|(word, about)| (word, plain(about)))
        .collect()
}

/// The range of every number that has one of its own, by path: least, most, and whether it is whole.
pub fn ranges() -> Vec<(&'static str, f64, f64, bool)> {
    SETTINGS
        .iter()
        .filter_map(|setting| match setting.range {
            Range::Number { low, high, .. } => Some((setting.path, low, high, false)),
            Range::Whole { low, high, .. } => {
                Some((setting.path, f64::from(low), f64::from(high), true))
            }
            Range::Elsewhere => None,
        })
        .collect()
}

/// A schema and a place in it.
#[derive(Clone)]
struct Schema<'a> {
    root: &'a Value,
    /// A JSON pointer.
    place: String,
}

impl<'a> Schema<'a> {
    fn new(root: &'a Value) -> Schema<'a> {
        Schema {
            root,
            place: String::new(),
        }
    }

    fn value(&self) -> &'a Value {
        self.root.pointer(&self.place).unwrap_or(&Value::Null)
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.value().get(key)
    }

    fn below(&self, steps: &str) -> Schema<'a> {
        Schema {
            root: self.root,
            place: format!("{}/{steps}", self.place),
        }
    }

    /// What a reference points to; itself where it is none.
    fn resolved(&self) -> Schema<'a> {
        match self.get("$ref").and_then(Value::as_str) {
            Some(target) => Schema {
                root: self.root,
                place: target.trim_start_matches('#').to_owned(),
            }
            .resolved(),
            None => self.clone(),
        }
    }

    /// The alternatives of a choice, or of a part that may be absent; itself where there are none. A list stands for what
    /// is in it.
    fn alternatives(&self) -> Vec<Schema<'a>> {
        let here = self.resolved();
        for key in ["oneOf", "anyOf"] {
            if let Some(Value::Array(all)) = here.get(key) {
                let each = (0..all.len()).map(|i| here.below(&format!("{key}/{i}")));
                return each.flat_map(|one| one.alternatives()).collect();
            }
        }
        match here.get("items") {
            Some(_) => here.below("items").alternatives(),
            None => vec![here],
        }
    }

    /// The fields of an object, or the choices that have fields of their own.
    fn fields(&self) -> Vec<(&'a str, Schema<'a>)> {
        let mut fields = Vec::new();
        for one in self.alternatives() {
            if let Some(Value::Object(properties)) = one.get("properties") {
                let names = properties.keys();
                fields.extend(
                    names.map(|name| (name.as_str(), one.below(&format!("properties/{name}")))),
                );
            }
        }
        fields
    }

    fn field(&self, name: &str) -> Option<Schema<'a>> {
        let found = self.fields().into_iter().find(|(field, _)| *field == name);
        found.map(|(_, field)| field)
    }

    fn at(&self, path: &str) -> Option<Schema<'a>> {
        path.split('.')
            .try_fold(self.clone(), |node, name| node.field(name))
    }

    /// Whether a value is one of several that are named: a word, or an object with the name as its one field.
    fn is_choice(&self) -> bool {
        self.resolved().get("oneOf").is_some()
    }

    /// The names of the choices, each with its sentence.
    fn choices(&self) -> Vec<(String, &'a str)> {
        let mut choices = Vec::new();
        for one in self.alternatives() {
            let about = one.get("description").and_then(Value::as_str).unwrap_or("");
            match (one.get("const"), one.get("enum"), one.get("properties")) {
                (Some(Value::String(word)), _, _) => choices.push((word.clone(), about)),
                (_, Some(Value::Array(words)), _) => {
                    let words = words.iter().filter_map(Value::as_str);
                    choices.extend(words.map(|word| (word.to_owned(), about)));
                }
                (_, _, Some(Value::Object(tag))) if tag.len() == 1 => {
                    choices.extend(tag.keys().map(|word| (word.clone(), about)));
                }
                _ => {}
            }
        }
        choices
    }
}

/// A setting, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    pub path: String,
    /// "a number from 0 to 1", "one of orca, vllm, sarathi".
    pub kind: String,
    /// By the name's ending; absent where it has none.
    pub unit: Option<&'static str>,
    /// As JSON; absent where a value must be given.
    pub default: Option<Value>,
    pub about: String,
    /// The choices with their sentences.
    pub choices: Vec<(String, String)>,
    /// Settings below it.
    pub parts: Vec<String>,
    /// The schedulers with which it has an effect while all other settings have their defaults; absent where those are all
    /// of them.
    pub acts: Option<Vec<&'static str>>,
}

/// What a path means.
///
/// Errors: a path that no scenario has, with those that it could be.
pub fn explain(path: &str) -> Result<Explained, Error> {
    let root = Schema::new(schema());
    let node = find(&root, path)?;
    Ok(explained(path, &node))
}

/// Every setting, groups left out, in the order of their paths.
pub fn all() -> Vec<Explained> {
    fn walk(path: &str, node: &Schema<'_>, all: &mut Vec<Explained>) {
        let fields = node.fields();
        if !path.is_empty() && (fields.is_empty() || node.is_choice()) || is_list(node) {
            all.push(explained(path, node));
        }
        for (name, field) in fields {
            let path = match path {
                "" => name.to_owned(),
                group => format!("{group}.{name}"),
            };
            walk(&path, &field, all);
        }
    }
    let mut found = Vec::new();
    walk("", &Schema::new(schema()), &mut found);
    found
}

fn find<'a>(root: &Schema<'a>, path: &str) -> Result<Schema<'a>, Error> {
    let mut node = root.clone();
    let mut group = String::new();
    for name in path.split('.') {
        node = node.field(name).ok_or_else(|| {
            let names: Vec<&str> = node.fields().into_iter().map(|(name, _)| name).collect();
            Error::bad_field(
                path,
                name,
                match (group.as_str(), names.is_empty()) {
                    ("", _) if reading::MOVED.contains(&name) => reading::moved_to(name),
                    ("", _) => names.join(", "),
                    (group, true) => format!("{group} alone, which has no parts"),
                    (group, false) => format!("a part of {group}: {}", names.join(", ")),
                },
            )
        })?;
        if !group.is_empty() {
            group.push('.');
        }
        group += name;
    }
    Ok(node)
}

fn is_list(node: &Schema<'_>) -> bool {
    node.resolved().get("items").is_some()
}

fn explained(path: &str, node: &Schema<'_>) -> Explained {
    // The field's own sentence, or that of its type, or of the choice that it belongs to.
    let own = [node.clone(), node.resolved()];
    let own = own
        .iter()
        .find_map(|node| node.get("description")?.as_str());
    let about = own.unwrap_or_else(|| of_the_choice(path));
    let about = about.replace('\n', " ");
    let choices = if node.is_choice() || !named(node).is_empty() {
        node.choices()
    } else {
        Vec::new()
    };
    let fields = node.fields();
    Explained {
        path: path.to_owned(),
        kind: kind(node),
        unit: unit(path.rsplit('.').next().unwrap_or(path)),
        default: default_of(path).or_else(|| node.get("default").cloned()),
        about,
        choices: choices
            .into_iter()
            .map(|(word, about)| (word, about.replace('\n', " ")))
            .collect(),
        parts: fields
            .iter()
            .map(|(name, _)| format!("{path}.{name}"))
            .collect(),
        acts: acts(path),
    }
}

/// What a setting is in a scenario that says nothing of it: a type that stands in both engines has its own default in each.
fn default_of(path: &str) -> Option<Value> {
    let base = if is_within(path, "engine.continuous") {
        Scenario::continuous()
    } else {
        Scenario::default()
    };
    let whole = serde_json::to_value(base).ok()?;
    whole
        .pointer(&format!("/{}", path.replace('.', "/")))
        .cloned()
}

/// The sentence of the choice that a path names last, or last but one.
fn of_the_choice(path: &str) -> &'static str {
    let root = Schema::new(schema());
    let mut path = path;
    for _ in 0..2 {
        let Some((group, name)) = path.rsplit_once('.') else {
            break;
        };
        if let Some(group) = root.at(group).filter(Schema::is_choice) {
            let choices = group.choices();
            let found = choices.iter().find(|(word, _)| word == name);
            return found.map_or("", |(_, about)| about);
        }
        path = group;
    }
    ""
}

/// The words of a choice that stands as one list of them.
fn named(node: &Schema<'_>) -> Vec<String> {
    let each = node.alternatives();
    let words = each.iter().filter_map(|one| one.get("enum")?.as_array());
    words
        .flatten()
        .filter_map(|word| word.as_str().map(str::to_owned))
        .collect()
}

fn kind(node: &Schema<'_>) -> String {
    let here = node.resolved();
    let optional = matches!(here.get("anyOf"), Some(Value::Array(all)) if all.iter().any(|one| one["type"] == "null"))
        || matches!(here.get("type"), Some(Value::Array(types)) if types.iter().any(|one| one == "null"));
    let inner = node
        .alternatives()
        .into_iter()
        .next()
        .unwrap_or(here.clone());
    let types = |node: &Schema<'_>| match node.get("type") {
        Some(Value::Array(types)) => types
            .iter()
            .find_map(Value::as_str)
            .unwrap_or("")
            .to_owned(),
        Some(Value::String(one)) => one.clone(),
        _ => String::new(),
    };
    let range = |node: &Schema<'_>| match (node.get("minimum"), node.get("maximum")) {
        (Some(low), Some(high)) => format!(" from {} to {}", plain(low), plain(high)),
        _ => String::new(),
    };
    let choices = node.choices();
    let text = if is_list(node) {
        match types(&inner).as_str() {
            "object" => "a list of objects".to_owned(),
            "number" => "a list of numbers".to_owned(),
            "integer" => "a list of whole numbers".to_owned(),
            _ => "a list".to_owned(),
        }
    } else if !choices.is_empty() && (node.is_choice() || types(&inner) == "string" || optional) {
        let words: Vec<&str> = choices.iter().map(|(word, _)| word.as_str()).collect();
        format!("one of {}", words.join(", "))
    } else {
        match types(&inner).as_str() {
            "number" => format!("a number{}", range(&inner)),
            "integer" => format!("a whole number{}", range(&inner)),
            "boolean" => "true or false".to_owned(),
            "string" => "text".to_owned(),
            _ => "a group".to_owned(),
        }
    };
    if optional {
        format!("{text}, or null")
    } else {
        text
    }
}

/// A value as errors print it: 0 for 0.0.
fn plain(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => number.as_f64().unwrap_or(f64::NAN).to_string(),
        other => other.to_string(),
    }
}

/// What the ending of a name stands for.
fn unit(name: &str) -> Option<&'static str> {
    const ENDINGS: [(&str, &str); 17] = [
        ("gb_per_s", "GB/s"),
        ("bytes_per_s", "bytes/s"),
        ("_gb_per_token", "GB per token"),
        ("_s_per_token", "s per token"),
        ("_s_per_sequence", "s per sequence"),
        ("_s_per_context_token", "s per token of context"),
        ("_s_per_prefill_token", "s per prompt token"),
        ("_s_per_prefill_pair", "s per pair of prompt tokens"),
        ("_per_s", "per second"),
        ("peak_flops", "FLOP/s"),
        ("_flops", "FLOP"),
        ("_bytes", "bytes"),
        ("_tokens", "tokens"),
        ("_ms", "ms"),
        ("_gb", "GB"),
        ("_us", "µs"),
        ("_s", "s"),
    ];
    let ending = ENDINGS.iter().find(|(ending, _)| name.ends_with(ending));
    ending.map(|(_, unit)| *unit)
}

/// The schedulers with which a setting has an effect while all others have their defaults; absent where those are all of
/// its engine.
fn acts(path: &str) -> Option<Vec<&'static str>> {
    let policies = [
        (Policy::StaticFifo, "static-fifo"),
        (Policy::Dynamic, "dynamic"),
        (Policy::MultiBin, "multi-bin"),
        (Policy::MultiBinDynamic, "multi-bin-dynamic"),
    ];
    let mut bases: Vec<(&str, Scenario)> = Vec::new();
    for (policy, name) in policies {
        let mut base = Scenario::default();
        base.closed_mut().policy = policy;
        bases.push((name, base));
    }
    bases.push(("continuous", Scenario::continuous()));
    bases.retain(|(_, base)| {
        let engine = base
            .closed()
            .map_or("engine.continuous.", |_| "engine.closed.");
        !path.starts_with("engine.") || path.starts_with(engine)
    });
    let acting: Vec<&str> = bases
        .iter()
        .filter(|(_, base)| base.no_effect_of(path).is_none())
        .map(|(name, _)| *name)
        .collect();
    (acting.len() < bases.len()).then_some(acting)
}

/// A setting that `--set` names, with its value.
struct Leaf<'a> {
    /// As it was given.
    assignment: &'a str,
    path: String,
    value: Value,
}

impl Leaf<'_> {
    fn label(&self) -> String {
        format!("--set {}", self.assignment)
    }

    fn is_within(&self, group: &str) -> bool {
        is_within(&self.path, group)
    }
}

/// Whether a path is a group's, or of one of its parts.
fn is_within(path: &str, group: &str) -> bool {
    path.strip_prefix(group)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether setting the one sets the other, or a part of it.
fn overlap(a: &str, b: &str) -> bool {
    is_within(a, b) || is_within(b, a)
}

/// What `path=value` sets: the value as JSON or as a bare word; an object stands for its parts, an empty one for the choice
/// of its path.
fn leaves(assignment: &str) -> Result<Vec<Leaf<'_>>, Error> {
    let refused = |problem: String| Error::bad_argument(format!("--set {assignment}"), problem);
    let Some((path, text)) = assignment.split_once('=') else {
        return Err(refused("it has no \"=\"; give PATH=VALUE".to_owned()));
    };
    let root = Schema::new(schema());
    let node = find(&root, path).map_err(|e| match e {
        Error::BadField { value, allowed, .. } => {
            refused(format!("there is no {value}; allowed is {allowed}"))
        }
        other => other,
    })?;
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    let mut found = Vec::new();
    let mut open = vec![(path.to_owned(), node, value)];
    while let Some((path, node, value)) = open.pop() {
        match value {
            // What is no group of settings, such as kernels by name, is one value.
            Value::Object(parts)
                if !parts.is_empty() && parts.keys().all(|name| node.field(name).is_some()) =>
            {
                for (name, part) in parts.into_iter().rev() {
                    if let Some(field) = node.field(&name) {
                        open.push((format!("{path}.{name}"), field, part));
                    }
                }
            }
            value => found.push(Leaf {
                assignment,
                path,
                value,
            }),
        }
    }
    Ok(found)
}

/// Puts a value where its path says. A choice that the path names takes the place of another.
fn place(whole: &mut Value, leaf: &Leaf<'_>) -> Result<(), Error> {
    let mut node = Schema::new(schema());
    let mut at = whole;
    for name in leaf.path.split('.') {
        let is_there = at.get(name).is_some();
        if !at.is_object() || (node.is_choice() && !is_there) {
            *at = Value::Object(Map::new());
        }
        let Value::Object(fields) = at else {
            return Err(Error::bad_argument(
                leaf.label(),
                "it is no group of settings",
            ));
        };
        at = fields.entry(name).or_insert(Value::Null);
        node = find(&node, name)?;
    }
    let chooses = matches!(&leaf.value, Value::Object(parts) if parts.is_empty());
    if !(chooses && at.is_object()) {
        *at = leaf.value.clone();
    }
    Ok(())
}

/// What chose the engine of a scenario before `--set`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// The text that it was read from.
    Text,
    /// A flag or the default.
    Flags,
}

/// Sets several settings (`PATH=VALUE`), and refuses those without effect. `flags`: each flag that was given, and the path that it sets.
///
/// Errors: as of [`assign`], a value outside its range, and a setting without effect.
pub fn set_all(
    scenario: &mut Scenario,
    assignments: &[String],
    before: Before,
    flags: &[(&str, &str)],
) -> Result<(), Error> {
    if assignments.is_empty() {
        return Ok(());
    }
    let paths = assign(scenario, assignments, before, flags)?;
    scenario.validate()?;
    for path in &paths {
        let idle = super::settings::without_effect(scenario).find(|(idle, _)| overlap(idle, path));
        let why = scenario.no_effect_of(path).or(idle.map(|(_, why)| why));
        if let Some(why) = why {
            return Err(super::no_effect(&format!("--set {path}"), &why));
        }
    }
    Ok(())
}

/// Sets several settings and gives their paths; ranges and effects are checked apart.
///
/// Errors: a path that no scenario has, a value of another kind, a setting that is set twice, and one of an engine that a
/// text did not choose.
pub fn assign(
    scenario: &mut Scenario,
    assignments: &[String],
    before: Before,
    flags: &[(&str, &str)],
) -> Result<Vec<String>, Error> {
    let mut all: Vec<Leaf<'_>> = Vec::new();
    for assignment in assignments {
        for leaf in leaves(assignment)? {
            let chooses =
                |leaf: &Leaf<'_>| matches!(&leaf.value, Value::Object(parts) if parts.is_empty());
            let twice = all.iter().find(|other| {
                overlap(&other.path, &leaf.path) && !chooses(other) && !chooses(&leaf)
            });
            if let Some(other) = twice {
                return Err(Error::contradiction(
                    leaf.label(),
                    format!("{} sets it too; give one of them", other.label()),
                ));
            }
            if let Some((flag, _)) = flags.iter().find(|(_, path)| overlap(path, &leaf.path)) {
                return Err(Error::contradiction(
                    leaf.label(),
                    format!("{flag} sets it too; give one of them"),
                ));
            }
            all.push(leaf);
        }
    }
    let mut whole = serde_json::to_value(&*scenario)
        .map_err(|e| Error::bad_argument("--set", e.to_string()))?;
    for leaf in &all {
        place(&mut whole, leaf)?;
    }
    let changed = reading::read(&whole.to_string(), "").map_err(|e| match e {
        Error::BadScenario { field, problem, .. } => {
            let named = all.iter().find(|leaf| overlap(&leaf.path, &field));
            match named {
                Some(leaf) if leaf.path == field => Error::bad_argument(leaf.label(), problem),
                Some(leaf) => Error::bad_argument(leaf.label(), format!("{field}: {problem}")),
                None => Error::bad_argument("--set", format!("{field}: {problem}")),
            }
        }
        other => other,
    })?;
    let engine = |s: &Scenario| match s.closed() {
        Some(_) => "engine.closed",
        None => "engine.continuous",
    };
    let (old, new) = (engine(scenario), engine(&changed));
    let is_chosen = assignments
        .iter()
        .any(|one| one.starts_with("engine=") || one.starts_with(&format!("{new}=")));
    if before == Before::Text
        && old != new
        && !is_chosen
        && let Some(leaf) = all.iter().find(|leaf| leaf.is_within(new))
    {
        return Err(Error::contradiction(
            leaf.label(),
            format!(
                "the scenario has {old}, whose settings would be gone; --set {new}={{}} chooses {new}"
            ),
        ));
    }
    *scenario = changed;
    Ok(all.into_iter().map(|leaf| leaf.path).collect())
}

/// docs/SETTINGS.md.
pub fn page() -> String {
    let mut text = "# Settings\n\nEvery setting of a scenario, from the Rust types: `batchscope scenario settings` prints this text. \
                    `--set PATH=VALUE` sets any of them on `run`, `capacity`, `compare` and `sweep`, a value in JSON or a bare \
                    word, an object for several at once; `batchscope scenario explain PATH` says more, and `batchscope scenario schema` prints the JSON schema. A setting \
                    without effect is refused, with the reason. [MODEL](MODEL.md) defines what each does.\n"
        .to_owned();
    let mut groups: Vec<(String, Vec<Explained>)> = Vec::new();
    for setting in all() {
        let group = match setting.path.rsplit_once('.') {
            Some((group, _)) => group,
            None => "scenario",
        };
        match groups.iter_mut().find(|(name, _)| name == group) {
            Some((_, settings)) => settings.push(setting),
            None => groups.push((group.to_owned(), vec![setting])),
        }
    }
    for (group, settings) in groups {
        let _ = write!(
            text,
            "\n## {group}\n\n| setting | value | default | meaning |\n|---|---|---|---|\n"
        );
        for setting in settings {
            text += &setting.row();
        }
    }
    text
}

impl Explained {
    /// A row of the page's table.
    fn row(&self) -> String {
        let name = self.path.rsplit('.').next().unwrap_or(&self.path);
        let unit = self.unit.map_or(String::new(), |unit| format!(" ({unit})"));
        let default = match &self.default {
            Some(Value::Object(_)) | None => "–".to_owned(),
            Some(value) => format!("`{}`", plain(value)),
        };
        let mut about = self.about.replace('|', "\\|");
        if let Some(acts) = &self.acts {
            about += &match acts.as_slice() {
                [] => " No effect while all other settings have their defaults.".to_owned(),
                some => format!(" By default it has an effect with {}.", some.join(", ")),
            };
        }
        format!(
            "| `{name}` | {}{unit} | {default} | {} |\n",
            self.kind,
            about.trim_start()
        )
    }

    /// Lines for people.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}", self.path, self.kind);
        if let Some(unit) = self.unit {
            let _ = write!(text, " ({unit})");
        }
        text.push('\n');
        if !self.about.is_empty() {
            text += &format!("{}\n", self.about);
        }
        if let Some(default) = self.default.as_ref().filter(|value| !value.is_object()) {
            text += &format!("default: {}\n", plain(default));
        }
        for (word, about) in &self.choices {
            text += &format!("  {word}: {about}\n");
        }
        match &self.acts {
            Some(acts) if acts.is_empty() => {
                text += "no effect while all other settings have their defaults\n";
            }
            Some(acts) => {
                text += &format!(
                    "with all other settings at their defaults, it has an effect with: {}\n",
                    acts.join(", ")
                )
            }
            None => {}
        }
        if !self.parts.is_empty() {
            text += "settings below it:\n";
            for part in &self.parts {
                text += &format!("  {part}\n");
            }
        }
        text
    }
}
