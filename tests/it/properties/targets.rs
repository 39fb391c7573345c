//! Whatever text is taken for a target, the place that the policy judges is the place that is connected to. Read again by
//! other readers: that of the URL library, that of the HTTP library (whose host is what its connector connects to), the
//! standard library's for addresses, and one for the forms that `inet_aton` knows.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use goroutine_exporter::target::{Endpoint, Target};
use proptest::prelude::*;
use url::Url;

/// An IPv4 address in one to four parts, each decimal, octal or hexadecimal, as C's `inet_aton` reads it: what a
/// resolver takes for an address though it is written as a name.
fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.strip_suffix('.').unwrap_or(text).split('.').collect();
    let number = |part: &str| {
        let hex = part.strip_prefix("0x").or(part.strip_prefix("0X"));
        match (hex, part) {
            (Some(""), _) | (None, "0") => Some(0),
            (Some(hex), _) => u32::from_str_radix(hex, 16).ok(),
            (None, part) if part.starts_with('0') => u32::from_str_radix(part, 8).ok(),
            (None, part) => part.parse().ok(),
        }
    };
    let numbers: Vec<u32> = parts
        .iter()
        .map(|part| number(part))
        .collect::<Option<_>>()?;
    let (last, front) = numbers.split_last()?;
    if front.len() > 3 || front.iter().any(|part| *part > 255) {
        return None;
    }
    let room = 32 - 8 * u32::try_from(front.len()).unwrap();
    if room < 32 && *last >= 1 << room {
        return None;
    }
    let head = front
        .iter()
        .enumerate()
        .map(|(at, part)| part << (24 - 8 * at));
    Some(Ipv4Addr::from_bits(head.sum::<u32>() | last))
}

/// The place that the HTTP library connects to for a URL: an address, or a name and a port.
fn connected(url: &Url) -> Result<SocketAddr, (String, u16)> {
    let uri: hyper::Uri = url.as_str().parse().unwrap();
    let default = if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    let port = uri.port_u16().unwrap_or(default);
    let host = uri.host().unwrap();
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match bare.unwrap_or(host).parse::<IpAddr>() {
        Ok(address) => Ok(SocketAddr::new(address, port)),
        Err(_) => Err((host.to_owned(), port)),
    }
}

/// Holds what was judged to what is connected to.
fn agrees(endpoint: &Endpoint<'_>, url: &Url) -> Result<(), TestCaseError> {
    match (endpoint, connected(url)) {
        (Endpoint::Address(judged), Ok(connected)) => prop_assert_eq!(*judged, connected),
        (Endpoint::Name { name, port }, Err((host, connected))) => {
            prop_assert_eq!(
                (*name, *port),
                (host.strip_suffix('.').unwrap_or(&host), connected)
            );
            prop_assert_eq!(
                inet_aton(name),
                None,
                "{} is an address to a resolver",
                name
            );
        }
        (endpoint, connected) => prop_assert!(false, "{endpoint:?} and {connected:?}"),
    }
    Ok(())
}

fn host() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        "[0-9]{1,3}",
        "0[0-7]{1,4}",
        "0[xX][0-9a-fA-F]{0,4}",
        "[0-9]{8,10}",
        "%3[0-9]",
        "[０-９]{1,3}",
    ];
    let dot = prop_oneof![8 => Just("."), 1 => Just("。"), 1 => Just("%2e"), 1 => Just("")];
    let numbers = prop::collection::vec((number, dot), 1..6).prop_map(|parts| {
        let mut text: String = parts
            .iter()
            .flat_map(|(number, dot)| [number.as_str(), dot])
            .collect();
        if !text.len().is_multiple_of(3) && text.ends_with('.') {
            text.pop();
        }
        text
    });
    prop_oneof![
        4 => numbers,
        1 => any::<[u8; 4]>().prop_map(|octets| Ipv4Addr::from(octets).to_string()),
        1 => any::<u128>().prop_map(|bits| format!("[{}]", std::net::Ipv6Addr::from_bits(bits))),
        1 => any::<u32>().prop_map(|bits| format!("[::ffff:{}]", Ipv4Addr::from_bits(bits))),
        1 => "\\[[0-9a-fA-F:.%]{1,20}\\]",
        2 => "[a-zA-Z0-9_ß。.-]{1,20}",
        1 => "\\PC{1,8}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![
        Just(""),
        Just("http://"),
        Just("HTTPS://"),
        Just("http:/"),
        Just("unix://")
    ];
    let before = prop_oneof![12 => Just(""), 1 => Just("user@"), 1 => Just("a:b@"), 1 => Just("/"), 1 => Just("//")];
    let port = prop_oneof![6 => ":[0-9]{1,5}", 1 => Just(String::new()), 1 => "[:0-9@]{0,6}"];
    let path = prop_oneof![4 => Just(String::new()), 2 => "/[a-z%.@:/]{0,8}", 1 => "[?#/\\\\@]{1,2}[a-z.:]{0,6}"];
    (scheme, before, host(), port, path).prop_map(|(scheme, before, host, port, path)| {
        [scheme, before, &host, &port, &path].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_judged_is_what_is_connected_to(text in prop_oneof![8 => text(), 1 => "\\PC{0,40}"]) {
        let Ok(target) = text.parse::<Target>() else { return Ok(()) };
        let printed = target.to_string();
        let again: Target = printed.parse().map_err(|error| TestCaseError::fail(format!("{printed}: {error}")))?;
        prop_assert_eq!(again.as_str(), &printed);
        prop_assert_eq!(again.endpoint(), target.endpoint());
        prop_assert_eq!(again.is_plain_http(), target.is_plain_http());
        let url = target.url("/debug/pprof/goroutine", "debug=2");
        prop_assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
        if let Endpoint::Socket(path) = target.endpoint() {
            prop_assert!(path.is_absolute() && !printed.contains('\0'), "{}", printed);
            return Ok(());
        }
        agrees(&target.endpoint(), &url)?;
        prop_assert_eq!(target.is_plain_http(), url.scheme() == "http");
        // Where the standard library reads an address and a port, nothing else is meant.
        let written = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
        if let Ok(address) = written.parse::<SocketAddr>() {
            prop_assert_eq!(target.endpoint(), Endpoint::Address(address));
        }
    }

    #[test]
    fn a_redirect_leads_where_it_was_judged_to_lead(location in prop_oneof![8 => text(), 1 => "\\PC{0,40}"]) {
        let from = Url::parse("https://app.example:8443/debug/pprof/goroutine?debug=2").unwrap();
        // What else it has to be is the fetcher's concern; where it leads is the same for both.
        let Ok(to) = from.join(&location) else { return Ok(()) };
        if !matches!(to.scheme(), "http" | "https") || !to.username().is_empty() || to.password().is_some() {
            return Ok(());
        }
        if let Some(endpoint) = Endpoint::of_url(&to) {
            agrees(&endpoint, &to)?;
        }
    }
}

#[test]
fn the_reader_of_old_forms_reads_them() {
    let check = |text: &str, expected: Option<[u8; 4]>| {
        assert_eq!(inet_aton(text), expected.map(Ipv4Addr::from), "{text}");
    };
    check("127.1", Some([127, 0, 0, 1]));
    check("2852039166", Some([169, 254, 169, 254]));
    check("0xa9.0376.43518", Some([169, 254, 169, 254]));
    check("1.2.3.4.5", None);
    check("1.2.3.256", None);
    check("app.example", None);
}
