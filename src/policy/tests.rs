use super::*;

fn cidr(net: &str, ports: &[u16]) -> AllowEntry {
    AllowEntry {
        place: Place::Cidr(net.parse().unwrap()),
        ports: ports.to_vec(),
    }
}

fn host(pattern: &str, ports: &[u16]) -> AllowEntry {
    AllowEntry {
        place: Place::Host(pattern.parse().unwrap()),
        ports: ports.to_vec(),
    }
}

fn socket(pattern: &str) -> AllowEntry {
    AllowEntry {
        place: Place::Socket(pattern.parse().unwrap()),
        ports: Vec::new(),
    }
}

fn policy(entries: &[AllowEntry]) -> Policy {
    Policy::new(entries.to_vec(), &Defaults::default())
}

fn any() -> Policy {
    Policy::new(
        Vec::new(),
        &Defaults {
            any_target: true,
            ..Defaults::default()
        },
    )
}

/// Checks a target as it is typed; a name resolves to `resolved`. Answers `ok` or the reason.
fn verdict(policy: &Policy, target: &str, resolved: &[&str]) -> &'static str {
    match decide(policy, target, resolved) {
        Ok(_) => "ok",
        Err(refusal) => refusal.reason().as_str(),
    }
}

fn decide(policy: &Policy, target: &str, resolved: &[&str]) -> Result<Vec<SocketAddr>, Refusal> {
    let target: Target = target.parse().unwrap();
    let endpoint = target.endpoint();
    let resolved: Vec<SocketAddr> = match endpoint {
        Endpoint::Address(address) => vec![address],
        Endpoint::Name { port, .. } => resolved
            .iter()
            .map(|ip| SocketAddr::new(ip.parse().unwrap(), port))
            .collect(),
        Endpoint::Socket(_) => Vec::new(),
    };
    policy.check(&endpoint, &resolved)
}

#[test]
fn without_allow_only_configured_targets_and_loopback_for_loopback() {
    let targets: Vec<Target> = ["10.1.2.3:6060", "app.example:6060", "unix:///run/a.sock"]
        .iter()
        .map(|t| t.parse().unwrap())
        .collect();
    let open = Policy::new(
        Vec::new(),
        &Defaults {
            targets: &targets,
            ..Defaults::default()
        },
    );
    let local = Policy::new(
        Vec::new(),
        &Defaults {
            listens_on_loopback: true,
            ..Defaults::default()
        },
    );
    let listed = Policy::new(
        vec![cidr("10.0.0.0/8", &[])],
        &Defaults {
            listens_on_loopback: true,
            ..Defaults::default()
        },
    );
    let check = |policy: &Policy, target: &str, expected: &str| {
        assert_eq!(verdict(policy, target, &["10.9.9.9"]), expected, "{target}");
    };
    check(&open, "10.1.2.3:6060", "ok");
    check(&open, "[::ffff:10.1.2.3]:6060", "ok");
    check(&open, "10.1.2.3:6061", "port");
    check(&open, "10.1.2.4:6060", "not_allowed");
    check(&open, "app.example:6060", "ok");
    check(&open, "app.example:80", "port");
    check(&open, "other.example:6060", "not_allowed");
    check(&open, "127.0.0.1:6060", "not_allowed");
    check(&open, "unix:///run/a.sock", "ok");
    check(&open, "unix:///run/b.sock", "unix");
    check(&local, "127.0.0.1:6060", "ok");
    check(&local, "127.8.8.8:6060", "ok");
    check(&local, "[::1]:6060", "ok");
    check(&local, "[::ffff:127.0.0.1]:6060", "ok");
    check(&local, "10.1.2.3:6060", "not_allowed");
    check(&listed, "127.0.0.1:6060", "not_allowed");
}

