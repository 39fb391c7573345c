//! Strings as JSON and Go's `%q` write them.

use memchr::{memchr, memchr2};

/// A string that was unescaped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unescaped {
    /// Its bytes.
    pub(super) text: Vec<u8>,
    /// Whether its closing quote was there.
    pub(super) complete: bool,
}

/// Undoes the escapes of a string up to its closing quote; `quoted` begins behind the opening one. An escape nobody
/// writes stays as it is; one that is cut is dropped. Cost: one pass.
pub(super) fn unescape(quoted: &[u8]) -> Unescaped {
    let mut text = Vec::new();
    let mut rest = quoted;
    while let Some(at) = memchr2(b'"', b'\\', rest) {
        text.extend_from_slice(rest.get(..at).unwrap_or_default());
        let Some((b'\\', after)) = rest.get(at..).and_then(<[u8]>::split_first) else {
            return Unescaped {
                text,
                complete: true,
            };
        };
        let Some((&escape, after)) = after.split_first() else {
            return Unescaped {
                text,
                complete: false,
            };
        };
        rest = match escape {
            b'n' => push(&mut text, b'\n', after),
            b't' => push(&mut text, b'\t', after),
            b'r' => push(&mut text, b'\r', after),
            b'b' => push(&mut text, 0x08, after),
            b'f' => push(&mut text, 0x0c, after),
            b'a' => push(&mut text, 0x07, after),
            b'v' => push(&mut text, 0x0b, after),
            b'u' => code(&mut text, after, 4, b"\\u"),
            b'U' => code(&mut text, after, 8, b"\\U"),
            b'x' => match hex(after, 2).and_then(|byte| u8::try_from(byte).ok()) {
                Some(byte) => push(&mut text, byte, after.get(2..).unwrap_or_default()),
                None => code(&mut text, after, 2, b"\\x"),
            },
            other => push(&mut text, other, after),
        };
    }
    text.extend_from_slice(rest);
    Unescaped {
        text,
        complete: false,
    }
}

fn push<'a>(text: &mut Vec<u8>, byte: u8, rest: &'a [u8]) -> &'a [u8] {
    text.push(byte);
    rest
}

/// A code point, or a pair of them that JSON makes of one beyond 16 bits.
fn code<'a>(text: &mut Vec<u8>, after: &'a [u8], digits: usize, escape: &[u8]) -> &'a [u8] {
    let Some(first) = hex(after, digits) else {
        text.extend_from_slice(escape);
        return after;
    };
    let rest = after.get(digits..).unwrap_or_default();
    let second = rest.strip_prefix(b"\\u").and_then(|rest| hex(rest, 4));
    let (code, rest) = match (first, second) {
        (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => (
            0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00),
            rest.get(6..).unwrap_or_default(),
        ),
        _ => (first, rest),
    };
    let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    rest
}

fn hex(text: &[u8], digits: usize) -> Option<u32> {
    text.get(..digits)?.iter().try_fold(0_u32, |value, &byte| {
        Some(value << 4 | char::from(byte).to_digit(16)?)
    })
}

/// Where the quote stands that is open at `at`, if one is. A quote behind a backslash is none. Cost: one pass.
pub(super) fn open_quote(line: &[u8], at: usize) -> Option<usize> {
    let text = line.get(..at)?;
    let (mut open, mut from) = (None, 0);
    while let Some(found) = text
        .get(from..)
        .and_then(|rest| memchr2(b'"', b'\\', rest))
        .map(|found| found + from)
    {
        if text.get(found) == Some(&b'\\') {
            from = found + 2;
        } else {
            open = if open.is_some() { None } else { Some(found) };
            from = found + 1;
        }
    }
    open
}

/// The numbers of a JSON array as bytes, as journald writes messages that are no plain text: `[27,91,...]`; the array
/// begins behind its bracket. `None` when something else stands in it, or it has no end.
pub(super) fn bytes(array: &[u8]) -> Option<Vec<u8>> {
    let end = memchr(b']', array)?;
    let numbers = array.get(..end)?;
    if numbers.trim_ascii().is_empty() {
        return Some(Vec::new());
    }
    numbers
        .split(|&byte| byte == b',')
        .map(|number| std::str::from_utf8(number.trim_ascii()).ok()?.parse().ok())
        .collect()
}

/// A line without the sequences that colour it (ECMA-48, `ESC [ ... letter`), if there are any.
pub(super) fn without_colours(line: &[u8]) -> Option<Vec<u8>> {
    let mut rest = line;
    let mut text = Vec::new();
    let mut at = memchr(0x1b, rest)?;
    loop {
        text.extend_from_slice(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        if let Some(sequence) = rest.strip_prefix(b"[") {
            let parameters = sequence
                .iter()
                .take_while(|byte| (0x20..0x40).contains(*byte))
                .count();
            rest = sequence.get(parameters + 1..).unwrap_or_default();
        }
        let Some(next) = memchr(0x1b, rest) else {
            text.extend_from_slice(rest);
            return Some(text);
        };
        at = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_json_and_of_go() {
        let check = |quoted: &str, expected: &[u8], complete: bool| {
            let expected = Unescaped {
                text: expected.to_vec(),
                complete,
            };
            assert_eq!(unescape(quoted.as_bytes()), expected, "{quoted}");
        };
        check(r#"a\n\tb" rest"#, b"a\n\tb", true);
        check(r#"\"\\\/\r\b\f\a\v""#, b"\"\\/\r\x08\x0c\x07\x0b", true);
        check(r#"\u003c\u00e9\ud83d\ude00""#, "<é😀".as_bytes(), true);
        check(
            r#"\ud83d \U0001f600\xff""#,
            "\u{fffd} 😀"
                .as_bytes()
                .iter()
                .chain(b"\xff")
                .copied()
                .collect::<Vec<_>>()
                .as_slice(),
            true,
        );
        check(r#"\uzz \xq""#, b"\\uzz \\xq", true);
        check(r"no end\n", b"no end\n", false);
        check("cut\\", b"cut", false);
        check("", b"", false);
    }

    #[test]
    fn quotes_arrays_and_colours() {
        assert_eq!(open_quote(br#"a="b" c="d"#, 9), Some(8));
        assert_eq!(open_quote(br#"a="b" c"#, 7), None);
        assert_eq!(open_quote(br#"a="b\" c"#, 8), Some(2));
        assert_eq!(bytes(b"97, 10,98] rest"), Some(b"a\nb".to_vec()));
        assert_eq!(bytes(b"97,256]"), None);
        assert_eq!(bytes(b"97"), None);
        assert_eq!(bytes(b"]"), Some(Vec::new()));
        assert_eq!(bytes(b""), None);
        assert_eq!(without_colours(b"plain"), None);
        let coloured = without_colours(b"\x1b[1;31mERR\x1b[0m x\x1b[").unwrap();
        assert_eq!(coloured, b"ERR x");
    }
}
