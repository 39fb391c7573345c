//! The router against real little servers as targets.

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

const PROFILE: &[u8] = include_bytes!("../../tests/data/go1.26.6/goroutine.debug0.pb.gz");
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
        let app = App::new(handle, options, std::time::SystemTime::now()).unwrap();
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

#[tokio::test]
async fn a_real_profile_becomes_metrics() {
    let address = target(PROFILE).await;
    let exporter = Exporter::new("");
    let answer = exporter.get(&format!("/probe?target={address}")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = answer.text();
    assert_valid(&text);
    answer.has("goroutine_probe_success 1");
    answer.has(r#"goroutine_profile_supported{profile="goroutine"} 1"#);
    answer.has(&format!(
        r#"goroutine_profile_body_bytes{{profile="goroutine"}} {}"#,
        PROFILE.len()
    ));
    for phase in ["connect", "first_byte", "transfer", "decode", "classify"] {
        let name = format!("goroutine_probe_phase_duration_seconds{{phase=\"{phase}\"}} ");
        assert!(text.contains(&name), "{phase} in:\n{text}");
    }
    let of = |name: &str| -> u64 {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
            .sum()
    };
    let total = of("goroutine_goroutines ");
    assert!(total > 100, "{text}");
    assert_eq!(
        of("goroutine_group_goroutines{") + of("goroutine_other_goroutines "),
        total
    );
    assert_eq!(of("goroutine_wait_reason_goroutines{"), total);
    exporter
        .until(r#"goroutine_exporter_probes_total{module="default",result="success"} 1"#)
        .await;
    exporter.until("goroutine_exporter_tracked_targets 1").await;
    exporter
        .until(&format!(
            r#"goroutine_exporter_fetched_bytes_total{{profile="goroutine"}} {}"#,
            PROFILE.len()
        ))
        .await;
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_accept_it() {
    let address = target(PROFILE).await;
    let exporter = Exporter::new("");
    let request =
        Request::get(format!("/probe?target={address}")).header("accept-encoding", "gzip");
    let answer = exporter.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.headers["content-encoding"], "gzip");
    assert_valid(&encoding::gunzip(&answer.body));
}

#[tokio::test]
async fn failures_of_a_target_are_answers_with_a_reason() {
    let exporter = Exporter::new("modules: { default: { limits: { body_bytes: 100000 } } }");
    let check = async |address: SocketAddr, reason: &str| {
        let answer = exporter.get(&format!("/probe?target={address}")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_valid(&answer.text());
        answer.has("goroutine_probe_success 0");
        answer.has(&format!(
            r#"goroutine_probe_failure{{reason="{reason}"}} 1"#
        ));
        assert!(
            !answer.text().contains("goroutine_goroutines "),
            "{}",
            answer.text()
        );
    };
    let html = [("content-type", "text/html")];
    check(
        target((html, "<html><title>Login</title></html>")).await,
        "not_pprof",
    )
    .await;
    check(target("").await, "not_pprof").await;
    check(target(vec![b'x'; 100_001]).await, "too_large").await;
    check(
        target((StatusCode::UNAUTHORIZED, "no")).await,
        "http_status",
    )
    .await;
    check(target(&PROFILE[..PROFILE.len() / 2]).await, "decode").await;
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    check(closed, "connect").await;
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n\x1f\x8b";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        stream.write_all(cut).await.unwrap();
    });
    check(address, "decode").await;
    exporter
        .until(r#"goroutine_exporter_probes_total{module="default",result="decode"} 2"#)
        .await;
}

#[tokio::test]
async fn a_target_without_the_profile_is_told_apart() {
    let address = target((
        StatusCode::NOT_FOUND,
        [("x-go-pprof", "1")],
        "Unknown profile\n",
    ))
    .await;
    let answer = Exporter::new("")
        .get(&format!("/probe?target={address}"))
        .await;
    answer.has(r#"goroutine_probe_failure{reason="http_status"} 1"#);
    answer.has(r#"goroutine_profile_supported{profile="goroutine"} 0"#);
}

#[tokio::test]
async fn text_cut_on_its_way_shows_what_arrived() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nConnection: close\r\n\r\ngoroutine profile: total 5\n3 @ 0x1 0x2\n#\t0x1\tmain.work+0x1\t/src/main.go:9\n\n";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        stream.write_all(cut).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let answer = Exporter::new("")
        .get(&format!("/probe?target={address}"))
        .await;
    assert_valid(&answer.text());
    answer.has("goroutine_probe_success 0");
    answer.has(r#"goroutine_probe_failure{reason="decode"} 1"#);
    answer.has(r#"goroutine_profile_truncated{profile="goroutine"} 1"#);
    answer.has("goroutine_goroutines 3");
}

#[tokio::test]
async fn what_the_asker_got_wrong_is_400() {
    let exporter = Exporter::new("modules: { a: { timeout: 1s }, b: { timeout: 2s } }");
    let check =
        async |uri: &str, part: &str| exporter.get(uri).await.is(StatusCode::BAD_REQUEST, part);
    check("/probe", "target is missing").await;
    check("/probe?target=a:1&target=b:1", "once").await;
    check("/probe?target=a:1&module=nope", "no module \"nope\"").await;
    check("/probe?target=a:1&module=a&module=b", "differ").await;
    check("/probe?target=ftp://a", "scheme").await;
    check("/targets/metrics?target=a:1", "no static target").await;
    let headed = Request::get("/probe?target=127.0.0.1:1")
        .header("X-Prometheus-Scrape-Timeout-Seconds", "soon");
    exporter
        .send(headed.body(Body::empty()).unwrap())
        .await
        .is(StatusCode::BAD_REQUEST, "number of seconds");
    let with_body = Request::get("/probe?target=127.0.0.1:1")
        .body(Body::from("x"))
        .unwrap();
    exporter
        .send(with_body)
        .await
        .is(StatusCode::BAD_REQUEST, "body");
    exporter
        .until("goroutine_exporter_unknown_module_total 1")
        .await;
    exporter
        .until("goroutine_exporter_probes_in_flight 0")
        .await;
}

#[tokio::test]
async fn a_target_that_is_not_allowed_is_403_with_the_entry_that_would_allow_it() {
    let exporter = Exporter::with(
        "",
        ServeOptions {
            listens_on_loopback: false,
            ..options()
        },
    );
    let answer = exporter.get("/probe?target=127.0.0.1:6060").await;
    answer.is(
        StatusCode::FORBIDDEN,
        r#"allow: [{cidr: "127.0.0.1/32", ports: [6060]}]"#,
    );
    exporter
        .get("/probe?target=169.254.169.254:80")
        .await
        .is(StatusCode::FORBIDDEN, "169.254.169.254");
    exporter
        .until(r#"goroutine_exporter_targets_refused_total{reason="not_allowed"} 1"#)
        .await;
    exporter
        .until(r#"goroutine_exporter_targets_refused_total{reason="floor"} 1"#)
        .await;
    exporter
        .until(r#"goroutine_exporter_probes_total{module="default",result="canceled"} 0"#)
        .await;
    assert!(exporter.app.history.entries().is_empty());
}

#[tokio::test]
async fn an_empty_allow_list_closes_loopback_too() {
    Exporter::new("allow: []")
        .get("/probe?target=127.0.0.1:1")
        .await
        .is(StatusCode::FORBIDDEN, "not allowed");
    let any = ServeOptions {
        allow_any_target: true,
        ..options()
    };
    Exporter::with("allow: []", any)
        .get("/probe?target=127.0.0.1:1")
        .await
        .is(StatusCode::FORBIDDEN, "not allowed");
}

#[tokio::test]
async fn too_many_probes_at_once_are_503() {
    let check = async |yaml: &str, options: ServeOptions| {
        let (address, mut tells) = silent_target(b"").await;
        let exporter = Exporter::with(yaml, options);
        let uri = format!("/probe?target={address}");
        let first = exporter.get(&uri);
        let second = async {
            assert_eq!(next(&mut tells).await, "asked");
            exporter.get(&uri).await
        };
        // The first never ends; the second is answered at once.
        let answer = tokio::select! { _ = first => panic!("answered"), answer = second => answer };
        answer.is(StatusCode::SERVICE_UNAVAILABLE, "too many probes");
        assert_eq!(answer.headers["retry-after"], "1");
        exporter
            .until(r#"goroutine_exporter_probes_total{module="default",result="busy"} 1"#)
            .await;
    };
    check(
        "",
        ServeOptions {
            max_requests: 1,
            ..options()
        },
    )
    .await;
    check("probes: { total: 1 }", options()).await;
}

#[tokio::test]
async fn a_scraper_that_hangs_up_ends_the_fetch() {
    let (address, mut tells) =
        silent_target(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nhalf").await;
    let exporter = Exporter::new("");
    let uri = format!("/probe?target={address}");
    tokio::select! {
        _ = exporter.get(&uri) => panic!("answered"),
        told = next(&mut tells) => assert_eq!(told, "asked"),
    }
    assert_eq!(next(&mut tells).await, "closed");
    exporter
        .until("goroutine_exporter_probes_in_flight 0")
        .await;
    exporter
        .until(r#"goroutine_exporter_probes_total{module="default",result="canceled"} 1"#)
        .await;
}

#[tokio::test]
async fn a_scraper_that_closes_its_connection_ends_the_fetch() {
    let (address, mut tells) = silent_target(b"").await;
    let exporter = Exporter::new("");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = listener.local_addr().unwrap();
    let limits = listen::ListenLimits {
        connections: 9,
        idle: SOON,
        drain: SOON,
    };
    let app = router(Arc::clone(&exporter.app));
    tokio::spawn(listen::serve(
        vec![listener],
        app,
        limits,
        std::future::pending(),
    ));
    let mut scraper = TcpStream::connect(served).await.unwrap();
    let request = format!("GET /probe?target={address} HTTP/1.1\r\nHost: a\r\n\r\n");
    scraper.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(next(&mut tells).await, "asked");
    drop(scraper);
    assert_eq!(next(&mut tells).await, "closed");
    exporter
        .until(r#"goroutine_exporter_probes_total{module="default",result="canceled"} 1"#)
        .await;
}

#[tokio::test]
async fn the_scrapers_patience_ends_a_probe() {
    let (address, mut tells) = silent_target(b"").await;
    let exporter = Exporter::new("");
    let request = Request::get(format!("/probe?target={address}"))
        .header("x-prometheus-scrape-timeout-seconds", "0.2");
    let answer = exporter.send(request.body(Body::empty()).unwrap()).await;
    answer.has(r#"goroutine_probe_failure{reason="timeout"} 1"#);
    assert_eq!(next(&mut tells).await, "asked");
    assert_eq!(next(&mut tells).await, "closed");
}

#[tokio::test]
async fn a_target_is_probed_one_at_a_time() {
    let (address, mut tells) = silent_target(b"").await;
    let exporter = Exporter::new("modules: { default: { timeout: 1s }, slow: { timeout: 30s } }");
    let slow = format!("/probe?target={address}&module=slow");
    let second = async {
        assert_eq!(next(&mut tells).await, "asked");
        exporter
            .get(&format!("/probe?target={address}&debug=true"))
            .await
    };
    let answer =
        tokio::select! { _ = exporter.get(&slow) => panic!("answered"), answer = second => answer };
    answer.is(
        StatusCode::OK,
        "timeout: the deadline passed while waiting for other probes of this target",
    );
    assert!(tells.try_recv().is_err(), "the target was asked twice");
}

#[tokio::test]
async fn the_story_of_a_probe() {
    let address = target(PROFILE).await;
    let exporter = Exporter::new(
        "modules: { default: { http: { basic_auth: { username: me, password: hunter2 } } } }",
    );
    let answer = exporter
        .get(&format!("/probe?target={address}&debug=true"))
        .await;
    answer.is(
        StatusCode::OK,
        &format!("Probe of http://{address} with module default"),
    );
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    let text = answer.text();
    for part in [
        "  succeeded\n",
        "  encoding  protobuf\n",
        "  goroutine_probe_success 1\n",
        "username: me",
        "<secret>",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn static_targets_are_probed_together_and_apart() {
    let good = target(PROFILE).await;
    let bad = target((StatusCode::INTERNAL_SERVER_ERROR, "no")).await;
    let exporter = Exporter::with(
        &format!(
            "targets:\n- {{ url: \"{good}\", labels: {{ env: prod }} }}\n- {{ url: \"{bad}\" }}\n- {{ url: \"169.254.1.1:80\" }}\n"
        ),
        ServeOptions {
            listens_on_loopback: false,
            ..options()
        },
    );
    let answer = exporter.get("/targets/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_valid(&answer.text());
    answer.has(&format!(
        r#"goroutine_probe_success{{target="http://{good}",env="prod"}} 1"#
    ));
    answer.has(&format!(
        r#"goroutine_probe_success{{target="http://{bad}"}} 0"#
    ));
    answer.has(&format!(
        r#"goroutine_probe_failure{{target="http://{bad}",reason="http_status"}} 1"#
    ));
    answer.has(r#"goroutine_probe_success{target="http://169.254.1.1:80"} 0"#);

    let one = exporter
        .get(&format!("/targets/metrics?target={bad}"))
        .await;
    assert!(!one.text().contains(&good.to_string()), "{}", one.text());
    one.has(&format!(
        r#"goroutine_probe_success{{target="http://{bad}"}} 0"#
    ));

    let page = exporter.get("/").await;
    page.is(StatusCode::OK, "failed: http_status");
    page.is(StatusCode::OK, "not probed yet");
}

#[tokio::test]
async fn without_static_targets_the_answer_is_empty() {
    let answer = Exporter::new("").get("/targets/metrics").await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (StatusCode::OK, "")
    );
}

#[tokio::test]
async fn more_static_targets_than_places() {
    let mut yaml = "probes: { total: 1 }\ntargets:\n".to_owned();
    for _ in 0..5 {
        writeln!(yaml, "- {{ url: \"{}\" }}", target(PROFILE).await).unwrap();
    }
    let answer = Exporter::new(&yaml).get("/targets/metrics").await;
    let successes = answer
        .text()
        .lines()
        .filter(|l| l.starts_with("goroutine_probe_success") && l.ends_with(" 1"))
        .count();
    assert_eq!(successes, 5, "{}", answer.text());
}

#[tokio::test]
async fn every_answer_is_hardened() {
    let exporter = Exporter::new("");
    for uri in [
        "/",
        "/metrics",
        "/config",
        "/-/healthy",
        "/-/ready",
        "/probe",
        "/nothing/here",
        "/-/reload",
    ] {
        let answer = exporter.get(uri).await;
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{uri}");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer", "{uri}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-"),
            "{uri}: {policy}"
        );
    }
    exporter
        .get("/nothing/here")
        .await
        .is(StatusCode::NOT_FOUND, "There is nothing here");
    exporter
        .get("/-/healthy")
        .await
        .is(StatusCode::OK, "healthy");
    exporter.get("/-/ready").await.is(StatusCode::OK, "ready");
    exporter
        .get("/")
        .await
        .is(StatusCode::OK, "None are configured.");
}

#[tokio::test]
async fn the_configuration_is_shown_without_secrets() {
    let yaml = "modules: { default: { http: { authorization: { credentials: hunter2 } } } }";
    let answer = Exporter::new(yaml).get("/config").await;
    answer.is(StatusCode::OK, "<secret>");
    assert!(!answer.text().contains("hunter2"));
}

#[tokio::test]
async fn reloading() {
    let post = || Request::post("/-/reload").body(Body::empty()).unwrap();
    let closed = Exporter::new("");
    closed
        .send(post())
        .await
        .is(StatusCode::FORBIDDEN, "--web.enable-lifecycle");
    closed
        .get("/-/reload")
        .await
        .is(StatusCode::METHOD_NOT_ALLOWED, "method");

    let exporter = Exporter::with(
        "",
        ServeOptions {
            enable_lifecycle: true,
            ..options()
        },
    );
    exporter.write("modules: { added: {} }");
    exporter.send(post()).await.is(StatusCode::OK, "reloaded");
    exporter.get("/config").await.is(StatusCode::OK, "added:");
    exporter
        .until(r#"goroutine_exporter_probes_total{module="added",result="success"} 0"#)
        .await;

    let check = async |yaml: &str, part: &str| {
        exporter.write(yaml);
        let answer = exporter.send(post()).await;
        answer.is(StatusCode::INTERNAL_SERVER_ERROR, part);
        exporter.get("/config").await.is(StatusCode::OK, "added:");
        exporter
            .until("goroutine_exporter_config_last_reload_successful 0")
            .await;
    };
    check("modules: { default: { tiemout: 1s } }", "exporter.yml:1:").await;
    check(
        "modules: { default: { http: { tls_config: { ca_file: /nonexistent.pem } } } }",
        "modules.default.http",
    )
    .await;

    exporter.write("");
    exporter.send(post()).await.is(StatusCode::OK, "reloaded");
    exporter
        .until("goroutine_exporter_config_last_reload_successful 1")
        .await;
}

#[tokio::test]
async fn a_reload_changes_who_may_be_probed() {
    let address = target(PROFILE).await;
    let exporter = Exporter::new("");
    let uri = format!("/probe?target={address}");
    exporter.get(&uri).await.has("goroutine_probe_success 1");
    exporter.write("allow: [{ cidr: 10.0.0.0/8 }]");
    exporter.app.reload().unwrap();
    exporter
        .get(&uri)
        .await
        .is(StatusCode::FORBIDDEN, "not allowed");
    exporter.write("allow: [{ cidr: 127.0.0.0/8 }]");
    exporter.app.reload_if_changed().unwrap();
    exporter.get(&uri).await.has("goroutine_probe_success 1");
}
