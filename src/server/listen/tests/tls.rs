//! Clients that speak TLS and HTTP/2, or pretend to.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::slow::{SHORT, patient};
use super::*;

struct Secured {
    running: Running,
    certificate: CertificateDer<'static>,
    _folder: tempfile::TempDir,
}

async fn secured(limits: ListenLimits) -> Secured {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("s.crt", &certificate.pem());
    write("s.key", &key.serialize_pem());
    write(
        "web.yml",
        "tls_server_config: { cert_file: s.crt, key_file: s.key }",
    );
    let web = Web::open(Some(&folder.path().join("web.yml"))).unwrap();
    Secured {
        running: start_with(limits, 1, Some(web)).await,
        certificate: certificate.der().clone(),
        _folder: folder,
    }
}

impl Secured {
    async fn connect(&self) -> TcpStream {
        connect(self.running.addresses[0]).await
    }

    async fn secure(&self, protocol: &str) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = self.connect().await;
        let connector = TlsConnector::from(Arc::new(config));
        let secure = timeout(SOON, connector.connect(name, stream)).await;
        secure.unwrap().unwrap()
    }

    /// A client of HTTP/2, and what ends when its connection does.
    async fn http2(&self) -> (SendRequest<Body>, JoinHandle<()>) {
        let io = TokioIo::new(self.secure("h2").await);
        let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (client, connection) = builder.handshake(io).await.unwrap();
        let ended = tokio::spawn(async move { drop(connection.await) });
        (client, ended)
    }
}

async fn ask(client: &mut SendRequest<Body>, path: &str) -> hyper::Response<hyper::body::Incoming> {
    let request = Request::get(format!("https://127.0.0.1{path}"))
        .body(Body::empty())
        .unwrap();
    let answer = timeout(SOON, client.send_request(request)).await;
    answer.unwrap().unwrap()
}

async fn text(answer: hyper::Response<hyper::body::Incoming>) -> String {
    let body = timeout(SOON, answer.into_body().collect()).await;
    String::from_utf8(body.unwrap().unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_handshake_is_not_waited_for_long() {
    let patience = Patience {
        handshake: SHORT,
        ..limits().patience
    };
    let secured = secured(patient(patience, 8)).await;
    for hello in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01", b"G"] {
        let mut stream = secured.connect().await;
        stream.write_all(hello).await.unwrap();
        assert!(is_closed(stream).await, "{hello:?}");
    }
    let mut client = secured.http2().await.0;
    assert_eq!(text(ask(&mut client, "/").await).await, "hello");
}

#[tokio::test]
async fn who_never_asks_is_closed_behind_the_handshake_too() {
    let patience = Patience {
        head: SHORT,
        ..limits().patience
    };
    let secured = secured(patient(patience, 8)).await;
    let mut rest = Vec::new();
    let mut silent = secured.secure("http/1.1").await;
    drop(timeout(SOON, silent.read_to_end(&mut rest)).await.unwrap());
    let (_client, ended) = secured.http2().await;
    timeout(SOON, ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn http2_may_be_idle_and_is_closed_in_the_end() {
    let patience = Patience {
        idle: SHORT * 3,
        head: SHORT,
        ..limits().patience
    };
    let secured = secured(patient(patience, 8)).await;
    let (mut client, ended) = secured.http2().await;
    assert_eq!(text(ask(&mut client, "/").await).await, "hello");
    let answered = tokio::time::Instant::now();
    timeout(SOON, ended).await.unwrap().unwrap();
    assert!(answered.elapsed() > SHORT * 2, "{:?}", answered.elapsed());
}

#[tokio::test]
async fn an_answer_of_http2_that_is_not_taken_ends_its_connection() {
    let patience = Patience {
        stall: SHORT,
        ..limits().patience
    };
    let secured = secured(patient(patience, 8)).await;
    let (mut client, ended) = secured.http2().await;
    // Another one is answered meanwhile.
    let stuck = ask(&mut client, "/large").await;
    assert_eq!(text(ask(&mut client, "/").await).await, "hello");
    timeout(SOON, ended).await.unwrap().unwrap();
    drop(stuck);

    // Whoever takes it gets all of it.
    let (mut client, _ended) = secured.http2().await;
    let large = text(ask(&mut client, "/large").await).await;
    assert_eq!(large.len(), LARGE);
}

#[tokio::test]
async fn a_request_of_http2_in_flight_is_answered_at_the_end() {
    let mut secured = secured(limits()).await;
    let (mut client, _ended) = secured.http2().await;
    let (waiting, go) = (
        Arc::clone(&secured.running.waiting),
        Arc::clone(&secured.running.go),
    );
    let stop = secured.running.stop.take();
    let stopping = async move {
        timeout(SOON, waiting.notified()).await.unwrap();
        drop(stop);
        go.notify_one();
    };
    let (answer, ()) = tokio::join!(ask(&mut client, "/wait"), stopping);
    assert_eq!(text(answer).await, "waited");
    let drained = timeout(SOON, secured.running.served).await;
    assert_eq!(drained.unwrap().unwrap(), Drained::All);
}
