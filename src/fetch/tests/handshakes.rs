use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::servers::{Accepting, Server, Then, boxed, ok, redirect, reply};
use super::*;
use crate::failure::FailureReason;
use crate::secret::Secret;

/// An authority and what it signed.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
        }
    }

    pub(super) fn pem(&self) -> Pem {
        Pem::Inline(self.issuer.pem())
    }

    fn sign(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    pub(super) fn identity(&self) -> Identity {
        let (certificate, key) = self.sign("exporter", ExtendedKeyUsagePurpose::ClientAuth);
        Identity {
            cert: Pem::Inline(certificate.pem()),
            key: Secret::Inline(key.serialize_pem()),
        }
    }

    /// Shows a certificate for `name`; with `clients`, wants one of that authority.
    fn acceptor(&self, name: &str, alpn: &[&[u8]], clients: Option<&Self>) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (certificate, key) = self.sign(name, ExtendedKeyUsagePurpose::ServerAuth);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer.der().clone()).unwrap();
                builder.with_client_cert_verifier(
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .unwrap(),
                )
            }
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = builder
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A server whose certificate is for `name`; with `clients`, it wants a certificate of that authority.
    pub(super) async fn serve(
        &self,
        name: &str,
        alpn: &[&[u8]],
        clients: Option<&Self>,
        script: impl Fn(&str) -> servers::Reply + Send + Sync + 'static,
    ) -> Server {
        let acceptor = self.acceptor(name, alpn, clients);
        Server::start_with(script, move |stream| -> Accepting {
            let acceptor = acceptor.clone();
            Box::pin(async move { acceptor.accept(stream).await.ok().map(boxed) })
        })
        .await
    }
}

pub(super) fn trusting(tls: TlsSpec) -> Fetcher {
    Fetcher::new(&FetchSpec {
        tls,
        follow_redirects: true,
        ..FetchSpec::default()
    })
    .unwrap()
}

async fn outcome(fetcher: &Fetcher, server: &Server) -> Result<Fetched, String> {
    let done = fetch(fetcher, &loopback(), &format!("https://{}", server.address)).await;
    done.map(|(done, _)| done).map_err(|error| {
        assert_eq!(error.reason(), Some(FailureReason::Tls), "{error:?}");
        error.to_string()
    })
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_configured() {
    let authority = Authority::new("one");
    let server = authority.serve("127.0.0.1", &[], None, |_| ok("x")).await;
    let fetcher = trusting(TlsSpec {
        ca: Some(authority.pem()),
        ..TlsSpec::default()
    });
    let first = outcome(&fetcher, &server).await.unwrap();
    assert!(
        first.phases.connect.is_some() && first.phases.tls.is_some(),
        "{first:?}"
    );
    let second = outcome(&fetcher, &server).await.unwrap();
    assert_eq!(
        (
            second.phases.connect,
            second.phases.tls,
            server.connections()
        ),
        (None, None, 1)
    );
}

#[tokio::test]
async fn other_certificates_are_refused() {
    let (authority, other) = (Authority::new("one"), Authority::new("two"));
    let untrusted = "TLS handshake failed: the certificate is not signed by a trusted authority";
    let misnamed = "TLS handshake failed: the certificate is not valid for this name";
    let server = authority.serve("127.0.0.1", &[], None, |_| ok("x")).await;
    let named = authority
        .serve("app.internal.example", &[], None, |_| ok("x"))
        .await;
    let check = async |tls: TlsSpec, server: &Server, expected: Option<&str>| {
        assert_eq!(
            outcome(&trusting(tls), server).await.err().as_deref(),
            expected
        );
    };
    check(
        TlsSpec {
            ca: Some(other.pem()),
            ..TlsSpec::default()
        },
        &server,
        Some(untrusted),
    )
    .await;
    check(
        TlsSpec {
            ca: Some(authority.pem()),
            ..TlsSpec::default()
        },
        &named,
        Some(misnamed),
    )
    .await;
    let server_name = Some("app.internal.example".to_owned());
    check(
        TlsSpec {
            ca: Some(authority.pem()),
            server_name: server_name.clone(),
            ..TlsSpec::default()
        },
        &named,
        None,
    )
    .await;
    check(
        TlsSpec {
            ca: Some(authority.pem()),
            server_name,
            ..TlsSpec::default()
        },
        &server,
        Some(misnamed),
    )
    .await;
    check(
        TlsSpec {
            insecure_skip_verify: true,
            ..TlsSpec::default()
        },
        &named,
        None,
    )
    .await;
    // The system does not know the authority either, or has none at all.
    assert!(
        outcome(&trusting(TlsSpec::default()), &server)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let (authority, clients) = (Authority::new("one"), Authority::new("two"));
    let server = authority
        .serve("127.0.0.1", &[], Some(&clients), |_| ok("x"))
        .await;
    let check = async |identity: Option<Identity>, versions: Option<TlsVersion>, expected: bool| {
        let tls = TlsSpec {
            ca: Some(authority.pem()),
            identity,
            max_version: versions,
            ..TlsSpec::default()
        };
        let seen = outcome(&trusting(tls), &server).await;
        assert_eq!(seen.is_ok(), expected, "{seen:?}");
    };
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        check(Some(clients.identity()), Some(version), true).await;
        check(Some(authority.identity()), Some(version), false).await;
        check(None, Some(version), false).await;
    }
}

#[tokio::test]
async fn http2_is_spoken_only_when_configured() {
    let authority = Authority::new("one");
    // It offers HTTP/2 only, and would fail at the first byte if that were spoken: the choice is what is seen.
    let server = authority
        .serve("127.0.0.1", &[b"h2"], None, |head| reply(head, Then::Close))
        .await;
    let tls = TlsSpec {
        ca: Some(authority.pem()),
        ..TlsSpec::default()
    };
    let target = format!("https://{}", server.address);
    for (http2, preface) in [(true, true), (false, false)] {
        let fetcher = Fetcher::new(&FetchSpec {
            tls: tls.clone(),
            http2,
            ..FetchSpec::default()
        })
        .unwrap();
        fetch(&fetcher, &loopback(), &target).await.unwrap_err();
        let last = server.heads().pop().unwrap_or_default();
        assert_eq!(last.starts_with("PRI * HTTP/2.0"), preface, "{last}");
    }
}

#[tokio::test]
async fn a_profile_is_fetched_over_http2() {
    use hyper::body::Incoming;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let authority = Authority::new("one");
    let acceptor = authority.acceptor("127.0.0.1", &[b"h2"], None);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.unwrap();
        let answer = hyper::service::service_fn(async |request: hyper::Request<Incoming>| {
            let body = format!("{:?} {}", request.version(), request.uri().path());
            Ok::<_, std::convert::Infallible>(hyper::Response::new(body))
        });
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http.serve_connection(TokioIo::new(stream), answer)
            .await
            .ok();
    });
    let tls = TlsSpec {
        ca: Some(authority.pem()),
        ..TlsSpec::default()
    };
    let spec = FetchSpec {
        tls,
        http2: true,
        ..FetchSpec::default()
    };
    let fetcher = Fetcher::new(&spec).unwrap();
    for new_connection in [true, false] {
        let target = format!("https://{address}");
        let (done, body) = fetch(&fetcher, &loopback(), &target).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&body), "HTTP/2.0 /p");
        assert_eq!(
            (done.new_connection, done.remote),
            (new_connection, Some(address))
        );
        assert_eq!(done.phases.tls.is_some(), new_connection);
    }
}

