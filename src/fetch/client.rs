//! reqwest clients that connect only where they are told: no redirects, retries, proxies from the environment,
//! cookies or decompression of their own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, ClientBuilder};
use rustls::ClientConfig;

use super::error::{FetchBuildError, Party};
use super::spec::{FetchSpec, TlsSpec};
use super::tls::client_config;
use super::trace::{Pinned, TimedLayer};

/// Longer than the scrape intervals in use (15 s to 60 s), so that a scrape finds the connection of the one before.
const POOL_IDLE: Duration = Duration::from_secs(90);

/// Clients for unix sockets kept at once; a machine has fewer sidecar sockets.
const MAX_SOCKETS: usize = 64;

/// What targets see in their logs.
const USER_AGENT: &str = concat!("goroutine_exporter/", env!("CARGO_PKG_VERSION"));

/// The clients of one module: those for everything over TCP, and one for each unix socket.
pub(super) struct Clients {
    tcp: Tcp,
    /// The same without the client certificate, for other origins that a target redirects to. With sessions of its own:
    /// a resumed one would tell who opened it.
    away: Tcp,
    tls: ClientConfig,
    http2: bool,
    /// Oldest first.
    sockets: Mutex<Vec<(PathBuf, Client)>>,
}

/// Clients over TCP that differ in what becomes of a connection behind an answer.
#[derive(Clone)]
struct Tcp {
    /// It stays open for the next request.
    keeps: Client,
    /// It is closed. A connection never gives back the room that its largest answer took, 400 KiB at most, so that one large
    /// answer from each of many targets would be paid for in memory as long as they are probed.
    closes: Client,
}

/// reqwest would print its proxy, and with it the proxy's password.
impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("http2", &self.http2)
            .finish_non_exhaustive()
    }
}

impl Clients {
    /// The clients of `spec`, with what its TLS files hold in `tls`.
    pub(super) fn new(spec: &FetchSpec, tls: &TlsSpec) -> Result<Self, FetchBuildError> {
        let config = client_config(tls, spec.http2)?;
        let over_tcp = |tls: ClientConfig| -> Result<Tcp, FetchBuildError> {
            let client = |idle: usize| {
                let mut builder = builder(tls.clone(), spec.http2).pool_max_idle_per_host(idle);
                if let Some(url) = &spec.proxy {
                    let proxy = reqwest::Proxy::all(url.clone());
                    builder = builder.proxy(proxy.map_err(|_| FetchBuildError::Proxy)?);
                }
                build(builder)
            };
            Ok(Tcp {
                keeps: client(1)?,
                closes: client(0)?,
            })
        };
        let tcp = over_tcp(config.clone())?;
        let away = if tls.identity.is_some() {
            let nobody = TlsSpec {
                identity: None,
                ..tls.clone()
            };
            over_tcp(client_config(&nobody, spec.http2)?)?
        } else {
            tcp.clone()
        };
        Ok(Self {
            tcp,
            away,
            tls: config,
            http2: spec.http2,
            sockets: Mutex::new(Vec::new()),
        })
    }

    /// The client for whoever is asked, which keeps the connection open afterwards or does not.
    pub(super) fn tcp(&self, party: Party, keep: bool) -> Client {
        let tcp = match party {
            Party::Target => &self.tcp,
            Party::Redirect | Party::Proxy => &self.away,
        };
        if keep {
            tcp.keeps.clone()
        } else {
            tcp.closes.clone()
        }
    }

    /// The client of a socket, made at first use.
    pub(super) fn socket(&self, path: &Path) -> Result<Client, FetchBuildError> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = sockets.iter().find(|(known, _)| known == path) {
            return Ok(client.clone());
        }
        let client = build(builder(self.tls.clone(), self.http2).unix_socket(path))?;
        if sockets.len() >= MAX_SOCKETS {
            // Requests under way keep their clone; only its idle connection goes.
            sockets.remove(0);
        }
        sockets.push((path.to_owned(), client.clone()));
        Ok(client)
    }
}

fn builder(tls: ClientConfig, http2: bool) -> ClientBuilder {
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(POOL_IDLE)
        .dns_resolver(Pinned)
        .connector_layer(TimedLayer)
        .tls_backend_preconfigured(tls);
    if http2 { builder } else { builder.http1_only() }
}

fn build(builder: ClientBuilder) -> Result<Client, FetchBuildError> {
    builder.build().map_err(|error| FetchBuildError::Client {
        detail: error.without_url().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clients_of_sockets_are_kept_and_bounded() {
        let clients = Clients::new(&FetchSpec::default(), &TlsSpec::default()).unwrap();
        let known = || -> Vec<PathBuf> {
            clients
                .sockets
                .lock()
                .unwrap()
                .iter()
                .map(|(path, _)| path.clone())
                .collect()
        };
        for n in 0..MAX_SOCKETS {
            clients
                .socket(&PathBuf::from(format!("/run/{n}.sock")))
                .unwrap();
            clients.socket(Path::new("/run/0.sock")).unwrap();
        }
        assert_eq!(known().len(), MAX_SOCKETS);
        clients.socket(Path::new("/run/more.sock")).unwrap();
        assert_eq!(known().len(), MAX_SOCKETS);
        assert!(!known().contains(&PathBuf::from("/run/0.sock")));
        assert!(known().contains(&PathBuf::from("/run/more.sock")));
    }
}
