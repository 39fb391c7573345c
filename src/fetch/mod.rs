//! Fetches one profile of one target: the only place that opens connections to targets, and the only one that names
//! reqwest.
//!
//! - Nothing is connected to that the [`Policy`] did not permit by its resolved address: not by another spelling, a
//!   redirect, a name that resolves anew, or a pooled connection.
//! - The deadline covers everything: files of secrets, lookup, connection, handshake, head, body.
//! - The body is never buffered: it is handed over chunk by chunk and counted against a limit, and never inflated.
//! - Credentials, a client certificate included, go to the configured target, and never to another origin that it
//!   redirects to; over plain HTTP only when the policy says so.
//! - Dropping a future or an [`Answer`] closes the connection, so the target stops working for nobody.
//!
//! It keeps no state besides idle connections, and knows nothing of what the body means.

mod answer;
mod client;
mod credentials;
mod error;
mod fault;
mod route;
mod secret_file;
mod spec;
mod tls;
mod trace;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Response, StatusCode};
use tokio::time::{Instant, timeout_at};
use url::Url;

pub use answer::{Answer, Fetched};
pub use error::{FetchBuildError, FetchError, Party, SecretFault, StatusHint};
pub use fault::{ConnectFault, RedirectFault, TlsFault};
pub use spec::{Auth, FetchSpec, Identity, Pem, TlsSpec, TlsVersion};
pub use trace::{Phase, Phases};

use client::Clients;
use credentials::Credentials;
use fault::Evidence;
use route::{Hop, Proxy};
use trace::Trace;

use crate::policy::Policy;
use crate::target::{Endpoint, Target};

/// Redirects followed before giving up. Go's client gives up after 10 requests; a profile is one or two away.
const MAX_REDIRECTS: u8 = 5;

/// Fetches the profiles of every target of one module.
#[derive(Debug)]
pub struct Fetcher {
    made_of: MadeOf,
    clients: Clients,
    credentials: Credentials,
    proxy: Option<Proxy>,
    follow_redirects: bool,
}

/// What a fetcher was made of. Secrets of requests are not in it: they are read for each.
#[derive(PartialEq, Eq)]
struct MadeOf {
    spec: FetchSpec,
    /// With the content of its files.
    tls: TlsSpec,
}

/// One profile to fetch.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// From whom.
    pub target: &'a Target,
    /// The path behind the target's prefix, with its leading slash: `/debug/pprof/goroutine`.
    pub path: &'a str,
    /// The query without its `?`; may be empty.
    pub query: &'a str,
    /// Where it may be fetched from.
    pub policy: &'a Policy,
    /// The longest body taken, in bytes as sent.
    pub body_limit: u64,
    /// When to give up, whatever is going on.
    pub deadline: Instant,
    /// Whether it is one of those that come again and again: sent a second time when the target closes the idle connection
    /// that it went to, and on a connection that stays open. Never what costs the target something: it may have paid
    /// already, and its answers are large.
    pub again: bool,
}

impl Fetcher {
    /// Reads the TLS files that `spec` names and prepares the clients; nothing is connected to.
    ///
    /// # Errors
    /// When a file cannot be read, or a setting cannot be honoured.
    pub fn new(spec: &FetchSpec) -> Result<Self, FetchBuildError> {
        Self::made_of(MadeOf::read(spec)?)
    }

