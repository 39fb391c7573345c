//! A look over the text before the YAML parser sees it: length, control characters, depth of brackets.
//!
//! The parser takes time that grows with the square of the number of open brackets before its own limit of
//! depth speaks (100,000 of them: half a minute), so brackets are counted first. The scan knows quotes and
//! comments, but not text that runs over several lines: it is a guard against accidents and fuzzers, and
//! refuses to be a second YAML parser.

use std::iter::Peekable;
use std::str::Chars;

use super::error::{ConfigError, Fault, KeyPath, Position};

/// Bytes of a configuration, at most. Ten thousand targets with labels take less.
pub const MAX_BYTES: u64 = 1 << 20;

/// Brackets open at once, at most. No valid configuration opens ten.
pub const MAX_DEPTH: usize = 64;

/// Refuses what the parser should not see. One pass, no allocation.
///
/// # Errors
/// When the text is longer than [`MAX_BYTES`], holds a control character that YAML does not allow, or opens
/// more than [`MAX_DEPTH`] brackets at once.
pub(super) fn scan(text: &str) -> Result<(), ConfigError> {
    length(text)?;
    let mut cursor = Cursor {
        chars: text.chars().peekable(),
        position: Position { line: 1, column: 1 },
    };
    let mut depth: usize = 0;
    // Whether a value could begin here: only there does a quote or, outside of brackets, a bracket count.
    let mut fresh = true;
    let mut after_space = true;
    while let Some((char, position)) = cursor.bump()? {
        let was_after_space = after_space;
        after_space = char.is_whitespace();
        match char {
            '\n' => fresh = true,
            ' ' | '\t' | '\r' => {}
            '#' if was_after_space => {
                cursor.skip_while(|next| next != '\n')?;
                fresh = true;
            }
            '"' | '\'' if fresh => {
                cursor.skip_quoted(char)?;
                fresh = false;
            }
            '[' | '{' if fresh || depth > 0 => {
                depth += 1;
                fresh = true;
                if depth > MAX_DEPTH {
                    let fault = Fault::TooDeep { limit: MAX_DEPTH };
                    return Err(ConfigError::new(KeyPath::root(), fault).at(Some(position)));
                }
            }
            ']' | '}' if depth > 0 => {
                depth -= 1;
                fresh = false;
            }
            ',' if depth > 0 => fresh = true,
            // `key: value`, `{"key":value}`, `- item`, `? key`; `http://` and `-1` go on as they began.
            ':' => fresh = depth > 0 || cursor.before_space(),
            '-' | '?' => fresh = fresh && cursor.before_space(),
            // An anchor or a tag stands before the value, up to white space. No bracket in it closes one.
            '&' | '!' if fresh => {
                cursor.skip_while(|next| !next.is_whitespace() && !matches!(next, '[' | '{'))?;
            }
            _ => fresh = false,
        }
    }
    Ok(())
}

/// Refuses what is longer than [`MAX_BYTES`].
///
/// # Errors
/// When it is.
pub(super) fn length(text: &str) -> Result<(), ConfigError> {
    if u64::try_from(text.len()).is_ok_and(|length| length > MAX_BYTES) {
        let fault = Fault::TooLong { limit: MAX_BYTES };
        return Err(ConfigError::new(KeyPath::root(), fault));
    }
    Ok(())
}

/// The text that is left, and where it begins.
struct Cursor<'a> {
    chars: Peekable<Chars<'a>>,
    position: Position,
}

