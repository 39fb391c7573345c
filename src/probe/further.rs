//! The profiles beside the goroutine profile that cost the target little: contention and threads. Each is asked for in
//! every probe, and one that fails or does not fit leaves the others alone.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::count::lock;
use super::outcome::Contended;
use super::read::{Ask, Running, supported_beside};
use super::{Phases, ProbeError};
use crate::config::{Module, Profile};
use crate::decode::{DecodeError, Wanted, decode_as};
use crate::profile::Summary;
use crate::reading::Reading;
use crate::tally::{Contention, ContentionCollector, Threads, select_contention};
use crate::tracker::{Cumulative, TargetState};

/// What these profiles said.
#[derive(Debug, Default)]
pub(super) struct Further {
    pub(super) block: Option<Contention>,
    pub(super) mutex: Option<Contention>,
    pub(super) threads: Option<u64>,
}

/// What one of them said.
enum Said {
    Contention(Contention),
    Threads(u64),
}

impl Running<'_> {
    /// Reads those of the module, one after the other.
    pub(super) async fn further(
        &mut self,
        deadline: tokio::time::Instant,
        state: &Arc<Mutex<TargetState>>,
        readings: &mut Vec<(Profile, Reading)>,
    ) -> Further {
        let mut further = Further::default();
        for profile in [Profile::Block, Profile::Mutex, Profile::Threads] {
            if !self.job.module.profiles.contains(&profile) {
                continue;
            }
            let mut reading = Reading::default();
            let asked = Instant::now();
            let said = self.one(profile, deadline, &mut reading).await;
            match (said, profile) {
                (Ok(Said::Contention(contention)), Profile::Block) => {
                    self.observe(state, Cumulative::BlockEvents, contention.events, asked);
                    further.block = Some(contention);
                }
                (Ok(Said::Contention(contention)), _) => {
                    self.observe(state, Cumulative::MutexEvents, contention.events, asked);
                    further.mutex = Some(contention);
                }
                (Ok(Said::Threads(threads)), _) => further.threads = Some(threads),
                (Err(error), _) => {
                    reading.read_at = None;
                    reading.supported = supported_beside(&error);
                    reading.fail(error.reason(), &error);
                }
            }
            readings.push((profile, reading));
        }
        further
    }

    async fn one(
        &mut self,
        profile: Profile,
        deadline: tokio::time::Instant,
        reading: &mut Reading,
    ) -> Result<Said, ProbeError> {
        if self.held.is_none() {
            return Err(ProbeError::Late {
                waited: super::Waited::Counts,
            });
        }
        let ask = Ask {
            profile,
            query: "",
            body_limit: self.job.module.body_bytes,
            deadline,
        };
        let body = self.fetch(&ask, &mut Phases::default(), reading).await?;
        // Half of a counter is a wrong counter.
        if let Some(cut) = body.cut {
            return Err(cut.into());
        }
        let module = Arc::clone(self.job.module);
        let bytes = body.bytes;
        let read = self
            .compute(deadline, move || read(profile, &bytes, &module))
            .await?;
        let (said, summary) = read?;
        reading.supported = Some(true);
        reading.truncated = Some(summary.truncated);
        reading.damage = Some(summary.damage);
        if summary.truncated || summary.damage > 0 {
            return Err(ProbeError::Incomplete);
        }
        Ok(said)
    }

    /// Takes note of a number that only grows while the target is the same process.
    pub(super) fn observe(
        &self,
        state: &Mutex<TargetState>,
        what: Cumulative,
        value: u64,
        asked: Instant,
    ) {
        let mut state = lock(state);
        if state.identity.counts(what, value, asked, Instant::now()) {
            state.restarted(self.job.wall_clock());
        }
    }
}

/// Chooses the places with series.
pub(super) fn contended(
    further: Further,
    module: &Module,
    label: &str,
    state: &Mutex<TargetState>,
) -> (Option<Contended>, Option<Contended>) {
    let mut state = lock(state);
    let view = state.view(label);
    let limit = module.series.groups;
    let shown = |contention: Option<Contention>, memory| {
        let contention = contention?;
        let selection = select_contention(&contention, limit, memory);
        Some(Contended {
            contention,
            selection,
        })
    };
    (
        shown(further.block, &mut view.block),
        shown(further.mutex, &mut view.mutex),
    )
}

fn read(profile: Profile, body: &[u8], module: &Module) -> Result<(Said, Summary), DecodeError> {
    if profile == Profile::Threads {
        let mut threads = Threads::default();
        let summary = decode_as(Wanted::Threads, body, &module.decode, &mut threads)?;
        return Ok((Said::Threads(threads.total()), summary));
    }
    let mut collector = ContentionCollector::new(&module.rules);
    let summary = decode_as(Wanted::Contention, body, &module.decode, &mut collector)?;
    Ok((Said::Contention(collector.finish()), summary))
}
