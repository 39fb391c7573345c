//! Collects samples by metric, so that each family is written once however many targets it comes from, and
//! writes the text format. It refuses to know what the numbers mean.

use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::proto;

use super::metrics::{ALL, Kind, Metric};

/// Label names with their values, put before a metric's own.
pub type ExtraLabels = [(String, String)];

/// The exposition could not be written; this is a fault of the program's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the exposition could not be written: {problem}")]
pub struct ExposeError {
    /// What the encoder says.
    problem: String,
}

/// Samples by metric, in the order of [`ALL`].
#[derive(Clone, Debug, Default)]
pub(super) struct Families {
    families: BTreeMap<usize, (Metric, Vec<proto::Metric>)>,
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
        let extra = extra
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        // A configured label never replaces one of ours: two series could become the same.
        let extra = extra.filter(|(name, _)| !metric.labels.contains(name));
        let own = metric.labels.iter().copied().zip(values.iter().copied());
        let mut sample = proto::Metric::default();
        sample.set_label(
            extra
                .chain(own)
                .map(|(name, value)| pair(name, value))
                .collect(),
        );
        if metric.kind == Kind::Counter {
            let mut counter = proto::Counter::default();
            counter.set_value(number);
            sample.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(number);
            sample.set_gauge(gauge);
        }
        let rank = ALL
            .iter()
            .position(|m| m.name == metric.name)
            .unwrap_or(ALL.len());
        self.families
            .entry(rank)
            .or_insert((metric, Vec::new()))
            .1
            .push(sample);
    }

    /// The text format, families in the order of [`ALL`], samples in the order they were added. A family
    /// without samples is left out, as the format has no way to write it.
    pub(super) fn render(self) -> Result<String, ExposeError> {
        let families: Vec<_> = self
            .families
            .into_values()
            .filter(|(_, samples)| !samples.is_empty())
            .map(|(metric, samples)| {
                let mut family = proto::MetricFamily::default();
                family.set_name(metric.name.to_owned());
                family.set_help(metric.help.to_owned());
                family.set_field_type(match metric.kind {
                    Kind::Counter => proto::MetricType::COUNTER,
                    // No metric of a target is a histogram; a test holds that.
                    Kind::Gauge | Kind::Histogram => proto::MetricType::GAUGE,
                });
                *family.mut_metric() = samples;
                family
            })
            .collect();
        TextEncoder::new()
            .encode_to_string(&families)
            .map_err(|problem| ExposeError {
                problem: problem.to_string(),
            })
    }
}

fn pair(name: &str, value: &str) -> proto::LabelPair {
    let mut pair = proto::LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
