//! Shares, times and hostile text as people read them.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};

use crate::numbers::grouped;

/// Characters of one text that are shown, at most: more than any name the exporter keeps.
const MAX_CHARS: usize = 2_048;

/// A text from elsewhere with every character visible: controls, and what turns or hides the text around it, are shown
/// as the replacement character.
pub(super) fn plain(text: &str) -> String {
    text.chars().take(MAX_CHARS).map(visible).collect()
}

/// A character, or what is shown in its place.
pub(super) fn visible(c: char) -> char {
    let hidden = c.is_control()
        || matches!(c,
                '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    if hidden {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

/// A share in percent, with one digit behind the point below ten; 100 only for all of it.
pub(super) fn share(part: u64, total: u64) -> String {
    let tenths = permille(part, total);
    match tenths {
        0 if part > 0 => "<0.1 %".to_owned(),
        0..100 => format!("{}.{} %", tenths / 10, tenths % 10),
        _ if part < total => format!("{} %", ((tenths + 5) / 10).min(99)),
        _ => "100 %".to_owned(),
    }
}

/// A share in thousandths, rounded.
fn permille(part: u64, total: u64) -> u128 {
    let (part, total) = (u128::from(part), u128::from(total.max(1)));
    (part * 1000 + total / 2) / total
}

/// A share as a bar. The number stands beside it, so the bar is for the eye alone.
pub(super) fn bar(part: u64, total: u64) -> Markup {
    let tenths = permille(part, total).min(1000);
    html! {
        svg.bar aria-hidden="true" width="100%" height="8" preserveAspectRatio="none" {
            rect.all width="100%" height="8" {}
            rect.part width={ (tenths / 10) "." (tenths % 10) "%" } height="8" {}
        }
    }
}

/// How much more or less, with its sign.
pub(super) fn change(before: u64, after: u64) -> String {
    match after.cmp(&before) {
        std::cmp::Ordering::Equal => "±0".to_owned(),
        std::cmp::Ordering::Greater => format!("+{}", grouped(after - before)),
        // The true minus sign, as wide as the plus.
        std::cmp::Ordering::Less => format!("\u{2212}{}", grouped(before - after)),
    }
}

/// An age in the largest unit that fits: people ask for now or long ago, not for the second.
pub(super) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0 => "less than a second".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Whole minutes as a person says them: `7 min`, `3 h 20 min`, `2 d 4 h`.
pub(super) fn wait(wait: Duration) -> String {
    let minutes = wait.as_secs() / 60;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// How long ago something was; the moment itself on request.
pub(super) fn ago(at: SystemTime, now: SystemTime) -> Markup {
    let moment = moment(at);
    let ago = now.duration_since(at).unwrap_or(Duration::ZERO);
    html! {
        time datetime=(moment) title=(moment) {
            @if ago.as_secs() == 0 { "just now" } @else { (age(ago)) " ago" }
        }
    }
}

/// A moment of the years that print with four digits.
pub(super) fn moment(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

/// Bytes in the unit that suits.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes.div_ceil(1_048_576)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let check = |part, total, expected: &str| {
            assert_eq!(share(part, total), expected, "{part}/{total}");
        };
        check(0, 0, "0.0 %");
        check(1, 1000, "0.1 %");
        check(1, 100_000, "<0.1 %");
        check(108, 831, "13 %");
        check(9_999, 10_000, "99 %");
        check(5, 5, "100 %");
        check(u64::MAX, u64::MAX, "100 %");
        assert_eq!(change(5, 5), "±0");
        assert_eq!(change(5, 1005), "+1,000");
        assert_eq!(change(1005, 5), "−1,000");
    }

    #[test]
    fn times_and_sizes() {
        let check =
            |seconds: u64, expected: &str| assert_eq!(age(Duration::from_secs(seconds)), expected);
        check(0, "less than a second");
        check(59, "59 s");
        check(60, "1 min");
        check(3599, "59 min");
        check(3600, "1 h");
        check(86_400 * 3, "3 d");
        let check = |minutes: u64, expected: &str| {
            assert_eq!(wait(Duration::from_secs(minutes * 60)), expected);
        };
        check(7, "7 min");
        check(60, "1 h");
        check(200, "3 h 20 min");
        check(1440, "1 d");
        check(3120, "2 d 4 h");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1025), "2 KiB");
        assert_eq!(bytes(1 << 20), "1 MiB");
    }

    #[test]
    fn nothing_hides_in_a_text() {
        assert_eq!(plain("main.(*T).f[...]"), "main.(*T).f[...]");
        assert_eq!(
            plain("a\u{202e}b\u{7}c\u{200b}\u{1b}[2J"),
            "a\u{fffd}b\u{fffd}c\u{fffd}\u{fffd}[2J"
        );
        assert_eq!(plain("שלום"), "שלום");
        assert_eq!(plain(&"x".repeat(1 << 20)).len(), MAX_CHARS);
    }

    #[test]
    fn a_bar_needs_no_style() {
        let text = bar(1, 3).into_string();
        assert!(
            text.contains(r#"width="33.3%""#) && !text.contains("style"),
            "{text}"
        );
    }
}
