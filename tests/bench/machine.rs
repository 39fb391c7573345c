//! What reports of benchmarks say of the machine they ran on, and how they write numbers.

use std::fs;

/// How many programs want the processor: the average of the last minute.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().map_or_else(unknown, trimmed)
}

/// The value of the first line with this key.
pub(crate) fn line_of(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(trimmed(line.split_once(':')?.1))
}

/// What the processor is called.
pub(crate) fn processor() -> String {
    line_of("/proc/cpuinfo", "model name").unwrap_or_else(unknown)
}

/// Digits in groups of three.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(crate) fn trimmed(text: impl AsRef<str>) -> String {
    text.as_ref().trim().to_owned()
}

pub(crate) fn unknown() -> String {
    "unknown".to_owned()
}
