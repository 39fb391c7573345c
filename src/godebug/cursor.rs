//! Words and numbers as the runtime prints them, taken from the front of a line.

/// A line without its line end, and what is known of all of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    bytes: &'a [u8],
    /// Whether it is an object of JSON, as Docker writes: then a text ends before the line does.
    json: bool,
}

impl<'a> Line<'a> {
    /// Looks at all of the line, so that nothing that begins in it has to.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        #[cfg(test)]
        looks::add(bytes.len());
        let json = bytes.first() == Some(&b'{') && bytes.trim_ascii_end().last() == Some(&b'}');
        Self { bytes, json }
    }

    /// What is from `at` on. Cost: none of what is there.
    pub(super) fn cursor(self, at: usize) -> Option<Cursor<'a>> {
        Some(Cursor {
            rest: self.bytes.get(at..)?,
            json: self.json,
        })
    }
}

/// The rest of a line. What is taken is gone; a step that finds something else leaves the reading at an end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// As of its line.
    json: bool,
}

impl<'a> Cursor<'a> {
    /// Takes these bytes.
    pub(super) fn word(&mut self, word: &[u8]) -> Option<()> {
        #[cfg(test)]
        looks::add(word.len().min(self.rest.len()));
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    /// Takes them where they are there, and tells whether they were.
    pub(super) fn has(&mut self, word: &[u8]) -> bool {
        self.word(word).is_some()
    }

    /// Takes a number without leading zeros.
    pub(super) fn number(&mut self) -> Option<u64> {
        let digits = self.digits();
        if digits.is_empty() || (digits.len() > 1 && digits.starts_with(b"0")) {
            return None;
        }
        value(digits)
    }

    /// Takes seconds with three decimals; in milliseconds.
    pub(super) fn seconds(&mut self) -> Option<u64> {
        let whole = self.number()?;
        self.word(b".")?;
        let decimals = self.digits();
        if decimals.len() != 3 {
            return None;
        }
        whole.checked_mul(1000)?.checked_add(value(decimals)?)
    }

    /// Takes milliseconds as `fmtNSAsMS` writes them (two digits, at most three decimals, whole from 10 ms on); in
    /// microseconds.
    pub(super) fn milliseconds(&mut self) -> Option<u64> {
        let whole = self.number()?;
        if !self.has(b".") {
            let thousands = whole.checked_mul(1000);
            return thousands.filter(|_| whole == 0 || whole >= 10);
        }
        let decimals = self.digits();
        let fraction = value(decimals)?;
        match (whole, decimals.len()) {
            (0, 3) if (1..100).contains(&fraction) => Some(fraction),
            (0, 2) if fraction >= 10 => Some(fraction * 10),
            (1..=9, 1) => Some(whole * 1000 + fraction * 100),
            _ => None,
        }
    }

    /// Takes a number of MiB; in bytes.
    pub(super) fn mebibytes(&mut self) -> Option<u64> {
        self.number()?.checked_mul(1 << 20)
    }

    /// Takes letters, up to what is none.
    pub(super) fn letters(&mut self) -> &'a [u8] {
        self.take(u8::is_ascii_lowercase)
    }

    /// Whether nothing follows.
    pub(super) fn is_at_end(&self) -> bool {
        let ends: [&[u8]; 3] = [b"\"", b"\\n", b"\\r"];
        let in_json = || self.json && ends.iter().any(|end| self.rest.starts_with(end));
        matches!(self.rest, b"" | b"\r") || in_json()
    }

    fn digits(&mut self) -> &'a [u8] {
        self.take(u8::is_ascii_digit)
    }

    fn take(&mut self, wanted: impl Fn(&u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| !wanted(byte));
        let at = end.unwrap_or(self.rest.len());
        #[cfg(test)]
        looks::add(at);
        let (taken, rest) = self.rest.split_at_checked(at).unwrap_or((self.rest, b""));
        self.rest = rest;
        taken
    }
}

/// The value of digits; 0 of none.
fn value(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| {
        value
            .checked_mul(10)?
            .checked_add(u64::from(digit.wrapping_sub(b'0')))
    })
}

/// Bytes of lines that were looked at, for the test that bounds them.
#[cfg(test)]
pub(super) mod looks {
    use std::cell::Cell;

    thread_local! {
        static BYTES: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn add(bytes: usize) {
        BYTES.set(BYTES.get() + bytes);
    }

    /// Those since it was last asked.
    pub(in crate::godebug) fn take() -> usize {
        BYTES.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_what_the_runtime_prints_and_nothing_else() {
        // `fmtNSAsMS` of runtime/mgc.go.
        let printed = |nanoseconds: u64| {
            if nanoseconds >= 10_000_000 {
                return format!("{}", nanoseconds / 1_000_000);
            }
            let mut x = nanoseconds / 1000;
            if x == 0 {
                return "0".to_owned();
            }
            let mut decimals = 3_usize;
            while x >= 100 {
                x /= 10;
                decimals -= 1;
            }
            let digits = format!("{x:0width$}", width = decimals + 1);
            let (whole, fraction) = digits.split_at(digits.len() - decimals);
            format!("{whole}.{fraction}")
        };
        let read = |text: &str| {
            let mut cursor = Line::of(text.as_bytes()).cursor(0).unwrap();
            cursor.milliseconds().filter(|_| cursor.is_at_end())
        };
        for step in 0..30_000_u64 {
            let nanoseconds = step * step * 17;
            let text = printed(nanoseconds);
            let found = read(&text).unwrap_or_else(|| panic!("{nanoseconds}: {text}"));
            let microseconds = nanoseconds / 1000;
            assert!(found <= microseconds, "{text}");
            // Two digits are left, of what is below 10 ms.
            let lost = if nanoseconds < 10_000_000 {
                microseconds / 10
            } else {
                1000
            };
            assert!(microseconds - found <= lost, "{text}");
            assert!(printed(found * 1000) == text, "{text}");
        }
        for bad in [
            "",
            ".",
            "1",
            "9",
            "0.0",
            "0.00",
            "0.000",
            "0.1",
            "0.123",
            "0.100",
            "0.01",
            "1.23",
            "10.0",
            "01",
            "00",
            "1.",
            "-1",
            "1e3",
            "99999999999999999999",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_text_of_json_ends_where_its_quotes_do() {
        let check = |line: &str, expected: bool| {
            let at = line.find('P').unwrap() + 1;
            let cursor = Line::of(line.as_bytes()).cursor(at).unwrap();
            assert_eq!(cursor.is_at_end(), expected, "{line}");
        };
        check("2 P", true);
        check("2 P\r", true);
        check("2 P ", false);
        check("2 P\"", false);
        check("{2 P\"", false);
        check("{2 P\",1}", true);
        check("{2 P\\n\",1}\r", true);
        check("{2 P, 3}", false);
    }
}