impl Cursor<'_> {
    /// Takes a character, and says where it stood.
    fn bump(&mut self) -> Result<Option<(char, Position)>, ConfigError> {
        let Some(char) = self.chars.next() else {
            return Ok(None);
        };
        let position = self.position;
        if !is_allowed(char) {
            let fault = Fault::ControlCharacter {
                code: u32::from(char),
            };
            return Err(ConfigError::new(KeyPath::root(), fault).at(Some(position)));
        }
        self.position = if char == '\n' {
            Position {
                line: position.line + 1,
                column: 1,
            }
        } else {
            Position {
                column: position.column + 1,
                ..position
            }
        };
        Ok(Some((char, position)))
    }

    fn skip_while(&mut self, matches: impl Fn(char) -> bool) -> Result<(), ConfigError> {
        while self.chars.peek().is_some_and(|next| matches(*next)) {
            self.bump()?;
        }
        Ok(())
    }

    /// Skips to behind the closing quote: `''` is a quote within single ones, a backslash escapes in double.
    fn skip_quoted(&mut self, quote: char) -> Result<(), ConfigError> {
        while let Some((char, _)) = self.bump()? {
            if char == '\\' && quote == '"' {
                self.bump()?;
            } else if char == quote {
                if quote == '"' || self.chars.peek() != Some(&'\'') {
                    return Ok(());
                }
                self.bump()?;
            }
        }
        Ok(())
    }

    fn before_space(&mut self) -> bool {
        self.chars.peek().is_none_or(|next| next.is_whitespace())
    }
}

/// YAML 1.2 section 5.1, `c-printable`; the byte order mark is taken at the start only, by the parser.
fn is_allowed(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<(Fault, Option<Position>)> {
        scan(text).err().map(|error| (*error.fault, error.position))
    }

    #[test]
    fn a_bracket_too_many_is_found_where_it_stands() {
        let too_deep = |line, column| {
            Some((
                Fault::TooDeep { limit: MAX_DEPTH },
                Some(Position { line, column }),
            ))
        };
        let open = |count: usize| "[".repeat(count);
        assert_eq!(fault(&open(64)), None);
        assert_eq!(fault(&open(65)), too_deep(1, 65));
        assert_eq!(
            fault(&format!("a:\n  b: {}", "{".repeat(65))),
            too_deep(2, 70)
        );
        assert_eq!(fault(&"[ # ]\n".repeat(65)), too_deep(65, 1));
        assert_eq!(
            fault(&"['a' , ']', \"]\\\"]\" ,".repeat(65)),
            too_deep(1, 1281)
        );
        assert_eq!(
            fault(&"{a: 'it''s ]}' , \"b\":".repeat(65)),
            too_deep(1, 1345)
        );
        assert_eq!(fault(&"[!a]]] , &b ".repeat(65)), too_deep(1, 769));
        assert_eq!(fault(&"- [\n".repeat(65)), too_deep(65, 3));
    }

    #[test]
    fn brackets_that_close_or_are_text_do_not_count() {
        let check = |line: &str| assert_eq!(fault(&line.repeat(200)), None, "{line}");
        check("- { url: \"http://127.0.0.1:6060\", labels: { a: [1, 2] } }\n");
        check("a: \"[[[\"\n");
        check("a: '{{{ it''s {'\n");
        check("a: b[ {\n");
        check("a: http://[::1]:6060\n");
        check("# [[[ {{{ don't\n");
        check("a: don't [\n");
        check("a: [] # {\n");
        check("a: \"\\\"[\"\n");
    }

    #[test]
    fn length_and_control_characters_are_refused() {
        let limit = usize::try_from(MAX_BYTES).unwrap();
        assert_eq!(fault(&" ".repeat(limit - 1)), None);
        assert_eq!(fault(&" ".repeat(limit)), None);
        assert_eq!(
            fault(&" ".repeat(limit + 1)),
            Some((Fault::TooLong { limit: MAX_BYTES }, None))
        );
        let control = |code, line, column| {
            Some((
                Fault::ControlCharacter { code },
                Some(Position { line, column }),
            ))
        };
        assert_eq!(fault("a: b\nc: \u{7}"), control(7, 2, 4));
        assert_eq!(fault("\0"), control(0, 1, 1));
        assert_eq!(fault("a: \"\u{7f}\""), control(0x7f, 1, 5));
        assert_eq!(fault("# \u{fffe}"), control(0xfffe, 1, 3));
        assert_eq!(fault("\u{feff}a: \"\tü €😀\u{85}\"\r\n"), None);
    }
}
