//! Where probes may go.
//!
//! The decision is taken on the resolved address, for the target, for each redirect and for a proxy. It is a pure
//! function of its arguments: nothing is resolved or connected here.
//!
//! Order of the rules: the floor refuses link-local, multicast and the like unless an entry by `cidr` was written
//! for them (`floor`); then an entry of `allow` must permit the address (by `cidr`) or the name it was found by
//! (by `host`), or the target must be a configured one, or loopback while the exporter listens on loopback only, or
//! `--web.allow-any-target` given. Sockets are permitted by path alone. What a module says of itself narrows that
//! further (`module`).

mod entry;
mod floor;
mod module;
mod refusal;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

pub use entry::{AllowEntry, EntryError, HostPattern, Place, SocketPattern};
pub use floor::FloorRange;
pub use module::ModuleRules;
pub use refusal::{Refusal, RefusalReason};

use crate::target::{Endpoint, Target};
use entry::{cidrs, permits_address, permits_name, permits_socket, possible};
use floor::embedded;
use module::Restriction;
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

/// The compiled rules of one configuration, as they hold for one of its modules. The default permits nothing.
///
/// Equal ones decide alike. Connections that were opened under one may be used under another only when they are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    top: Arc<Top>,
    module: Option<Restriction>,
}

/// What holds for every module.
#[derive(Debug, Default, PartialEq, Eq)]
struct Top {
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
            top: Arc::new(Top {
                allow,
                implied,
                any_target: defaults.any_target,
            }),
            module: None,
        }
    }

    /// The same rules, narrowed by what a module says of itself.
    #[must_use]
    pub fn for_module(&self, rules: &ModuleRules<'_>) -> Self {
        Self {
            top: Arc::clone(&self.top),
            module: Some(Restriction::new(rules)),
        }
    }

    /// Whether a name is worth resolving: some rule could permit an address it resolves to.
    ///
    /// # Errors
    /// When no rule could; so the exporter asks no name server on behalf of strangers.
    pub fn check_before_lookup(&self, name: &str, port: u16) -> Result<(), Refusal> {
        let top = &self.top;
        let at_top = top.any_target || top.entries().any(|entries| possible(entries, name, port));
        let in_module = |module: &Restriction| module.possible(&top.allow, name, port);
        self.decide(
            at_top,
            self.module.as_ref().is_none_or(in_module),
            &Endpoint::Name { name, port },
            &[],
        )
    }

    /// Whether what the module sends may be sent to `endpoint` over plain HTTP. A socket is no network.
    ///
    /// # Errors
    /// When it sends credentials, and nobody wrote that these may go unencrypted.
    pub fn check_plain(&self, endpoint: &Endpoint<'_>) -> Result<(), Refusal> {
        let module = self.module.as_ref();
        module.map_or(Ok(()), |module| module.check_plain(endpoint))
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
        let at_top: Vec<SocketAddr> = resolved
            .iter()
            .filter(|address| self.top.permits(name, address.ip(), port))
            .copied()
            .collect();
        let in_module = |address: &SocketAddr| {
            let permits =
                |module: &Restriction| module.permits(&self.top.allow, name, address.ip(), port);
            self.module.as_ref().is_none_or(permits)
        };
        let permitted: Vec<SocketAddr> =
            at_top.iter().filter(|at| in_module(at)).copied().collect();
        self.decide(
            !at_top.is_empty(),
            !permitted.is_empty(),
            endpoint,
            resolved,
        )?;
        Ok(permitted)
    }

    /// Whether a target may be asked for through a proxy that resolves names itself. An address is checked as ever;
    /// a name can only be held to the entries by `host`, and to the configured targets. `--web.allow-any-target` is no
    /// word for it: nobody could keep it from resolving to where no probe goes.
    ///
    /// # Errors
    /// When nothing permits it.
    pub fn check_behind_proxy(&self, endpoint: &Endpoint<'_>) -> Result<(), Refusal> {
        match endpoint {
            Endpoint::Address(address) => self.check(endpoint, &[*address]).map(|_| ()),
            Endpoint::Socket(path) => self.check_socket(path),
            Endpoint::Name { name, port } => {
                let top = &self.top;
                let at_top = top
                    .entries()
                    .any(|entries| permits_name(entries, name, *port));
                let in_module = |module: &Restriction| module.permits_name(&top.allow, name, *port);
                let in_module = self.module.as_ref().is_none_or(in_module);
                self.decide(at_top, in_module, endpoint, &[])
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
            .filter(|address| {
                let floor = self.top.floor_of(address.ip(), address.port());
                floor.is_none()
            })
            .copied()
            .collect();
        if permitted.is_empty() {
            Err(self.top.refuse(endpoint, resolved))
        } else {
            Ok(permitted)
        }
    }

    /// Whether the socket at `path` may be connected to.
    ///
    /// # Errors
    /// When no entry and no configured target names it.
    pub fn check_socket(&self, path: &Path) -> Result<(), Refusal> {
        let top = &self.top;
        let in_module = |module: &Restriction| module.permits_socket(&top.allow, path);
        self.decide(
            top.entries().any(|entries| permits_socket(entries, path)),
            self.module.as_ref().is_none_or(in_module),
            &Endpoint::Socket(path),
            &[],
        )
    }

    /// The directory below which a permitted socket was found, when no entry names the socket itself. Nothing below
    /// it may be a link: who may write there could lead the exporter to any socket of the machine.
    #[must_use]
    pub fn folder_of(&self, path: &Path) -> Option<&Path> {
        let entries = self.top.entries().flatten();
        let mut found = entries.filter_map(|entry| match &entry.place {
            Place::Socket(socket) if socket.matches(path) => Some(socket.folder()),
            _ => None,
        });
        let first = found.next()??;
        found.try_fold(first, |longest, folder| {
            let folder = folder?;
            let longer = folder.as_os_str().len() > longest.as_os_str().len();
            Some(if longer { folder } else { longest })
        })
    }

    /// The refusal of a socket that is a link below a [directory](Self::folder_of).
    #[must_use]
    pub fn refuse_link(&self, path: &Path) -> Refusal {
        Refusal::new(RefusalReason::Unix, Asked::Link(path.to_owned()), None)
    }

    /// Both have to permit it. What the configuration refuses is told first.
    fn decide(
        &self,
        at_top: bool,
        in_module: bool,
        endpoint: &Endpoint<'_>,
        resolved: &[SocketAddr],
    ) -> Result<(), Refusal> {
        match &self.module {
            _ if !at_top => Err(self.top.refuse(endpoint, resolved)),
            Some(module) if !in_module => Err(module.refuse(Asked::of(endpoint))),
            _ => Ok(()),
        }
    }
}

impl Top {
    fn permits(&self, name: Option<&str>, address: IpAddr, port: u16) -> bool {
        if self.floor_of(address, port).is_some() {
            return false;
        }
        self.any_target
            || self.entries().any(|entries| {
                name.is_some_and(|name| permits_name(entries, name, port))
                    || permits_address(entries, address, port)
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

    fn entries(&self) -> impl Iterator<Item = &[AllowEntry]> {
        [self.allow.as_slice(), self.implied.as_slice()].into_iter()
    }

    /// Tells why nothing permitted `endpoint`. An address that only lacks the port, or the floor, is told as such.
    fn refuse(&self, endpoint: &Endpoint<'_>, resolved: &[SocketAddr]) -> Refusal {
        let asked = Asked::of(endpoint);
        let (name, port) = match endpoint {
            Endpoint::Name { name, port } => (Some(*name), *port),
            Endpoint::Address(address) => (None, address.port()),
            Endpoint::Socket(_) => return Refusal::new(RefusalReason::Unix, asked, None),
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
        let on_another_port = self.entries().flatten().any(|entry| match &entry.place {
            // That a name leads into a network is not told.
            Place::Cidr(net) => {
                let inside = |address: &SocketAddr| net.contains(&address.ip().to_canonical());
                name.is_none() && resolved.iter().any(inside)
            }
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

#[cfg(test)]
mod tests;
