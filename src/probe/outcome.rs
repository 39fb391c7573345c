//! What a probe leaves behind, whether it succeeded or not. Values only: the pipeline that makes them is
//! beside it, and pages and metrics are rendered from them.

use std::fmt;

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::budget::Skip;
use crate::config::Profile;
use crate::decode::DecodeError;
use crate::failure::{FailureReason, TraceFailure};
use crate::fetch::{self, FetchError, Party};
use crate::policy::Refusal;
use crate::reading::Reading;
use crate::tally::{Contention, ContentionSelection, Selection, Tally};
use crate::traced::Traced;
use crate::tracker::LastLook;

/// Everything known about one probe. It always exists.
#[derive(Debug)]
pub struct ProbeOutcome {
    /// The target, as it prints.
    pub target: String,
    /// The modules, joined by a comma.
    pub module: String,
    /// When the probe began.
    pub started: SystemTime,
    /// How long it took, waiting for its turn included.
    pub duration: Duration,
    /// How long each phase took.
    pub phases: Phases,
    /// How the goroutine profile was read.
    pub goroutine: Reading,
    /// How the others were, in the order of [`Profile::ALL`]: those of the module, now or, where that is dear, before.
    pub others: Vec<(Profile, Reading)>,
    /// Why the detailed profile was not asked for; `None` when it was.
    pub detail_skipped: Option<Skip>,
    /// The same of an execution trace; `None` also where the module wants none.
    pub trace_skipped: Option<Skip>,
    /// Why the last trace was not read whole, now or before; `None` when it was.
    pub trace_failure: Option<TraceFailure>,
    /// Bytes of the goroutine profile that was read once more, behind a trace.
    pub again_bytes: u64,
    /// When it was last noticed that the target had been restarted.
    pub restarted: Option<SystemTime>,
    /// What was counted, or why nothing was.
    pub result: Result<ProbeReport, ProbeError>,
}

/// Durations of the phases that happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Looking up the target's name.
    pub resolve: Option<Duration>,
    /// Connecting; absent when a connection was reused.
    pub connect: Option<Duration>,
    /// The TLS handshake; absent without one.
    pub tls: Option<Duration>,
    /// From the request to the head of the answer.
    pub first_byte: Option<Duration>,
    /// From the head to the end of the body.
    pub transfer: Option<Duration>,
    /// Inflating, parsing and counting.
    pub decode: Option<Duration>,
    /// Grouping, and choosing the groups with series.
    pub classify: Option<Duration>,
}

impl From<fetch::Phases> for Phases {
    fn from(known: fetch::Phases) -> Self {
        Self {
            resolve: known.resolve,
            connect: known.connect,
            tls: known.tls,
            first_byte: known.first_byte,
            transfer: known.transfer,
            ..Self::default()
        }
    }
}

impl Phases {
    /// The phases with their label values, in the order of a probe.
    #[must_use]
    pub fn named(&self) -> [(&'static str, Option<Duration>); 7] {
        [
            ("resolve", self.resolve),
            ("connect", self.connect),
            ("tls", self.tls),
            ("first_byte", self.first_byte),
            ("transfer", self.transfer),
            ("decode", self.decode),
            ("classify", self.classify),
        ]
    }
}

/// What was counted.
#[derive(Clone, Debug)]
pub struct ProbeReport {
    /// All of it.
    pub tally: Tally,
    /// The groups with series of their own.
    pub selection: Selection,
    /// What the look before this one came to, whoever looked.
    pub last_look: Option<LastLook>,
    /// The goroutine profile as it came, where the job asked for it and no part is missing.
    pub body: Option<Bytes>,
    /// Where goroutines were blocked, since the target began to count.
    pub block: Option<Contended>,
    /// Where mutexes were contended.
    pub mutex: Option<Contended>,
    /// Operating system threads.
    pub threads: Option<u64>,
    /// What goroutines did in the last window that was traced.
    pub traced: Option<Traced>,
}

/// A profile of contention, and the places in it with series of their own.
#[derive(Clone, Debug)]
pub struct Contended {
    /// All of it.
    pub contention: Contention,
    /// What is shown.
    pub selection: ContentionSelection,
}

/// Why a target's goroutines could not be counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The profile could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The body is no profile that can be counted.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The deadline passed inside the exporter.
    #[error("the deadline passed while waiting for {waited}")]
    Late {
        /// For what.
        waited: Waited,
    },
    /// The profile was read, and a part of it is missing.
    #[error("the profile was cut short or damaged")]
    Incomplete,
    /// Reading the profile ended in a panic, which cost this probe only.
    #[error("reading the profile failed inside the exporter")]
    Panicked,
}

/// What a probe can wait for inside the exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// A place among all probes.
    Place,
    /// The target's turn.
    Turn,
    /// A thread to count on.
    Bench,
    /// The counts.
    Counts,
    /// A probe that is just the same.
    Same,
}

impl fmt::Display for Waited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Place => "a place among all probes, which probes.total bounds",
            Self::Turn => "other probes of this target, which probes.per_target bounds",
            Self::Bench => "a free processor",
            Self::Same => "an identical probe that began earlier",
            Self::Counts => "the counts of a profile that takes unusually long to read",
        })
    }
}

impl ProbeError {
    /// The reason in metrics. A static target that the policy refuses counts as one without a connection.
    #[must_use]
    pub fn reason(&self) -> FailureReason {
        match self {
            Self::Fetch(error) => error.reason().unwrap_or(FailureReason::Connect),
            Self::Decode(DecodeError::NotPprof { .. }) => FailureReason::NotPprof,
            Self::Decode(DecodeError::TooLarge { .. }) => FailureReason::TooLarge,
            Self::Decode(_) | Self::Incomplete => FailureReason::Decode,
            Self::Late { .. } => FailureReason::Timeout,
            Self::Panicked => FailureReason::Internal,
        }
    }
}

impl ProbeReport {
    /// Whether every goroutine was counted: nothing cut short, no record left out.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.tally.is_whole()
    }
}

impl ProbeOutcome {
    /// Every profile with how it was read, the goroutine profile first.
    pub fn readings(&self) -> impl Iterator<Item = (Profile, &Reading)> {
        let others = self.others.iter();
        std::iter::once((Profile::Goroutine, &self.goroutine))
            .chain(others.map(|(profile, reading)| (*profile, reading)))
    }

    /// Why the probe failed; `None` when the goroutine profile was read whole. What could be read of a
    /// profile that was cut short is in the report beside this.
    #[must_use]
    pub fn failure(&self) -> Option<FailureReason> {
        match &self.result {
            Ok(report) if report.is_whole() => None,
            Ok(_) => Some(FailureReason::Decode),
            Err(error) => Some(error.reason()),
        }
    }

    /// What the policy said, when it does not allow to probe this target at all.
    #[must_use]
    pub fn refused(&self) -> Option<&Refusal> {
        match &self.result {
            Err(ProbeError::Fetch(FetchError::Refused {
                party: Party::Target,
                refusal,
            })) => Some(refusal),
            _ => None,
        }
    }

    /// What the policy refused on the way, whoever led there.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.result {
            Err(ProbeError::Fetch(error)) => error.refusal(),
            _ => None,
        }
    }
}
