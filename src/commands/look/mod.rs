//! One look at sources: what `inspect` and `diff` have in common.
//!
//! The same decoder, rules and counts as a probe; only the way in differs. Nothing is remembered.

mod progress;
mod stacks;

use std::io::{self, IsTerminal, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, anyhow};
use regex::bytes::Regex;

use super::inspect::source::Source;
use super::terminal::clean;
use crate::cli::{DumpChoice, InspectProfile, ReadArgs};
use crate::config::{ConfigHandle, Module, Profile};
use crate::decode::logs::Choice;
use crate::profile::{Sink, Summary};
use crate::tally::{Collector, Focused, StackCollector, Stacks, Tally};
pub(super) use progress::Progress;
pub(super) use stacks::WholeStacks;

/// Sources read at the same time: a deployment is looked at in the time of its slowest pod, about.
const AT_ONCE: usize = 8;
/// Distinct stacks kept of each group of one source.
const STACKS_KEPT: usize = 50;

/// Looks at sources by the rules of one module.
#[derive(Clone, Debug)]
pub(super) struct Looker {
    pub(super) module: Arc<Module>,
    focus: Option<Regex>,
    ignore: Option<Regex>,
    profile: Profile,
    keeps_stacks: bool,
    dump: Choice,
}

/// What was seen.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) name: String,
    pub(super) tally: Tally,
    /// Empty unless they were asked for.
    pub(super) stacks: WholeStacks,
}

impl Looker {
    /// # Errors
    /// When the configuration or an expression cannot be used.
    pub(super) fn new(arguments: &ReadArgs, keeps_stacks: bool) -> anyhow::Result<Self> {
        let config = ConfigHandle::load(arguments.config_file.clone(), Vec::new())?.current();
        let known = || {
            let names = config.modules().keys().map(ToString::to_string);
            names.collect::<Vec<_>>().join(", ")
        };
        let module = config.module(&arguments.module).ok_or_else(|| {
            anyhow!(
                "no module {:?} in the configuration; there are: {}",
                arguments.module,
                known()
            )
        })?;
        let expression = |flag: &str, text: &Option<String>| {
            let compile =
                |text: &String| Regex::new(text).with_context(|| format!("{flag} {text:?}"));
            text.as_ref().map(compile).transpose()
        };
        Ok(Self {
            module: Arc::clone(module),
            focus: expression("--focus", &arguments.focus)?,
            ignore: expression("--ignore", &arguments.ignore)?,
            profile: match arguments.profile {
                InspectProfile::Goroutine => Profile::Goroutine,
                InspectProfile::Goroutineleak => Profile::Leak,
            },
            keeps_stacks,
            dump: arguments.dump.map_or(Choice::Best, |dump| match dump {
                DumpChoice::Number(number) => Choice::Number(number),
                DumpChoice::All => Choice::All,
            }),
        })
    }

    /// Whether goroutines are left out because of their functions.
    pub(super) fn filters(&self) -> bool {
        self.focus.is_some() || self.ignore.is_some()
    }

    /// Looks at one source.
    ///
    /// # Errors
    /// When it cannot be read, or holds no goroutine profile.
    pub(super) fn look(&self, name: &str, progress: &Progress) -> anyhow::Result<Look> {
        let rules = &self.module.rules;
        let (tally, stacks) = if self.keeps_stacks {
            let (summary, collector) = self.read(name, || StackCollector::new(rules), progress)?;
            let (tally, mut stacks) = collector.finish(summary);
            let stacks = WholeStacks::of_groups(&tally, &mut stacks, STACKS_KEPT);
            (tally, stacks)
        } else {
            let (summary, collector) = self.read(name, || Collector::new(rules), progress)?;
            (collector.finish(summary), WholeStacks::default())
        };
        Ok(Look {
            name: name.to_owned(),
            tally,
            stacks,
        })
    }

    /// The stacks of one source, folded.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub(super) fn folded(&self, name: &str, progress: &Progress) -> anyhow::Result<Stacks> {
        Ok(self.read(name, Stacks::default, progress)?.1)
    }

    /// Looks at all of them, several at a time; what became of each, in their order.
    pub(super) fn look_at_all(
        &self,
        names: &[String],
        progress: &Progress,
    ) -> Vec<anyhow::Result<Look>> {
        if let [name] = names {
            return vec![self.look(name, progress)];
        }
        let next = AtomicUsize::new(0);
        let seen = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE.min(names.len()) {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(name) = names.get(at) else { break };
                        let look = self.look(name, progress);
                        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                        seen.push((at, look));
                    }
                });
            }
        });
        let mut seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        seen.sort_by_key(|(at, _)| *at);
        seen.into_iter().map(|(_, look)| look).collect()
    }

    fn read<S: Sink + Send>(
        &self,
        name: &str,
        make: impl Fn() -> S,
        progress: &Progress,
    ) -> anyhow::Result<(Summary, S)> {
        let source = Source::parse(name)?;
        if matches!(source, Source::Stdin) && io::stdin().is_terminal() {
            return Err(anyhow!(
                "standard input is a terminal; pipe a profile into it, or name a file or a target"
            ));
        }
        let make = || {
            progress.counting(Focused::new(
                make(),
                self.focus.clone(),
                self.ignore.clone(),
            ))
        };
        let read = source.read(&self.module, self.profile, self.dump, make);
        let outcome = read.map_err(|error| match self.profile {
            Profile::Leak if error.to_string().contains("404") => {
                anyhow!("{name}: {error:#} (goroutineleak needs Go 1.27; without --profile all goroutines are shown)")
            }
            _ if error.to_string().contains("an execution trace") => {
                anyhow!("{name}: {error:#} (--trace shows it)")
            }
            _ => error.context(name.to_owned()),
        })?;
        if outcome.report.says_something() {
            writeln!(io::stderr(), "{}: {}", clean(name), outcome.report)?;
        }
        Ok((outcome.summary, outcome.sink.into_inner().into_inner()))
    }
}

/// Several looks as one.
pub(super) fn merged(looks: &[Look]) -> Option<Look> {
    let (first, more) = looks.split_first()?;
    let mut all = first.clone();
    for look in more {
        all.tally.absorb(look.tally.clone());
        all.stacks.absorb(look.stacks.clone(), STACKS_KEPT);
    }
    Some(all)
}
