//! Shares, differences and waits, short enough for a terminal.

use std::time::Duration;

use crate::numbers::grouped;

/// A share in percent, rounded, with one digit behind the point below ten; 100% only for all.
pub(in crate::commands) fn share(part: u64, total: u64) -> String {
    let (part, total) = (u128::from(part), u128::from(total.max(1)));
    let tenths = (part * 1000 + total / 2) / total;
    match tenths {
        0..100 => format!("{}.{}%", tenths / 10, tenths % 10),
        _ if part < total => format!("{}%", ((tenths + 5) / 10).min(99)),
        _ => "100%".to_owned(),
    }
}

/// The difference of two counts: `+1,204`, `-7`, and nothing for none.
pub(in crate::commands) fn change(before: u64, after: u64) -> String {
    match before.abs_diff(after) {
        0 => String::new(),
        more if after > before => format!("+{}", grouped(more)),
        less => format!("-{}", grouped(less)),
    }
}

/// Whole minutes as a person says them: `7m`, `3h20m`, `2d4h`.
pub(in crate::commands) fn age(wait: Duration) -> String {
    let minutes = wait.as_secs() / 60;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, 0) => format!("{hours}h"),
        (0, hours, minutes) => format!("{hours}h{minutes}m"),
        (days, 0, _) => format!("{days}d"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

/// Nanoseconds with three digits that count: `512ns`, `4.98ms`, `83,100s`.
pub(in crate::commands) fn span(nanoseconds: u64) -> String {
    let (unit, name) = match nanoseconds {
        0..1_000 => return format!("{nanoseconds}ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let parts = |of: u128| (u128::from(nanoseconds) * of + unit / 2) / unit;
    match parts(100) {
        hundredths @ 0..1000 => format!("{}.{:02}{name}", hundredths / 100, hundredths % 100),
        _ => match parts(10) {
            tenths @ 0..1000 => format!("{}.{}{name}", tenths / 10, tenths % 10),
            _ => format!(
                "{}{name}",
                grouped(u64::try_from(parts(1)).unwrap_or(u64::MAX))
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(share(1, 1000), "0.1%");
        assert_eq!(share(108, 831), "13%");
        assert_eq!(share(9_999, 10_000), "99%");
        assert_eq!(share(5, 5), "100%");
        assert_eq!(age(Duration::from_secs(420)), "7m");
        assert_eq!(age(Duration::from_secs(3600)), "1h");
        assert_eq!(age(Duration::from_secs(12_000)), "3h20m");
        assert_eq!(age(Duration::from_secs(187_200)), "2d4h");
        for (nanoseconds, expected) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_000, "1.00µs"),
            (4_981_440, "4.98ms"),
            (9_996_000, "10.0ms"),
            (99_960_000, "100ms"),
            (200_123_456, "200ms"),
            (1_500_000_000, "1.50s"),
            (83_100_400_000_000, "83,100s"),
            (u64::MAX, "18,446,744,074s"),
        ] {
            assert_eq!(span(nanoseconds), expected);
        }
        assert_eq!(change(5, 1209), "+1,204");
        assert_eq!(change(9, 2), "-7");
        assert_eq!(change(9, 9), "");
        assert_eq!(change(0, u64::MAX), "+18,446,744,073,709,551,615");
    }
}
