//! Why a probe of a target failed: one closed set, used in the metric, in logs, on pages and in JSON.

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
