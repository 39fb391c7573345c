//! What stands before a line of a dump in a log: the prefix of one line, made to fit its neighbours.
//!
//! Timestamps, numbers of processes and lines differ from one line to the next, names of services and pods do not:
//! digits may be others where they stand at the start of a word or behind a bracket, `=`, `:` or the like, and behind
//! such digits; digits in a name (`web-1`) may not, or the lines of another process would count as this one's.

/// The longest prefix that is learnt.
const PREFIX_BYTES: usize = 256;
/// How many places a prefix is tried to end at.
const BOUNDARIES: usize = 16;

/// A prefix in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    parts: Vec<Part>,
    /// The last part without the space at its end: a blank line may come without it.
    trimmed: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Digits,
    Spaces,
}

impl Shape {
    /// The shape of a prefix; `None` when it is empty or too long.
    pub(super) fn new(prefix: &[u8]) -> Option<Self> {
        if prefix.is_empty() || prefix.len() > PREFIX_BYTES {
            return None;
        }
        let body = prefix.trim_ascii_end().len();
        let mut parts: Vec<Part> = Vec::new();
        let mut word = Word::default();
        for (at, &byte) in prefix.iter().enumerate() {
            let part = match byte {
                b' ' | b'\t' if at < body && !parts.is_empty() => Some(Part::Spaces),
                b'0'..=b'9' if word.digits_may_differ(prefix.get(..at).unwrap_or_default()) => {
                    Some(Part::Digits)
                }
                _ => None,
            };
            word.note(byte, part == Some(Part::Digits));
            match part {
                Some(part) if parts.last() == Some(&part) => {}
                Some(part) => parts.push(part),
                None => {
                    if let Some(Part::Text(text)) = parts.last_mut() {
                        text.push(byte);
                    } else {
                        parts.push(Part::Text(vec![byte]));
                    }
                }
            }
        }
        let trimmed = match parts.last() {
            Some(Part::Text(text)) if text.trim_ascii_end().len() < text.len() => {
                Some(text.trim_ascii_end().to_vec())
            }
            _ => None,
        };
        Some(Self { parts, trimmed })
    }

    /// The length of what fits at the start of a line.
    pub(super) fn length(&self, line: &[u8]) -> Option<usize> {
        let mut rest = line;
        let last = self.parts.len().checked_sub(1)?;
        for (number, part) in self.parts.iter().enumerate() {
            rest = match part {
                Part::Text(text) => match rest.strip_prefix(&**text) {
                    Some(rest) => rest,
                    None if number == last && self.trimmed.as_deref() == Some(rest) => &[],
                    None => return None,
                },
                Part::Digits => skip(rest, |byte| byte.is_ascii_digit())?,
                Part::Spaces => skip(rest, |byte| matches!(byte, b' ' | b'\t'))?,
            };
        }
        Some(line.len() - rest.len())
    }

    /// The shapes of shorter parts of a prefix, longest first: those that end behind a space.
    pub(super) fn shorter(prefix: &[u8]) -> impl Iterator<Item = Self> {
        (1..prefix.len())
            .rev()
            .filter(|&at| {
                let before = prefix.get(at - 1).is_some_and(u8::is_ascii_whitespace);
                let after = prefix.get(at).is_some_and(u8::is_ascii_whitespace);
                before && !after
            })
            .take(BOUNDARIES)
            .filter_map(|at| Self::new(prefix.get(..at)?))
    }
}

fn skip(text: &[u8], fits: impl Fn(u8) -> bool) -> Option<&[u8]> {
    let count = text.iter().take_while(|byte| fits(**byte)).count();
    text.get(count..).filter(|_| count > 0)
}

/// What is known of the word being read.
#[derive(Debug, Default)]
struct Word {
    /// Whether the last byte is a digit that may differ.
    digit: bool,
    /// Whether the last byte separates such a digit from what follows.
    separator: bool,
}

