//! Targets: one form for every spelling, and nothing in it that could lead elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use goroutine_exporter::target::{Endpoint, MAX_TARGET_BYTES, Target};

/// Parsed, written, and parsed again.
pub(crate) fn any(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(target) = text.parse::<Target>() else {
        return;
    };
    assert!(text.len() <= MAX_TARGET_BYTES);
    // The URL library would take them out, and lead elsewhere than was written. In the path of a file nothing is escaped.
    let file = matches!(target.endpoint(), Endpoint::Socket(_));
    let is_dots = |part: &str| matches!(part, "." | "..") || (!file && is_dots(part));
    assert!(!text.split('/').any(is_dots), "{text:?}");
    let written = target.to_string();
    let again: Target = written
        .parse()
        .unwrap_or_else(|error| panic!("{error}: {text:?} became {written:?}"));
    assert_eq!((again.as_str(), &again), (target.as_str(), &target));
    assert_eq!(again.endpoint(), target.endpoint(), "{written:?}");
    assert!(!written.contains(['?', '#', '\\']) && !written.contains(char::is_whitespace));
    let url = target.url("/debug/pprof/goroutine", "debug=2");
    assert_eq!(
        (url.username(), url.password(), url.fragment()),
        ("", None, None)
    );
    assert_eq!(url.query(), Some("debug=2"));
    assert!(url.path().ends_with("/debug/pprof/goroutine"), "{url}");
    assert!(
        url.path_segments()
            .is_some_and(|mut all| all.all(|one| !is_dots(one))),
        "{url}"
    );
    match target.endpoint() {
        Endpoint::Address(address) => {
            assert_eq!(
                host(&text).map_or(address.ip(), |ip| ip),
                address.ip(),
                "{text:?}"
            );
            assert_ne!(address.port(), 0);
        }
        Endpoint::Name { name, port } => {
            assert!(!name.is_empty() && port != 0);
            assert!(!name.ends_with('.') && name.is_ascii() && *name == name.to_ascii_lowercase());
            assert_eq!(name.parse::<IpAddr>().ok(), None, "an address is no name");
        }
        Endpoint::Socket(path) => assert!(path.is_absolute()),
    }
}

fn is_dots(segment: &str) -> bool {
    matches!(
        segment.to_ascii_lowercase().replace("%2e", ".").as_str(),
        "." | ".."
    )
}

/// The address in a target as the standard library reads it, where its spelling is one that it knows.
fn host(text: &str) -> Option<IpAddr> {
    let (_, rest) = text.split_once("://").unwrap_or(("", text));
    let host = rest.split('/').next()?;
    if let Some(inside) = host.strip_prefix('[') {
        let (address, _) = inside.split_once(']')?;
        return address.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let host = host.split(':').next()?;
    host.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}
