//! Small servers on loopback that say exactly what a test tells them to.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Notify, mpsc};

/// What is sent, and what happens to the connection then.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) bytes: Vec<u8>,
    pub(super) then: Then,
}

#[derive(Clone, Debug)]
pub(super) enum Then {
    /// Wait for the next request.
    Keep,
    Close,
    /// Send nothing more, until the other side goes.
    Hang,
    /// Send this over and over, until the other side goes.
    Repeat(&'static [u8]),
}

pub(super) fn reply(bytes: impl Into<Vec<u8>>, then: Then) -> Reply {
    Reply {
        bytes: bytes.into(),
        then,
    }
}

/// Status 200 with a body of known length, on a connection that stays.
pub(super) fn ok(body: &str) -> Reply {
    let length = body.len();
    reply(
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
        Then::Keep,
    )
}

pub(super) fn status(line: &str, headers: &str) -> Reply {
    reply(
        format!("HTTP/1.1 {line}\r\n{headers}Content-Length: 0\r\n\r\n"),
        Then::Keep,
    )
}

pub(super) fn redirect(location: &str) -> Reply {
    status("302 Found", &format!("Location: {location}\r\n"))
}

/// A server that answers each request by `script`, which is given its head.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    asked: Arc<Notify>,
    gone: mpsc::UnboundedReceiver<()>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    heads: Vec<String>,
}

pub(super) type Stream = Box<dyn Io>;

pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

pub(super) fn boxed(io: impl Io + 'static) -> Stream {
    Box::new(io)
}

impl Server {
    pub(super) async fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(script, |stream| Box::pin(async { Some(boxed(stream)) })).await
    }

    /// One whose connections are reset where others are closed.
    pub(super) async fn resetting(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(script, |stream| {
            stream.set_zero_linger().unwrap();
            Box::pin(async { Some(boxed(stream)) })
        })
        .await
    }

    /// One that does something to each connection first, such as a TLS handshake.
    pub(super) async fn start_with<F>(
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
        accept: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Option<Stream>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (server, log) = Self::new(address);
        let script = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                log.connection();
                let (accepted, script, log) = (accept(stream), Arc::clone(&script), log.clone());
                tokio::spawn(async move {
                    if let Some(stream) = accepted.await {
                        speak(stream, &*script, &log).await;
                    }
                });
            }
        });
        server
    }

    /// One on a unix socket.
    pub(super) fn on_socket(
        path: &std::path::Path,
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let (server, log) = Self::new(SocketAddr::from(([0, 0, 0, 0], 0)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                log.connection();
                speak(boxed(stream), &script, &log).await;
            }
        });
        server
    }

    fn new(address: SocketAddr) -> (Self, Log) {
        let (seen, asked) = (Arc::default(), Arc::new(Notify::new()));
        let (left, gone) = mpsc::unbounded_channel();
        (
            Self {
                address,
                seen: Arc::clone(&seen),
                asked: Arc::clone(&asked),
                gone,
            },
            Log { seen, asked, left },
        )
    }

    /// Waits for the next request.
    pub(super) async fn asked(&self) {
        tokio::time::timeout(super::PATIENCE, self.asked.notified())
            .await
            .expect("no request came");
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    /// The heads of all requests, in order.
    pub(super) fn heads(&self) -> Vec<String> {
        self.seen.lock().unwrap().heads.clone()
    }

    /// The value of a header in the last request.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let heads = self.heads();
        let lines = heads.last().expect("no request came").lines();
        let mut found = lines
            .filter_map(|line| line.split_once(": "))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.to_owned())
    }

    /// Waits until a connection was closed by the other side in `Then::Hang` or `Then::Repeat`.
    pub(super) async fn other_side_gone(&mut self) {
        tokio::time::timeout(super::PATIENCE, self.gone.recv())
            .await
            .expect("the connection stayed open")
            .unwrap();
    }
}

#[derive(Clone, Debug)]
struct Log {
    seen: Arc<Mutex<Seen>>,
    asked: Arc<Notify>,
    left: mpsc::UnboundedSender<()>,
}

impl Log {
    fn connection(&self) {
        self.seen.lock().unwrap().connections += 1;
    }
}

async fn speak(mut stream: Stream, script: &(dyn Fn(&str) -> Reply + Send + Sync), log: &Log) {
    while let Some(head) = read_head(&mut stream).await {
        log.seen.lock().unwrap().heads.push(head.clone());
        log.asked.notify_one();
        let reply = script(&head);
        if stream.write_all(&reply.bytes).await.is_err() {
            return;
        }
        stream.flush().await.ok();
        match reply.then {
            Then::Keep => continue,
            Then::Close => {}
            Then::Hang => while stream.read_u8().await.is_ok() {},
            Then::Repeat(bytes) => while stream.write_all(bytes).await.is_ok() {},
        }
        log.left.send(()).ok();
        return;
    }
}

/// Up to the empty line; `None` when the other side closed before.
pub(super) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// A future that accepts: the type that [`Server::start_with`] asks for.
pub(super) type Accepting = Pin<Box<dyn Future<Output = Option<Stream>> + Send>>;
