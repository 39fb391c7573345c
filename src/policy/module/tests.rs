use std::net::SocketAddr;

use super::super::{Defaults, Policy};
use super::*;
use crate::policy::Place;

fn entry(text: &str, ports: &[u16]) -> AllowEntry {
    let place = if text.starts_with('/') {
        text.parse().map(Place::Socket)
    } else if text.contains(|c: char| c.is_ascii_alphabetic()) && !text.contains(':') {
        text.parse().map(Place::Host)
    } else {
        Ok(Place::Cidr(text.parse().unwrap()))
    };
    AllowEntry {
        place: place.unwrap(),
        ports: ports.to_vec(),
    }
}

fn targets(texts: &[&str]) -> Vec<Target> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Decides on a target as it is typed; its name resolves to `at`. Over plain HTTP, that is checked last.
fn verdict(policy: &Policy, target: &str, at: &str) -> String {
    let target: Target = target.parse().unwrap();
    let endpoint = target.endpoint();
    let resolved = match endpoint {
        Endpoint::Address(address) => vec![address],
        Endpoint::Name { port, .. } => vec![SocketAddr::new(at.parse().unwrap(), port)],
        Endpoint::Socket(_) => Vec::new(),
    };
    let before = match endpoint {
        Endpoint::Name { name, port } => policy.check_before_lookup(name, port),
        _ => Ok(()),
    };
    let checked = before.and_then(|()| policy.check(&endpoint, &resolved));
    let plain = match &checked {
        Ok(_) if target.is_plain_http() => policy.check_plain(&endpoint),
        _ => Ok(()),
    };
    match checked.and(plain) {
        Ok(()) => "ok".to_owned(),
        Err(refusal) => refusal.reason().as_str().to_owned(),
    }
}

#[test]
fn an_allow_of_its_own_narrows_the_configurations() {
    let top = Policy::new(
        vec![
            entry("10.0.0.0/8", &[]),
            entry("*.example", &[]),
            entry("/run/", &[]),
        ],
        &Defaults::default(),
    );
    let own = [
        entry("10.1.0.0/16", &[6060]),
        entry("11.0.0.0/8", &[]),
        entry("app.example", &[]),
        entry("/run/app.sock", &[]),
    ];
    let policy = top.for_module(&ModuleRules {
        name: "m",
        allow: Some(&own),
        ..ModuleRules::default()
    });
    let check = |target: &str, at: &str, expected: &str| {
        assert_eq!(verdict(&policy, target, at), expected, "{target} at {at}");
    };
    check("10.1.2.3:6060", "", "ok");
    check("[::ffff:10.1.2.3]:6060", "", "ok");
    check("10.1.2.3:6061", "", "module_allow");
    check("10.2.2.3:6060", "", "module_allow");
    check("11.1.2.3:6060", "", "not_allowed");
    check("app.example:1", "192.168.0.1", "ok");
    check("app.example:1", "169.254.169.254", "floor");
    check("other.example:6060", "10.1.2.3", "ok");
    check("other.example:6060", "10.2.2.3", "module_allow");
    check("other.example:6061", "10.1.2.3", "module_allow");
    check("else.test:6060", "10.1.2.3", "ok");
    check("unix:///run/app.sock", "", "ok");
    check("unix:///run/b.sock", "", "module_allow");
    check("unix:///tmp/app.sock", "", "unix");
    let nothing = top.for_module(&ModuleRules {
        allow: Some(&[]),
        ..ModuleRules::default()
    });
    assert_eq!(verdict(&nothing, "10.1.2.3:6060", ""), "module_allow");
    // What it could never be used for is not looked up.
    let refusal = nothing.check_before_lookup("app.example", 1).unwrap_err();
    assert_eq!(refusal.reason(), RefusalReason::ModuleAllow);
    let untouched = top.for_module(&ModuleRules::default());
    assert_eq!(verdict(&untouched, "10.1.2.3:6060", ""), "ok");
}

#[test]
fn an_allow_of_its_own_lifts_no_floor() {
    let own = [entry("169.254.169.254/32", &[])];
    let any = Defaults {
        any_target: true,
        ..Defaults::default()
    };
    let policy = Policy::new(Vec::new(), &any).for_module(&ModuleRules {
        allow: Some(&own),
        ..ModuleRules::default()
    });
    assert_eq!(verdict(&policy, "169.254.169.254:80", ""), "floor");
}

#[test]
fn credentials_go_only_where_somebody_wrote_it() {
    let (own, others) = (
        targets(&["https://own.example", "unix:///run/own.sock"]),
        targets(&["https://other.example", "unix:///run/other.sock"]),
    );
    let all = [own.clone(), others].concat();
    let rules = ModuleRules {
        name: "m",
        targets: &own,
        credentials: true,
        ..ModuleRules::default()
    };
    let wide = Defaults {
        targets: &all,
        any_target: true,
        listens_on_loopback: true,
    };
    let open = Policy::new(Vec::new(), &wide);
    let check = |policy: &Policy, target: &str, expected: &str| {
        assert_eq!(verdict(policy, target, "10.9.9.9"), expected, "{target}");
    };
    let held = open.for_module(&rules);
    check(&held, "https://own.example", "ok");
    check(&held, "unix:///run/own.sock", "ok");
    check(&held, "https://own.example:444", "credentials");
    // Other modules' targets get what those send.
    check(&held, "https://other.example", "credentials");
    check(&held, "unix:///run/other.sock", "credentials");
    check(&held, "https://127.0.0.1", "credentials");
    check(&held, "https://[::1]", "credentials");
    check(&held, "https://1.2.3.4", "credentials");
    check(&held, "https://strange.test", "credentials");
    check(&open, "https://strange.test", "ok");
    let listed = Policy::new(vec![entry("10.0.0.0/8", &[]), entry("*.test", &[])], &wide);
    let listed = listed.for_module(&rules);
    check(&listed, "https://10.1.1.1", "ok");
    check(&listed, "https://strange.test", "ok");
    check(&listed, "https://1.2.3.4", "credentials");
    // An allow of its own opens what the configuration does not close.
    let named = [entry("1.2.3.0/24", &[])];
    let named = open.for_module(&ModuleRules {
        allow: Some(&named),
        ..rules
    });
    check(&named, "https://1.2.3.4", "ok");
    check(&named, "https://own.example", "module_allow");
}

