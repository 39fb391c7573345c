//! One connection, from its handshake to its last answer.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode};
use futures_util::FutureExt as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;
use tracing::debug;

use super::Peer;
use super::pace::{Open, Pace, Paced, Patience};
use crate::server::answer;
use crate::server::web::Web;

/// Bytes of a request's head, at most: a target takes 2 KiB of it.
const HEAD_BYTES: usize = 16 * 1024;

/// Header lines of a request, at most.
const HEADERS: usize = 64;

/// Bytes of a URL, at most; above it the answer says so. A target takes 2 KiB of it, escaped at worst three times that.
const URL_BYTES: usize = 8 * 1024;

/// Bytes of a request's body, at most: no path reads one, but a form may send its fields that way.
const BODY_BYTES: usize = 8 * 1024;

/// Bytes that are read of a body which is too long, at most, so that its client takes the answer.
const DISCARD_BYTES: u32 = 64 * 1024;

/// Requests at once on one connection of HTTP/2. A Prometheus with more to ask opens a further one, and so does any client
/// written in Go; each may leave an answer in memory for as long as it may stall.
const STREAMS: u32 = 32;

/// Bytes of an answer that are handed out at once: whoever takes none of them is seen to stall.
const PIECE_BYTES: usize = 32 * 1024;

/// Bytes that may be on their way to the exporter on a connection of HTTP/2: nobody has more to send.
const WINDOW_BYTES: u32 = 64 * 1024 - 1;

/// Streams that a client may have opened and reset at once before its connection is closed: the flood of 2023
/// (CVE-2023-44487). Hyper's own bound, stated here so that it stays.
const RESETS: usize = 20;

/// The first byte of a TLS handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// What a client of plain HTTP is told by a listener of TLS; Go's answer in other words.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\nthis port speaks TLS: write https:// in place of http://\n";

/// What all connections share.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) app: Router,
    pub(super) web: Option<Arc<Web>>,
    pub(super) patience: Patience,
}

/// Serves a connection to its end.
pub(super) async fn serve(
    stream: TcpStream,
    peer: IpAddr,
    host: Host,
    watcher: Watcher,
    mut stopped: watch::Receiver<()>,
) {
    let handshake = async {
        let tls = match &host.web {
            Some(web) => web.tls().await,
            None => None,
        };
        match tls {
            None => Some(Transport::Plain(stream)),
            Some(config) => shake_hands(stream, config, peer).await,
        }
    };
    let limit = host.patience.handshake;
    let transport = tokio::select! {
        // Ends with an error once the sender is gone, which is the signal.
        _ = stopped.changed() => return,
        transport = timeout(limit, handshake) => transport,
    };
    match transport {
        Ok(Some(Transport::Plain(stream))) => speak(stream, false, peer, host, watcher).await,
        Ok(Some(Transport::Tls { stream, http2 })) => {
            speak(*stream, http2, peer, host, watcher).await;
        }
        Ok(None) => {}
        Err(_) => debug!(%peer, "connection closed: no TLS handshake in time"),
    }
}

enum Transport {
    Plain(TcpStream),
    Tls {
        stream: Box<tokio_rustls::server::TlsStream<TcpStream>>,
        http2: bool,
    },
}

/// The handshake; nothing when it fails, which the client has been told.
async fn shake_hands(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    peer: IpAddr,
) -> Option<Transport> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(0) | Err(_) => return None,
        Ok(_) if first == [HANDSHAKE] => {}
        Ok(_) => {
            debug!(%peer, "connection closed: no TLS");
            if first.iter().all(u8::is_ascii_uppercase) {
                // The client's affair when it fails.
                drop(explain(stream).await);
            }
            return None;
        }
    }
    match TlsAcceptor::from(config).accept(stream).await {
        Ok(stream) => {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let stream = Box::new(stream);
            Some(Transport::Tls { stream, http2 })
        }
        Err(problem) => {
            debug!(%peer, %problem, "connection closed: TLS handshake failed");
            None
        }
    }
}

/// Tells a client of plain HTTP what to do. What it sent is read first, since closing on it would destroy the answer.
async fn explain(mut stream: TcpStream) -> std::io::Result<()> {
    let mut sent = [0; 4096];
    if stream.read(&mut sent).await? == 0 {
        return Ok(());
    }
    stream.write_all(NOT_TLS).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(64 * 1024);
    while rest.read(&mut sent).await? > 0 {}
    Ok(())
}