#[test]
fn entries_match_addresses_names_ports_and_paths() {
    let rules = policy(&[
        cidr("10.0.0.0/8", &[6060, 8080]),
        cidr("::ffff:192.168.0.0/112", &[]),
        cidr("2001:db8::/32", &[]),
        host("*.svc.cluster.local", &[]),
        host("db.example", &[9]),
        socket("/run/apps/"),
    ]);
    let check = |target: &str, resolved: &[&str], expected: &str| {
        assert_eq!(
            verdict(&rules, target, resolved),
            expected,
            "{target} at {resolved:?}"
        );
    };
    check("10.1.2.3:6060", &[], "ok");
    check("0x0a010203:8080", &[], "ok");
    check("10.1.2.3:22", &[], "port");
    check("11.1.2.3:6060", &[], "not_allowed");
    check("192.168.7.7:1", &[], "ok");
    check("[::ffff:192.168.7.7]:1", &[], "ok");
    check("[2001:db8::7]:1", &[], "ok");
    check("[64:ff9b::10.1.2.3]:6060", &[], "not_allowed");
    check("any.example:6060", &["10.1.2.3"], "ok");
    check("any.example:6060", &["11.1.2.3"], "not_allowed");
    // An address only lacks the port; what a name only lacks is not told.
    check("any.example:22", &["10.1.2.3"], "not_allowed");
    check("a.svc.cluster.local:1", &["172.16.0.1"], "ok");
    check("a.svc.cluster.local.:1", &["172.16.0.1"], "ok");
    check("svc.cluster.local:1", &["172.16.0.1"], "not_allowed");
    check("db.example:9", &["172.16.0.1"], "ok");
    check("db.example:10", &["172.16.0.1"], "port");
    check("any.example:6060", &[], "not_allowed");
    check("unix:///run/apps/a.sock", &[], "ok");
    check("unix:///run/docker.sock", &[], "unix");
}

#[test]
fn only_the_permitted_addresses_of_a_name_are_kept() {
    let rules = policy(&[cidr("10.0.0.0/8", &[])]);
    let kept = decide(
        &rules,
        "a.example:1",
        &["169.254.169.254", "10.0.0.1", "11.0.0.1", "10.0.0.2"],
    )
    .unwrap();
    assert_eq!(
        kept,
        ["10.0.0.1:1".parse().unwrap(), "10.0.0.2:1".parse().unwrap()]
    );
}

/// Every spelling of an address of the floor.
const FLOOR: &[&str] = &[
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "2852039166",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "0",
    "[::]",
    "[fe80::1]",
    "[febf::1]",
    "[ff02::1]",
    "[fd00:ec2::254]",
    "[fd00:ec2::23]",
    "[fd20:ce::254]",
    "[fd00:c1::a9fe:a9fe]",
    "[fd00:100::100:200]",
    "[fd00:42::42]",
    "[fd00:a9fe:a9fe::1]",
    "168.63.129.16",
    "192.0.0.192",
    "[2001:db8::5efe:169.254.169.254]",
    "[2001:db8::200:5efe:169.254.169.254]",
    "[fd12:3456:789a:1:0:5efe:100.100.100.200]",
    "[::ffff:169.254.169.254]",
    "[::169.254.169.254]",
    "[::ffff:0.0.0.0]",
    "[::ffff:0:169.254.169.254]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b::224.0.0.1]",
    "[64:ff9b:1::169.254.169.254]",
    "[64:ff9b:1::0.0.0.0]",
    "[64:ff9b:1:a9fe:a9:fe00::]",
    "[64:ff9b:1:a9:fe:a9fe::]",
    "[64:ff9b:1:707:a9:fea9:fe00:0]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:a9fe:a9fe::]",
    "[2001:0:808:808::5601:5601]",
];

