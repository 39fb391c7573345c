//! Why a probe of a target failed, and why there is no execution trace of it: closed sets, used in metrics, in logs, on pages
//! and in JSON.

use std::fmt;

/// The reason label of `goroutine_probe_failure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureReason {
    /// The target's name did not resolve.
    Dns,
    /// No connection: refused, unreachable, reset before an answer, no such socket.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The deadline passed, before or in the body.
    Timeout,
    /// Another status than 200.
    HttpStatus,
    /// An answer that is no Go goroutine profile.
    NotPprof,
    /// More bytes than the module allows, as sent or inflated.
    TooLarge,
    /// A goroutine profile that could not be read to its end.
    Decode,
    /// A fault of the exporter's own.
    Internal,
}

impl FailureReason {
    /// Every reason, in the order of a probe.
    pub const ALL: [Self; 9] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::HttpStatus,
        Self::NotPprof,
        Self::TooLarge,
        Self::Decode,
        Self::Internal,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::HttpStatus => "http_status",
            Self::NotPprof => "not_pprof",
            Self::TooLarge => "too_large",
            Self::Decode => "decode",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The reason label of `goroutine_trace_failure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TraceFailure {
    /// Somebody else is tracing the target; it makes one trace at a time.
    Busy,
    /// The target's Go is older than 1.22, or newer than what is known.
    UnsupportedVersion,
    /// It ended before a generation was whole, or after some were.
    Truncated,
    /// Something in it could not be read or does not fit together.
    Damaged,
    /// What can befall every profile.
    Any(FailureReason),
}

impl TraceFailure {
    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::UnsupportedVersion => "unsupported_version",
            Self::Truncated => "truncated",
            Self::Damaged => "damaged",
            Self::Any(reason) => reason.as_str(),
        }
    }

    /// The same in the words for all profiles.
    #[must_use]
    pub const fn reason(self) -> FailureReason {
        match self {
            Self::Busy => FailureReason::HttpStatus,
            Self::UnsupportedVersion | Self::Truncated | Self::Damaged => FailureReason::Decode,
            Self::Any(reason) => reason,
        }
    }
}

impl fmt::Display for TraceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
