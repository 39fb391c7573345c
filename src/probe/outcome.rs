//! What a probe leaves behind, whether it succeeded or not. Values only: the pipeline that makes them is
//! beside it, and pages and metrics are rendered from them.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::decode::DecodeError;
use crate::failure::FailureReason;
use crate::fetch::{self, FetchError, Party};
use crate::policy::Refusal;
use crate::tally::{Selection, Tally};

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
    /// How the goroutine profile was fetched.
    pub goroutine: ProfileFetch,
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

/// How one profile was fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileFetch {
    /// Whether the target has it; `None` when that could not be found out.
    pub supported: Option<bool>,
    /// Whether the body ended early on its way.
    pub cut: bool,
    /// The `Content-Type` of the answer; printable, short.
    pub content_type: Option<String>,
    /// Bytes of the body, as sent; `None` when there was no body.
    pub body_bytes: Option<u64>,
    /// From the request to the end of the body.
    pub duration: Option<Duration>,
    /// When the body had been read.
    pub read_at: Option<SystemTime>,
}

/// What was counted.
#[derive(Clone, Debug)]
pub struct ProbeReport {
    /// All of it.
    pub tally: Tally,
    /// The groups with series of their own.
    pub selection: Selection,
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
}

impl fmt::Display for Waited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Place => "a place among all probes, which probes.total bounds",
            Self::Turn => "other probes of this target, which probes.per_target bounds",
            Self::Bench => "a free processor",
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
            Self::Decode(_) => FailureReason::Decode,
            Self::Late { .. } => FailureReason::Timeout,
            Self::Panicked => FailureReason::Internal,
        }
    }
}

impl ProbeReport {
    /// Whether every goroutine was counted: nothing cut short, no record left out.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.tally.summary.truncated && self.tally.summary.damage == 0
    }
}

impl ProbeOutcome {
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

    /// Whether the profile is known to be cut short; `None` when nothing of it was seen.
    #[must_use]
    pub fn truncated(&self) -> Option<bool> {
        match &self.result {
            Ok(report) => Some(report.tally.summary.truncated),
            Err(_) => self.goroutine.cut.then_some(true),
        }
    }
}
