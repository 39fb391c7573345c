//! What happens below a request: which addresses it may connect to, and when each phase began.
//!
//! A request runs inside a task-local [`Trace`]. The resolver handed to reqwest knows no addresses but those
//! pinned there, so that nothing is connected to that was not checked; without a trace it knows none at all.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower::{Layer, Service};

tokio::task_local! {
    static TRACE: Trace;
}

/// How long each phase of a request took; `None` for one that did not happen. Over redirects, the sum.
/// Through a proxy, connect and tls describe the way to the proxy and through it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// The name of the target, or of the proxy, was looked up. An address needs no lookup.
    pub resolve: Option<Duration>,
    /// The connection was opened. Absent on a reused one.
    pub connect: Option<Duration>,
    /// The TLS handshake. Absent on a reused connection, and without TLS.
    pub tls: Option<Duration>,
    /// From the request until the head of the answer was read.
    pub first_byte: Option<Duration>,
    /// The body, to its end or to where reading stopped.
    pub transfer: Option<Duration>,
}

/// A phase of a request: where it was when the deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Looking up a name.
    Resolve,
    /// Opening a connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Waiting for the head of the answer.
    FirstByte,
    /// Reading the body.
    Transfer,
}

impl Phase {
    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::FirstByte => "first_byte",
            Self::Transfer => "transfer",
        }
    }
}

/// The story of one request, shared with the resolver, the connector and the TLS session store.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    pins: Vec<(String, Vec<SocketAddr>)>,
    phases: Phases,
    attempt: Attempt,
}

/// One request on the wire. A redirect or a second try begins a new one.
#[derive(Clone, Copy, Debug, Default)]
struct Attempt {
    sent: Option<Instant>,
    connect_start: Option<Instant>,
    tls_start: Option<Instant>,
    connect_end: Option<Instant>,
    failed: bool,
}

impl Trace {
    /// Runs `request` with this trace, after forgetting the attempt before it.
    pub(super) async fn run<F: Future>(&self, request: F) -> F::Output {
        self.with(|state| {
            state.attempt = Attempt {
                sent: Some(Instant::now()),
                ..Attempt::default()
            }
        });
        TRACE.scope(self.clone(), request).await
    }

    /// Lets connections to `host` go to `addresses`, and nowhere else.
    pub(super) fn pin(&self, host: &str, addresses: &[SocketAddr]) {
        let host = bare(host).to_owned();
        self.with(|state| {
            state.pins.retain(|(pinned, _)| *pinned != host);
            state.pins.push((host, addresses.to_vec()));
        });
    }

    /// Adds the time of one lookup.
    pub(super) fn resolved(&self, took: Duration) {
        self.with(|state| add(&mut state.phases.resolve, took));
    }

    /// Says that a lookup comes next, and that nothing of the next attempt has happened yet.
    pub(super) fn resolving(&self) {
        self.with(|state| state.attempt = Attempt::default());
    }

    /// Takes the head of an answer to account.
    pub(super) fn head_arrived(&self) {
        let now = Instant::now();
        self.with(|state| {
            let Attempt {
                sent,
                connect_start,
                tls_start,
                connect_end,
                ..
            } = state.attempt;
            if let (Some(start), Some(end)) = (connect_start, connect_end) {
                add(
                    &mut state.phases.connect,
                    tls_start.unwrap_or(end).saturating_duration_since(start),
                );
                if let Some(tls) = tls_start {
                    add(&mut state.phases.tls, end.saturating_duration_since(tls));
                }
            }
            if let Some(start) = connect_end.or(sent) {
                add(
                    &mut state.phases.first_byte,
                    now.saturating_duration_since(start),
                );
            }
        });
    }

    pub(super) fn phases(&self) -> Phases {
        self.with(|state| state.phases)
    }

    /// Whether the last attempt began to open a connection of its own.
    pub(super) fn began_connection(&self) -> bool {
        self.with(|state| state.attempt.connect_start.is_some())
    }

    /// Whether the last attempt opened the connection it was answered on.
    pub(super) fn opened_connection(&self) -> bool {
        self.with(|state| state.attempt.connect_end.is_some() && !state.attempt.failed)
    }

    /// Whether the last attempt failed inside the TLS handshake.
    pub(super) fn failed_in_tls(&self) -> bool {
        self.with(|state| state.attempt.failed && state.attempt.tls_start.is_some())
    }

