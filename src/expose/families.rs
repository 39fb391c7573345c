//! Collects samples by metric, so that each family is written once however many targets it comes from, and
//! writes the text format. It refuses to know what the numbers mean.
//!
//! Samples are written as they come: one line each, in the text of their family. The format is that of Prometheus,
//! `docs/instrumenting/exposition_formats.md`, version 0.0.4.

use std::fmt::Write as _;

use super::metrics::{ALL, Kind, Metric};

/// Bytes of a sample that names functions; most have fewer.
const SAMPLE_BYTES: usize = 256;

/// Label names with their values, put before a metric's own.
pub type ExtraLabels = [(String, String)];

/// Samples by metric.
#[derive(Clone, Debug, Default)]
pub(super) struct Families {
    families: Vec<Family>,
}

#[derive(Clone, Debug)]
struct Family {
    metric: Metric,
    /// Its samples, a line each.
    samples: String,
}

impl Families {
    /// Adds a sample of `metric`: `extra` labels first, then its own with `values` in their order. Cost: the bytes
    /// written.
    pub(super) fn add(
        &mut self,
        extra: &ExtraLabels,
        metric: Metric,
        values: &[&str],
        number: f64,
    ) {
        debug_assert_eq!(
            values.len(),
            metric.labels.len(),
            "labels of {}",
            metric.name
        );
        let extra = extra
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        // A configured label never replaces one of ours: two series could become the same.
        let extra = extra.filter(|(name, _)| !metric.labels.contains(name));
        let own = metric.labels.iter().copied().zip(values.iter().copied());
        let Some(Family { samples: out, .. }) = self.family(metric) else {
            return;
        };
        out.push_str(metric.name);
        let mut separator = '{';
        for (name, value) in extra.chain(own) {
            out.push(separator);
            separator = ',';
            out.push_str(name);
            out.push_str("=\"");
            escape(value, true, out);
            out.push('"');
        }
        out.push_str(if separator == ',' { "} " } else { " " });
        write_number(number, out);
        out.push('\n');
    }

    /// Makes room for so many samples of a metric: text that grows is copied each time.
    pub(super) fn expect(&mut self, metric: Metric, samples: usize) {
        if let Some(family) = self.family(metric) {
            family.samples.reserve(samples.saturating_mul(SAMPLE_BYTES));
        }
    }

    /// The family of a metric, which is there from now on.
    fn family(&mut self, metric: Metric) -> Option<&mut Family> {
        if self.families.is_empty() {
            self.families.reserve(ALL.len());
        }
        let known = |family: &Family| family.metric.name == metric.name;
        let at = self.families.iter().position(known).unwrap_or_else(|| {
            let samples = String::new();
            self.families.push(Family { metric, samples });
            self.families.len() - 1
        });
        self.families.get_mut(at)
    }

    /// The text format, families in the order of [`ALL`], samples in the order they were added. A family
    /// without samples is left out, as the format has no way to write it.
    pub(super) fn render(mut self) -> String {
        let rank = |family: &Family| ALL.iter().position(|m| m.name == family.metric.name);
        self.families.sort_by_key(rank);
        let length = |family: &Family| {
            let Metric { name, help, .. } = family.metric;
            2 * name.len() + help.len() + family.samples.len() + 40
        };
        let mut out = String::with_capacity(self.families.iter().map(length).sum());
        for family in self
            .families
            .iter()
            .filter(|family| !family.samples.is_empty())
        {
            let Metric {
                name, kind, help, ..
            } = family.metric;
            for part in ["# HELP ", name, " "] {
                out.push_str(part);
            }
            escape(help, false, &mut out);
            for part in ["\n# TYPE ", name] {
                out.push_str(part);
            }
            out.push_str(match kind {
                Kind::Counter => " counter\n",
                // No metric of a target is a histogram; a test holds that.
                Kind::Gauge | Kind::Histogram => " gauge\n",
            });
            out.push_str(&family.samples);
        }
        out
    }
}

/// Writes text with what would end it escaped.
fn escape(text: &str, quoted: bool, out: &mut String) {
    let mut rest = text;
    let special = |byte: &u8| matches!(byte, b'\\' | b'\n') || (quoted && *byte == b'"');
    while let Some((plain, after)) = rest
        .as_bytes()
        .iter()
        .position(special)
        .and_then(|at| rest.split_at_checked(at))
    {
        out.push_str(plain);
        let mut characters = after.chars();
        out.push_str(match characters.next() {
            Some('\\') => "\\\\",
            Some('\n') => "\\n",
            _ => "\\\"",
        });
        rest = characters.as_str();
    }
    out.push_str(rest);
}

/// Writes a number as Go's `strconv.ParseFloat` reads it.
fn write_number(number: f64, out: &mut String) {
    // Whole numbers, which most are, are written as such; the others with the fewest digits that read back as the same.
    let written = if number.is_infinite() {
        out.push_str(if number > 0.0 { "+Inf" } else { "-Inf" });
        Ok(())
    } else {
        write!(out, "{number}")
    };
    debug_assert!(written.is_ok(), "a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_value_is_escaped() {
        let check = |text: &str, quoted: bool, expected: &str| {
            let mut out = String::new();
            escape(text, quoted, &mut out);
            assert_eq!(out, expected);
        };
        check("", true, "");
        check("main.(*T).run", true, "main.(*T).run");
        check("a\\b\"c\nd", true, "a\\\\b\\\"c\\nd");
        check("\n\n\"", true, "\\n\\n\\\"");
        check("é\"ü\\", true, "é\\\"ü\\\\");
        check("a\\b\"c\nd", false, "a\\\\b\"c\\nd");
    }

    #[test]
    fn a_family_without_samples_is_left_out() {
        let mut families = Families::default();
        families.expect(crate::expose::metrics::GROUP_INFO, 0);
        assert_eq!(families.render(), "");
    }

    #[test]
    fn numbers_read_back_as_the_same() {
        let check = |number: f64, expected: &str| {
            let mut out = String::new();
            write_number(number, &mut out);
            assert_eq!(out, expected);
        };
        check(0.0, "0");
        check(47_000.0, "47000");
        check(0.1, "0.1");
        check(1e-9, "0.000000001");
        check(1_764_355_315.25, "1764355315.25");
        check(f64::INFINITY, "+Inf");
        check(f64::NEG_INFINITY, "-Inf");
        check(f64::NAN, "NaN");
    }
}
