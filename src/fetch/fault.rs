//! What exactly broke a connection, a handshake or a redirect, read from the errors of the libraries below. Their
//! texts stay out where they could tell what the asker did not write.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectFault {
    /// Nobody listens.
    Refused,
    /// No route, or the network is down.
    Unreachable,
    /// The system gave up waiting.
    TimedOut,
    /// No socket at that path.
    NoSuchSocket,
    /// The exporter may not open it.
    PermissionDenied,
    /// Reset before an answer.
    Reset,
    /// Closed before an answer.
    Closed,
    /// Anything else, a proxy that declined included.
    Other,
}

impl fmt::Display for ConnectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Unreachable => "host or network unreachable",
            Self::TimedOut => "the connection timed out",
            Self::NoSuchSocket => "no socket at this path",
            Self::PermissionDenied => "no permission to connect",
            Self::Reset => "connection reset before an answer",
            Self::Closed => "connection closed before an answer",
            Self::Other => "no connection could be opened",
        })
    }
}

/// Why a TLS handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFault {
    /// The other side does not speak TLS.
    NotTls,
    /// No trusted authority signed the certificate.
    UnknownIssuer,
    /// The certificate is for other names.
    WrongName,
    /// The certificate is past its time, or before it.
    Expired,
    /// The other side broke it off.
    Alert(String),
    /// The connection was closed in the middle.
    Closed,
    /// Anything else, by the TLS library's name for it.
    Other(String),
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls => f.write_str("the other side does not speak TLS"),
            Self::UnknownIssuer => {
                f.write_str("the certificate is not signed by a trusted authority")
            }
            Self::WrongName => f.write_str("the certificate is not valid for this name"),
            Self::Expired => f.write_str("the certificate is expired or not yet valid"),
            Self::Alert(alert) => write!(f, "the other side refused with alert {alert}"),
            Self::Closed => f.write_str("the connection was closed in the middle of it"),
            Self::Other(detail) => f.write_str(detail),
        }
    }
}

/// Why a redirect is never followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectFault {
    /// No `Location`, or none that is a URL.
    NoLocation,
    /// Another scheme, or user-info in the URL.
    BadLocation,
    /// From https to http.
    Downgrade,
    /// Away from a unix socket.
    LeavesSocket,
}

impl fmt::Display for RedirectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLocation => "says not where to",
            Self::BadLocation => "leads to something else than an http or https URL",
            Self::Downgrade => "leads from https to http",
            Self::LeavesSocket => "leads away from the unix socket",
        })
    }
}

/// What the sources of an error tell.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// The kind of the innermost I/O error.
    pub(super) io: Option<io::ErrorKind>,
    /// The TLS library's error.
    pub(super) tls: Option<TlsFault>,
    /// The answer was not HTTP.
    pub(super) parse: bool,
    /// Something came before the request was sent: a greeting, as of a mail server.
    pub(super) unasked: bool,
    /// The connection was closed before its message was whole.
    pub(super) incomplete: bool,
}

impl Evidence {
    /// Walks the sources of an error; I/O errors hide theirs one level deeper.
    pub(super) fn of(error: &(dyn StdError + 'static)) -> Self {
        /// No chain is this long; a loop must not be followed for ever.
        const MAX_SOURCES: usize = 32;
        let mut evidence = Self::default();
        let mut next = Some(error);
        for _ in 0..MAX_SOURCES {
            let Some(error) = next else { break };
            next = error.source();
            if let Some(io) = error.downcast_ref::<io::Error>() {
                evidence.io = Some(io.kind());
                if let Some(inner) = io.get_ref() {
                    next = Some(inner);
                }
            } else if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                evidence.tls = Some(TlsFault::of(tls));
            } else if let Some(hyper) = error.downcast_ref::<hyper::Error>() {
                evidence.parse |= hyper.is_parse();
                // The text is all that tells this fault of hyper's from others.
                evidence.unasked |=
                    hyper.to_string() == "received unexpected message from connection";
                evidence.incomplete |=
                    hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled();
            }
        }
        evidence
    }

    /// Whether the transport was broken, not closed in order.
    pub(super) fn is_reset(&self) -> bool {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut,
        };
        matches!(
            self.io,
            Some(BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut)
        )
    }

    /// The fault of a connection that brought no answer.
    pub(super) fn connect_fault(&self) -> ConnectFault {
        use io::ErrorKind as Kind;
        match self.io {
            Some(Kind::ConnectionRefused) => ConnectFault::Refused,
            Some(Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown) => {
                ConnectFault::Unreachable
            }
            Some(Kind::TimedOut) => ConnectFault::TimedOut,
            Some(Kind::NotFound) => ConnectFault::NoSuchSocket,
            Some(Kind::PermissionDenied) => ConnectFault::PermissionDenied,
            Some(Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe) => {
                ConnectFault::Reset
            }
            Some(Kind::UnexpectedEof) => ConnectFault::Closed,
            _ if self.incomplete => ConnectFault::Closed,
            _ => ConnectFault::Other,
        }
    }

    /// The fault of a handshake that failed.
    pub(super) fn tls_fault(self) -> TlsFault {
        self.tls.unwrap_or(TlsFault::Closed)
    }
}

impl TlsFault {
    /// Texts of the library stay out where they would list what the certificate is for.
    fn of(error: &rustls::Error) -> Self {
        use rustls::{CertificateError as Certificate, Error};
        match error {
            Error::InvalidMessage(_) => Self::NotTls,
            Error::AlertReceived(alert) => Self::Alert(format!("{alert:?}")),
            Error::InvalidCertificate(certificate) => match certificate {
                Certificate::UnknownIssuer => Self::UnknownIssuer,
                Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                    Self::WrongName
                }
                Certificate::Expired
                | Certificate::ExpiredContext { .. }
                | Certificate::NotValidYet
                | Certificate::NotValidYetContext { .. } => Self::Expired,
                other => Self::Other(format!("the certificate is refused: {}", kind(other))),
            },
            // Said by this program: that the system trusts nobody.
            Error::General(words) => Self::Other(words.clone()),
            other => Self::Other(kind(other)),
        }
    }
}

/// The name of an error's variant. What it holds comes from the other side.
fn kind(error: &impl fmt::Debug) -> String {
    let mut text = format!("{error:?}");
    let end = text.find(|c: char| !c.is_ascii_alphanumeric());
    text.truncate(end.unwrap_or(text.len()));
    text
}

#[cfg(test)]
mod tests {
    use rustls::{CertificateError, Error, OtherError};

    use super::*;

    #[test]
    fn nothing_of_a_certificate_is_told() {
        let told = |error: Error| TlsFault::of(&error).to_string();
        let other = OtherError(std::sync::Arc::new(io::Error::other("planted")));
        let refused = Error::InvalidCertificate(CertificateError::Other(other.clone()));
        assert_eq!(told(refused), "the certificate is refused: Other");
        assert_eq!(told(Error::Other(other)), "Other");
        let revoked = Error::InvalidCertificate(CertificateError::Revoked);
        assert_eq!(told(revoked), "the certificate is refused: Revoked");
    }
}
