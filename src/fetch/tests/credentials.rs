use super::servers::{Server, ok};
use super::*;
use crate::failure::FailureReason;
use crate::secret::Secret;

fn inline(text: &str) -> Secret {
    Secret::Inline(text.to_owned())
}

#[tokio::test]
async fn credentials_and_headers_are_sent() {
    let server = Server::start(|_| ok("x")).await;
    let target = server.address.to_string();
    let check = async |auth: Auth, expected: &str| {
        let headers = vec![
            ("X-Team".to_owned(), inline("a")),
            ("x-team".to_owned(), inline("é")),
        ];
        let fetcher = Fetcher::new(&FetchSpec {
            auth: Some(auth),
            headers,
            ..FetchSpec::default()
        })
        .unwrap();
        fetch(&fetcher, &loopback(), &target).await.unwrap();
        assert_eq!(server.header("authorization").as_deref(), Some(expected));
        let head = server.heads().pop().unwrap();
        assert!(
            head.contains("x-team: a\r\n") && head.contains("x-team: é\r\n"),
            "{head}"
        );
    };
    // RFC 7617, section 2.
    let basic = Auth::Basic {
        username: "Aladdin".to_owned(),
        password: inline("open sesame"),
    };
    check(basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").await;
    check(
        Auth::Scheme {
            scheme: "Bearer".to_owned(),
            credentials: inline("t0ken"),
        },
        "Bearer t0ken",
    )
    .await;
}

#[tokio::test]
async fn a_secret_in_a_file_is_read_again_for_every_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let server = Server::start(|_| ok("x")).await;
    let credentials = Secret::File(path.clone());
    let auth = Some(Auth::Scheme {
        scheme: "Bearer".to_owned(),
        credentials,
    });
    let fetcher = Fetcher::new(&FetchSpec {
        auth,
        ..FetchSpec::default()
    })
    .unwrap();
    for token in ["one", "two"] {
        std::fs::write(&path, format!("{token}\n")).unwrap();
        fetch(&fetcher, &loopback(), &server.address.to_string())
            .await
            .unwrap();
        assert_eq!(
            server.header("authorization"),
            Some(format!("Bearer {token}"))
        );
    }
    for content in [Some("a\nb"), None] {
        match content {
            Some(content) => std::fs::write(&path, content).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let error = fetch(&fetcher, &loopback(), &server.address.to_string())
            .await
            .unwrap_err();
        assert!(matches!(error, FetchError::Secret(_)), "{error:?}");
        assert_eq!(error.reason(), Some(FailureReason::Internal));
        assert!(!format!("{error} {error:?}").contains("a\nb"));
    }
    assert_eq!(server.heads().len(), 2);
}

#[test]
fn a_bad_header_name_is_refused_at_build() {
    let headers = vec![("not a name".to_owned(), inline("x"))];
    let error = Fetcher::new(&FetchSpec {
        headers,
        ..FetchSpec::default()
    })
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        r#""not a name" is no name of an HTTP header"#
    );
}
