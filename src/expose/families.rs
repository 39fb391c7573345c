//! Collects samples by metric, so that each family is written once however many targets it comes from, in the text
//! format. It refuses to know what the numbers mean.
//!
//! Source of the format: <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::metrics::{ALL, Kind, Metric};

/// Label names with their values, put before a metric's own.
pub type ExtraLabels = [(String, String)];

/// The exposition could not be written; this is a fault of the program's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the exposition could not be written: a number has no text")]
pub struct ExposeError;

/// The text of each family with samples, in the order of [`ALL`]; the format has no way to write one without.
#[derive(Clone, Debug, Default)]
pub(super) struct Families {
    texts: BTreeMap<usize, String>,
    /// The rank of the family written to last: the next sample is most often one of the same.
    last: usize,
    failed: bool,
}

impl Families {
    /// Adds a sample of `metric`: `extra` labels first, then its own with `values` in their order.
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
        let text = self.family(metric);
        text.push_str(metric.name);
        let extra = extra
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        // A configured label never replaces one of ours: two series could become the same.
        let extra = extra.filter(|(name, _)| !metric.labels.contains(name));
        let own = metric.labels.iter().copied().zip(values.iter().copied());
        let mut before = '{';
        for (name, value) in extra.chain(own) {
            text.push(before);
            text.push_str(name);
            text.push_str("=\"");
            escape(text, value, true);
            text.push('"');
            before = ',';
        }
        if before == ',' {
            text.push('}');
        }
        self.failed |= writeln!(text, " {number}").is_err();
    }

    /// The text format, families in the order of [`ALL`], samples in the order they were added.
    pub(super) fn render(self) -> Result<String, ExposeError> {
        if self.failed {
            return Err(ExposeError);
        }
        Ok(self.texts.into_values().collect())
    }

    /// The text of the family of `metric`, which begins with what is to be known of it.
    fn family(&mut self, metric: Metric) -> &mut String {
        let is_this = |other: &Metric| other.name == metric.name;
        if !ALL.get(self.last).is_some_and(is_this) {
            self.last = ALL.iter().position(is_this).unwrap_or(ALL.len());
        }
        self.texts.entry(self.last).or_insert_with(|| {
            let mut text = String::from("# HELP ");
            text.push_str(metric.name);
            text.push(' ');
            escape(&mut text, metric.help, false);
            text.push_str("\n# TYPE ");
            text.push_str(metric.name);
            text.push_str(match metric.kind {
                Kind::Counter => " counter\n",
                // No metric of a target is a histogram; a test holds that.
                Kind::Gauge | Kind::Histogram => " gauge\n",
            });
            text
        })
    }
}

/// Writes a label's value, or what is to be known of a metric, which may hold quotes as they are.
fn escape(text: &mut String, value: &str, quotes: bool) {
    let special = |c: char| matches!(c, '\\' | '\n') || (quotes && c == '"');
    let mut rest = value;
    while let Some((plain, from)) = rest.find(special).and_then(|at| rest.split_at_checked(at)) {
        let mut from = from.chars();
        text.push_str(plain);
        text.push('\\');
        text.extend(from.next().map(|c| if c == '\n' { 'n' } else { c }));
        rest = from.as_str();
    }
    text.push_str(rest);
}
