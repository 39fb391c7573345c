use super::*;

fn parse(text: &str) -> Result<String, TargetError> {
    text.parse::<Target>().map(|target| target.to_string())
}

#[test]
fn one_target_has_one_spelling() {
    let check = |typed: &str, canonical: &str| {
        assert_eq!(parse(typed).as_deref(), Ok(canonical), "{typed}");
        assert_eq!(
            parse(canonical).as_deref(),
            Ok(canonical),
            "the canonical form of {typed}, read again"
        );
    };
    check("localhost:6060", "http://localhost:6060");
    check("LocalHost:6060", "http://localhost:6060");
    check("http://localhost:6060/", "http://localhost:6060");
    check("HTTP://localhost:06060", "http://localhost:6060");
    check("http://localhost", "http://localhost:80");
    check("https://localhost", "https://localhost:443");
    check("localhost:80", "http://localhost:80");
    check("http://app.example.:8080//", "http://app.example:8080");
    check(
        "https://app.example/team/api/",
        "https://app.example:443/team/api",
    );
    check(
        "http://app.example:1/a b".replace(' ', "%20").as_str(),
        "http://app.example:1/a%20b",
    );
    check("2130706433:6060", "http://127.0.0.1:6060");
    check("0x7f.1:6060", "http://127.0.0.1:6060");
    check("0177.0.0.1:6060", "http://127.0.0.1:6060");
    check("127.0.0.1.:6060", "http://127.0.0.1:6060");
    check("%31%32%37.0.0.1:6060", "http://127.0.0.1:6060");
    check("１２７.0.0.1:6060", "http://127.0.0.1:6060");
    check("[::1]:6060", "http://[::1]:6060");
    check("[0:0:0:0:0:0:0:1]:6060", "http://[::1]:6060");
    check("[::ffff:127.0.0.1]:6060", "http://[::ffff:7f00:1]:6060");
    check("http://[::1]", "http://[::1]:80");
    check(
        "http://bücher.example:6060",
        "http://xn--bcher-kva.example:6060",
    );
    check("unix:///run/app.sock", "unix:///run/app.sock");
    check("UNIX:////run//app.sock", "unix:///run/app.sock");
    check("unix:///run/a@b:1.sock", "unix:///run/a@b:1.sock");
}

#[test]
fn what_is_no_target_says_why() {
    let check = |typed: &str, error: TargetError| assert_eq!(parse(typed), Err(error), "{typed}");
    check("", TargetError::Empty);
    check(
        &format!("http://a/{}", "x".repeat(MAX_TARGET_BYTES - 8)),
        TargetError::TooLong { length: 2049 },
    );
    check("localhost", TargetError::NoPort);
    check("localhost:", TargetError::NoPort);
    check("[::1]", TargetError::NoPort);
    check("::1:6060", TargetError::Brackets);
    check("http://::1", TargetError::Brackets);
    check("localhost:0", TargetError::Port);
    check("localhost:65536", TargetError::Port);
    check("localhost:http", TargetError::Port);
    check("http://localhost:0", TargetError::Port);
    check(":6060", TargetError::Host);
    check("http://", TargetError::Host);
    check("http:///path", TargetError::Host);
    check("a..b:1", TargetError::Host);
    check(".:1", TargetError::Host);
    check("256.256.256.256:1", TargetError::Host);
    for host in [
        "`",
        "a!b",
        "*.example",
        "a&b",
        "(a)",
        "a~",
        "{a}",
        "a..",
        "%60",
    ] {
        check(&format!("{host}:1"), TargetError::Host);
    }
    check("[fe80::1%25eth0]:1", TargetError::Host);
    check("localhost:6060/api", TargetError::PathWithoutScheme);
    check("ftp://localhost:21", TargetError::Scheme);
    check("file:///etc/passwd", TargetError::Scheme);
    check("gopher://localhost:70/_x", TargetError::Scheme);
    check("http://user:pw@localhost:1", TargetError::UserInfo);
    check("user@localhost:1", TargetError::UserInfo);
    check("http://localhost:1?x=1", TargetError::Query);
    check("http://localhost:1#x", TargetError::Fragment);
    check("unix:///run/a?b", TargetError::Query);
    for path in [
        "/..",
        "/a/../b",
        "/.",
        "/%2e%2E/x",
        "/.%2e",
        "/a%2f..%2fb",
        "/a%5C..%5cb",
    ] {
        check(
            &format!("http://localhost:1{path}"),
            TargetError::DotSegment,
        );
    }
    check(
        "http://localhost:1\\@evil",
        TargetError::Character { character: '\\' },
    );
    check("local host:1", TargetError::Character { character: ' ' });
    check("localhost:1\n", TargetError::Character { character: '\n' });
    check("unix://run/app.sock", TargetError::SocketPath);
    check("unix:///", TargetError::SocketPath);
    check("unix:///run/", TargetError::SocketPath);
    check("unix:///run/../etc/x", TargetError::DotSegment);
    check(
        &format!("unix:///{}", "x".repeat(MAX_SOCKET_BYTES)),
        TargetError::SocketTooLong,
    );
}

#[test]
fn lengths_at_the_limit_are_taken() {
    assert!(
        parse(&format!(
            "http://a:80/{}",
            "x".repeat(MAX_TARGET_BYTES - 12)
        ))
        .is_ok()
    );
    assert!(parse(&format!("unix:///{}", "x".repeat(MAX_SOCKET_BYTES - 1))).is_ok());
}

#[test]
fn a_url_has_prefix_path_and_query() {
    let check = |target: &str, path: &str, query: &str, url: &str| {
        let target: Target = target.parse().unwrap();
        assert_eq!(target.url(path, query).as_str(), url);
    };
    check(
        "h:6060",
        "/debug/pprof/goroutine",
        "debug=2",
        "http://h:6060/debug/pprof/goroutine?debug=2",
    );
    check(
        "https://h/a/b/",
        "/debug/pprof/heap",
        "",
        "https://h/a/b/debug/pprof/heap",
    );
    check(
        "unix:///run/a.sock",
        "/p",
        "debug=1",
        "http://localhost/p?debug=1",
    );
    check("h:1", "/a?b#c", "", "http://h:1/a%3Fb%23c");
}

#[test]
fn the_endpoint_is_what_is_connected_to() {
    let name: Target = "https://App.Example.".parse().unwrap();
    assert_eq!(
        name.endpoint(),
        Endpoint::Name {
            name: "app.example",
            port: 443
        }
    );
    assert!(name.is_rooted());
    let address: Target = "0x7f.1:80".parse().unwrap();
    assert_eq!(
        address.endpoint(),
        Endpoint::Address(SocketAddr::from(([127, 0, 0, 1], 80)))
    );
    assert!(!address.is_rooted());
    let socket: Target = "unix:///run/a.sock".parse().unwrap();
    assert_eq!(
        socket.endpoint(),
        Endpoint::Socket(Path::new("/run/a.sock"))
    );
}

#[test]
fn the_canonical_form_of_a_target_is_one() {
    let of = |letters: usize| format!("http://a/{}", "é".repeat(letters)).parse::<Target>();
    let longest = of(339).unwrap();
    assert_eq!(longest.as_str().len(), 2046);
    assert_eq!(longest.as_str().parse(), Ok(longest.clone()));
    assert_eq!(of(340), Err(TargetError::TooLong { length: 2052 }));
}
