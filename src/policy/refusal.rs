//! What a refused person is told: which entry of `allow` would permit the target, and nothing about what a name
//! resolved to.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::floor::FloorRange;

/// Why a target was refused: a closed set, the label of `goroutine_exporter_targets_refused_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefusalReason {
    /// An address that needs a `cidr` entry of its own: link-local, multicast and the like.
    Floor,
    /// No entry permits it.
    NotAllowed,
    /// An entry permits it on other ports.
    Port,
    /// A unix socket that no entry names.
    Unix,
}

impl RefusalReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Floor, Self::NotAllowed, Self::Port, Self::Unix];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::NotAllowed => "not_allowed",
            Self::Port => "port",
            Self::Unix => "unix",
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refused target. Prints as one sentence that names the entry of `allow` that would permit it, in the words of
/// whoever asked: the address behind a name, and where a redirect leads to, are not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: RefusalReason,
    asked: Asked,
    range: Option<FloorRange>,
}

/// What was refused, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Name(String, u16),
    Address(SocketAddr),
    Socket(PathBuf),
    /// Somewhere the target sent us to, or a proxy: nothing the asker wrote.
    Untold,
}

impl Refusal {
    pub(super) fn new(reason: RefusalReason, asked: Asked, range: Option<FloorRange>) -> Self {
        Self {
            reason,
            asked,
            range,
        }
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> RefusalReason {
        self.reason
    }

    /// The same refusal for a place that the asker did not write: it is not named.
    #[must_use]
    pub fn untold(self) -> Self {
        Self {
            asked: Asked::Untold,
            ..self
        }
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.asked, self.range) {
            (Asked::Name(name, port), Some(range)) => write!(
                f,
                "target {name}:{port} resolves to {range}; only a cidr entry of allow written for that range permits it"
            ),
            (Asked::Name(name, port), None) => {
                self.not_allowed(f, &format_args!("{name}:{port}"), *port)?;
                write!(f, "allow: [{{host: \"{name}\", ports: [{port}]}}]")
            }
            (Asked::Address(address), Some(range)) => {
                let (net, port) = (IpNet::from(address.ip().to_canonical()), address.port());
                write!(
                    f,
                    "target {address} is {range}; to permit it, configure allow: [{{cidr: \"{net}\", ports: [{port}]}}]"
                )
            }
            (Asked::Address(address), None) => {
                let (net, port) = (IpNet::from(address.ip().to_canonical()), address.port());
                self.not_allowed(f, address, port)?;
                write!(f, "allow: [{{cidr: \"{net}\", ports: [{port}]}}]")
            }
            (Asked::Socket(path), _) => {
                let path = path.display();
                write!(
                    f,
                    "target unix://{path} is not allowed; to permit it, configure allow: [{{path: \"{path}\"}}]"
                )
            }
            (Asked::Untold, Some(range)) => write!(
                f,
                "it leads to {range}, which no entry of allow was written for"
            ),
            (Asked::Untold, None) => {
                write!(f, "it leads to a place that no entry of allow permits")
            }
        }
    }
}

impl Refusal {
    fn not_allowed(
        &self,
        f: &mut fmt::Formatter<'_>,
        target: &dyn fmt::Display,
        port: u16,
    ) -> fmt::Result {
        if self.reason == RefusalReason::Port {
            write!(
                f,
                "target {target} is not allowed on port {port}; to permit it, configure "
            )
        } else {
            write!(
                f,
                "target {target} is not allowed; to permit it, configure "
            )
        }
    }
}
