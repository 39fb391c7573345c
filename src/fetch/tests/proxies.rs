use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::servers::{Accepting, Server, Then, boxed, ok, reply, status};
use super::*;
use crate::failure::FailureReason;

fn through(proxy: &str) -> Fetcher {
    Fetcher::new(&FetchSpec {
        proxy: Some(Url::parse(proxy).unwrap()),
        ..FetchSpec::default()
    })
    .unwrap()
}

/// Permits app.example by name, and loopback.
fn example() -> Policy {
    let loopback = AllowEntry {
        place: Place::Cidr("127.0.0.0/8".parse().unwrap()),
        ports: Vec::new(),
    };
    Policy::new(
        vec![allow_host("app.example"), loopback],
        &Defaults::default(),
    )
}

#[tokio::test]
async fn an_http_proxy_is_asked_for_a_name_that_an_entry_names() {
    let proxy = Server::start(|_| ok("x")).await;
    let fetcher = through(&format!(
        "http://user:pw@localhost:{}",
        proxy.address.port()
    ));
    let named = Policy::new(vec![allow_host("*.example")], &Defaults::default());
    let (done, body) = fetch(&fetcher, &named, "app.example:6060").await.unwrap();
    assert_eq!(
        (body.as_slice(), done.remote),
        (b"x".as_slice(), Some(proxy.address))
    );
    assert!(
        proxy.heads()[0].starts_with("GET http://app.example:6060/p?debug=1 HTTP/1.1\r\n"),
        "{:?}",
        proxy.heads()
    );
    assert!(proxy.header("proxy-authorization").is_some());
    for target in ["other.test:6060", "10.0.0.1:6060", "169.254.169.254:80"] {
        let error = fetch(&fetcher, &named, target).await.unwrap_err();
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
    }
    assert_eq!(proxy.heads().len(), 1);
}

#[tokio::test]
async fn a_proxy_on_the_floor_is_refused_without_its_address() {
    let error = fetch(
        &through("http://169.254.169.254:80"),
        &example(),
        "app.example:6060",
    )
    .await
    .unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::Refused {
                party: Party::Proxy,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.reason(), Some(FailureReason::Connect));
    assert!(!error.to_string().contains("169"), "{error}");
    let error = fetch(&through("socks5://0xa9fea9fe:80"), &any(), "127.0.0.1:6060")
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::Refused {
                party: Party::Proxy,
                ..
            }
        ),
        "{error:?}"
    );
    let error = fetch(&through("http://proxy.invalid"), &any(), "127.0.0.1:6060")
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::Dns {
                party: Party::Proxy
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_proxy_that_declines_a_tunnel_is_no_connection() {
    let proxy = Server::start(|_| status("403 Forbidden", "")).await;
    let error = fetch(
        &through(&format!("http://{}", proxy.address)),
        &example(),
        "https://app.example",
    )
    .await
    .unwrap_err();
    assert!(
        matches!(error, FetchError::Connect(ConnectFault::Other)),
        "{error:?}"
    );
    assert!(
        proxy.heads()[0].starts_with("CONNECT app.example:443 HTTP/1.1\r\n"),
        "{:?}",
        proxy.heads()
    );
}

/// Speaks enough of RFC 1928 to accept one destination, then HTTP; the destination comes first in the head.
fn socks(mut stream: tokio::net::TcpStream) -> Accepting {
    Box::pin(async move {
        let mut greeting = [0; 3];
        stream.read_exact(&mut greeting).await.ok()?;
        stream.write_all(&[5, 0]).await.ok()?;
        let mut request = [0; 4];
        stream.read_exact(&mut request).await.ok()?;
        let mut destination = match request[3] {
            1 => vec![0; 4],
            3 => vec![0; usize::from(stream.read_u8().await.ok()?)],
            _ => vec![0; 16],
        };
        stream.read_exact(&mut destination).await.ok()?;
        let port = stream.read_u16().await.ok()?;
        stream
            .write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
            .await
            .ok()?;
        let told = match request[3] {
            3 => String::from_utf8(destination).ok()?,
            _ => format!("{destination:?}"),
        };
        let first = std::io::Cursor::new(format!("to {told}:{port}\r\n").into_bytes());
        let (read, write) = stream.into_split();
        Some(boxed(tokio::io::join(
            AsyncReadExt::chain(first, read),
            write,
        )))
    })
}

#[tokio::test]
async fn a_socks_proxy_is_told_the_address_that_was_checked() {
    let proxy = Server::start_with(
        |_| reply("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", Then::Close),
        socks,
    )
    .await;
    let address = proxy.address;
    let check = async |scheme: &str, target: &str, told: &str| {
        let done = fetch(
            &through(&format!("{scheme}://{address}")),
            &example(),
            target,
        )
        .await;
        assert!(done.is_ok(), "{scheme} {target}: {done:?}");
        let head = proxy.heads().pop().unwrap();
        assert!(
            head.starts_with(&format!("to {told}\r\n")),
            "{scheme} {target}: {head}"
        );
    };
    check("socks5", "127.0.0.1:6060", "[127, 0, 0, 1]:6060").await;
    check("socks5h", "app.example:6060", "app.example:6060").await;
    check("socks5h", "127.0.0.1:6060", "[127, 0, 0, 1]:6060").await;
    // Nobody could keep it from resolving this one to where no probe goes.
    let told = proxy.connections();
    let error = fetch(
        &through(&format!("socks5h://{address}")),
        &any(),
        "app.example:6060",
    )
    .await
    .unwrap_err();
    assert!(error.refusal().is_some(), "{error:?}");
    assert_eq!(proxy.connections(), told);
    // Resolved here, not by the proxy.
    let policy = Policy::new(
        vec![AllowEntry {
            place: Place::Cidr("127.0.0.1/32".parse().unwrap()),
            ports: Vec::new(),
        }],
        &Defaults::default(),
    );
    fetch(
        &through(&format!("socks5://{address}")),
        &policy,
        "localhost:6060",
    )
    .await
    .unwrap();
    assert!(
        proxy
            .heads()
            .pop()
            .unwrap()
            .starts_with("to [127, 0, 0, 1]:6060\r\n"),
        "{:?}",
        proxy.heads()
    );
    let count = proxy.connections();
    for scheme in ["socks5", "socks5h"] {
        let error = fetch(
            &through(&format!("{scheme}://{address}")),
            &policy,
            "10.0.0.1:6060",
        )
        .await
        .unwrap_err();
        assert!(
            matches!(
                error,
                FetchError::Refused {
                    party: Party::Target,
                    ..
                }
            ),
            "{scheme}: {error:?}"
        );
    }
    assert_eq!(proxy.connections(), count);
}
