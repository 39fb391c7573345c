//! What is wrong with a configuration, and where: file, line, column and key path.
//!
//! No error repeats a value that may be a secret: what stood under a key is shown only where the key can hold
//! none.

use std::fmt;
use std::path::PathBuf;

/// Characters of a key or a value that an error repeats, at most: errors are one line of a log.
const SHOWN_CHARS: usize = 80;

/// A place in the configuration by its keys: `modules.default.limits.groups`, `targets[0].url`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPath(Vec<Segment>);

/// One step of a [`KeyPath`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// The value of a key.
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
}

/// A place in the text, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Why a configuration is refused. Prints as one line, `FILE:LINE:COLUMN: key.path: what is wrong`, less what
/// is not known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The file; absent for text from elsewhere.
    pub file: Option<PathBuf>,
    /// Where in it; absent when it could not be read at all.
    pub position: Option<Position>,
    /// Which key; empty for faults of the file as a whole.
    pub key: KeyPath,
    /// What is wrong.
    pub fault: Box<Fault>,
    /// What would help, in one line.
    pub hint: Option<String>,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file cannot be read.
    #[error("cannot be read: {problem}")]
    Unreadable {
        /// The operating system's words.
        problem: String,
    },
    /// More bytes than a configuration may have.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// How many it may have.
        limit: u64,
    },
    /// The bytes are not UTF-8.
    #[error("not UTF-8 text")]
    NotUtf8,
    /// A character that YAML does not allow.
    #[error("control character U+{code:04X} is not allowed")]
    ControlCharacter {
        /// Its code point.
        code: u32,
    },
    /// Too many brackets open at once.
    #[error("more than {limit} brackets are open here")]
    TooDeep {
        /// How many may be.
        limit: usize,
    },
    /// Not YAML.
    #[error("not valid YAML: {problem}")]
    Syntax {
        /// The parser's words.
        problem: String,
    },
    /// Not JSON.
    #[error("not valid JSON: {problem}")]
    NotJson {
        /// The parser's words.
        problem: String,
    },
    /// A second document in the file.
    #[error("a second YAML document starts here, one is expected")]
    SecondDocument,
    /// A key this version does not read.
    #[error("unknown key")]
    UnknownKey,
    /// A key that stands twice in one map.
    #[error("this key is given twice")]
    DuplicateKey,
    /// A value of the wrong kind: a list where a map is expected.
    #[error("expected {expected}, found {found}")]
    WrongKind {
        /// What is expected.
        expected: String,
        /// The kind of value found, never the value.
        found: String,
    },
    /// A key that must be there.
    #[error("required, but missing")]
    Missing,
    /// A value that cannot be used.
    #[error("expected {expected}, found {:?}", Cut(found))]
    Invalid {
        /// What is expected.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// The same of a value that is secret, or may hold one.
    #[error("expected {expected}")]
    InvalidSecret {
        /// What is expected.
        expected: &'static str,
    },
    /// A number, duration or size outside its bounds.
    #[error("{found} is not between {min} and {max}")]
    OutOfRange {
        /// What stands there.
        found: String,
        /// The least.
        min: String,
        /// The most.
        max: String,
    },
    /// More entries than allowed.
    #[error("{count} entries, at most {limit} are allowed")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Two keys that exclude each other.
    #[error("cannot be combined with {other}")]
    Conflict {
        /// The other one.
        other: &'static str,
    },
    /// A key that does nothing without another.
    #[error("needs {other}")]
    Needs {
        /// The other one.
        other: &'static str,
    },
    /// The same thing twice in a list.
    #[error("{} is given twice, first in {first}", Cut(what))]
    Repeated {
        /// What.
        what: String,
        /// Where it stands first.
        first: KeyPath,
    },
    /// A module that is not configured.
    #[error("there is no module {:?}", Cut(name))]
    UnknownModule {
        /// The name.
        name: String,
    },
    /// A value that another part of the program refuses, in its words.
    #[error("{problem}")]
    Refused {
        /// Its words, on one line.
        problem: String,
    },
}

