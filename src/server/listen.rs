//! Accepts connections and speaks HTTP/1 on them, within bounds: how many connections, how long a silent one
//! stays, how long the end may take. What is answered is the router's business.

use std::io;
use std::time::Duration;

use std::sync::Arc;

use axum::Router;
use futures_util::future::join_all;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::warn;

/// How long a connection may be silent between requests. Hyper counts an idle connection as one whose next
/// request is slow, so this must be longer than any scrape interval, or each scrape pays for a new connection.
pub const IDLE: Duration = Duration::from_secs(75);

/// How long requests in flight get to finish once the end is asked for.
pub const DRAIN: Duration = Duration::from_secs(30);

/// Bytes of a request's head, at most: a target takes 2 KiB of it.
const HEAD_BYTES: usize = 16 * 1024;

/// Header lines of a request, at most.
const HEADERS: usize = 64;

/// Pause after a connection could not be accepted, most often for want of file descriptors: trying again at
/// once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bounds on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenLimits {
    /// Connections open at once, at most; further ones wait in the system's backlog.
    pub connections: usize,
    /// How long a connection may be silent.
    pub idle: Duration,
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

/// Serves `app` on all listeners until `stop` ends, then lets requests in flight finish.
pub async fn serve(
    listeners: Vec<TcpListener>,
    app: Router,
    limits: ListenLimits,
    stop: impl Future<Output = ()>,
) -> Drained {
    let places = Arc::new(Semaphore::new(
        limits.connections.clamp(1, Semaphore::MAX_PERMITS),
    ));
    let graceful = GracefulShutdown::new();
    let (stopping, stopped) = watch::channel(());
    let loops = join_all(listeners.into_iter().map(|listener| {
        accept(
            listener,
            app.clone(),
            limits.idle,
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
    app: Router,
    idle: Duration,
    places: Arc<Semaphore>,
    graceful: &GracefulShutdown,
    mut stopped: watch::Receiver<()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS);
    loop {
        let next = tokio::select! {
            // Ends with an error once the sender is gone, which is the signal.
            _ = stopped.changed() => return,
            next = next_connection(&listener, &places) => next,
        };
        let (stream, place) = match next {
            Ok(Some(next)) => next,
            Ok(None) => return,
            Err(problem) => {
                warn!(%problem, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(app.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A connection that breaks off is the client's affair; its request has been dropped by now.
            drop(connection.await);
            drop(place);
        });
    }
}

/// A connection, and its place among all. One connection for each listener may wait here for a place; taking the
/// place first would let an idle listener keep it from a busy one.
async fn next_connection(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<Option<(TcpStream, OwnedSemaphorePermit)>> {
    let (stream, _peer) = listener.accept().await?;
    // Answers are written in one piece; waiting for more to send would only delay them.
    stream.set_nodelay(true)?;
    let place = Arc::clone(places).acquire_owned().await.ok();
    Ok(place.map(|place| (stream, place)))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::{Notify, oneshot};
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    struct Running {
        addresses: Vec<SocketAddr>,
        stop: Option<oneshot::Sender<()>>,
        served: JoinHandle<Drained>,
        /// Told when a request to `/wait` has come in.
        waiting: Arc<Notify>,
        /// Lets one request to `/wait` go on.
        go: Arc<Notify>,
    }

    async fn start(limits: ListenLimits, listeners: usize) -> Running {
        let mut bound = Vec::new();
        for _ in 0..listeners {
            bound.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let addresses = bound.iter().map(|l| l.local_addr().unwrap()).collect();
        let (waiting, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, gone) = (Arc::clone(&waiting), Arc::clone(&go));
        let wait = get(async move || {
            told.notify_one();
            gone.notified().await;
            "waited"
        });
        let app = Router::new()
            .route("/", get(async || "hello"))
            .route("/wait", wait);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(
            bound,
            app,
            limits,
            async move { drop(stopped.await) },
        ));
        Running {
            addresses,
            stop: Some(stop),
            served,
            waiting,
            go,
        }
    }

    fn limits() -> ListenLimits {
        ListenLimits {
            connections: 8,
            idle: SOON,
            drain: SOON,
        }
    }

    async fn connect(address: SocketAddr) -> TcpStream {
        timeout(SOON, TcpStream::connect(address))
            .await
            .unwrap()
            .unwrap()
    }

    async fn send(stream: &mut TcpStream, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
    }

    async fn read_until(stream: &mut TcpStream, end: &str) -> String {
        let mut text = Vec::new();
        let mut piece = [0; 1024];
        while !String::from_utf8_lossy(&text).contains(end) {
            let read = timeout(SOON, stream.read(&mut piece))
                .await
                .unwrap()
                .unwrap();
            assert!(
                read > 0,
                "closed after {:?}",
                String::from_utf8_lossy(&text)
            );
            text.extend_from_slice(&piece[..read]);
        }
        String::from_utf8(text).unwrap()
    }

    async fn is_closed(mut stream: TcpStream) -> bool {
        let mut rest = Vec::new();
        timeout(SOON, stream.read_to_end(&mut rest)).await.is_ok()
    }

    #[tokio::test]
    async fn all_listeners_answer_and_connections_stay_open() {
        let running = start(limits(), 2).await;
        for &address in &running.addresses {
            let mut stream = connect(address).await;
            for _ in 0..2 {
                send(&mut stream, "/").await;
                read_until(&mut stream, "hello").await;
            }
        }
    }

    #[tokio::test]
    async fn a_silent_connection_is_closed() {
        let running = start(
            ListenLimits {
                idle: Duration::from_millis(50),
                ..limits()
            },
            1,
        )
        .await;
        assert!(
            is_closed(connect(running.addresses[0]).await).await,
            "said nothing"
        );
        let mut half = connect(running.addresses[0]).await;
        half.write_all(b"GET / HT").await.unwrap();
        assert!(is_closed(half).await, "said half a line");
    }

    #[tokio::test]
    async fn connections_above_the_limit_wait_for_a_place() {
        let running = start(
            ListenLimits {
                connections: 1,
                ..limits()
            },
            1,
        )
        .await;
        let mut held = connect(running.addresses[0]).await;
        send(&mut held, "/").await;
        read_until(&mut held, "hello").await;
        let mut waiting = connect(running.addresses[0]).await;
        send(&mut waiting, "/").await;
        let mut byte = [0];
        assert!(
            timeout(Duration::from_millis(100), waiting.read(&mut byte))
                .await
                .is_err(),
            "was served"
        );
        drop(held);
        read_until(&mut waiting, "hello").await;
    }

    #[tokio::test]
    async fn a_request_in_flight_is_answered_at_the_end() {
        let mut running = start(limits(), 1).await;
        let mut stream = connect(running.addresses[0]).await;
        send(&mut stream, "/wait").await;
        timeout(SOON, running.waiting.notified()).await.unwrap();
        drop(running.stop.take());
        // New connections are refused once the listener is closed.
        let deadline = tokio::time::Instant::now() + SOON;
        while TcpStream::connect(running.addresses[0]).await.is_ok() {
            assert!(tokio::time::Instant::now() < deadline, "still listening");
            tokio::task::yield_now().await;
        }
        running.go.notify_one();
        read_until(&mut stream, "waited").await;
        assert_eq!(
            timeout(SOON, running.served).await.unwrap().unwrap(),
            Drained::All
        );
    }

    #[tokio::test]
    async fn the_end_does_not_wait_for_ever() {
        let mut running = start(
            ListenLimits {
                drain: Duration::from_millis(20),
                ..limits()
            },
            1,
        )
        .await;
        let mut stream = connect(running.addresses[0]).await;
        send(&mut stream, "/wait").await;
        timeout(SOON, running.waiting.notified()).await.unwrap();
        drop(running.stop.take());
        assert_eq!(
            timeout(SOON, running.served).await.unwrap().unwrap(),
            Drained::TimeUp
        );
    }

    #[tokio::test]
    async fn a_long_url_is_refused() {
        let running = start(limits(), 1).await;
        let mut stream = connect(running.addresses[0]).await;
        send(&mut stream, &format!("/?{}", "a".repeat(70_000))).await;
        let answer = read_until(&mut stream, "\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
}