#[test]
fn the_floor_holds_in_every_spelling_and_against_every_wide_rule() {
    let hosts = policy(&[
        host("*.example", &[]),
        cidr("0.0.0.0/0", &[]),
        cidr("::/0", &[]),
    ]);
    let targets: Vec<Target> = FLOOR
        .iter()
        .map(|at| format!("{at}:80").parse().unwrap())
        .collect();
    let wide = Policy::new(
        vec![cidr("0.0.0.0/0", &[])],
        &Defaults {
            any_target: true,
            ..Defaults::default()
        },
    );
    for (at, target) in FLOOR.iter().zip(&targets) {
        let Endpoint::Address(address) = target.endpoint() else {
            panic!("{at} is no address")
        };
        let ip = address.ip().to_string();
        for rules in [&any(), &hosts, &wide] {
            assert_eq!(verdict(rules, &format!("{at}:80"), &[]), "floor", "{at}");
            assert_eq!(
                verdict(rules, "a.example:80", &[&ip]),
                "floor",
                "a name at {at}"
            );
            let proxy = rules
                .check_proxy(&target.endpoint(), &[address])
                .map_err(|refusal| refusal.reason());
            assert_eq!(proxy, Err(RefusalReason::Floor), "a proxy at {at}");
        }
    }
    let configured = Policy::new(
        Vec::new(),
        &Defaults {
            targets: &targets,
            ..Defaults::default()
        },
    );
    for at in FLOOR {
        assert_eq!(
            verdict(&configured, &format!("{at}:80"), &[]),
            "floor",
            "{at} as a configured target"
        );
    }
}

#[test]
fn what_looks_like_the_floor_and_is_not_passes() {
    for at in [
        "169.253.0.1",
        "1.0.0.0",
        "223.255.255.255",
        "[::1]",
        "[fec0::1]",
        "[fd00:ec3::254]",
        "[fd00:42::43]",
        "168.63.129.17",
        "192.0.0.191",
        "240.0.0.1",
        "[2001:db8::5efe:8.8.8.8]",
        "[2001:db8::100:5efe:169.254.169.254]",
        "[64:ff9b::8.8.8.8]",
        "[64:ff9b:1::10.0.0.1]",
        "[2002:808:808::1]",
        "[2001:db8::a9fe:a9fe]",
    ] {
        assert_eq!(verdict(&any(), &format!("{at}:80"), &[]), "ok", "{at}");
    }
}

#[test]
fn a_cidr_written_for_it_lifts_the_floor() {
    let check = |entry: AllowEntry, target: &str, expected: &str| {
        assert_eq!(
            verdict(
                &policy(std::slice::from_ref(&entry)),
                target,
                &["169.254.169.254"]
            ),
            expected,
            "{entry:?} {target}"
        );
    };
    check(cidr("169.254.169.254/32", &[]), "169.254.169.254:80", "ok");
    check(cidr("169.254.0.0/16", &[80]), "169.254.169.254:80", "ok");
    check(cidr("169.254.0.0/16", &[81]), "169.254.169.254:80", "floor");
    check(cidr("169.254.0.0/15", &[]), "169.254.169.254:80", "floor");
    check(
        cidr("::ffff:169.254.0.0/112", &[]),
        "169.254.169.254:80",
        "ok",
    );
    check(
        cidr("169.254.0.0/16", &[]),
        "[::ffff:169.254.169.254]:80",
        "ok",
    );
    check(cidr("169.254.0.0/16", &[]), "name.example:80", "ok");
    check(cidr("fe80::/10", &[]), "[fe80::1]:80", "ok");
    check(cidr("::/0", &[]), "[fe80::1]:80", "floor");
    check(
        cidr("64:ff9b::a9fe:0/112", &[]),
        "[64:ff9b::169.254.169.254]:80",
        "ok",
    );
    check(
        cidr("64:ff9b::/96", &[]),
        "[64:ff9b::169.254.169.254]:80",
        "floor",
    );
    check(cidr("64:ff9b::/96", &[]), "[64:ff9b::10.0.0.1]:80", "ok");
    // The carried address is permitted, the form that carries it is not.
    check(
        cidr("169.254.0.0/16", &[]),
        "[64:ff9b::169.254.169.254]:80",
        "not_allowed",
    );
    check(host("name.example", &[]), "name.example:80", "floor");
}

#[test]
fn sockets_need_an_entry_even_with_any_target() {
    assert_eq!(verdict(&any(), "unix:///run/docker.sock", &[]), "unix");
}

