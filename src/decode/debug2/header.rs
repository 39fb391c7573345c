//! The first line of a block.
//!
//! ```text
//! goroutine 7 [chan receive, 5 minutes, locked to thread]:
//! goroutine 7 gp=0xc0000061c0 m=3 mp=0xc000080008 [running]:                  fatal signals, GOTRACEBACK=system
//! goroutine 7 [chan receive (leaked), synctest bubble 2]:
//! goroutine 7 [chan receive labels:{"key": "value"}]:                         Go 1.26, GODEBUG=tracebacklabels=1
//! goroutine 7 [chan receive] {key: value, "odd key": "a \"b\""}:              Go 1.27
//! ```

use std::ops::Range;

use crate::decode::text::number;

/// What a header begins with.
pub(super) const GOROUTINE: &[u8] = b"goroutine ";

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub(super) id: u64,
    /// The runtime's words, without suffixes.
    pub(super) wait_reason: &'a [u8],
    /// Whole minutes, where printed.
    pub(super) minutes: Option<u64>,
    pub(super) leaked: bool,
    /// The labels as written between the braces.
    pub(super) labels: &'a [u8],
}

/// Reads a header. `None`: the line is none. Unknown attributes are passed over, since newer runtimes add some.
/// Cost: one pass, no allocation.
///
/// # Errors
/// When it begins like a header and is not well-formed.
pub(super) fn parse(line: &[u8]) -> Option<Result<Header<'_>, ()>> {
    let (id, rest) = number(line.strip_prefix(GOROUTINE)?)?;
    let state = match rest {
        [b' ', b'[', state @ ..] => state,
        [b' ', b'g', b'p', b'=', ..] => {
            let bracket = memchr::memmem::find(rest, b" [")?;
            rest.get(bracket + 2..)?
        }
        _ => return None,
    };
    Some(parse_state(id, state).ok_or(()))
}

fn parse_state(id: u64, text: &[u8]) -> Option<Header<'_>> {
    let first = memchr::memchr3(b',', b']', b'{', text)?;
    let attributes = text.get(first..)?;
    // All that most headers of goroutines that wait for long say beside the reason. Then nothing else is searched.
    let waited = attributes.strip_prefix(b", ").and_then(number);
    let waited = waited.filter(|(_, unit)| unit.starts_with(b" minutes]"));
    // Go 1.26 puts labels inside the bracket, where their values may hold brackets of their own.
    let stop = match (waited, attributes.first()?) {
        (Some((_, unit)), _) => text.len() - unit.len() + b" minutes".len(),
        (None, b',') => first + memchr::memchr2(b']', b'{', attributes)?,
        (None, _) => first,
    };
    let inside = text
        .get(..stop)?
        .strip_suffix(b" labels:")
        .filter(|_| text.get(stop) == Some(&b'{'));
    let (state, labels) = if let Some(state) = inside {
        (state, text.get(stop + 1..)?.strip_suffix(b"}]:")?)
    } else {
        let end = match text.get(stop)? {
            b']' => stop,
            _ => stop + memchr::memchr(b']', text.get(stop..)?)?,
        };
        let state = text.get(..end)?;
        match text.get(end + 1..)? {
            b":" => (state, &[][..]),
            tail => (state, tail.strip_prefix(b" {")?.strip_suffix(b"}:")?),
        }
    };
    let mut header = Header {
        id,
        wait_reason: b"",
        minutes: waited.map(|(minutes, _)| minutes),
        leaked: false,
        labels,
    };
    let comma = |text: &[u8]| memchr::memchr(b',', text).unwrap_or(text.len());
    let end = match state.get(first) {
        Some(b',') | None => first.min(state.len()),
        Some(_) => comma(state),
    };
    let (mut reason, mut rest) = state.split_at(end);
    while reason.last() == Some(&b')') {
        if let Some(cut) = reason.strip_suffix(b" (leaked)") {
            header.leaked = true;
            reason = cut;
        } else if let Some(cut) = reason
            .strip_suffix(b" (scan)")
            .or_else(|| reason.strip_suffix(b" (durable)"))
        {
            reason = cut;
        } else {
            break;
        }
    }
    header.wait_reason = reason;
    if waited.is_some() {
        return Some(header);
    }
    while let Some(attribute) = rest.strip_prefix(b", ") {
        let end = comma(attribute);
        if let Some((minutes, b" minutes")) = number(attribute.get(..end)?) {
            header.minutes = Some(minutes);
        }
        rest = attribute.get(end..)?;
    }
    Some(header)
}