    /// The fetcher that `spec` asks for: this one, with its open connections, when neither `spec` nor what the TLS files
    /// hold is other than what it was made of.
    ///
    /// Under other rules ask for a [`new`](Self::new) one: an open connection may lead where the old ones permitted, and a
    /// request is sent on it before its address is looked at.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn renewed(self: &Arc<Self>, spec: &FetchSpec) -> Result<Arc<Self>, FetchBuildError> {
        let wanted = MadeOf::read(spec)?;
        if self.made_of == wanted {
            return Ok(Arc::clone(self));
        }
        Self::made_of(wanted).map(Arc::new)
    }

    fn made_of(made_of: MadeOf) -> Result<Self, FetchBuildError> {
        let MadeOf { spec, tls } = &made_of;
        Ok(Self {
            clients: Clients::new(spec, tls)?,
            credentials: Credentials::new(spec)?,
            proxy: spec.proxy.as_ref().map(Proxy::new).transpose()?,
            follow_redirects: spec.follow_redirects,
            made_of,
        })
    }

    /// Sends the request and returns once the head of an answer with status 200 is there.
    ///
    /// # Errors
    /// When the target is refused, cannot be reached in time, or answers something else.
    pub async fn open(&self, request: &Request<'_>) -> Result<Answer, FetchError> {
        self.open_timed(request, &mut Phases::default()).await
    }

    /// The same, noting the phases that were completed, also when it fails.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_timed(
        &self,
        request: &Request<'_>,
        phases: &mut Phases,
    ) -> Result<Answer, FetchError> {
        let trace = Trace::default();
        let opened = timeout_at(request.deadline, self.follow(request, &trace)).await;
        *phases = trace.phases();
        let response = opened.map_err(|_| FetchError::Timeout {
            phase: trace.phase(),
        })??;
        Answer::new(response, request.body_limit, request.deadline, &trace)
    }

    /// Fetches the body and hands it to `on_body` in chunks, until its end or until `on_body` breaks.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`Answer::chunk`].
    pub async fn get(
        &self,
        request: &Request<'_>,
        on_body: &mut (dyn FnMut(&[u8]) -> ControlFlow<()> + Send),
    ) -> Result<Fetched, FetchError> {
        let mut answer = self.open(request).await?;
        while let Some(chunk) = answer.chunk().await? {
            if on_body(&chunk).is_break() {
                break;
            }
        }
        Ok(answer.fetched().clone())
    }

    /// Follows redirects to an answer with status 200.
    async fn follow(&self, request: &Request<'_>, trace: &Trace) -> Result<Response, FetchError> {
        let mut headers = self.credentials.headers().await?;
        let mut url = request.target.url(request.path, request.query);
        let mut party = Party::Target;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.hop(request, &url, party, &headers, trace).await?;
            let status = response.status();
            if status == StatusCode::OK {
                return Ok(response);
            }
            // 300, 304 and 305 lead nowhere.
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Err(status_error(response, &url).await);
            }
            if !self.follow_redirects {
                return Err(FetchError::RedirectNotFollowed {
                    code: status.as_u16(),
                });
            }
            let next = redirect_to(&response, &url).map_err(FetchError::Redirect)?;
            if next.origin() != url.origin() {
                if matches!(request.target.endpoint(), Endpoint::Socket(_)) {
                    return Err(FetchError::Redirect(RedirectFault::LeavesSocket));
                }
                // Once dropped they stay dropped, though a later redirect lead back.
                headers = HeaderMap::new();
                party = Party::Redirect;
            }
            url = next;
        }
        Err(FetchError::TooManyRedirects {
            limit: MAX_REDIRECTS,
        })
    }

    /// One request and its answer, whatever the status.
    async fn hop(
        &self,
        request: &Request<'_>,
        url: &Url,
        party: Party,
        headers: &HeaderMap,
        trace: &Trace,
    ) -> Result<Response, FetchError> {
        let own = request.target.endpoint();
        let (client, endpoint) = if let Endpoint::Socket(path) = own {
            let made = self.clients.socket(path);
            (
                made.map_err(|_| FetchError::Internal {
                    what: "no client for the unix socket",
                })?,
                own,
            )
        } else {
            let endpoint = Endpoint::of_url(url).ok_or(FetchError::Internal {
                what: "a URL without a host",
            })?;
            (self.clients.tcp(party, request.again), endpoint)
        };
        let rooted = party == Party::Target && request.target.is_rooted();
        let hop = Hop {
            endpoint,
            party,
            rooted,
            plain: url.scheme() == "http",
            policy: request.policy,
            proxy: self.proxy.as_ref(),
        };
        let permitted = hop.prepare(trace).await?;
        let mut again = request.again;
        let response = loop {
            let sending = client.get(url.clone()).headers(headers.clone()).send();
            match trace.run(sending).await {
                Ok(response) => break response,
                Err(error) => {
                    let evidence = Evidence::of(&error);
                    // The target may close an idle connection just as it is used again. Asking once more, on a new
                    // one, is what Go's client does too.
                    if again && !trace.began_connection() && !evidence.parse {
                        again = false;
                        continue;
                    }
                    return Err(no_answer(&error, evidence, trace));
                }
            }
        };
        trace.head_arrived();
        if let Some(remote) = response.remote_addr() {
            hop.confirm(remote, &permitted)?;
        }
        Ok(response)
    }
}

