use super::servers::{Server, ok};
use super::*;

#[tokio::test]
async fn no_spelling_of_an_address_gets_around_the_policy() {
    let server = Server::start(|_| ok("x")).await;
    let port = server.address.port();
    let closed = Policy::new(vec![allow_host("app.example")], &Defaults::default());
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "localhost",
    ] {
        let target = format!("{host}:{port}");
        let error = fetch(&plain(), &closed, &target).await.unwrap_err();
        assert!(
            matches!(
                error,
                FetchError::Refused {
                    party: Party::Target,
                    ..
                }
            ),
            "{target}: {error:?}"
        );
        assert_eq!(error.reason(), None);
        assert!(error.refusal().is_some());
    }
    // 0.0.0.0 connects to the machine itself.
    for host in ["0.0.0.0", "0", "[::]", "[::ffff:0.0.0.0]"] {
        let error = fetch(&plain(), &any(), &format!("{host}:{port}"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, FetchError::Refused { .. }),
            "{host}: {error:?}"
        );
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn every_spelling_of_a_permitted_address_works() {
    let server = Server::start(|_| ok("x")).await;
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "localhost",
    ] {
        let done = fetch(&plain(), &loopback(), &format!("{host}:{port}")).await;
        assert!(done.is_ok(), "{host}: {done:?}");
    }
}

#[tokio::test]
async fn a_pooled_connection_is_held_to_the_policy_of_the_day() {
    let server = Server::start(|_| ok("x")).await;
    let fetcher = plain();
    let target = server.address.to_string();
    fetch(&fetcher, &loopback(), &target).await.unwrap();
    let error = fetch(
        &fetcher,
        &Policy::new(Vec::new(), &Defaults::default()),
        &target,
    )
    .await
    .unwrap_err();
    assert!(matches!(error, FetchError::Refused { .. }), "{error:?}");
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn a_connection_that_led_elsewhere_is_confirmed_or_refused() {
    let target: Target = "app.example:6060".parse().unwrap();
    let at = |text: &str| text.parse().unwrap();
    let check = |policy: &Policy, remote: &str, expected: bool| {
        let hop = Hop {
            endpoint: target.endpoint(),
            party: Party::Target,
            rooted: false,
            plain: true,
            policy,
            proxy: None,
        };
        assert_eq!(
            hop.confirm(at(remote), &[at("10.0.0.1:6060")]).is_ok(),
            expected,
            "{remote}"
        );
    };
    let named = Policy::new(vec![allow_host("app.example")], &Defaults::default());
    let netted = Policy::new(
        vec![AllowEntry {
            place: Place::Cidr("10.0.0.0/24".parse().unwrap()),
            ports: Vec::new(),
        }],
        &Defaults::default(),
    );
    check(&netted, "10.0.0.1:6060", true);
    check(&netted, "[::ffff:10.0.0.1]:6060", true);
    // The name moved on, the connection is still where it may be.
    check(&netted, "10.0.0.2:6060", true);
    check(&netted, "10.0.1.1:6060", false);
    check(&named, "10.0.1.1:6060", true);
    check(&named, "169.254.169.254:6060", false);
}

#[tokio::test]
async fn nothing_is_connected_to_without_a_checked_address() {
    let server = Server::start(|_| ok("x")).await;
    let clients = Clients::new(&FetchSpec::default(), &TlsSpec::default()).unwrap();
    let client = clients.tcp(Party::Target, true);
    let url = format!("http://localhost:{}/", server.address.port());
    // Without a trace, and with one in which another name is pinned.
    assert!(client.get(&url).send().await.is_err());
    let trace = Trace::default();
    trace.pin("other", &[server.address]);
    assert!(trace.run(client.get(&url).send()).await.is_err());
    assert_eq!(server.connections(), 0);
    trace.pin("localhost", &[server.address]);
    assert!(trace.run(client.get(&url).send()).await.is_ok());
}

#[tokio::test]
async fn links_are_followed_where_they_are_named_and_nowhere_below_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["apps", "apps/deep", "other"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    let _plain = Server::on_socket(&at("apps/deep/plain.sock"), |_| ok("plain"));
    let _other = Server::on_socket(&at("other/docker.sock"), |_| ok("docker"));
    std::os::unix::fs::symlink(at("other/docker.sock"), at("apps/link.sock")).unwrap();
    std::os::unix::fs::symlink(at("other"), at("apps/linked")).unwrap();
    std::os::unix::fs::symlink(at("apps"), at("way")).unwrap();
    let socket = |name: &str| AllowEntry {
        place: Place::Socket(at(name).to_str().unwrap().parse().unwrap()),
        ports: Vec::new(),
    };
    let check = async |entries: &[&str], name: &str, expected: Result<&str, &str>| {
        let entries = entries.iter().map(|name| socket(name)).collect();
        let policy = Policy::new(entries, &Defaults::default());
        let target = format!("unix://{}", at(name).display());
        let done = fetch(&plain(), &policy, &target).await;
        let done = done.map(|(_, body)| String::from_utf8(body).unwrap());
        let done = done.map_err(|error| error.to_string());
        match (&done, expected) {
            (Ok(body), Ok(expected)) => assert_eq!(body, expected, "{name}"),
            (Err(error), Err(words)) => assert!(error.contains(words), "{name}: {error}"),
            _ => panic!("{name}: {done:?}"),
        }
    };
    check(&["apps/"], "apps/deep/plain.sock", Ok("plain")).await;
    check(&["apps/"], "apps/link.sock", Err("is a link")).await;
    check(&["apps/"], "apps/linked/docker.sock", Err("is a link")).await;
    check(&["apps/"], "other/docker.sock", Err("is not allowed")).await;
    check(&["apps/", "apps/link.sock"], "apps/link.sock", Ok("docker")).await;
    check(&["apps/link.sock"], "apps/link.sock", Ok("docker")).await;
    // A directory that is a link itself was named.
    check(&["way/"], "way/deep/plain.sock", Ok("plain")).await;
    check(&["way/"], "way/link.sock", Err("is a link")).await;
}
