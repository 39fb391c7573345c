//! Names of DNS: when each is to be asked for, and what its records last were.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use super::message::{MAX_RECORDS, Record};
use super::{Failure, Found, LookupError, Mechanism, Word};
use crate::config::{DnsSd, StaticTarget};
use crate::target::Target;

/// All names.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    sources: Vec<Source>,
}

/// An entry of `dns_sd_configs`, and what is known of its names.
#[derive(Clone, Debug)]
struct Source {
    spec: DnsSd,
    names: BTreeMap<String, Known>,
}

/// A name.
#[derive(Clone, Debug, Default)]
struct Known {
    asked: Option<Instant>,
    /// Whether the last question was answered; `None` before the first.
    good: Option<bool>,
    targets: Vec<Found>,
    invalid: usize,
    left_out: usize,
}

/// A name that is to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The entry it is of.
    pub spec: DnsSd,
    /// The name.
    pub name: String,
}

impl Names {
    pub(super) fn adopt(&mut self, specs: &[DnsSd]) {
        let mut old = std::mem::take(&mut self.sources);
        let keep = |spec: &DnsSd| {
            let known = old.iter().position(|source| source.spec == *spec);
            let mut source = known.map_or_else(
                || Source {
                    spec: spec.clone(),
                    names: spec
                        .names
                        .iter()
                        .map(|name| (name.clone(), Known::default()))
                        .collect(),
                },
                |at| old.swap_remove(at),
            );
            for name in source.names.values_mut() {
                name.asked = None;
            }
            source
        };
        self.sources = specs.iter().map(keep).collect();
    }

    pub(super) fn due(&mut self, now: Instant) -> Vec<Question> {
        let mut due = Vec::new();
        for source in &mut self.sources {
            for (name, known) in &mut source.names {
                let interval = source.spec.refresh_interval;
                let rests = |asked: Instant| now.saturating_duration_since(asked) < interval;
                if known.asked.is_some_and(rests) {
                    continue;
                }
                known.asked = Some(now);
                due.push(Question {
                    spec: source.spec.clone(),
                    name: name.clone(),
                });
            }
        }
        due
    }

    /// What failed, and whether other targets are known than before.
    pub(super) fn answered(
        &mut self,
        question: &Question,
        answer: Result<Vec<Record>, LookupError>,
    ) -> (Option<Failure>, bool) {
        // Another configuration may be in force by now, which did not ask.
        let source = self
            .sources
            .iter_mut()
            .find(|source| source.spec == question.spec);
        let Some(source) = source else {
            return (None, false);
        };
        let Some(known) = source.names.get_mut(&question.name) else {
            return (None, false);
        };
        known.good = Some(answer.is_ok());
        match answer {
            Ok(records) => (None, known.take(&source.spec, &question.name, records)),
            Err(error) => {
                let failure = Failure {
                    mechanism: Mechanism::Dns,
                    reason: error.reason(),
                    problem: format!("{} {}: {error}", source.spec.record.as_str(), question.name),
                };
                (Some(failure), false)
            }
        }
    }

    pub(super) fn all_good(&self) -> bool {
        self.names().all(|known| known.good == Some(true))
    }

    pub(super) fn found(&self) -> impl Iterator<Item = Found> {
        self.names().flat_map(|known| known.targets.iter().cloned())
    }

    pub(super) fn invalid(&self) -> usize {
        self.names().map(|known| known.invalid).sum()
    }

    pub(super) fn left_out(&self) -> usize {
        self.names().map(|known| known.left_out).sum()
    }

    fn names(&self) -> impl Iterator<Item = &Known> {
        self.sources.iter().flat_map(|source| source.names.values())
    }
}

impl Known {
    /// Whether these are other targets than before. Records come in any order, and each time in another: sorted, the same
    /// ones are the same targets.
    fn take(&mut self, spec: &DnsSd, name: &str, records: Vec<Record>) -> bool {
        let records: BTreeSet<Record> = records.into_iter().collect();
        self.left_out = records.len().saturating_sub(MAX_RECORDS);
        let bare = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let taken = records.into_iter().take(MAX_RECORDS);
        let targets: Vec<Option<Found>> = taken
            .map(|record| {
                let (at, word) = match record {
                    Record::Service { target, port } if is_host(&target) => {
                        (format!("{target}:{port}"), Word::Nobody)
                    }
                    Record::Service { .. } => return None,
                    Record::Address(address) => {
                        let at = SocketAddr::new(address, spec.port).to_string();
                        (at, Word::Behind(bare.clone()))
                    }
                };
                let scheme = if spec.tls { "https" } else { "http" };
                let target: Target = format!("{scheme}://{at}").parse().ok()?;
                Some(Found {
                    target: StaticTarget {
                        target,
                        module: spec.module.clone(),
                        labels: spec.labels.clone(),
                    },
                    mechanism: Mechanism::Dns,
                    word,
                })
            })
            .collect();
        self.invalid = targets.iter().filter(|found| found.is_none()).count();
        let targets = targets.into_iter().flatten().collect();
        let before = std::mem::replace(&mut self.targets, targets);
        before != self.targets
    }
}

/// Whether a name can be a host. A record can hold any bytes, and some of them would begin another part of a URL.
fn is_host(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.bytes().all(allowed)
}

#[cfg(test)]
mod tests;