/// HTTP until its end, or until the client is too slow.
async fn speak<S>(stream: S, http2: bool, peer: IpAddr, host: Host, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pace = Pace::new(host.patience, http2);
    let io = TokioIo::new(Paced::new(stream, pace.clone()));
    let door = Door {
        app: host.app,
        patience: host.patience,
        peer,
        pace: pace.clone(),
    };
    let service = service_fn(move |request| door.clone().answer(request));
    // A connection that breaks off is the client's affair; its requests have been dropped by then.
    let served = if http2 {
        let connection = speaks_http2().serve_connection(io, service);
        watcher.watch(connection).map(drop).boxed()
    } else {
        let connection = speaks_http1().serve_connection(io, service);
        watcher.watch(connection).map(drop).boxed()
    };
    tokio::select! {
        () = served => {}
        slow = pace.overdue() => debug!(%peer, ?slow, "connection closed: the client is too slow"),
    }
}

fn speaks_http1() -> http1::Builder {
    let mut http = http1::Builder::new();
    // How long a head may take is for the pace to say, which tells it from an idle connection.
    http.timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS);
    http
}

fn speaks_http2() -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    http
}

/// What a request passes before the router sees it.
#[derive(Clone)]
struct Door {
    app: Router,
    patience: Patience,
    peer: IpAddr,
    pace: Pace,
}

impl Door {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Noted>, Infallible> {
        let mut open = self.pace.open();
        let (parts, mut sent) = request.into_parts();
        let response = match admit(&parts, &mut sent, self.patience).await {
            Ok(body) => {
                open.read();
                let mut request = Request::from_parts(parts, body);
                request.extensions_mut().insert(Peer(self.peer));
                self.app.oneshot(request).await?
            }
            Err(refusal) => refusal,
        };
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
        open.answer(refused.contains(&response.status()));
        Ok(response.map(|body| Noted {
            body,
            rest: Bytes::new(),
            open,
        }))
    }
}

/// The body of a request, read; or the answer to a request that is too large or too slow.
async fn admit(
    parts: &Parts,
    sent: &mut Incoming,
    patience: Patience,
) -> Result<Body, Response<Body>> {
    let url = parts.uri.path_and_query();
    if url.map_or(0, |url| url.as_str().len()) > URL_BYTES {
        let sentence = "the URL is longer than 8 KiB";
        return Err(answer::text(StatusCode::URI_TOO_LONG, sentence));
    }
    if parts.headers.len() > HEADERS {
        let sentence = "the request has more than 64 headers";
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(answer::text(status, sentence));
    }
    if sent.is_end_stream() {
        return Ok(Body::empty());
    }
    let too_large = || {
        let sentence = "the body is longer than 8 KiB";
        answer::text(StatusCode::PAYLOAD_TOO_LARGE, sentence)
    };
    if sent.size_hint().lower() > u64::from(DISCARD_BYTES) {
        return Err(too_large());
    }
    let until = Instant::now() + patience.body;
    let reading = Limited::new(&mut *sent, BODY_BYTES).collect();
    match timeout_at(until, reading).await {
        Ok(Ok(body)) => Ok(Body::from(body.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            // Some clients, curl 7.88 over HTTP/2 among them, take no answer before they have sent all.
            drop(timeout_at(until, discard(sent)).await);
            Err(too_large())
        }
        Ok(Err(_)) => {
            let sentence = "the body cannot be read";
            Err(answer::text(StatusCode::BAD_REQUEST, sentence))
        }
        Err(_) => {
            let sentence = "the body did not come in time";
            Err(answer::text(StatusCode::REQUEST_TIMEOUT, sentence))
        }
    }
}

/// Reads what is left of a body, or some of what is left of a long one.
async fn discard(sent: &mut Incoming) {
    let mut left = DISCARD_BYTES;
    while left > 0 {
        let Some(Ok(frame)) = sent.frame().await else {
            return;
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        left = left.saturating_sub(u32::try_from(length).unwrap_or(u32::MAX));
    }
}

/// An answer's body, which notes when it is taken.
struct Noted {
    body: Body,
    /// What is left of a piece that came out of it.
    rest: Bytes,
    open: Open,
}

impl hyper::body::Body for Noted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.open.taken();
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let mut hint = self.body.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}
