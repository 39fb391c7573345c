//! Where probes may go.
//!
//! The decision is taken on the resolved address, for the target, for each redirect and for a proxy. It is a pure
//! function of its arguments: nothing is resolved or connected here.
//!
//! Order of the rules: the floor refuses link-local, multicast and the like unless an entry by `cidr` was written
//! for them (`floor`); then an entry of `allow` must permit the address (by `cidr`) or the name it was found by
//! (by `host`), or the target must be a configured one, or loopback while the exporter listens on loopback only, or
//! `--web.allow-any-target` given. Sockets are permitted by path alone.

mod entry;
mod floor;
mod refusal;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;

pub use entry::{AllowEntry, EntryError, HostPattern, Place, SocketPattern};
pub use floor::FloorRange;
pub use refusal::{Refusal, RefusalReason};

use crate::target::{Endpoint, Target};
use floor::embedded;
use refusal::Asked;

/// What holds besides the entries of `allow`.
#[derive(Clone, Debug, Default)]
pub struct Defaults<'a> {
    /// The configured static targets: always permitted, the floor aside.
    pub targets: &'a [Target],
    /// Whether the exporter listens on loopback only. Loopback is then permitted as long as `allow` is empty.
    pub listens_on_loopback: bool,
    /// `--web.allow-any-target`: any address above the floor. Sockets still need an entry.
    pub any_target: bool,
}

/// The compiled rules of one configuration.
#[derive(Clone, Debug)]
pub struct Policy {
    /// As configured under `allow`: these alone can lift the floor.
    allow: Vec<AllowEntry>,
    /// What the defaults amount to.
    implied: Vec<AllowEntry>,
    any_target: bool,
}

impl Policy {
    /// The rules of `allow` and what holds besides them.
    #[must_use]
    pub fn new(entries: Vec<AllowEntry>, defaults: &Defaults<'_>) -> Self {
        let mut implied: Vec<AllowEntry> = defaults
            .targets
            .iter()
            .map(AllowEntry::for_target)
            .collect();
        if entries.is_empty() && defaults.listens_on_loopback {
            implied.extend(AllowEntry::loopback());
        }
        let allow = entries.into_iter().map(AllowEntry::canonical).collect();
        Self {
            allow,
            implied,
            any_target: defaults.any_target,
        }
    }

    /// Whether a name is worth resolving: some rule could permit an address it resolves to.
    ///
    /// # Errors
    /// When no rule could; so the exporter asks no name server on behalf of strangers.
    pub fn check_before_lookup(&self, name: &str, port: u16) -> Result<(), Refusal> {
        let possible = self.any_target
            || self.entries().any(|entry| match &entry.place {
                Place::Cidr(_) => entry.has_port(port),
                Place::Host(host) => entry.has_port(port) && host.matches(name),
                Place::Socket(_) => false,
            });
        if possible {
            Ok(())
        } else {
            Err(self.refuse(&Endpoint::Name { name, port }, &[]))
        }
    }

    /// The addresses of `resolved` that `endpoint` may be connected to, in their order. For an address written as
    /// such, `resolved` is that address.
    ///
    /// # Errors
    /// When none is left. A socket has no address: see [`check_socket`](Self::check_socket).
    pub fn check(
        &self,
        endpoint: &Endpoint<'_>,
        resolved: &[SocketAddr],
    ) -> Result<Vec<SocketAddr>, Refusal> {
        let (name, port) = match endpoint {
            Endpoint::Name { name, port } => (Some(*name), *port),
            Endpoint::Address(address) => (None, address.port()),
            Endpoint::Socket(path) => return self.check_socket(path).map(|()| Vec::new()),
        };
        let permitted: Vec<SocketAddr> = resolved
            .iter()
            .filter(|address| self.permits(name, address.ip(), port))
            .copied()
            .collect();
        if permitted.is_empty() {
            Err(self.refuse(endpoint, resolved))
        } else {
            Ok(permitted)
        }
    }

    /// Whether a target may be asked for through a proxy that resolves names itself. An address is checked as ever;
    /// a name can only be held to the entries by `host`, and to the configured targets.
    ///
    /// # Errors
    /// When nothing permits it.
    pub fn check_behind_proxy(&self, endpoint: &Endpoint<'_>) -> Result<(), Refusal> {
        match endpoint {
            Endpoint::Address(address) => self.check(endpoint, &[*address]).map(|_| ()),
            Endpoint::Socket(path) => self.check_socket(path),
            Endpoint::Name { name, port } => {
                let permitted = self.any_target || self.permits_name(name, *port);
                if permitted {
                    Ok(())
                } else {
                    Err(self.refuse(endpoint, &[]))
                }
            }
        }
    }

