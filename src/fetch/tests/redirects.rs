use super::servers::{Server, ok, redirect, status};
use super::*;
use crate::failure::FailureReason;
use crate::secret::Secret;

#[tokio::test]
async fn a_redirect_is_not_followed_unless_configured() {
    let server = Server::start(|_| redirect("/elsewhere")).await;
    let error = fetch(&plain(), &loopback(), &server.address.to_string())
        .await
        .unwrap_err();
    assert!(
        matches!(error, FetchError::RedirectNotFollowed { code: 302 }),
        "{error:?}"
    );
    assert_eq!(error.reason(), Some(FailureReason::HttpStatus));
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn redirects_of_every_kind_are_followed() {
    for line in [
        "301 Moved",
        "302 Found",
        "303 See Other",
        "307 Temporary",
        "308 Permanent",
    ] {
        let server = Server::start(move |head| {
            if head.starts_with("GET /p?debug=1 ") {
                status(line, "Location: ../there?x=1#part\r\n")
            } else {
                ok("x")
            }
        })
        .await;
        let (_, body) = fetch(&following(), &loopback(), &server.address.to_string())
            .await
            .unwrap();
        assert_eq!(body, b"x", "{line}");
        assert!(
            server.heads()[1].starts_with("GET /there?x=1 HTTP/1.1\r\n"),
            "{:?}",
            server.heads()
        );
    }
}

#[tokio::test]
async fn a_loop_ends() {
    let server = Server::start(|_| redirect("/p")).await;
    let error = fetch(&following(), &loopback(), &server.address.to_string())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::TooManyRedirects {
                limit: MAX_REDIRECTS
            }
        ),
        "{error:?}"
    );
    assert_eq!(server.heads().len(), usize::from(MAX_REDIRECTS) + 1);
}

#[tokio::test]
async fn a_redirect_takes_the_same_check_and_tells_not_where_it_led() {
    for (location, seen) in [
        ("http://169.254.169.254/latest/meta-data/", "link-local"),
        ("http://0xa9fea9fe/", "link-local"),
        ("http://[::ffff:169.254.169.254]/", "link-local"),
        ("http://10.20.30.40:6060/", "a place"),
        ("//10.20.30.40/", "a place"),
    ] {
        let server = Server::start(move |_| redirect(location)).await;
        let error = fetch(&following(), &loopback(), &server.address.to_string())
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                FetchError::Refused {
                    party: Party::Redirect,
                    ..
                }
            ),
            "{location}: {error:?}"
        );
        assert_eq!(error.reason(), Some(FailureReason::HttpStatus));
        let text = error.to_string();
        assert!(
            text.contains(seen) && !text.contains(|c: char| c.is_ascii_digit()),
            "{text}"
        );
    }
}

#[tokio::test]
async fn some_redirects_are_never_followed() {
    let check = async |headers: &'static str, fault: RedirectFault| {
        let server = Server::start(move |_| status("302 Found", headers)).await;
        let error = fetch(&following(), &any(), &server.address.to_string())
            .await
            .unwrap_err();
        let FetchError::Redirect(seen) = error else {
            panic!("{headers}: {error:?}")
        };
        assert_eq!(seen, fault, "{headers}");
    };
    check("", RedirectFault::NoLocation).await;
    check(
        "Location: file:///etc/passwd\r\n",
        RedirectFault::BadLocation,
    )
    .await;
    check(
        "Location: unix:///run/docker.sock\r\n",
        RedirectFault::BadLocation,
    )
    .await;
    check(
        "Location: http://user:pw@127.0.0.1/\r\n",
        RedirectFault::BadLocation,
    )
    .await;
    check("Location: http://:80/\r\n", RedirectFault::BadLocation).await;
    check("Location: http://a`b/\r\n", RedirectFault::BadLocation).await;
    check("Location: http://./\r\n", RedirectFault::BadLocation).await;
}

#[tokio::test]
async fn credentials_stay_with_the_origin_and_do_not_come_back() {
    let password = Secret::Inline("pw".to_owned());
    let spec = FetchSpec {
        auth: Some(Auth::Basic {
            username: "u".to_owned(),
            password,
        }),
        headers: vec![("X-Key".to_owned(), Secret::Inline("k".to_owned()))],
        follow_redirects: true,
        ..FetchSpec::default()
    };
    let fetcher = Fetcher::new(&spec).unwrap();
    let has_secrets = |head: &String| (head.contains("authorization: "), head.contains("x-key: "));

    let server = Server::start(|head| {
        if head.starts_with("GET /p") {
            redirect("/same")
        } else {
            ok("x")
        }
    })
    .await;
    fetch(&fetcher, &loopback(), &server.address.to_string())
        .await
        .unwrap();
    assert_eq!(
        server.heads().iter().map(has_secrets).collect::<Vec<_>>(),
        [(true, true); 2]
    );

    // To another port, and from there back to the first.
    let (first_port, first_knows) = std::sync::mpsc::channel::<u16>();
    let port = std::sync::Mutex::new(first_knows);
    let second = Server::start(move |_| {
        redirect(&format!(
            "http://127.0.0.1:{}/back",
            port.lock().unwrap().recv().unwrap()
        ))
    })
    .await;
    let away = format!("http://{}/away", second.address);
    let first = Server::start(move |head| {
        if head.starts_with("GET /p") {
            redirect(&away)
        } else {
            ok("x")
        }
    })
    .await;
    first_port.send(first.address.port()).unwrap();
    fetch(&fetcher, &loopback(), &first.address.to_string())
        .await
        .unwrap();
    assert_eq!(
        first.heads().iter().map(has_secrets).collect::<Vec<_>>(),
        [(true, true), (false, false)]
    );
    assert_eq!(
        second.heads().iter().map(has_secrets).collect::<Vec<_>>(),
        [(false, false)]
    );
}

#[tokio::test]
async fn a_redirect_to_a_name_is_resolved_and_checked() {
    let server = Server::start(|head| {
        if head.starts_with("GET /p") {
            redirect("http://goroutine-exporter.invalid./")
        } else {
            ok("x")
        }
    })
    .await;
    let error = fetch(&following(), &any(), &server.address.to_string())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::Dns {
                party: Party::Redirect
            }
        ),
        "{error:?}"
    );
    let port = server.address.port();
    let named = Server::start(move |_| redirect(&format!("http://localhost.:{port}/x"))).await;
    assert!(
        fetch(&following(), &loopback(), &named.address.to_string())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_redirect_never_leaves_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let tcp = Server::start(|_| ok("x")).await;
    let away = format!("http://{}/", tcp.address);
    let _server = Server::on_socket(&path, move |head| match head {
        head if head.starts_with("GET /p") => redirect("/near"),
        head if head.starts_with("GET /near") => redirect("http://localhost/here"),
        _ => redirect(&away),
    });
    let targets = [format!("unix://{}", path.display()).parse().unwrap()];
    let policy = Policy::new(
        Vec::new(),
        &Defaults {
            targets: &targets,
            any_target: true,
            ..Defaults::default()
        },
    );
    let error = fetch(&following(), &policy, targets[0].as_str())
        .await
        .unwrap_err();
    assert!(
        matches!(error, FetchError::Redirect(RedirectFault::LeavesSocket)),
        "{error:?}"
    );
    assert_eq!(tcp.connections(), 0);
}
