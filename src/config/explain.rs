//! Says the errors of serde and of the YAML library in our words.
//!
//! The library prints path, message and place as one text and quotes values of the file in it. What it quotes is
//! left out, since it may be a secret: of a value of the wrong kind only the kind is told.

use super::error::{ConfigError, Fault, KeyPath, Position, Segment};
use super::hint;
use super::raw::FileKind;

/// The message of a map of ours that meets a key again.
pub(super) const DUPLICATE_KEY: &str = "duplicate key";

/// What `message` means, an error at `path` of `text`.
pub(super) fn explain(
    kind: FileKind,
    text: &str,
    message: &str,
    path: KeyPath,
    at: Option<Position>,
) -> ConfigError {
    let message = less_place(message, path.segments(), at);
    let error = if message.ends_with(DUPLICATE_KEY) {
        ConfigError::new(path, Fault::DuplicateKey)
    } else if let Some((_, name)) = message.split_once("duplicate field `") {
        ConfigError::new(path.key(name.trim_end_matches('`')), Fault::DuplicateKey)
    } else if message.contains("unknown field `") {
        let hint = hint::for_unknown_key(kind, path.segments(), &expected_keys(&message));
        ConfigError {
            hint,
            ..ConfigError::new(path, Fault::UnknownKey)
        }
    } else if let Some((fault, hint)) = wrong_kind(&message) {
        ConfigError {
            hint,
            ..ConfigError::new(path, fault)
        }
    } else if message.contains("more than one document") {
        return ConfigError::new(KeyPath::root(), Fault::SecondDocument).at(second_document(text));
    } else {
        let hint = at.and_then(|at| syntax_hint(text, &message, at));
        let key = if at.is_some() { KeyPath::root() } else { path };
        ConfigError {
            hint,
            ..ConfigError::new(key, Fault::Syntax { problem: message })
        }
    };
    error.at(at)
}

/// Cuts what the library says of the place, in front (the path, or its parent's) and behind (line and column).
fn less_place(message: &str, path: &[Segment], at: Option<Position>) -> String {
    let parent = path.split_last().map_or(path, |(_, parent)| parent);
    let message = message
        .strip_prefix(&written_path(path))
        .or_else(|| message.strip_prefix(&written_path(parent)))
        .unwrap_or(message);
    match at {
        Some(Position { line, column }) => {
            message.replacen(&format!(" at line {line} column {column}"), "", 1)
        }
        None => message.to_owned(),
    }
}

/// The path as the library writes it in front of a message.
fn written_path(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Index(index) => text.extend(["[", &index.to_string(), "]"]),
            Segment::Key(key) if text.is_empty() => text.push_str(key),
            Segment::Key(key) => text.extend([".", key]),
        }
    }
    text.push_str(": ");
    text
}

/// The keys in "unknown field `x`, expected one of `a`, `b`".
fn expected_keys(message: &str) -> Vec<&str> {
    let list = message
        .rsplit_once("`, expected ")
        .map_or("", |(_, list)| list);
    list.split('`').skip(1).step_by(2).collect()
}

/// Reads "invalid type: string "x", expected u64", and leaves the x out.
fn wrong_kind(message: &str) -> Option<(Fault, Option<String>)> {
    let (_, rest) = message
        .split_once("invalid type: ")
        .or_else(|| message.split_once("invalid value: "))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let (expected, hint) = match expected {
        "u64" => ("a whole number", None),
        "f64" => ("a number", None),
        "a boolean" => (
            "true or false",
            Some("YAML 1.2 knows only these two, without quotes"),
        ),
        "a string" => ("text", None),
        "a sequence" => (
            "a list",
            Some("write [ITEM, ITEM], or one line `- ITEM` for each"),
        ),
        "field identifier" => ("a key", None),
        other => (other, None),
    };
    let fault = Fault::WrongKind {
        expected: expected.to_owned(),
        found: kind(found).to_owned(),
    };
    Some((fault, hint.map(str::to_owned)))
}

/// The kind of value that serde describes in these words.
fn kind(found: &str) -> &'static str {
    let kinds = [
        ("integer `-", "a negative number"),
        ("integer", "a whole number"),
        ("floating point", "a fraction"),
        ("boolean", "true or false"),
        ("string", "text"),
        ("unit", "nothing"),
        ("sequence", "a list"),
        ("map", "a map"),
    ];
    if found.ends_with(" as u128") || found.ends_with(" as i128") {
        return "a number of too many digits";
    }
    kinds
        .iter()
        .find(|(start, _)| found.starts_with(start))
        .map_or("another kind of value", |(_, kind)| kind)
}

/// What usually is behind an error of syntax.
fn syntax_hint(text: &str, problem: &str, at: Position) -> Option<String> {
    let line = text.lines().nth(at.line.checked_sub(1)?)?;
    let hint = match line.chars().nth(at.column.checked_sub(1)?) {
        Some('\t') => "YAML is indented with spaces, not with tabs",
        Some('@' | '`' | '%') => "text that begins with this character goes in quotes",
        _ if problem.contains("alias") || problem.contains("unknown anchor") => {
            "text that begins with * goes in quotes"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// The line that begins a second document: the first `---` behind something.
fn second_document(text: &str) -> Option<Position> {
    let mut content = false;
    for (line, number) in text.lines().zip(1..) {
        let marker = line == "---" || line.starts_with("--- ");
        if marker && content {
            return Some(Position {
                line: number,
                column: 1,
            });
        }
        content |= !line.trim().is_empty() && !line.starts_with(['#', '%']);
    }
    None
}