#[test]
fn a_proxy_that_resolves_holds_names_to_host_entries() {
    let rules = policy(&[cidr("10.0.0.0/8", &[]), host("*.example", &[6060])]);
    let check = |policy: &Policy, target: &str, expected: &str| {
        let target: Target = target.parse().unwrap();
        let verdict = policy
            .check_behind_proxy(&target.endpoint())
            .map_err(|refusal| refusal.reason().as_str());
        assert_eq!(verdict.err().unwrap_or("ok"), expected, "{target}");
    };
    check(&rules, "10.1.2.3:1", "ok");
    check(&rules, "11.1.2.3:1", "not_allowed");
    check(&rules, "a.example:6060", "ok");
    check(&rules, "a.example:1", "port");
    check(&rules, "other:6060", "not_allowed");
    check(&rules, "169.254.169.254:80", "floor");
    check(&any(), "other:6060", "not_allowed");
    check(&any(), "169.254.169.254:80", "floor");
}

#[test]
fn a_proxy_needs_no_entry() {
    let address: SocketAddr = "10.0.0.1:3128".parse().unwrap();
    assert_eq!(
        policy(&[]).check_proxy(&Endpoint::Address(address), &[address]),
        Ok(vec![address])
    );
}

#[test]
fn names_no_rule_could_permit_are_not_looked_up() {
    let check = |policy: &Policy, name: &str, port: u16, expected: bool| {
        assert_eq!(
            policy.check_before_lookup(name, port).is_ok(),
            expected,
            "{name}:{port}"
        );
    };
    check(&policy(&[]), "a.example", 1, false);
    check(&policy(&[socket("/run/")]), "a.example", 1, false);
    check(&policy(&[host("b.example", &[])]), "a.example", 1, false);
    check(&policy(&[host("a.example", &[2])]), "a.example", 1, false);
    check(&policy(&[host("a.example", &[1])]), "a.example", 1, true);
    check(&policy(&[cidr("10.0.0.0/8", &[2])]), "a.example", 1, false);
    check(&policy(&[cidr("10.0.0.0/8", &[])]), "a.example", 1, true);
    check(&any(), "a.example", 1, true);
}

#[test]
fn a_refusal_names_the_entry_that_would_permit_it_and_no_address_behind_a_name() {
    let check = |policy: &Policy, target: &str, text: &str| {
        let refusal = decide(policy, target, &["169.254.169.254"]).unwrap_err();
        assert_eq!(refusal.to_string(), text);
        assert!(
            !refusal
                .untold()
                .to_string()
                .contains(|c: char| c.is_ascii_digit())
        );
    };
    let ports = policy(&[cidr("10.0.0.0/8", &[1])]);
    check(
        &policy(&[]),
        "10.1.2.3:6060",
        r#"target 10.1.2.3:6060 is not allowed; to permit it, configure allow: [{cidr: "10.1.2.3/32", ports: [6060]}]"#,
    );
    check(
        &ports,
        "10.1.2.3:6060",
        r#"target 10.1.2.3:6060 is not allowed on this port; to permit it, configure allow: [{cidr: "10.1.2.3/32", ports: [6060]}]"#,
    );
    check(
        &any(),
        "[::ffff:169.254.169.254]:80",
        r#"target [::ffff:169.254.169.254]:80 is a link-local address; to permit it, configure allow: [{cidr: "169.254.169.254/32", ports: [80]}]"#,
    );
    check(
        &any(),
        "meta.example:80",
        "target meta.example:80 resolves to a link-local address; only a cidr entry of allow written for that range permits it",
    );
    check(
        &any(),
        "unix:///run/a.sock",
        r#"target unix:///run/a.sock is not allowed; to permit it, configure allow: [{path: "/run/a.sock"}]"#,
    );
    let unknown = decide(&policy(&[]), "a.example:6060", &["10.7.7.7"]).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        r#"target a.example:6060 is not allowed; to permit it, configure allow: [{host: "a.example", ports: [6060]}]"#,
    );
}
