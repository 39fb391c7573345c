//! Durations and sizes as people write them in the configuration and in flags, and back to text.
//!
//! Durations are those of Prometheus (`model.ParseDuration` in prometheus/common): whole numbers with the units
//! y, w, d, h, m, s and ms, largest first, each at most once. Sizes are whole bytes or a whole number of KiB,
//! MiB or GiB. This module refuses fractions, spaces and powers of ten, which people read in more ways than one.

use std::fmt;
use std::time::Duration;

/// Milliseconds of each unit, largest first, in the words of Prometheus: a year has 365 days.
const DURATION_UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Bytes of each unit, largest first.
const SIZE_UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Reads a duration such as `10s`, `1m30s` or `500ms`; `None` when it is not one.
///
/// A number without unit is none, except `0`. More than fits 64 bits of milliseconds is none either.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut units = DURATION_UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let unit_len = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, next) = after.split_at_checked(unit_len)?;
        // The iterator only moves forward, so units that repeat or come out of order are not found.
        let (_, millis) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(*millis)?)?;
        rest = next;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

/// Reads a size such as `16MiB`, `64KiB` or `4096`, in bytes; `None` when it is not one.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text)?;
    if unit.is_empty() {
        return Some(number);
    }
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*bytes)
}

/// Prints a duration the way [`parse_duration`] reads it: `1m30s`. What is below a millisecond is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationText(pub Duration);

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, millis) in DURATION_UNITS {
            // Years and weeks are read, but days are what people compare.
            if matches!(unit, "y" | "w") || rest < millis {
                continue;
            }
            write!(f, "{}{unit}", rest / millis)?;
            rest %= millis;
        }
        Ok(())
    }
}

/// Prints a size the way [`parse_size`] reads it, in the largest unit that divides it: `16MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeText(pub u64);

impl fmt::Display for SizeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, bytes): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*bytes);
        match SIZE_UNITS.iter().find(whole) {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Splits `16MiB` into 16 and `MiB`. No sign, no point, and not more than 64 bits.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_prometheus() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(
                parse_duration(text),
                millis.map(Duration::from_millis),
                "{text:?}"
            );
        };
        check("0", Some(0));
        check("0s", Some(0));
        check("500ms", Some(500));
        check("10s", Some(10_000));
        check("1m30s", Some(90_000));
        check("1h", Some(3_600_000));
        check("30d", Some(30 * 86_400_000));
        check("1y2w3d4h5m6s7ms", Some(33_019_506_007));
        check("90s", Some(90_000));
        check("", None);
        check("10", None);
        check("0.5", None);
        check("0.5s", None);
        check("-1s", None);
        check("+1s", None);
        check("s", None);
        check("10 s", None);
        check("10S", None);
        check("1s1m", None);
        check("1s1s", None);
        check("10sec", None);
        check("1µs", None);
        check("99999999999999999999s", None);
        check("18446744073709551615s", None);
    }

    #[test]
    fn sizes_are_whole_and_binary() {
        let check =
            |text: &str, bytes: Option<u64>| assert_eq!(parse_size(text), bytes, "{text:?}");
        check("0", Some(0));
        check("4096", Some(4096));
        check("64KiB", Some(65_536));
        check("16MiB", Some(16 << 20));
        check("1GiB", Some(1 << 30));
        check("", None);
        check("MiB", None);
        check("16 MiB", None);
        check("16MB", None);
        check("16M", None);
        check("16mib", None);
        check("1.5GiB", None);
        check("-1", None);
        check("17179869184GiB", None);
    }

    #[test]
    fn what_is_printed_reads_back() {
        let duration = |millis: u64, text: &str| {
            let value = Duration::from_millis(millis);
            assert_eq!(DurationText(value).to_string(), text);
            assert_eq!(parse_duration(text), Some(value));
        };
        duration(0, "0s");
        duration(500, "500ms");
        duration(10_000, "10s");
        duration(90_000, "1m30s");
        duration(3_600_000, "1h");
        duration(400 * 86_400_000, "400d");
        duration(86_400_000 + 1, "1d1ms");
        let size = |bytes: u64, text: &str| {
            assert_eq!(SizeText(bytes).to_string(), text);
            assert_eq!(parse_size(text), Some(bytes));
        };
        size(0, "0");
        size(1000, "1000");
        size(1024, "1KiB");
        size(16 << 20, "16MiB");
        size((1 << 30) + 1024, "1048577KiB");
        size(2 << 30, "2GiB");
    }
}
