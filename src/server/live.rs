//! What is in force: a configuration, the targets that were found, and everything built from both.
//!
//! What was found is no configuration. A file that the operator keeps is as good as one, and its targets may be probed as
//! static ones are; what a name server answers is what anybody may have answered, and is held against the rules like a
//! target that somebody asks for. What they refuse is dropped and counted, and never a reason to look further.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::state::{ServeOptions, StartError};
use crate::config::{Config, MAX_TARGETS, ModuleName, StaticTarget};
use crate::discovery::{Found, Mechanism, Word};
use crate::fetch::Fetcher;
use crate::policy::{Defaults, ModuleRules, Policy, Refusal};
use crate::probe::Gate;
use crate::snapshots::Store;
use crate::target::{Endpoint, Target};

/// A configuration and everything built from it. A request takes one and keeps it to its end.
#[derive(Debug)]
pub(super) struct Live {
    /// Counts what was put in force.
    pub(super) generation: u64,
    pub(super) config: Arc<Config>,
    /// What it was built of, beside the configuration.
    pub(super) found: Vec<Found>,
    /// The static targets and those found that may be probed. No target is twice in it.
    pub(super) targets: Vec<StaticTarget>,
    /// How many of them were found how.
    pub(super) known: BTreeMap<Mechanism, usize>,
    /// Those found that are not among them.
    pub(super) dropped: BTreeMap<(Mechanism, Dropped), usize>,
    /// Those that may be probed because they are known.
    vouched: Vouched,
    /// Where requests of each module may go; of no module, nowhere.
    policies: BTreeMap<ModuleName, Policy>,
    nowhere: Policy,
    pub(super) gate: Arc<Gate>,
    /// Where snapshots are kept, where they are.
    pub(super) store: Option<Arc<Store>>,
    fetchers: BTreeMap<ModuleName, Arc<Fetcher>>,
}

/// Why a target that was found is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dropped {
    /// It is known already.
    Duplicate,
    /// There are as many as may be.
    Limit,
    /// The rules, or those of its module, do not permit it.
    Refused,
    /// It is no target at all.
    Invalid,
}

impl Dropped {
    pub(super) const ALL: [Self; 4] = [Self::Duplicate, Self::Limit, Self::Refused, Self::Invalid];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::Limit => "limit",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
        }
    }
}

impl Live {
    /// Builds everything a configuration needs. Kept from `before` are the places of probes that are running, when their
    /// number stays the same, and the connections to targets of every module whose `http` does, and the rules it goes by,
    /// or only gained targets.
    pub(super) fn build(
        config: Arc<Config>,
        options: &ServeOptions,
        before: Option<&Self>,
        found: Vec<Found>,
    ) -> Result<Self, StartError> {
        let chosen = Chosen::of(&config, options, &found);
        // Whatever an open connection leads to was permitted under fewer rules, and is under more.
        let grown = before.is_some_and(|live| {
            Arc::ptr_eq(&live.config, &config) && live.vouched.is_within(&chosen.vouched)
        });
        let mut fetchers = BTreeMap::new();
        for (name, module) in config.modules() {
            // An open connection may lead where other rules permitted, and would get a request before that shows.
            let old = before
                .filter(|live| grown || live.policies.get(name) == chosen.policies.get(name))
                .and_then(|live| live.fetchers.get(name));
            let fetcher = match old {
                Some(old) => old.renewed(&module.fetch),
                None => Fetcher::new(&module.fetch).map(Arc::new),
            };
            let fetcher = fetcher.map_err(|error| StartError::Module {
                module: name.clone(),
                error,
            })?;
            fetchers.insert(name.clone(), fetcher);
        }
        let probes = config.probes();
        let kept = before.filter(|live| {
            let old = live.config.probes();
            (old.total, old.per_target) == (probes.total, probes.per_target)
        });
        let gate = kept.map_or_else(
            || Arc::new(Gate::new(probes.total, probes.per_target)),
            |live| Arc::clone(&live.gate),
        );
        // Last, since it reads a folder: nothing fails from here on.
        let storage = config.storage();
        let kept = before.and_then(|live| live.store.as_ref());
        let kept = kept.filter(|store| store.path() == storage.path);
        let store = storage
            .is_on()
            .then(|| kept.map_or_else(|| Arc::new(Store::open(storage)), Arc::clone));
        Ok(Self {
            store,
            generation: before.map_or(0, |live| live.generation.saturating_add(1)),
            config,
            found,
            targets: chosen.targets,
            known: chosen.known,
            dropped: chosen.dropped,
            vouched: chosen.vouched,
            policies: chosen.policies,
            nowhere: Policy::default(),
            gate,
            fetchers,
        })
    }

    /// Where requests of a module may go.
    pub(super) fn policy(&self, module: &ModuleName) -> &Policy {
        self.policies.get(module).unwrap_or(&self.nowhere)
    }

    /// How requests of a module are made; every module of the configuration has one.
    pub(super) fn fetcher(&self, module: &ModuleName) -> Option<&Fetcher> {
        self.fetchers.get(module).map(Arc::as_ref)
    }
}

/// What may be probed because it is known, each by its module.
#[derive(Clone, Debug, Default)]
struct Vouched {
    /// On the operator's word.
    written: BTreeSet<(ModuleName, Target)>,
    /// Addresses, since the rules permit their names.
    found: BTreeSet<(ModuleName, Target)>,
}

