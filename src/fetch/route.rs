//! From an endpoint to the addresses a request may be sent to: look up, check, pin.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Instant;

use tokio::sync::Semaphore;
use url::{Host, Url};

use super::error::{FetchBuildError, FetchError, Party};
use super::trace::Trace;
use crate::policy::{Policy, Refusal};
use crate::target::Endpoint;

/// Lookups at once in the whole process, of names and of sockets. A lookup cannot be cancelled and holds a thread until
/// the system gives up, so a dead name server must not take every thread that decoding needs.
static LOOKUPS: Semaphore = Semaphore::const_new(64);

/// More addresses of one name are not tried: a real name has a handful, a hostile answer thousands.
const MAX_ADDRESSES: usize = 32;

/// A proxy as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proxy {
    /// The host as it stands in the URL, which is what the connector asks the resolver for.
    written: String,
    host: Host<String>,
    port: u16,
    /// Whether it looks up the names of targets itself (http, https, socks5h), so that we cannot check the address.
    resolves: bool,
}

impl Proxy {
    pub(super) fn new(url: &Url) -> Result<Self, FetchBuildError> {
        let (resolves, default_port) = match url.scheme() {
            "http" => (true, 80),
            "https" => (true, 443),
            "socks5" => (false, 1080),
            "socks5h" => (true, 1080),
            _ => return Err(FetchBuildError::Proxy),
        };
        let written = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or(FetchBuildError::Proxy)?
            .to_owned();
        // The URL of a socks proxy keeps its host as written: an address in it is recognised only here.
        let host = Host::parse(&written).map_err(|_| FetchBuildError::Proxy)?;
        Ok(Self {
            written,
            host,
            port: url.port().unwrap_or(default_port),
            resolves,
        })
    }

    fn endpoint(&self) -> Endpoint<'_> {
        match &self.host {
            Host::Domain(name) => Endpoint::Name {
                name: name.strip_suffix('.').unwrap_or(name),
                port: self.port,
            },
            Host::Ipv4(address) => Endpoint::Address(SocketAddr::from((*address, self.port))),
            Host::Ipv6(address) => Endpoint::Address(SocketAddr::from((*address, self.port))),
        }
    }
}

/// One hop of a request: the endpoint, and by whose word we go there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop<'a> {
    pub(super) endpoint: Endpoint<'a>,
    pub(super) party: Party,
    /// Look the name up as it is, without the system's search domains.
    pub(super) rooted: bool,
    /// Whether what is sent passes the network unencrypted.
    pub(super) plain: bool,
    pub(super) policy: &'a Policy,
    pub(super) proxy: Option<&'a Proxy>,
}

impl Hop<'_> {
    /// Looks up and checks every address on the way, pins those that passed, and returns the ones that the connection
    /// may lead to. None of them for a socket, which the policy has then permitted.
    pub(super) async fn prepare(&self, trace: &Trace) -> Result<Vec<SocketAddr>, FetchError> {
        if let Endpoint::Socket(path) = self.endpoint {
            return self.prepare_socket(path).await.map(|()| Vec::new());
        }
        trace.resolving();
        self.check_as_written()
            .map_err(|refusal| refused(self.party, refusal))?;
        let Some(proxy) = self.proxy else {
            return self.prepare_direct(trace).await;
        };
        let mut target = Vec::new();
        if !proxy.resolves {
            target = self.prepare_direct(trace).await?;
        }
        let endpoint = proxy.endpoint();
        let mut found = look_up(&endpoint, false, Party::Proxy, trace).await?;
        // Addresses are pinned by name alone: where the target is on the proxy's host, to what both may be.
        if endpoint.host() == self.endpoint.host() && !target.is_empty() {
            found.retain(|found| target.iter().any(|target| target.ip() == found.ip()));
        }
        let permitted = self
            .policy
            .check_proxy(&endpoint, &found)
            .map_err(|refusal| refused(Party::Proxy, refusal))?;
        trace.pin(&proxy.written, &permitted);
        Ok(permitted)
    }

    /// What can be said before a name server is asked; none is on behalf of who is refused anyway.
    fn check_as_written(&self) -> Result<(), Refusal> {
        match self.endpoint {
            _ if self.proxy.is_some_and(|proxy| proxy.resolves) => {
                self.policy.check_behind_proxy(&self.endpoint)?;
            }
            Endpoint::Name { name, port } => self.policy.check_before_lookup(name, port)?,
            Endpoint::Address(address) => {
                self.policy.check(&self.endpoint, &[address])?;
            }
            Endpoint::Socket(path) => self.policy.check_socket(path)?,
        }
        // Another origin than the target's gets no credentials that could be read on the way.
        if self.plain && self.party == Party::Target {
            self.policy.check_plain(&self.endpoint)?;
        }
        Ok(())
    }

    /// Sockets below a directory of `allow` may be no links. Whoever may write there can still put one in place between
    /// this look and the connection, which is why a directory is for who is trusted with it.
    async fn prepare_socket(&self, path: &Path) -> Result<(), FetchError> {
        self.policy
            .check_socket(path)
            .map_err(|refusal| refused(self.party, refusal))?;
        let Some(folder) = self.policy.folder_of(path) else {
            return Ok(());
        };
        let (folder, below) = (folder.to_owned(), path.to_owned());
        let permit = LOOKUPS.acquire().await.map_err(|_| FetchError::Internal {
            what: "lookups are closed",
        })?;
        let linked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            is_linked(&folder, &below)
        });
        let linked = linked.await;
        match linked {
            Ok(false) => Ok(()),
            Ok(true) => Err(refused(self.party, self.policy.refuse_link(path))),
            Err(_) => Err(FetchError::Internal {
                what: "looking at a socket broke off",
            }),
        }
    }

    /// Whether a connection that led to `remote` was permitted. A pooled one leads where its name resolved to when it
    /// was opened: that may have changed since, and is then checked anew.
    pub(super) fn confirm(
        &self,
        remote: SocketAddr,
        permitted: &[SocketAddr],
    ) -> Result<(), FetchError> {
        let same = |address: &SocketAddr| {
            address.port() == remote.port()
                && address.ip().to_canonical() == remote.ip().to_canonical()
        };
        if permitted.iter().any(same) {
            return Ok(());
        }
        let (checked, party) = match self.proxy {
            Some(proxy) => (
                self.policy.check_proxy(&proxy.endpoint(), &[remote]),
                Party::Proxy,
            ),
            None => (self.policy.check(&self.endpoint, &[remote]), self.party),
        };
        checked
            .map(|_| ())
            .map_err(|refusal| refused(party, refusal))
    }

    async fn prepare_direct(&self, trace: &Trace) -> Result<Vec<SocketAddr>, FetchError> {
        let found = look_up(&self.endpoint, self.rooted, self.party, trace).await?;
        let permitted = self
            .policy
            .check(&self.endpoint, &found)
            .map_err(|refusal| refused(self.party, refusal))?;
        match self.endpoint {
            Endpoint::Name { name, .. } => trace.pin(name, &permitted),
            Endpoint::Address(address) => trace.pin(&address.ip().to_string(), &permitted),
            Endpoint::Socket(_) => {}
        }
        Ok(permitted)
    }
}