/// Reads the labels of a header: `key: value, "quoted key": "quoted value"`. The unescaped text is appended to
/// `text`, and `pairs` gets the places of keys and values in it. Stops at what does not read.
pub(super) fn labels(
    written: &[u8],
    text: &mut Vec<u8>,
    pairs: &mut Vec<(Range<usize>, Range<usize>)>,
) {
    let mut rest = written;
    while !rest.is_empty() {
        let Some((key, after)) = string(rest, b": ", text) else {
            return;
        };
        let Some((value, after)) = string(after, b", ", text) else {
            return;
        };
        pairs.push((key, value));
        rest = after;
    }
}

/// One quoted or bare string, its place in `text`, and what follows `separator`. At the end of the input the
/// separator may be missing; that of a key may also lack its space, as Go prints an empty value.
fn string<'a>(
    input: &'a [u8],
    separator: &[u8],
    text: &mut Vec<u8>,
) -> Option<(Range<usize>, &'a [u8])> {
    let start = text.len();
    let after = if let Some(quoted) = input.strip_prefix(b"\"") {
        unquote(quoted, text)?
    } else {
        let end = memchr::memmem::find(input, separator).unwrap_or(input.len());
        text.extend_from_slice(input.get(..end)?);
        input.get(end..)?
    };
    let rest = if after.is_empty() {
        after
    } else {
        after.strip_prefix(separator)?
    };
    Some((start..text.len(), rest))
}

