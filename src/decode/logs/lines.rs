//! Bytes in pieces of any size, handed on line by line: UTF-8 as it is, UTF-16 (PowerShell's redirections) made UTF-8.

use memchr::memchr;

/// The longest line that is kept, 8 MiB: a whole dump of some ten thousand goroutines in one field of JSON. Of a longer
/// one the beginning is read.
pub(super) const LINE_BYTES: usize = 8 << 20;

/// How a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With a line end.
    Whole,
    /// Where the text does.
    Text,
    /// At the longest length allowed; the rest of it was dropped.
    Dropped,
}

/// Cuts pieces into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    held: Vec<u8>,
    /// Whether the line being read is too long and being skipped.
    skipping: bool,
    utf16: Option<Utf16>,
}

impl Lines {
    /// For a text that begins with a byte order mark of UTF-16, which is no part of what is pushed.
    pub(super) fn utf16(big_endian: bool) -> Self {
        Self {
            utf16: Some(Utf16 {
                big_endian,
                held: Vec::new(),
            }),
            ..Self::default()
        }
    }

    /// Takes a piece and hands on the lines that end in it, without their ends.
    pub(super) fn push(&mut self, piece: &[u8], mut take: impl FnMut(&[u8], End)) {
        if let Some(utf16) = &mut self.utf16 {
            let text = utf16.text(piece);
            self.cut(text.as_bytes(), &mut take);
        } else {
            self.cut(piece, &mut take);
        }
    }

    fn cut(&mut self, piece: &[u8], take: &mut impl FnMut(&[u8], End)) {
        let mut rest = piece;
        while let Some(at) = memchr(b'\n', rest) {
            let line = rest.get(..at).unwrap_or_default();
            rest = rest.get(at + 1..).unwrap_or_default();
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if self.held.is_empty() && line.len() <= LINE_BYTES {
                take(without_return(line), End::Whole);
            } else if self.hold(line, take) {
                take(without_return(&self.held), End::Whole);
                self.held.clear();
            } else {
                self.skipping = false;
            }
        }
        if !self.skipping {
            self.hold(rest, take);
        }
    }

    /// Adds to the line that is held; false when it became too long and was handed on.
    fn hold(&mut self, part: &[u8], take: &mut impl FnMut(&[u8], End)) -> bool {
        let room = LINE_BYTES - self.held.len();
        self.held
            .extend_from_slice(part.get(..room).unwrap_or(part));
        if part.len() <= room {
            return true;
        }
        take(&self.held, End::Dropped);
        self.held = Vec::new();
        self.skipping = true;
        false
    }

    /// Hands on what is left.
    pub(super) fn finish(&mut self, mut take: impl FnMut(&[u8], End)) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            take(&held, End::Text);
        }
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What is left over of UTF-16 between pieces: half a unit, or half a pair.
#[derive(Debug)]
struct Utf16 {
    big_endian: bool,
    held: Vec<u8>,
}

impl Utf16 {
    fn text(&mut self, piece: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(piece);
        let unit = |pair: &[u8]| {
            let pair = <[u8; 2]>::try_from(pair).unwrap_or_default();
            if self.big_endian {
                u16::from_be_bytes(pair)
            } else {
                u16::from_le_bytes(pair)
            }
        };
        let mut whole = bytes.len() - bytes.len() % 2;
        if let Some(last) = whole.checked_sub(2).and_then(|at| bytes.get(at..whole))
            && (0xd800..0xdc00).contains(&unit(last))
        {
            whole -= 2;
        }
        let units = bytes.get(..whole).unwrap_or_default().chunks_exact(2);
        let text = char::decode_utf16(units.map(unit))
            .map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        self.held = bytes.split_off(whole);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut lines: Lines, text: &[u8], size: usize) -> Vec<(String, End)> {
        let mut found = Vec::new();
        let mut take = |line: &[u8], end| {
            found.push((String::from_utf8_lossy(line).into_owned(), end));
        };
        for piece in text.chunks(size) {
            lines.push(piece, &mut take);
        }
        lines.finish(&mut take);
        found
    }

    #[test]
    fn lines_come_out_whatever_the_pieces() {
        let text = b"a\r\n\nb\r\r\nc";
        let expected = [
            ("a", End::Whole),
            ("", End::Whole),
            ("b\r", End::Whole),
            ("c", End::Text),
        ]
        .map(|(line, end)| (line.to_owned(), end));
        for size in 1..12 {
            assert_eq!(lines(Lines::default(), text, size), expected, "{size}");
        }
    }

    #[test]
    fn of_a_line_that_is_too_long_the_beginning_is_read() {
        for length in [LINE_BYTES, LINE_BYTES + 1, 3 * LINE_BYTES] {
            let text = [&b"x".repeat(length)[..], b"\ny\n"].concat();
            for size in [1 << 16, text.len()] {
                let found = lines(Lines::default(), &text, size);
                let kept = length.min(LINE_BYTES);
                let end = if length > LINE_BYTES {
                    End::Dropped
                } else {
                    End::Whole
                };
                let found: Vec<_> = found.iter().map(|(line, end)| (line.len(), *end)).collect();
                assert_eq!(found, [(kept, end), (1, End::Whole)]);
            }
        }
    }

    #[test]
    fn utf16_in_both_orders_and_pieces() {
        let text = "é1\n😀\nend";
        for big_endian in [false, true] {
            let bytes: Vec<u8> = text
                .encode_utf16()
                .flat_map(|unit| {
                    if big_endian {
                        unit.to_be_bytes()
                    } else {
                        unit.to_le_bytes()
                    }
                })
                .collect();
            for size in 1..8 {
                let found = lines(Lines::utf16(big_endian), &bytes, size);
                let found: Vec<_> = found.iter().map(|(line, _)| line.as_str()).collect();
                assert_eq!(found, ["é1", "😀", "end"]);
            }
        }
    }
}