/// Whether something on the way from `folder` down to `path` is a link.
fn is_linked(folder: &Path, path: &Path) -> bool {
    let mut at = folder.to_owned();
    let below = path.strip_prefix(folder).unwrap_or(path);
    below.components().any(|part| {
        at.push(part);
        std::fs::symlink_metadata(&at).is_ok_and(|found| found.is_symlink())
    })
}

/// A refusal in words that fit the asker: what they did not write themselves is not named.
fn refused(party: Party, refusal: Refusal) -> FetchError {
    let refusal = if party == Party::Target {
        refusal
    } else {
        refusal.untold()
    };
    FetchError::Refused { party, refusal }
}

async fn look_up(
    endpoint: &Endpoint<'_>,
    rooted: bool,
    party: Party,
    trace: &Trace,
) -> Result<Vec<SocketAddr>, FetchError> {
    let (name, port) = match endpoint {
        Endpoint::Name { name, port } => (*name, *port),
        Endpoint::Address(address) => return Ok(vec![*address]),
        Endpoint::Socket(_) => return Ok(Vec::new()),
    };
    let host = if rooted {
        format!("{name}.")
    } else {
        name.to_owned()
    };
    let started = Instant::now();
    let permit = LOOKUPS.acquire().await.map_err(|_| FetchError::Internal {
        what: "lookups are closed",
    })?;
    let found = tokio::task::spawn_blocking(move || {
        // The permit goes with the lookup: a probe that gives up does not free its thread.
        let _permit = permit;
        (host.as_str(), port)
            .to_socket_addrs()
            .map(|found| found.take(MAX_ADDRESSES).collect::<Vec<_>>())
    });
    let found = found.await.map_err(|_| FetchError::Internal {
        what: "a lookup broke off",
    })?;
    trace.resolved(started.elapsed());
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or(FetchError::Dns { party })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_url_of_four_schemes() {
        let check = |url: &str, expected: Option<(&str, bool)>| {
            let proxy = Proxy::new(&Url::parse(url).unwrap()).ok();
            let seen = proxy.as_ref().map(|proxy| match proxy.endpoint() {
                Endpoint::Name { name, port } => (format!("{name}:{port}"), proxy.resolves),
                Endpoint::Address(address) => (format!("at {address}"), proxy.resolves),
                Endpoint::Socket(_) => panic!("a proxy is no socket"),
            });
            assert_eq!(
                seen,
                expected.map(|(at, resolves)| (at.to_owned(), resolves)),
                "{url}"
            );
        };
        check(
            "http://proxy.example:3128",
            Some(("proxy.example:3128", true)),
        );
        check(
            "http://user:pw@proxy.example",
            Some(("proxy.example:80", true)),
        );
        check("https://proxy.example.", Some(("proxy.example:443", true)));
        check(
            "socks5://proxy.example",
            Some(("proxy.example:1080", false)),
        );
        check("socks5h://10.0.0.1:9", Some(("at 10.0.0.1:9", true)));
        check("socks5://0x7f.1:9", Some(("at 127.0.0.1:9", false)));
        check("socks5://[fe80::1]:9", Some(("at [fe80::1]:9", false)));
        check("socks4://proxy.example:1", None);
        check("ftp://proxy.example", None);
        check("unix:///run/proxy", None);
    }
}
