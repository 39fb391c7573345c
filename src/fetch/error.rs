//! What can go wrong on the way to a profile, and which failure reason each fault is.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::fault::{ConnectFault, RedirectFault, TlsFault};
use super::trace::Phase;
use crate::failure::FailureReason;
use crate::policy::Refusal;

/// Why a [`Fetcher`](super::Fetcher) cannot be built from a module's `http` block.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FetchBuildError {
    /// A file that the block names.
    #[error(transparent)]
    File(#[from] SecretFault),
    /// PEM text without what was looked for in it.
    #[error("{what} holds no {wanted} in PEM form")]
    Pem {
        /// The key of the configuration.
        what: &'static str,
        /// What was looked for.
        wanted: &'static str,
    },
    /// Certificates or a key that cannot be used.
    #[error("{what} cannot be used: {detail}")]
    Material {
        /// The key of the configuration.
        what: &'static str,
        /// In the TLS library's words.
        detail: String,
    },
    /// `server_name` is neither a name nor an address.
    #[error("tls_config.server_name is neither a host name nor an address")]
    ServerName,
    /// The lowest TLS version is above the highest.
    #[error("tls_config.min_version is above tls_config.max_version")]
    Versions,
    /// Not the URL of a proxy.
    #[error("proxy_url must be http://, https://, socks5:// or socks5h:// and a host")]
    Proxy,
    /// A header name that HTTP does not allow.
    #[error("{name:?} is no name of an HTTP header")]
    Header {
        /// The name.
        name: String,
    },
    /// The HTTP client refused its settings.
    #[error("the HTTP client cannot be built: {detail}")]
    Client {
        /// In the library's words.
        detail: String,
    },
}

/// A file of the configuration that cannot be read. Its content is never told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SecretFault {
    /// It cannot be opened or read, or is not UTF-8.
    #[error("cannot read {}: {kind}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// A folder, a pipe, a device.
    #[error("{} is not a plain file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Longer than anything of its kind.
    #[error("{} is longer than {limit} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// In bytes.
        limit: u64,
    },
    /// Bytes that cannot stand in an HTTP header, such as a line end in the middle.
    #[error("the configured {what} cannot be sent in an HTTP header")]
    NotAHeader {
        /// What it is.
        what: &'static str,
    },
}

/// Why a request got no profile. Never shows a body, a credential, or an address that the asker did not write.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The policy does not permit it.
    #[error("{}{refusal}", party.prefix())]
    Refused {
        /// Who.
        party: Party,
        /// What the policy said.
        refusal: Refusal,
    },
    /// A name did not resolve.
    #[error("{} did not resolve", party.name())]
    Dns {
        /// Whose name.
        party: Party,
    },
    /// No connection, or none that lasted until an answer.
    #[error("{0}")]
    Connect(ConnectFault),
    /// The TLS handshake failed.
    #[error("TLS handshake failed: {0}")]
    Tls(TlsFault),
    /// The deadline passed.
    #[error("the deadline passed in phase {}", phase.as_str())]
    Timeout {
        /// Where.
        phase: Phase,
    },
    /// Another status than 200.
    #[error("the target answered with status {code}{}", hint.map_or("", StatusHint::as_str))]
    Status {
        /// The status.
        code: u16,
        /// What the answer told besides.
        hint: Option<StatusHint>,
    },
    /// A redirect, and `follow_redirects` is off.
    #[error("the target answered with redirect {code}, and follow_redirects is off")]
    RedirectNotFollowed {
        /// The status.
        code: u16,
    },
    /// A redirect that must not be followed whatever the policy says.
    #[error("the target's redirect {0}")]
    Redirect(RedirectFault),
    /// Redirects without end.
    #[error("more than {limit} redirects")]
    TooManyRedirects {
        /// How many are followed.
        limit: u8,
    },
    /// An answer that is not HTTP.
    #[error("the answer is not HTTP; is this the right port, and does it speak TLS?")]
    NotHttp,
    /// A body above the limit.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// In bytes, as sent.
        limit: u64,
    },
    /// The body ended early.
    #[error("the connection {} after {received} bytes of the body", if *.reset { "was reset" } else { "ended" })]
    Cut {
        /// Bytes of the body received before.
        received: u64,
        /// Whether the transport was reset, not merely closed.
        reset: bool,
    },
    /// A credential that cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretFault),
    /// A fault of the exporter's own.
    #[error("internal fault: {what}")]
    Internal {
        /// What.
        what: &'static str,
    },
}

impl FetchError {
    /// The failure reason, one for each fault; `None` for a target that the policy refuses, which is the asker's
    /// fault and no failure of the target.
    ///
    /// A body that ends early is `connect` when the connection was reset, `decode` when it was closed in order: the
    /// first is the network's or a killed process's doing, the second a profile that could not be read to its end.
    #[must_use]
    pub fn reason(&self) -> Option<FailureReason> {
        Some(match self {
            Self::Refused {
                party: Party::Target,
                ..
            } => return None,
            Self::Dns { .. } => FailureReason::Dns,
            Self::Connect(_)
            | Self::Cut { reset: true, .. }
            | Self::Refused {
                party: Party::Proxy,
                ..
            } => FailureReason::Connect,
            Self::Tls(_) => FailureReason::Tls,
            Self::Timeout { .. } => FailureReason::Timeout,
            Self::Refused {
                party: Party::Redirect,
                ..
            }
            | Self::Status { .. }
            | Self::RedirectNotFollowed { .. }
            | Self::Redirect(_)
            | Self::TooManyRedirects { .. } => FailureReason::HttpStatus,
            Self::NotHttp => FailureReason::NotPprof,
            Self::TooLarge { .. } => FailureReason::TooLarge,
            Self::Cut { reset: false, .. } => FailureReason::Decode,
            Self::Secret(_) | Self::Internal { .. } => FailureReason::Internal,
        })
    }

    /// What the policy refused, whoever asked for it: to be counted by its reason.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }

    /// Whether Go's pprof answered that it has no such profile: the target is well, the profile unsupported.
    #[must_use]
    pub fn is_missing_profile(&self) -> bool {
        matches!(
            self,
            Self::Status {
                code: 404,
                hint: Some(StatusHint::GoPprof)
            }
        )
    }

    /// Whether there is nothing at that path, whoever says so.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { code: 404, .. })
    }
}

/// Whose place in the network it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The target itself.
    Target,
    /// Where the target redirected to.
    Redirect,
    /// The module's proxy.
    Proxy,
}

impl Party {
    fn prefix(self) -> &'static str {
        match self {
            Self::Target => "",
            Self::Redirect => "the target's redirect is refused: ",
            Self::Proxy => "the module's proxy is refused: ",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Target => "the target's name",
            Self::Redirect => "the name that the target redirects to",
            Self::Proxy => "the name of the module's proxy",
        }
    }
}

/// What else an answer with another status than 200 told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusHint {
    /// `X-Go-Pprof`: Go's pprof answered.
    GoPprof,
    /// Go's answer to plain HTTP on a TLS port.
    WantsTls,
    /// Go's pprof answered that somebody else traces the program.
    TraceBusy,
}

impl StatusHint {
    fn as_str(self) -> &'static str {
        match self {
            Self::GoPprof => "; Go's pprof is there, but not this profile",
            Self::WantsTls => "; it speaks TLS on this port, so write https://",
            Self::TraceBusy => "; another execution trace of it is being taken",
        }
    }
}