impl Word {
    fn digits_may_differ(&self, before: &[u8]) -> bool {
        if self.digit || self.separator {
            return true;
        }
        match before {
            // The start of the line, or klog's level before the date: I1125.
            [] | [b'I' | b'W' | b'E' | b'F'] | [.., b' ', b'I' | b'W' | b'E' | b'F'] => true,
            [.., last] => matches!(
                last,
                b' ' | b'\t' | b'[' | b'(' | b'<' | b'=' | b':' | b'"' | b'#' | b'+'
            ),
        }
    }

    fn note(&mut self, byte: u8, digit: bool) {
        let separates = matches!(byte, b'-' | b'/' | b':' | b'.' | b',' | b'T' | b'+');
        self.separator = self.digit && separates;
        self.digit = digit;
    }
}

/// What writes such prefixes, for a person.
pub(super) fn name(prefix: &[u8]) -> String {
    let text = String::from_utf8_lossy(prefix);
    let text = text.trim_end();
    let month = text.split(' ').next().unwrap_or_default();
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let klog = text
        .rsplit(' ')
        .next()
        .is_some_and(|last| last.ends_with(']') && last.contains(':') && !last.contains('['));
    match text {
        "" => "indentation".to_owned(),
        _ if text.starts_with('>') => "quote marks".to_owned(),
        _ if text.starts_with("[pod/") => "kubectl --prefix".to_owned(),
        _ if klog => "klog".to_owned(),
        _ if text.ends_with(" |") => "docker compose".to_owned(),
        _ if text.ends_with("]:") && months.contains(&month) => "journald".to_owned(),
        _ if text.ends_with(':') => "syslog".to_owned(),
        _ => format!("prefix {:?}", super::printable(prefix, 40)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: &str, line: &str, rest: Option<&str>) {
        let shape = Shape::new(prefix.as_bytes()).unwrap();
        let found = shape.length(line.as_bytes()).and_then(|at| line.get(at..));
        assert_eq!(found, rest, "{prefix:?} before {line:?}");
    }

    #[test]
    fn digits_that_count_something_may_differ() {
        check(
            "I1125 01:02:03.123456   12345 file.go:123] ",
            "I1126 11:22:33.654321 7 file.go:9] main.a()",
            Some("main.a()"),
        );
        check(
            "2026-11-25T01:02:03.123456789Z ",
            "2026-11-25T01:02:03.12Z \t/a.go:1",
            Some("\t/a.go:1"),
        );
        check(
            "Nov 25 01:02:03 host1 unit[123]: ",
            "Nov  5 01:02:04 host1 unit[77]: x",
            Some("x"),
        );
        check(
            "time=2026-11-25T01:02:03Z n=5 ",
            "time=2027-01-05T00:00:00Z n=66 x",
            Some("x"),
        );
    }

    #[test]
    fn names_may_not() {
        check("web-1  | ", "web-2  | x", None);
        check("pod-7d9f8-x2 app ", "pod-7d9f9-x2 app x", None);
        check("[pod/web-0/app] ", "[pod/web-1/app] x", None);
        check(
            "Nov 25 01:02:03 host1 u[1]: ",
            "Nov 25 01:02:03 host2 u[1]: x",
            None,
        );
    }

    #[test]
    fn what_stands_behind_the_prefix_keeps_its_space() {
        check("> ", ">     /a.go:1", Some("    /a.go:1"));
        check("> ", ">", Some(""));
        check("web-1  | ", "web-1  |", Some(""));
        check("    ", "        /a.go:1", Some("    /a.go:1"));
        check("    ", "", Some(""));
        check("    ", "  x", None);
        assert_eq!(Shape::new(b""), None);
        assert_eq!(Shape::new(&[b'x'; 257]), None);
    }

    #[test]
    fn shorter_ones_end_behind_a_space() {
        let found: Vec<_> = Shape::shorter(b"a  b c ").collect();
        let expected: Vec<_> = [&b"a  b "[..], b"a  "]
            .iter()
            .filter_map(|prefix| Shape::new(prefix))
            .collect();
        assert_eq!(found, expected);
    }
}