    /// The addresses of a proxy that may be connected to. The operator chose the proxy, so it needs no entry in
    /// `allow`; the floor holds for it too.
    ///
    /// # Errors
    /// When none is left.
    pub fn check_proxy(
        &self,
        endpoint: &Endpoint<'_>,
        resolved: &[SocketAddr],
    ) -> Result<Vec<SocketAddr>, Refusal> {
        let permitted: Vec<SocketAddr> = resolved
            .iter()
            .filter(|address| self.floor_of(address.ip(), address.port()).is_none())
            .copied()
            .collect();
        if permitted.is_empty() {
            Err(self.refuse(endpoint, resolved))
        } else {
            Ok(permitted)
        }
    }

    /// Whether the socket at `path` may be connected to.
    ///
    /// # Errors
    /// When no entry and no configured target names it.
    pub fn check_socket(&self, path: &Path) -> Result<(), Refusal> {
        let permitted = self
            .entries()
            .any(|entry| matches!(&entry.place, Place::Socket(socket) if socket.matches(path)));
        if permitted {
            Ok(())
        } else {
            Err(Refusal::new(
                RefusalReason::Unix,
                Asked::Socket(path.to_owned()),
                None,
            ))
        }
    }

    fn permits(&self, name: Option<&str>, address: IpAddr, port: u16) -> bool {
        if self.floor_of(address, port).is_some() {
            return false;
        }
        let canonical = address.to_canonical();
        self.any_target
            || name.is_some_and(|name| self.permits_name(name, port))
            || cidrs(self.entries(), port).any(|net| net.contains(&canonical))
    }

    fn permits_name(&self, name: &str, port: u16) -> bool {
        self.entries().any(|entry| {
            matches!(&entry.place, Place::Host(host) if host.matches(name)) && entry.has_port(port)
        })
    }

    /// The range of the floor that refuses an address, looking through every IPv6 form that carries an IPv4 one.
    /// A range is lifted by an entry that covers the address and lies within the range: `169.254.169.254/32` was
    /// written for it, `0.0.0.0/0` was not.
    fn floor_of(&self, address: IpAddr, port: u16) -> Option<FloorRange> {
        embedded(address).find_map(|(carried, prefix)| {
            let (net, range) = floor::range_of(carried)?;
            let canonical = address.to_canonical();
            let lifted = cidrs(&self.allow, port).any(|entry| {
                let over_carried =
                    entry.contains(&carried) && entry.prefix_len() >= net.prefix_len();
                let over_form = entry.contains(&canonical)
                    && entry.prefix_len() >= prefix.saturating_add(net.prefix_len());
                over_carried || over_form
            });
            (!lifted).then_some(range)
        })
    }

    fn entries(&self) -> impl Iterator<Item = &AllowEntry> {
        self.allow.iter().chain(&self.implied)
    }

    /// Tells why nothing permitted `endpoint`. An address that only lacks the port, or the floor, is told as such.
    fn refuse(&self, endpoint: &Endpoint<'_>, resolved: &[SocketAddr]) -> Refusal {
        let (asked, name, port) = match endpoint {
            Endpoint::Name { name, port } => {
                (Asked::Name((*name).to_owned(), *port), Some(*name), *port)
            }
            Endpoint::Address(address) => (Asked::Address(*address), None, address.port()),
            Endpoint::Socket(path) => (Asked::Socket(path.to_path_buf()), None, 0),
        };
        let floors: Vec<Option<FloorRange>> = resolved
            .iter()
            .map(|address| self.floor_of(address.ip(), port))
            .collect();
        if let Some(range) = floors
            .iter()
            .copied()
            .flatten()
            .next()
            .filter(|_| floors.iter().all(Option::is_some))
        {
            return Refusal::new(RefusalReason::Floor, asked, Some(range));
        }
        let on_another_port = self.entries().any(|entry| match &entry.place {
            Place::Cidr(net) => resolved
                .iter()
                .any(|address| net.contains(&address.ip().to_canonical())),
            Place::Host(host) => name.is_some_and(|name| host.matches(name)),
            Place::Socket(_) => false,
        });
        let reason = if on_another_port {
            RefusalReason::Port
        } else {
            RefusalReason::NotAllowed
        };
        Refusal::new(reason, asked, None)
    }
}

/// The networks among the entries that speak for a port.
fn cidrs<'a>(
    entries: impl IntoIterator<Item = &'a AllowEntry>,
    port: u16,
) -> impl Iterator<Item = &'a IpNet> {
    entries
        .into_iter()
        .filter_map(move |entry| match &entry.place {
            Place::Cidr(net) if entry.has_port(port) => Some(net),
            _ => None,
        })
}

#[cfg(test)]
mod tests;
