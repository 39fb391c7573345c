//! Reads one profile of the target, and takes note of how that went.

use std::time::Instant;

use tokio::time::timeout_at;

use super::gate::{Place, Turn};
use super::{Phases, ProbeError, ProbeJob, Waited};
use crate::config::Profile;
use crate::fetch::{self, Answer, FetchError, Request};
use crate::reading::Reading;

/// Bytes set aside for a body before it comes where nobody says how long it is: most profiles of healthy services fit.
const BODY_START: usize = 16 * 1024;

/// A probe that is under way: its place among all probes and its target's turn, given up when it ends.
#[derive(Debug)]
pub(super) struct Running<'a> {
    pub(super) job: &'a ProbeJob<'a>,
    pub(super) deadline: tokio::time::Instant,
    /// What it occupies. Lent to the thread that counts, and lost to it when that takes too long: then the target is
    /// asked for nothing more.
    pub(super) held: Option<(Place, Turn)>,
}

/// A body, as far as it came.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// What cut it.
    pub(super) cut: Option<FetchError>,
    /// Whether a connection was opened for it.
    pub(super) new_connection: bool,
}

/// One profile to ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) profile: Profile,
    pub(super) query: &'a str,
    pub(super) body_limit: u64,
    pub(super) deadline: tokio::time::Instant,
}

impl Running<'_> {
    /// Asks for a profile and returns once the head of the answer is there.
    pub(super) async fn open(
        &self,
        ask: &Ask<'_>,
        phases: &mut fetch::Phases,
    ) -> Result<Answer, ProbeError> {
        let path = format!("{}/{}", self.job.module.path, ask.profile.endpoint());
        let request = Request {
            target: self.job.target,
            path: &path,
            query: ask.query,
            policy: self.job.policy,
            body_limit: ask.body_limit,
            deadline: ask.deadline,
            again: !matches!(
                ask.profile,
                Profile::Detail | Profile::Leak | Profile::Trace
            ),
        };
        let fetcher = self.job.fetcher.ok_or(FetchError::Internal {
            what: "a module without a client",
        })?;
        Ok(fetcher.open_timed(&request, phases).await?)
    }

    /// Fetches a profile whole. A body that was cut comes with what cut it.
    pub(super) async fn fetch(
        &self,
        ask: &Ask<'_>,
        phases: &mut Phases,
        reading: &mut Reading,
    ) -> Result<Body, ProbeError> {
        let sent = Instant::now();
        reading.fresh = true;
        let mut known = fetch::Phases::default();
        let opened = self.open(ask, &mut known).await;
        *phases = known.into();
        let mut answer = opened?;
        // What grows leaves behind what it grew out of; pages that nothing is written to take no memory.
        let promised = answer.promised().and_then(|all| usize::try_from(all).ok());
        let mut bytes = Vec::with_capacity(promised.unwrap_or(BODY_START));
        let end = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        *phases = answer.fetched().phases.into();
        self.note(&answer, sent, reading);
        let new_connection = answer.fetched().new_connection;
        let cut = match end {
            Ok(()) => None,
            Err(cut @ FetchError::Cut { .. }) => {
                reading.truncated = Some(true);
                if bytes.is_empty() {
                    return Err(cut.into());
                }
                Some(cut)
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Body {
            bytes,
            cut,
            new_connection,
        })
    }

    /// Notes what is known of an answer by now.
    pub(super) fn note(&self, answer: &Answer, sent: Instant, reading: &mut Reading) {
        let known = answer.fetched();
        reading.content_type.clone_from(&known.content_type);
        reading.body_bytes = Some(known.body_bytes);
        reading.duration = Some(sent.elapsed());
        reading.read_at = Some(self.job.wall_clock());
    }

    /// Runs `work` on a processor of its own, where it holds what the probe occupies until it is done, whether or not
    /// anybody still waits for it. A panic in it is an error like others.
    pub(super) async fn compute<T: Send + 'static>(
        &mut self,
        deadline: tokio::time::Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ProbeError> {
        let bench = in_time(deadline, self.job.gate.bench(), Waited::Bench).await?;
        let held = self.held.take();
        let working = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(bench);
            (done, held)
        });
        let late = ProbeError::Late {
            waited: Waited::Counts,
        };
        // Blocking work is never aborted here, so the only way it can fail is a panic.
        let (done, held) = timeout_at(deadline, working)
            .await
            .map_err(|_| late)?
            .map_err(|_| ProbeError::Panicked)?;
        self.held = held;
        Ok(done)
    }
}

/// What a failure says of whether the target has the goroutine profile.
pub(super) fn supported(error: &ProbeError) -> Option<bool> {
    match error {
        ProbeError::Fetch(error) if error.is_missing_profile() => Some(false),
        _ => None,
    }
}

/// The same of any other profile. Since the goroutine profile was there a moment ago, whatever answers 404 does not have
/// this one: routers that list profiles one by one do not know the newer ones, and do not answer as Go does.
pub(super) fn supported_beside(error: &ProbeError) -> Option<bool> {
    match error {
        ProbeError::Fetch(error) if error.is_not_found() => Some(false),
        _ => None,
    }
}

/// What `waiting` comes to, unless the deadline comes first.
pub(super) async fn in_time<T>(
    deadline: tokio::time::Instant,
    waiting: impl Future<Output = Option<T>>,
    waited: Waited,
) -> Result<T, ProbeError> {
    let late = ProbeError::Late { waited };
    timeout_at(deadline, waiting)
        .await
        .ok()
        .flatten()
        .ok_or(late)
}