#[test]
fn a_proxy_that_resolves_holds_modules_to_names_too() {
    let top = Policy::new(
        vec![entry("*.example", &[]), entry("10.0.0.0/8", &[])],
        &Defaults::default(),
    );
    let own = [entry("app.example", &[]), entry("10.0.0.0/8", &[])];
    let policy = top.for_module(&ModuleRules {
        allow: Some(&own),
        ..ModuleRules::default()
    });
    let check = |target: &str, expected: Option<RefusalReason>| {
        let target: Target = target.parse().unwrap();
        let checked = policy.check_behind_proxy(&target.endpoint());
        assert_eq!(
            checked.err().map(|refusal| refusal.reason()),
            expected,
            "{target}"
        );
    };
    check("app.example:1", None);
    check("b.example:1", Some(RefusalReason::ModuleAllow));
    check("other:1", Some(RefusalReason::NotAllowed));
    check("10.0.0.1:1", None);
}

#[test]
fn plain_http_is_for_credentials_that_may_be_read_by_all() {
    let own = targets(&["http://a:1", "https://a:2", "unix:///run/a.sock"]);
    let defaults = Defaults {
        targets: &own,
        ..Defaults::default()
    };
    let top = Policy::new(Vec::new(), &defaults);
    let check = |credentials: bool, over_http: bool, target: &str, expected: &str| {
        let policy = top.for_module(&ModuleRules {
            targets: &own,
            credentials,
            over_http,
            ..ModuleRules::default()
        });
        assert_eq!(verdict(&policy, target, "127.0.0.1"), expected, "{target}");
    };
    check(true, false, "http://a:1", "plain_http");
    check(true, true, "http://a:1", "ok");
    check(false, false, "http://a:1", "ok");
    check(true, false, "https://a:2", "ok");
    check(true, false, "unix:///run/a.sock", "ok");
}

#[test]
fn static_targets_that_a_module_would_refuse_are_known_beforehand() {
    let check = |rules: &ModuleRules<'_>, target: &str, expected: Option<&str>| {
        let target: Target = target.parse().unwrap();
        let refusal = rules.refuses(&target).map(|refusal| refusal.to_string());
        assert_eq!(refusal.as_deref(), expected, "{target}");
    };
    let own = [entry("10.0.0.0/8", &[6060]), entry("/run/a.sock", &[])];
    let narrow = ModuleRules {
        name: "m",
        allow: Some(&own),
        ..ModuleRules::default()
    };
    check(&narrow, "10.0.0.1:6060", None);
    // Nobody knows yet where it leads to.
    check(&narrow, "app:6060", None);
    check(&narrow, "unix:///run/a.sock", None);
    check(
        &narrow,
        "app:1",
        Some(
            r#"target app:1 is not allowed for module m; to permit it, configure modules.m.allow: [{host: "app", ports: [1]}]"#,
        ),
    );
    check(
        &narrow,
        "11.0.0.1:6060",
        Some(
            r#"target 11.0.0.1:6060 is not allowed for module m; to permit it, configure modules.m.allow: [{cidr: "11.0.0.1/32", ports: [6060]}]"#,
        ),
    );
    check(
        &narrow,
        "unix:///run/b.sock",
        Some(
            r#"target unix:///run/b.sock is not allowed for module m; to permit it, configure modules.m.allow: [{path: "/run/b.sock"}]"#,
        ),
    );
    let secret = ModuleRules {
        name: "m",
        credentials: true,
        ..ModuleRules::default()
    };
    check(&secret, "https://a:1", None);
    check(&secret, "unix:///run/b.sock", None);
    check(
        &secret,
        "http://127.0.0.1:1",
        Some(
            "module m sends credentials, and target 127.0.0.1:1 would get them over plain HTTP; write https://, or configure \
             modules.m.http.credentials_over_http: true",
        ),
    );
    check(
        &ModuleRules {
            over_http: true,
            ..secret
        },
        "http://a:1",
        None,
    );
}

#[test]
fn what_a_module_refuses_elsewhere_is_not_named() {
    let any = Defaults {
        any_target: true,
        ..Defaults::default()
    };
    let policy = Policy::new(Vec::new(), &any).for_module(&ModuleRules {
        name: "m",
        credentials: true,
        ..ModuleRules::default()
    });
    let target: Target = "https://10.1.2.3".parse().unwrap();
    let Endpoint::Address(address) = target.endpoint() else {
        panic!("an address")
    };
    let refusal = policy.check(&target.endpoint(), &[address]).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        r#"module m sends credentials, and neither allow nor a static target of that module names target 10.1.2.3:443; to permit it, configure modules.m.allow: [{cidr: "10.1.2.3/32", ports: [443]}]"#
    );
    assert_eq!(
        refusal.untold().to_string(),
        "it leads to a place that module m may not be used for"
    );
}