impl Fault {
    /// A value that cannot be used.
    pub(super) fn invalid(expected: &'static str, found: impl Into<String>) -> Self {
        Self::Invalid {
            expected,
            found: found.into(),
        }
    }
}

impl KeyPath {
    /// The whole file.
    #[must_use]
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The place under a key of this one.
    #[must_use]
    pub fn key(&self, name: impl Into<String>) -> Self {
        self.with(Segment::Key(name.into()))
    }

    /// The place of an item of this one.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    /// Its steps, outermost first.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    fn with(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }
}

impl FromIterator<Segment> for KeyPath {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        Self(segments.into_iter().collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |key: &str| {
            !key.is_empty()
                && key
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        for (place, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => {
                    if place > 0 {
                        f.write_str(".")?;
                    }
                    if plain(key) {
                        write!(f, "{}", Cut(key))?;
                    } else {
                        write!(f, "{:?}", Cut(key))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Text of the configuration, cut to its first [`SHOWN_CHARS`] characters.
struct Cut<'a>(&'a str);

impl Cut<'_> {
    fn head(&self) -> (&str, &'static str) {
        match self.0.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => (self.0.get(..end).unwrap_or_default(), "..."),
            None => (self.0, ""),
        }
    }
}

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, dots) = self.head();
        write!(f, "{head}{dots}")
    }
}

impl fmt::Debug for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, dots) = self.head();
        write!(f, "{head:?}{dots}")
    }
}

impl ConfigError {
    /// A fault of the value at `key`.
    #[must_use]
    pub fn new(key: KeyPath, fault: Fault) -> Self {
        Self {
            file: None,
            position: None,
            key,
            fault: Box::new(fault),
            hint: None,
        }
    }

    /// The same with what would help.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// The same, found at `position`.
    #[must_use]
    pub fn at(self, position: Option<Position>) -> Self {
        Self { position, ..self }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.position) {
            (Some(file), Some(Position { line, column })) => {
                write!(f, "{}:{line}:{column}: ", file.display())?;
            }
            (Some(file), None) => write!(f, "{}: ", file.display())?,
            (None, Some(Position { line, column })) => write!(f, "line {line}, column {column}: ")?,
            (None, None) => {}
        }
        if !self.key.segments().is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        self.fault.fmt(f)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_paths_are_written_as_people_write_them() {
        let check = |path: KeyPath, text: &str| assert_eq!(path.to_string(), text);
        let root = KeyPath::root();
        check(root.clone(), "");
        check(
            root.key("modules").key("default").key("limits"),
            "modules.default.limits",
        );
        check(root.key("targets").index(3).key("url"), "targets[3].url");
        check(
            root.key("modules").key("v1.2").key("path"),
            "modules.\"v1.2\".path",
        );
        check(root.key("modules").key("a\nb"), "modules.\"a\\nb\"");
        check(root.key(""), "\"\"");
        check(root.key("ü".repeat(80)), &format!("\"{}\"", "ü".repeat(80)));
        check(
            root.key("ü".repeat(81)),
            &format!("\"{}\"...", "ü".repeat(80)),
        );
        check(root.key("x".repeat(81)), &format!("{}...", "x".repeat(80)));
    }

    #[test]
    fn an_error_is_one_line_with_what_is_known() {
        let error = ConfigError::new(KeyPath::root().key("allow"), Fault::DuplicateKey);
        assert_eq!(error.to_string(), "allow: this key is given twice");
        let error = error.at(Some(Position { line: 5, column: 7 }));
        assert_eq!(
            error.to_string(),
            "line 5, column 7: allow: this key is given twice"
        );
        let error = ConfigError {
            file: Some("a.yml".into()),
            ..error
        };
        assert_eq!(
            error.to_string(),
            "a.yml:5:7: allow: this key is given twice"
        );
        let error = error.at(None);
        assert_eq!(error.to_string(), "a.yml: allow: this key is given twice");
    }
}
