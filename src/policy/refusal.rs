//! What a refused person is told: which entry of `allow` would permit the target, and nothing about what a name
//! resolved to.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::floor::FloorRange;
use crate::target::Endpoint;

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
    /// The module's own `allow` does not match it.
    ModuleAllow,
    /// The module sends credentials, and nobody wrote that they may go there.
    Credentials,
    /// The module sends credentials, and the target would get them over plain HTTP.
    PlainHttp,
}

impl RefusalReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Floor,
        Self::NotAllowed,
        Self::Port,
        Self::Unix,
        Self::ModuleAllow,
        Self::Credentials,
        Self::PlainHttp,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::NotAllowed => "not_allowed",
            Self::Port => "port",
            Self::Unix => "unix",
            Self::ModuleAllow => "module_allow",
            Self::Credentials => "credentials",
            Self::PlainHttp => "plain_http",
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refused target. Prints as one sentence that names the key and the entry that would permit it, in the words of
/// whoever asked: the address behind a name, and where a redirect leads to, are not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: RefusalReason,
    asked: Asked,
    range: Option<FloorRange>,
    /// The module that refuses it, where it is one.
    module: Option<String>,
}

/// What was refused, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Name(String, u16),
    Address(SocketAddr),
    Socket(PathBuf),
    /// A socket that is a link.
    Link(PathBuf),
    /// Somewhere the target sent us to, or a proxy: nothing the asker wrote.
    Untold,
}

impl Asked {
    /// An endpoint as the asker wrote it.
    pub(super) fn of(endpoint: &Endpoint<'_>) -> Self {
        match endpoint {
            Endpoint::Name { name, port } => Self::Name((*name).to_owned(), *port),
            Endpoint::Address(address) => Self::Address(*address),
            Endpoint::Socket(path) => Self::Socket(path.to_path_buf()),
        }
    }

    /// What was asked for, and the entry that is written for it; `None` for what is not told.
    fn told(&self) -> Option<(String, String)> {
        Some(match self {
            Self::Name(name, port) => (
                format!("{name}:{port}"),
                format!("{{host: \"{name}\", ports: [{port}]}}"),
            ),
            Self::Address(address) => {
                let (net, port) = (IpNet::from(address.ip().to_canonical()), address.port());
                (
                    address.to_string(),
                    format!("{{cidr: \"{net}\", ports: [{port}]}}"),
                )
            }
            Self::Socket(path) | Self::Link(path) => {
                let path = path.display();
                (format!("unix://{path}"), format!("{{path: \"{path}\"}}"))
            }
            Self::Untold => return None,
        })
    }
}

impl Refusal {
    pub(super) fn new(reason: RefusalReason, asked: Asked, range: Option<FloorRange>) -> Self {
        Self {
            reason,
            asked,
            range,
            module: None,
        }
    }

    /// What the configuration permits and one of its modules does not.
    pub(super) fn of_module(reason: RefusalReason, asked: Asked, module: &str) -> Self {
        Self {
            module: Some(module.to_owned()),
            ..Self::new(reason, asked, None)
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
        let Some((target, entry)) = self.asked.told() else {
            return self.untold_words(f);
        };
        if let Some(module) = &self.module {
            return self.words_of_module(f, module, &target, &entry);
        }
        match (&self.asked, self.range) {
            (Asked::Name(..), Some(range)) => write!(
                f,
                "target {target} resolves to {range}; only a cidr entry of allow written for that range permits it"
            ),
            (_, Some(range)) => write!(
                f,
                "target {target} is {range}; to permit it, configure allow: [{entry}]"
            ),
            (Asked::Link(_), None) => write!(
                f,
                "target {target} is a link, which a directory of allow does not permit; to permit it, configure allow: [{entry}]"
            ),
            (_, None) if self.reason == RefusalReason::Port => write!(
                f,
                "target {target} is not allowed on this port; to permit it, configure allow: [{entry}]"
            ),
            (_, None) => write!(
                f,
                "target {target} is not allowed; to permit it, configure allow: [{entry}]"
            ),
        }
    }
}

impl Refusal {
    fn words_of_module(
        &self,
        f: &mut fmt::Formatter<'_>,
        module: &str,
        target: &str,
        entry: &str,
    ) -> fmt::Result {
        match self.reason {
            RefusalReason::PlainHttp => write!(
                f,
                "module {module} sends credentials, and target {target} would get them over plain HTTP; write https://, or \
                 configure modules.{module}.http.credentials_over_http: true"
            ),
            RefusalReason::Credentials => write!(
                f,
                "module {module} sends credentials, and neither allow nor a static target of that module names target \
                 {target}; to permit it, configure modules.{module}.allow: [{entry}]"
            ),
            _ => write!(
                f,
                "target {target} is not allowed for module {module}; to permit it, configure modules.{module}.allow: \
                 [{entry}]"
            ),
        }
    }

    fn untold_words(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.range, &self.module) {
            (Some(range), _) => write!(
                f,
                "it leads to {range}, which no entry of allow was written for"
            ),
            (None, Some(module)) => write!(
                f,
                "it leads to a place that module {module} may not be used for"
            ),
            (None, None) => write!(f, "it leads to a place that no entry of allow permits"),
        }
    }
}
