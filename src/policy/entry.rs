//! The entries of `allow`, and what they match.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use thiserror::Error;
use url::Host;

use crate::target::{Endpoint, Target};

/// One entry of `allow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowEntry {
    /// What it permits.
    pub place: Place,
    /// The ports it is limited to; none means every port. A socket has no port.
    pub ports: Vec<u16>,
}

/// What an entry permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `cidr`: the addresses of a network.
    Cidr(IpNet),
    /// `host`: whatever a name resolves to, the floor aside.
    Host(HostPattern),
    /// `path`: unix sockets.
    Socket(SocketPattern),
}

/// `app.example`, or `*.example` for every name below it, at any depth, and not `example` itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    below: bool,
    name: String,
}

/// The path of a socket, or of a directory (with `/` at its end) for every socket below it, compared as text. A path
/// that is named may be a link, and is followed; what is found below a directory may not
/// ([`Policy::folder_of`](super::Policy::folder_of)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPattern(String);

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Neither a name nor `*.` and a name.
    #[error("a host must be a name such as app.example, or *.example for every name below it")]
    Host,
    /// An address where a name belongs.
    #[error("an address is permitted by cidr: write {{cidr: \"{0}\"}}")]
    AddressAsHost(IpNet),
    /// A relative path, or one with `.` or `..`.
    #[error("a socket's path must be absolute and hold no '.' or '..' segments")]
    Path,
}

impl AllowEntry {
    /// Whether the entry speaks for this port.
    fn has_port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.contains(&port)
    }

    /// The entry with an IPv4-mapped network written as IPv4, the form addresses are compared in.
    pub(super) fn canonical(mut self) -> Self {
        if let Place::Cidr(net) = self.place {
            self.place = Place::Cidr(canonical_net(net));
        }
        self
    }

    /// The entry that a configured target amounts to: its host or address, and its port.
    pub(super) fn for_target(target: &Target) -> Self {
        match target.endpoint() {
            Endpoint::Name { name, port } => Self {
                place: Place::Host(HostPattern {
                    below: false,
                    name: name.to_owned(),
                }),
                ports: vec![port],
            },
            Endpoint::Address(address) => Self {
                place: Place::Cidr(IpNet::from(address.ip().to_canonical())),
                ports: vec![address.port()],
            },
            Endpoint::Socket(path) => Self {
                place: Place::Socket(SocketPattern(path.to_string_lossy().into_owned())),
                ports: Vec::new(),
            },
        }
    }

    /// Loopback, both families.
    pub(super) fn loopback() -> impl Iterator<Item = Self> {
        let nets = [
            Ipv4Net::new(Ipv4Addr::new(127, 0, 0, 0), 8).map(IpNet::V4),
            Ok(IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST))),
        ];
        nets.into_iter().flatten().map(|net| Self {
            place: Place::Cidr(net),
            ports: Vec::new(),
        })
    }
}

/// Whether some entry could permit an address that `name` resolves to.
pub(super) fn possible(entries: &[AllowEntry], name: &str, port: u16) -> bool {
    entries.iter().any(|entry| match &entry.place {
        Place::Cidr(_) => entry.has_port(port),
        Place::Host(host) => entry.has_port(port) && host.matches(name),
        Place::Socket(_) => false,
    })
}

/// Whether an entry by `host` permits `name`.
pub(super) fn permits_name(entries: &[AllowEntry], name: &str, port: u16) -> bool {
    entries.iter().any(|entry| {
        matches!(&entry.place, Place::Host(host) if host.matches(name)) && entry.has_port(port)
    })
}

/// Whether an entry by `cidr` permits an address.
pub(super) fn permits_address(entries: &[AllowEntry], address: IpAddr, port: u16) -> bool {
    let canonical = address.to_canonical();
    cidrs(entries, port).any(|net| net.contains(&canonical))
}

/// Whether an entry by `path` permits a socket.
pub(super) fn permits_socket(entries: &[AllowEntry], path: &Path) -> bool {
    entries
        .iter()
        .any(|entry| matches!(&entry.place, Place::Socket(socket) if socket.matches(path)))
}

/// The networks among the entries that speak for a port.
pub(super) fn cidrs(entries: &[AllowEntry], port: u16) -> impl Iterator<Item = &IpNet> {
    entries.iter().filter_map(move |entry| match &entry.place {
        Place::Cidr(net) if entry.has_port(port) => Some(net),
        _ => None,
    })
}