/// The text up to the closing quote, with the escapes of Go's `%q` undone (runtime/print.go, `printindented` and
/// `printquoted`; strconv/quote.go). Returns what follows the quote.
pub(in crate::decode) fn unquote<'a>(quoted: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = quoted;
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some(rest),
            b'\\' => {
                let (&escape, after) = rest.split_first()?;
                rest = after;
                let digits = match escape {
                    b'x' => 2,
                    b'u' => 4,
                    b'U' => 8,
                    _ => 0,
                };
                if digits > 0 {
                    let code =
                        u32::from_str_radix(std::str::from_utf8(rest.get(..digits)?).ok()?, 16)
                            .ok()?;
                    rest = rest.get(digits..)?;
                    match (escape, u8::try_from(code), char::from_u32(code)) {
                        (b'x', Ok(byte), _) => text.push(byte),
                        (_, _, Some(c)) => {
                            text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                        }
                        _ => return None,
                    }
                } else {
                    text.push(match escape {
                        b'a' => 0x07,
                        b'b' => 0x08,
                        b'f' => 0x0c,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'v' => 0x0b,
                        other => other,
                    });
                }
            }
            _ => text.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(line: &str) -> Header<'_> {
        parse(line.as_bytes()).unwrap().unwrap()
    }

    fn pairs(written: &str) -> Vec<(String, String)> {
        let (mut text, mut found) = (Vec::new(), Vec::new());
        labels(written.as_bytes(), &mut text, &mut found);
        let show = |range: Range<usize>| String::from_utf8_lossy(&text[range]).into_owned();
        found
            .into_iter()
            .map(|(key, value)| (show(key), show(value)))
            .collect()
    }

    #[test]
    fn every_form_of_header() {
        let check = |line: &str,
                     id: u64,
                     reason: &str,
                     minutes: Option<u64>,
                     leaked: bool,
                     labels: &str| {
            let expected = Header {
                id,
                wait_reason: reason.as_bytes(),
                minutes,
                leaked,
                labels: labels.as_bytes(),
            };
            assert_eq!(header(line), expected, "{line}");
        };
        check("goroutine 1 [running]:", 1, "running", None, false, "");
        check(
            "goroutine 42 [chan receive, 7 minutes, locked to thread]:",
            42,
            "chan receive",
            Some(7),
            false,
            "",
        );
        check(
            "goroutine 7 [chan receive (nil chan) (leaked)]:",
            7,
            "chan receive (nil chan)",
            None,
            true,
            "",
        );
        check(
            "goroutine 7 [select (no cases), 3 minutes]:",
            7,
            "select (no cases)",
            Some(3),
            false,
            "",
        );
        check(
            "goroutine 7 [GC worker (idle) (scan), 2 minutes]:",
            7,
            "GC worker (idle)",
            Some(2),
            false,
            "",
        );
        check(
            "goroutine 7 [chan send (durable), synctest bubble 3]:",
            7,
            "chan send",
            None,
            false,
            "",
        );
        check(
            "goroutine 7 [chan send (leaked) (scan)]:",
            7,
            "chan send",
            None,
            true,
            "",
        );
        check(
            "goroutine 7 gp=0xc0000061c0 m=3 mp=0xc000080008 [running]:",
            7,
            "running",
            None,
            false,
            "",
        );
        check(
            "goroutine 7 gp=0xc0000061c0 m=nil [IO wait]:",
            7,
            "IO wait",
            None,
            false,
            "",
        );
        check(
            "goroutine 7 [select labels:{\"k\": \"a]: }\", \"b\": \"\"}]:",
            7,
            "select",
            None,
            false,
            "\"k\": \"a]: }\", \"b\": \"\"",
        );
        check(
            "goroutine 7 [select, 2 minutes] {k: v, e: }:",
            7,
            "select",
            Some(2),
            false,
            "k: v, e: ",
        );
        check(
            "goroutine 7 [select] {\"k]: {\": \"a}:\"}:",
            7,
            "select",
            None,
            false,
            "\"k]: {\": \"a}:\"",
        );
        check(
            "goroutine 7 [select, of some later, 9 minutes]:",
            7,
            "select",
            Some(9),
            false,
            "",
        );
        check(
            "goroutine 18446744073709551615 []:",
            u64::MAX,
            "",
            None,
            false,
            "",
        );
    }

    #[test]
    fn lines_that_are_no_header_or_a_broken_one() {
        for line in [
            "",
            "goroutine",
            "goroutine x [running]:",
            "goroutine 1",
            "goroutine 1 exited",
            "goroutines 1 [x]:",
            "goroutine 18446744073709551616 [x]:",
            "goroutine profile: total 5",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
        for line in [
            "goroutine 1 [running",
            "goroutine 1 [running]",
            "goroutine 1 [running] {k: v",
            "goroutine 1 [x labels:{]:",
            "goroutine 1 [running]: trailing",
        ] {
            assert_eq!(parse(line.as_bytes()), Some(Err(())), "{line}");
        }
    }

    #[test]
    fn labels_are_unescaped() {
        let check = |written: &str, expected: &[(&str, &str)]| {
            let expected: Vec<_> = expected
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(pairs(written), expected, "{written}");
        };
        check("", &[]);
        check("k: v", &[("k", "v")]);
        check("k: , b: c", &[("k", ""), ("b", "c")]);
        check("k: ", &[("k", "")]);
        check(
            r#"key: v, "key with space": "a b""#,
            &[("key", "v"), ("key with space", "a b")],
        );
        check(
            r#""k": "q\"\\ \n\t", "e": """#,
            &[("k", "q\"\\ \n\t"), ("e", "")],
        );
        check(r#""k": "\u00e9\x41\U0001f600""#, &[("k", "éA😀")]);
        check(r#"a: b, "unclosed"#, &[("a", "b")]);
        check(r#"a: b, "bad\u12": c"#, &[("a", "b")]);
    }
}
