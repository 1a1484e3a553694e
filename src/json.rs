//! What is wrong with JSON text, in words of JSON rather than of Rust.

/// The sentence of a refusal, without its place. `whole`: the text is JSON, though not what was
/// asked for.
pub(crate) fn problem(e: &serde_json::Error, whole: bool) -> String {
    let text = e.to_string();
    // serde_json repeats the position at the end of its sentence; ours has it in front.
    let problem = text
        .rfind(" at line ")
        .map_or(text.as_str(), |end| &text[..end]);
    match problem {
        // What serde_json says where a choice should stand and something else does.
        "expected value" if whole => "expected a name or an object".to_owned(),
        "EOF while parsing a value" if e.line() <= 1 && e.column() == 0 => {
            "the text is empty".to_owned()
        }
        _ => plain(problem).unwrap_or_else(|| problem.to_owned()),
    }
}

/// serde's "invalid type: sequence, expected struct Fleet" as "expected an object, found a list".
fn plain(problem: &str) -> Option<String> {
    let (kind, rest) = problem.split_once(": ").or_else(|| {
        // "invalid length 1, expected struct ClosedLoop with 4 elements".
        let rest = problem.strip_prefix("invalid length ")?;
        Some(("invalid length", rest))
    })?;
    if !matches!(kind, "invalid type" | "invalid value" | "invalid length") {
        return None;
    }
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let first_word = expected.split(' ').next().unwrap_or(expected);
    let expected = match (first_word, expected) {
        ("struct" | "newtype" | "map", _) => "an object",
        (_, "u32") => "a whole number from 0 to 4294967295",
        (_, "f64") => "a number",
        (_, "a sequence") => "a list",
        (_, "a boolean") => "true or false",
        (_, "string or map" | "variant identifier") | ("enum", _) => "a name or an object",
        (_, "unit" | "unit variant") => "the name alone",
        (_, other) => other,
    };
    let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned);
    let found = match found {
        "sequence" => "a list".to_owned(),
        "map" => "an object".to_owned(),
        "unit" | "null" | "Option value" => "null".to_owned(),
        "unit variant" => "the name alone".to_owned(),
        "newtype variant" | "struct variant" => "an object".to_owned(),
        text => match text.split_once(' ') {
            Some(("integer" | "boolean" | "floating", _)) => {
                quoted(text).unwrap_or_else(|| text.to_owned())
            }
            Some(("string", text)) => text.to_owned(),
            _ if kind == "invalid length" => format!("a list of {text}"),
            _ => text.to_owned(),
        },
    };
    Some(format!("expected {expected}, found {found}"))
}
