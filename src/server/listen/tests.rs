//! The listener against clients of every kind.

mod slow;
mod tls;

use std::net::SocketAddr;

use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(20);

/// More than the system holds on the way to a client that does not read.
const LARGE: usize = 32 << 20;

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
    start_with(limits, listeners, None).await
}

async fn start_with(limits: ListenLimits, listeners: usize, web: Option<Arc<Web>>) -> Running {
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
        .route("/wait", wait)
        .route("/large", get(async || vec![b'x'; LARGE]))
        .route("/refused", get(async || StatusCode::UNAUTHORIZED))
        .route("/echo", post(async |body: String| body));
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(bound, app, web, limits, async move {
        drop(stopped.await);
    }));
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
        // Longer than any test waits.
        patience: Patience {
            idle: SOON * 3,
            head: SOON * 3,
            body: SOON * 3,
            stall: SOON * 3,
            handshake: SOON * 3,
        },
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
            patience: Patience {
                head: Duration::from_millis(50),
                ..limits().patience
            },
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
