//! Accepts connections and speaks HTTP on them, with TLS where the web configuration has it, within bounds: how many
//! connections, how slow a client may be, how long the end may take. What is answered is the router's business.

mod connection;
mod pace;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::join_all;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::warn;

use self::connection::Host;
pub use self::pace::Patience;
use super::web::Web;

/// How long a connection may be silent between requests: longer than any scrape interval, or each scrape pays for a new
/// connection.
pub const IDLE: Duration = Duration::from_secs(75);

/// How long requests in flight get to finish once the end is asked for.
pub const DRAIN: Duration = Duration::from_secs(30);

/// How patient the exporter is. A head fits one packet or ten, and a handshake is two round trips: ten seconds are for the
/// worst of networks. Bodies are not waited for longer than anybody needs to send 8 KiB. Answers may be some MiB, but who
/// takes no KiB of them in half a minute is gone, or means harm.
pub const PATIENCE: Patience = Patience {
    idle: IDLE,
    head: Duration::from_secs(10),
    body: Duration::from_secs(5),
    stall: Duration::from_secs(30),
    handshake: Duration::from_secs(10),
};

/// Pause after a connection could not be accepted, most often for want of file descriptors: trying again at
/// once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bounds on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenLimits {
    /// Connections open at once, at most; further ones wait in the system's backlog.
    pub connections: usize,
    /// How slow clients may be.
    pub patience: Patience,
    /// How long requests in flight get to finish.
    pub drain: Duration,
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request in flight was answered.
    All,
    /// The time was up before the last one was.
    TimeUp,
}

/// Whose connection a request came on; in the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer(pub(super) IpAddr);

/// Serves `app` on all listeners until `stop` ends, then lets requests in flight finish. With `web` connections speak TLS
/// where it says so.
pub async fn serve(
    listeners: Vec<TcpListener>,
    app: Router,
    web: Option<Arc<Web>>,
    limits: ListenLimits,
    stop: impl Future<Output = ()>,
) -> Drained {
    let places = Arc::new(Semaphore::new(
        limits.connections.clamp(1, Semaphore::MAX_PERMITS),
    ));
    let graceful = GracefulShutdown::new();
    let (stopping, stopped) = watch::channel(());
    let host = Host {
        app,
        web,
        patience: limits.patience,
    };
    let loops = join_all(listeners.into_iter().map(|listener| {
        accept(
            listener,
            host.clone(),
            Arc::clone(&places),
            &graceful,
            stopped.clone(),
        )
    }));
    let signal = async move {
        stop.await;
        drop(stopping);
    };
    tokio::join!(loops, signal);
    match tokio::time::timeout(limits.drain, graceful.shutdown()).await {
        Ok(()) => Drained::All,
        Err(_) => Drained::TimeUp,
    }
}

/// Accepts until told to stop; the listener is closed at its end.
async fn accept(
    listener: TcpListener,
    host: Host,
    places: Arc<Semaphore>,
    graceful: &GracefulShutdown,
    mut stopped: watch::Receiver<()>,
) {
    loop {
        let next = tokio::select! {
            // Ends with an error once the sender is gone, which is the signal.
            _ = stopped.changed() => return,
            next = next_connection(&listener, &places) => next,
        };
        let (stream, peer, place) = match next {
            Ok(Some(next)) => next,
            Ok(None) => return,
            Err(problem) => {
                warn!(%problem, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let served = connection::serve(
            stream,
            peer,
            host.clone(),
            graceful.watcher(),
            stopped.clone(),
        );
        tokio::spawn(async move {
            served.await;
            drop(place);
        });
    }
}

/// A connection, and its place among all. One connection for each listener may wait here for a place; taking the
/// place first would let an idle listener keep it from a busy one.
async fn next_connection(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<Option<(TcpStream, IpAddr, OwnedSemaphorePermit)>> {
    let (stream, peer) = listener.accept().await?;
    // Answers are written in one piece; waiting for more to send would only delay them.
    stream.set_nodelay(true)?;
    let place = Arc::clone(places).acquire_owned().await.ok();
    Ok(place.map(|place| (stream, peer.ip(), place)))
}

#[cfg(test)]
mod tests;
