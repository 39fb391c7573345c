//! Figures as people read them.

use std::time::Duration;

/// The one in the middle; of two the lower.
pub(crate) fn median<T: Ord + Copy + Default>(figures: impl Iterator<Item = T>) -> T {
    let mut figures: Vec<T> = figures.collect();
    figures.sort();
    let middle = figures.get(figures.len().saturating_sub(1) / 2);
    middle.copied().unwrap_or_default()
}

pub(crate) fn met(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

pub(crate) fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1e-3 => format!("{:.0} µs", seconds * 1e6),
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s"),
    }
}

pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..1_000_000 => format!("{} kB", bytes / 1_000),
        1_000_000..20_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}
