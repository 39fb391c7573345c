//! The router against real little servers as targets.

mod bounds;
mod modules;
mod pages;
mod paths;
mod probes;
mod snapshots;

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::IntoResponse;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tower::ServiceExt;

use super::*;
use crate::config::ConfigHandle;
use crate::expose::assert_valid;
use crate::self_metrics::LogLines;

const PROFILE: &[u8] = include_bytes!("../../../tests/data/go1.26.6/goroutine.debug0.pb.gz");
const SOON: Duration = Duration::from_secs(20);

fn options() -> ServeOptions {
    ServeOptions {
        enable_lifecycle: false,
        allow_any_target: false,
        listens_on_loopback: true,
        max_requests: 8,
        timeout_offset: Duration::from_millis(500),
        history_limit: 10,
        base: String::new(),
        prefix: String::new(),
        origin: None,
    }
}

struct Exporter {
    app: Arc<App>,
    directory: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Exporter {
    fn with(yaml: &str, options: ServeOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("exporter.yml");
        std::fs::write(&file, yaml).unwrap();
        let handle = ConfigHandle::load(Some(file), Vec::new()).unwrap();
        let (web, log_lines) = (web::Web::open(None).unwrap(), LogLines::new().unwrap());
        let now = std::time::SystemTime::now();
        let app = App::new(handle, options, web, log_lines, now).unwrap();
        Self { app, directory }
    }

    fn new(yaml: &str) -> Self {
        Self::with(yaml, options())
    }

    fn write(&self, yaml: &str) {
        std::fs::write(self.directory.path().join("exporter.yml"), yaml).unwrap();
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = timeout(SOON, router(Arc::clone(&self.app)).oneshot(request))
            .await
            .unwrap()
            .unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap()
            .to_vec();
        Answer {
            status,
            headers,
            body,
        }
    }

    async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).body(Body::empty()).unwrap())
            .await
    }

    async fn metrics(&self) -> String {
        self.get("/metrics").await.text()
    }

    /// Waits until the exporter's own metrics hold `line`.
    async fn until(&self, line: &str) {
        let deadline = Instant::now() + SOON;
        loop {
            let text = self.metrics().await;
            if text.lines().any(|l| l == line) {
                return;
            }
            assert!(Instant::now() < deadline, "no {line:?} in:\n{text}");
            tokio::task::yield_now().await;
        }
    }
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn has(&self, line: &str) {
        let text = self.text();
        assert!(
            text.lines().any(|l| l == line),
            "no line {line:?} in:\n{text}"
        );
    }

    fn is(&self, status: StatusCode, part: &str) {
        let text = self.text();
        assert_eq!(self.status, status, "{text}");
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

/// A target that answers every profile with `response`.
async fn target<R: IntoResponse + Clone + Send + Sync + 'static>(response: R) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = get(async move || response.clone());
    let app = Router::new().route("/debug/pprof/goroutine", answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A target that reads a request, sends `bytes` and then waits; tells of requests and of their ends.
async fn silent_target(
    bytes: &'static [u8],
) -> (SocketAddr, mpsc::UnboundedReceiver<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, tells) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    told.send("asked").unwrap();
                    stream.write_all(bytes).await.unwrap();
                }
                // Returns once the exporter closes the connection.
                drop(stream.read(&mut request).await);
                told.send("closed").unwrap_or_default();
            });
        }
    });
    (address, tells)
}

async fn next(tells: &mut mpsc::UnboundedReceiver<&'static str>) -> &'static str {
    timeout(SOON, tells.recv()).await.unwrap().unwrap()
}