#[tokio::test]
async fn the_wrong_protocol_on_a_port_is_told() {
    let answering = Server::start_with(
        |_| ok("x"),
        |mut stream| {
            Box::pin(async move {
                use tokio::io::AsyncWriteExt;
                stream
                    .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    .await
                    .unwrap();
                Some(boxed(stream))
            })
        },
    )
    .await;
    let error = outcome(&trusting(TlsSpec::default()), &answering)
        .await
        .unwrap_err();
    assert_eq!(
        error,
        "TLS handshake failed: the other side does not speak TLS"
    );

    let closing = Server::start_with(|_| ok("x"), |_| Box::pin(async { None })).await;
    let error = outcome(&trusting(TlsSpec::default()), &closing)
        .await
        .unwrap_err();
    assert!(error.starts_with("TLS handshake failed: "), "{error}");

    let go = Server::start(|_| {
        reply(
            "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
            Then::Close,
        )
    })
    .await;
    let error = fetch(&plain(), &loopback(), &go.address.to_string())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::Status {
                code: 400,
                hint: Some(StatusHint::WantsTls)
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_a_timeout_of_tls() {
    let silent = Server::start_with(
        |_| ok("x"),
        |stream| {
            Box::pin(async move {
                std::future::pending::<()>().await;
                Some(boxed(stream))
            })
        },
    )
    .await;
    let target = format!("https://{}", silent.address);
    let patience = Duration::from_millis(400);
    let error = fetch_within(&plain(), &loopback(), &target, 1, patience)
        .await
        .unwrap_err();
    assert!(
        matches!(error, FetchError::Timeout { phase: Phase::Tls }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_not_followed() {
    let authority = Authority::new("one");
    let server = authority
        .serve("127.0.0.1", &[], None, |_| redirect("http://127.0.0.1/"))
        .await;
    let fetcher = trusting(TlsSpec {
        ca: Some(authority.pem()),
        ..TlsSpec::default()
    });
    let error = fetch(
        &fetcher,
        &loopback(),
        &format!("https://{}", server.address),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(error, FetchError::Redirect(RedirectFault::Downgrade)),
        "{error:?}"
    );
}

#[test]
fn settings_that_cannot_be_honoured_are_refused_at_build() {
    let check = |tls: TlsSpec, text: &str| {
        let error = Fetcher::new(&FetchSpec {
            tls,
            ..FetchSpec::default()
        })
        .unwrap_err();
        assert!(error.to_string().starts_with(text), "{error}");
    };
    let none = TlsSpec::default;
    let pem = |text: &str| Some(Pem::Inline(text.to_owned()));
    check(
        TlsSpec {
            ca: pem("nothing"),
            ..none()
        },
        "tls_config.ca holds no certificate in PEM form",
    );
    check(
        TlsSpec {
            ca: Some(Pem::File("/nonexistent/ca.pem".into())),
            ..none()
        },
        "cannot read /nonexistent/ca.pem: ",
    );
    check(
        TlsSpec {
            ca: pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            ..none()
        },
        "tls_config.ca cannot be used: ",
    );
    check(
        TlsSpec {
            server_name: Some("a b".to_owned()),
            ..none()
        },
        "tls_config.server_name is neither",
    );
    let (min_version, max_version) = (Some(TlsVersion::Tls13), Some(TlsVersion::Tls12));
    check(
        TlsSpec {
            min_version,
            max_version,
            ..none()
        },
        "tls_config.min_version is above",
    );
    let (mut identity, other) = (
        Authority::new("one").identity(),
        Authority::new("one").identity(),
    );
    identity.key = other.key;
    check(
        TlsSpec {
            identity: Some(identity.clone()),
            ..none()
        },
        "tls_config.key cannot be used: ",
    );
    identity.key = Secret::Inline("k3y".to_owned());
    check(
        TlsSpec {
            identity: Some(identity),
            ..none()
        },
        "tls_config.key holds no unencrypted private key",
    );
}
