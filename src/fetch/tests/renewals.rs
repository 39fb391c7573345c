//! What a fetcher keeps when the configuration is read again.

use rcgen::{CertificateParams, KeyPair};

use super::servers::{Server, ok};
use super::*;
use crate::secret::Secret;

#[tokio::test]
async fn a_spec_that_says_the_same_keeps_the_connection() {
    let server = Server::start(|_| ok("x")).await;
    let target = server.address.to_string();
    let mut fetcher = Arc::new(plain());
    for _ in 0..3 {
        fetch(&fetcher, &loopback(), &target).await.unwrap();
        fetcher = fetcher.renewed(&FetchSpec::default()).unwrap();
    }
    assert_eq!(server.connections(), 1);
    let closed = Policy::new(Vec::new(), &Defaults::default());
    let refused = fetch(&fetcher, &closed, &target).await.unwrap_err();
    assert!(matches!(refused, FetchError::Refused { .. }), "{refused:?}");
    assert_eq!(server.heads().len(), 3, "asked on the open connection");

    let other = FetchSpec {
        headers: vec![("X-A".to_owned(), Secret::Inline("b".to_owned()))],
        ..FetchSpec::default()
    };
    let fetcher = fetcher.renewed(&other).unwrap();
    fetch(&fetcher, &loopback(), &target).await.unwrap();
    assert_eq!(server.header("x-a").as_deref(), Some("b"));
    assert_eq!(server.connections(), 2);
}

/// A certificate that signs itself, and its key, both in PEM.
fn certificate() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["a".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn files_of_tls_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(at(name), text).unwrap();
    let (cert, key) = certificate();
    write("ca", &cert);
    write("cert", &cert);
    write("key", &key);
    let spec = FetchSpec {
        tls: TlsSpec {
            ca: Some(Pem::File(at("ca"))),
            identity: Some(Identity {
                cert: Pem::File(at("cert")),
                key: Secret::File(at("key")),
            }),
            ..TlsSpec::default()
        },
        ..FetchSpec::default()
    };
    let mut fetcher = Arc::new(Fetcher::new(&spec).unwrap());
    let mut check = |what: &str, keeps: bool| {
        let renewed = fetcher.renewed(&spec).unwrap();
        assert_eq!(Arc::ptr_eq(&fetcher, &renewed), keeps, "{what}");
        fetcher = renewed;
    };
    check("nothing was written", true);
    write("ca", &cert);
    check("the same was written", true);
    write("ca", &certificate().0);
    check("another authority", false);
    check("once only", true);
    // The chain and its key change together; either alone is no identity.
    let (cert, key) = certificate();
    write("cert", &cert);
    write("key", &key);
    check("another identity", false);
    write("cert", &format!("{cert}{}", certificate().0));
    check("a longer chain", false);

    std::fs::remove_file(at("ca")).unwrap();
    let missing = fetcher.renewed(&spec).unwrap_err();
    assert!(matches!(missing, FetchBuildError::File(_)), "{missing:?}");
    let unverified = FetchSpec {
        tls: TlsSpec {
            insecure_skip_verify: true,
            ..spec.tls.clone()
        },
        ..spec
    };
    fetcher.renewed(&unverified).unwrap();
}

#[test]
fn what_it_was_made_of_is_not_printed() {
    let spec = FetchSpec {
        proxy: Some("http://user:hidden@proxy:3128".parse().unwrap()),
        ..FetchSpec::default()
    };
    let shown = format!("{:?}", Fetcher::new(&spec).unwrap());
    assert!(!shown.contains("hidden"), "{shown}");
}