/// The targets there are, and the rules that hold with them.
#[derive(Debug, Default)]
struct Chosen {
    targets: Vec<StaticTarget>,
    known: BTreeMap<Mechanism, usize>,
    dropped: BTreeMap<(Mechanism, Dropped), usize>,
    vouched: Vouched,
    policies: BTreeMap<ModuleName, Policy>,
    seen: HashSet<Target>,
}

impl Chosen {
    /// Targets of the operator come first: nothing that a name server answers takes their place, or has a say in the rules
    /// it is held against.
    fn of(config: &Config, options: &ServeOptions, found: &[Found]) -> Self {
        let mut chosen = Self::default();
        for target in config.targets() {
            chosen.vouched.written.insert(by_module(target));
            chosen.take(Mechanism::Static, target);
        }
        let (operators, others): (Vec<_>, Vec<_>) =
            found.iter().partition(|found| found.word == Word::Operator);
        for Found {
            target, mechanism, ..
        } in operators
        {
            let own = std::slice::from_ref(&target.target);
            // The configuration may be another by now than when the file was read.
            let module = config.module(target.module.as_str());
            let refused =
                module.is_none_or(|module| module.rules_for(own).refuses(&target.target).is_some());
            if chosen.has_place(*mechanism, target, refused) {
                chosen.vouched.written.insert(by_module(target));
                chosen.take(*mechanism, target);
            }
        }
        chosen.policies = policies(config, options, &chosen.vouched);
        for found in others {
            let policy = chosen.policies.get(&found.target.module);
            let refused = policy.is_none_or(|policy| judge(policy, found).is_err());
            if chosen.has_place(found.mechanism, &found.target, refused) {
                // Without its name nothing that the rules say of the name would hold for it.
                if matches!(found.word, Word::Behind(_)) {
                    chosen.vouched.found.insert(by_module(&found.target));
                }
                chosen.take(found.mechanism, &found.target);
            }
        }
        if !chosen.vouched.found.is_empty() {
            chosen.policies = policies(config, options, &chosen.vouched);
        }
        chosen
    }

    fn has_place(&mut self, mechanism: Mechanism, target: &StaticTarget, refused: bool) -> bool {
        let why = if self.seen.contains(&target.target) {
            Dropped::Duplicate
        } else if refused {
            Dropped::Refused
        } else if self.targets.len() >= MAX_TARGETS {
            Dropped::Limit
        } else {
            return true;
        };
        *self.dropped.entry((mechanism, why)).or_default() += 1;
        false
    }

    fn take(&mut self, mechanism: Mechanism, target: &StaticTarget) {
        self.seen.insert(target.target.clone());
        self.targets.push(target.clone());
        *self.known.entry(mechanism).or_default() += 1;
    }
}

impl Vouched {
    fn is_within(&self, other: &Self) -> bool {
        self.written.is_subset(&other.written) && self.found.is_subset(&other.found)
    }
}

fn by_module(known: &StaticTarget) -> (ModuleName, Target) {
    (known.module.clone(), known.target.clone())
}

/// The rules of each module, with these targets permitted because they are known.
fn policies(
    config: &Config,
    options: &ServeOptions,
    vouched: &Vouched,
) -> BTreeMap<ModuleName, Policy> {
    let all = vouched.written.iter().chain(&vouched.found);
    let all: Vec<Target> = all.map(|(_, target)| target.clone()).collect();
    let defaults = Defaults {
        targets: &all,
        listens_on_loopback: options.listens_on_loopback && config.allow().is_none(),
        any_target: options.allow_any_target && config.allow().is_none(),
    };
    let policy = Policy::new(config.allow().unwrap_or_default().to_vec(), &defaults);
    let own = |among: &BTreeSet<(ModuleName, Target)>| {
        let mut own: BTreeMap<ModuleName, Vec<Target>> = BTreeMap::new();
        for (module, target) in among {
            own.entry(module.clone()).or_default().push(target.clone());
        }
        own
    };
    let (mut written, mut found) = (own(&vouched.written), own(&vouched.found));
    let modules = config.modules().iter();
    modules
        .map(|(name, module)| {
            let written = written.remove(name).unwrap_or_default();
            let found = found.remove(name).unwrap_or_default();
            let rules = ModuleRules {
                found: &found,
                ..module.rules_for(&written)
            };
            (name.clone(), policy.for_module(&rules))
        })
        .collect()
}

/// Whether the rules permit what was found, as far as can be told without asking a name server.
fn judge(policy: &Policy, found: &Found) -> Result<(), Refusal> {
    let target = &found.target.target;
    let endpoint = target.endpoint();
    match (&found.word, endpoint) {
        (Word::Behind(name), Endpoint::Address(address)) => {
            let port = address.port();
            policy.check(&Endpoint::Name { name, port }, &[address])?;
        }
        (_, Endpoint::Address(address)) => {
            policy.check(&endpoint, &[address])?;
        }
        // Its addresses are judged when it is probed, each time.
        (_, Endpoint::Name { name, port }) => policy.check_before_lookup(name, port)?,
        (_, Endpoint::Socket(path)) => policy.check_socket(path)?,
    }
    if target.is_plain_http() {
        policy.check_plain(&endpoint)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