    /// Where the last attempt is.
    pub(super) fn phase(&self) -> Phase {
        self.with(|state| match state.attempt {
            Attempt { sent: None, .. } => Phase::Resolve,
            Attempt {
                connect_end: Some(_),
                ..
            }
            | Attempt {
                connect_start: None,
                ..
            } => Phase::FirstByte,
            Attempt {
                tls_start: Some(_), ..
            } => Phase::Tls,
            Attempt { .. } => Phase::Connect,
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        // Nothing here panics while it holds the lock, and a half-written trace would only cost a duration.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Adds to a phase.
fn add(phase: &mut Option<Duration>, took: Duration) {
    *phase = Some(phase.unwrap_or_default().saturating_add(took));
}

/// A host without the brackets of an IPv6 address, and without the closing dot of a name.
fn bare(host: &str) -> &str {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

/// Marks the attempt that runs in this task. A connection that outlives its request is polled in a task of its own,
/// without a trace, and has nobody to tell.
fn mark(f: impl FnOnce(&mut Attempt)) {
    TRACE
        .try_with(|trace| trace.with(|state| f(&mut state.attempt)))
        .ok();
}

/// Notes that a TLS handshake begins. The first one counts: a proxy spoken to over TLS comes before its target.
pub(super) fn tls_begins() {
    mark(|attempt| {
        attempt.tls_start.get_or_insert_with(Instant::now);
    });
}

/// The resolver given to reqwest: it knows what was pinned, and resolves nothing.
#[derive(Debug)]
pub(super) struct Pinned;

impl Resolve for Pinned {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let pinned = TRACE.try_with(|trace| {
                trace.with(|state| {
                    let found = state
                        .pins
                        .iter()
                        .find(|(host, _)| host == bare(name.as_str()));
                    found.map(|(_, addresses)| addresses.clone())
                })
            });
            match pinned {
                Ok(Some(addresses)) if !addresses.is_empty() => {
                    let addresses: Addrs = Box::new(addresses.into_iter());
                    Ok(addresses)
                }
                _ => Err("no address was checked for this name".into()),
            }
        })
    }
}

/// Times the connector: from the call to the connection, TLS included.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimedLayer;

/// The connector inside [`TimedLayer`].
#[derive(Clone, Debug)]
pub(super) struct Timed<S>(S);

impl<S> Layer<S> for TimedLayer {
    type Service = Timed<S>;

    fn layer(&self, inner: S) -> Timed<S> {
        Timed(inner)
    }
}

impl<S, R> Service<R> for Timed<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let connecting = self.0.call(request);
        Box::pin(async move {
            mark(|attempt| attempt.connect_start = Some(Instant::now()));
            let connected = connecting.await;
            mark(|attempt| {
                attempt.connect_end = Some(Instant::now());
                attempt.failed = connected.is_err();
            });
            connected
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_is_where_the_last_attempt_is() {
        let trace = Trace::default();
        let at = |change: fn(&mut Attempt), phase: Phase| {
            trace.with(|state| change(&mut state.attempt));
            assert_eq!(trace.phase(), phase);
        };
        at(|_| {}, Phase::Resolve);
        at(
            |attempt| attempt.sent = Some(Instant::now()),
            Phase::FirstByte,
        );
        at(
            |attempt| attempt.connect_start = Some(Instant::now()),
            Phase::Connect,
        );
        at(
            |attempt| attempt.tls_start = Some(Instant::now()),
            Phase::Tls,
        );
        at(
            |attempt| attempt.connect_end = Some(Instant::now()),
            Phase::FirstByte,
        );
        trace.resolving();
        at(|_| {}, Phase::Resolve);
    }

    #[test]
    fn phases_add_up_over_attempts() {
        let trace = Trace::default();
        let ms = Duration::from_millis;
        for _ in 0..2 {
            trace.resolved(ms(5));
            let start = Instant::now().checked_sub(ms(100)).unwrap();
            trace.with(|state| {
                state.attempt = Attempt {
                    sent: Some(start),
                    connect_start: Some(start),
                    tls_start: Some(start + ms(10)),
                    connect_end: Some(start + ms(30)),
                    failed: false,
                };
            });
            trace.head_arrived();
        }
        let phases = trace.phases();
        assert_eq!(
            (phases.resolve, phases.connect, phases.tls),
            (Some(ms(10)), Some(ms(20)), Some(ms(40)))
        );
        assert!(
            phases.first_byte >= Some(ms(140)) && phases.transfer.is_none(),
            "{phases:?}"
        );
    }
}