/// A network inside `::ffff:0:0/96` as the IPv4 network it stands for; any other as it is, host bits cleared.
fn canonical_net(net: IpNet) -> IpNet {
    let net = net.trunc();
    if let IpNet::V6(v6) = net
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(prefix) = v6.prefix_len().checked_sub(96)
        && let Ok(v4) = Ipv4Net::new(v4, prefix)
    {
        return IpNet::V4(v4);
    }
    net
}

impl HostPattern {
    /// Whether it speaks for every name below one.
    #[must_use]
    pub fn is_below(&self) -> bool {
        self.below
    }

    /// Whether the pattern speaks for `name`: lower case, in ASCII, without a closing dot.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if self.below {
            name.strip_suffix(self.name.as_str())
                .is_some_and(|head| head.len() > 1 && head.ends_with('.'))
        } else {
            name == self.name
        }
    }
}

impl FromStr for HostPattern {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let name = match Host::parse(name).map_err(|_| EntryError::Host)? {
            Host::Domain(name) => name,
            Host::Ipv4(address) => {
                return Err(EntryError::AddressAsHost(IpNet::from(IpAddr::V4(address))));
            }
            Host::Ipv6(address) => {
                return Err(EntryError::AddressAsHost(IpNet::from(IpAddr::V6(address))));
            }
        };
        let name = name.strip_suffix('.').unwrap_or(&name).to_owned();
        if name.contains('*') || name.split('.').any(str::is_empty) {
            return Err(EntryError::Host);
        }
        Ok(Self { below, name })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.below { "*." } else { "" })?;
        f.write_str(&self.name)
    }
}

impl SocketPattern {
    /// Whether the pattern speaks for the socket at `path`.
    #[must_use]
    pub fn matches(&self, path: &Path) -> bool {
        let path = path.to_string_lossy();
        if self.0.ends_with('/') {
            path.starts_with(&self.0)
        } else {
            path == self.0
        }
    }

    /// The directory, when it is one that the pattern names.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.0.ends_with('/').then(|| Path::new(&self.0))
    }
}

impl FromStr for SocketPattern {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        if !text.starts_with('/') || text.split('/').any(|part| part == "." || part == "..") {
            return Err(EntryError::Path);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for SocketPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_pattern_speaks_for_names() {
        let check = |pattern: &str, name: &str, expected: bool| {
            let pattern: HostPattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(name), expected, "{pattern} and {name}");
        };
        check("app.example", "app.example", true);
        check("App.Example.", "app.example", true);
        check("app.example", "x.app.example", false);
        check("app.example", "app.example.evil", false);
        check("*.example", "app.example", true);
        check("*.example", "a.b.example", true);
        check("*.example", "example", false);
        check("*.example", ".example", false);
        check("*.example", "notexample", false);
        check("*.example", "app.example.evil", false);
        check("*.bücher.example", "a.xn--bcher-kva.example", true);
    }

    #[test]
    fn a_socket_pattern_speaks_for_paths() {
        let check = |pattern: &str, path: &str, expected: bool| {
            let pattern: SocketPattern = pattern.parse().unwrap();
            assert_eq!(
                pattern.matches(Path::new(path)),
                expected,
                "{pattern} and {path}"
            );
        };
        check("/run/app.sock", "/run/app.sock", true);
        check("/run/app.sock", "/run/app.sock2", false);
        check("/run/apps/", "/run/apps/a.sock", true);
        check("/run/apps/", "/run/apps/x/a.sock", true);
        check("/run/apps/", "/run/appsa.sock", false);
        check("/run/apps", "/run/apps/a.sock", false);
    }

    #[test]
    fn bad_patterns_say_why() {
        for text in [
            "", "*", "*.", "a.*.b", "**.a", "a..b", "a b", "http://a", "a:80",
        ] {
            assert_eq!(text.parse::<HostPattern>(), Err(EntryError::Host), "{text}");
        }
        let error = "10.0.0.1".parse::<HostPattern>().unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"an address is permitted by cidr: write {cidr: "10.0.0.1/32"}"#
        );
        for text in ["", "run/a", "/run/../a", "/./a"] {
            assert_eq!(
                text.parse::<SocketPattern>(),
                Err(EntryError::Path),
                "{text}"
            );
        }
    }
}
