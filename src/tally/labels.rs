//! Goroutines by the value of a pprof label.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::classify::names;

/// The most values of one pprof label kept apart; the rest is value `other`.
pub(super) const MAX_LABEL_VALUES: usize = 20;
/// How many bytes of a label's value are looked at. A protobuf may refer to one huge string from every goroutine.
const MAX_LABEL_BYTES: usize = 512;

/// How many goroutines have which value of a label. Values are kept as they were written and made fit to be shown once
/// in the end: a profile may name a long one hundreds of times in each sample.
#[derive(Clone, Debug, Default)]
pub(super) struct LabelValues {
    known: BTreeMap<Box<[u8]>, u64>,
    other: u64,
}

impl LabelValues {
    /// Counts goroutines with this value.
    pub(super) fn add(&mut self, value: &[u8], count: u64) {
        let value = value.get(..MAX_LABEL_BYTES).unwrap_or(value);
        let full = self.known.len() >= MAX_LABEL_VALUES;
        let known = match self.known.get_mut(value) {
            Some(known) => known,
            None if full => &mut self.other,
            None => self.known.entry(value.into()).or_default(),
        };
        *known = known.saturating_add(count);
    }

    /// The values as they are shown, where several may look the same; the rest as `other`.
    pub(super) fn named(&self) -> BTreeMap<Arc<str>, u64> {
        let rest = Some(self.other).filter(|&rest| rest > 0);
        let all = self.known.iter().map(|(value, &count)| (&**value, count));
        let mut named: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for (value, count) in all.chain(rest.map(|rest| (&b"other"[..], rest))) {
            let known = named.entry(names::shown(value).into()).or_default();
            *known = known.saturating_add(count);
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_made_fit_to_be_shown_and_what_looks_the_same_is_one() {
        let mut values = LabelValues::default();
        for (value, count) in [(&b"a\0"[..], 1), (b"a\x1b", 2), (b"b", 4), (b"caf\xe9", 8)] {
            values.add(value, count);
        }
        let named = values.named();
        let expected = [("a\u{fffd}", 3), ("b", 4), ("caf\u{fffd}", 8)];
        assert!(
            named
                .iter()
                .map(|(value, count)| (&**value, *count))
                .eq(expected),
            "{named:?}"
        );
    }

    #[test]
    fn the_rest_is_other_and_none_is_lost() {
        let mut values = LabelValues::default();
        values.add(b"other", 1);
        for number in 0..100 {
            values.add(format!("v{number}").as_bytes(), 10);
        }
        values.add(b"v0", 5);
        let named = values.named();
        assert_eq!(named.len(), MAX_LABEL_VALUES);
        assert_eq!(named.get("v0"), Some(&15));
        assert_eq!(named.get("other"), Some(&811));
        assert_eq!(named.values().sum::<u64>(), 1_006);
    }
}