/// The URL of a proxy can hold a password.
impl fmt::Debug for MadeOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeOf").finish_non_exhaustive()
    }
}

impl MadeOf {
    fn read(spec: &FetchSpec) -> Result<Self, FetchBuildError> {
        Ok(Self {
            tls: tls::read_files(&spec.tls)?,
            spec: spec.clone(),
        })
    }
}

/// The fault of a request that brought no answer.
fn no_answer(error: &reqwest::Error, evidence: Evidence, trace: &Trace) -> FetchError {
    // A client certificate is refused only after the handshake is over for our side, hence the second test.
    if trace.failed_in_tls() || evidence.tls.is_some() {
        return FetchError::Tls(evidence.tls_fault());
    }
    if evidence.parse || evidence.unasked {
        return FetchError::NotHttp;
    }
    if error.is_builder() {
        return FetchError::Internal {
            what: "the request could not be built",
        };
    }
    FetchError::Connect(evidence.connect_fault())
}

/// Where a redirect leads to.
fn redirect_to(response: &Response, from: &Url) -> Result<Url, RedirectFault> {
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    let mut next = from
        .join(location.ok_or(RedirectFault::NoLocation)?)
        .map_err(|_| RedirectFault::BadLocation)?;
    next.set_fragment(None);
    let plain = next.username().is_empty()
        && next.password().is_none()
        && Endpoint::of_url(&next).is_some();
    match (from.scheme(), next.scheme()) {
        ("https", "http") => Err(RedirectFault::Downgrade),
        (_, "http" | "https") if plain => Ok(next),
        _ => Err(RedirectFault::BadLocation),
    }
}

/// The fault of an answer with another status than 200. Looks at the first bytes of the body for one of two sentences of
/// Go's own (net/http server.go, `badRequestError` on a TLS listener; net/http/pprof pprof.go, `Trace`); nothing of the body
/// is kept.
async fn status_error(mut response: Response, url: &Url) -> FetchError {
    const WANTS_TLS: &[u8] = b"Client sent an HTTP request to an HTTPS server.";
    const TRACE_BUSY: &[u8] = b"Could not enable tracing:";
    let status = response.status();
    let mut hint = response
        .headers()
        .contains_key("x-go-pprof")
        .then_some(StatusHint::GoPprof);
    if status == StatusCode::BAD_REQUEST && url.scheme() == "http" {
        let start = response.chunk().await.ok().flatten();
        hint = start
            .filter(|start| start.starts_with(WANTS_TLS))
            .map(|_| StatusHint::WantsTls)
            .or(hint);
    }
    if status == StatusCode::INTERNAL_SERVER_ERROR && hint.is_some() {
        let start = response.chunk().await.ok().flatten();
        hint = start
            .filter(|start| start.starts_with(TRACE_BUSY))
            .map(|_| StatusHint::TraceBusy)
            .or(hint);
    }
    FetchError::Status {
        code: status.as_u16(),
        hint,
    }
}

#[cfg(test)]
mod tests;
