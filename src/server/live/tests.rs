use super::*;

fn found(target: &str, module: &str, mechanism: Mechanism, word: Word) -> Found {
    Found {
        target: StaticTarget {
            target: target.parse().unwrap(),
            module: ModuleName::new(module).unwrap(),
            labels: BTreeMap::new(),
        },
        mechanism,
        word,
    }
}

fn of_file(target: &str, module: &str) -> Found {
    found(target, module, Mechanism::File, Word::Operator)
}

fn of_name(target: &str, module: &str, name: &str) -> Found {
    found(
        target,
        module,
        Mechanism::Dns,
        Word::Behind(name.to_owned()),
    )
}

fn of_service(target: &str, module: &str) -> Found {
    found(target, module, Mechanism::Dns, Word::Nobody)
}

fn live(yaml: &str, options: &ServeOptions, before: Option<&Live>, found: Vec<Found>) -> Live {
    let config = Arc::new(Config::from_yaml(yaml).unwrap());
    Live::build(config, options, before, found).unwrap()
}

fn names(live: &Live) -> Vec<&str> {
    let targets = live.targets.iter();
    targets.map(|known| known.target.as_str()).collect()
}

fn dropped(live: &Live) -> Vec<(Mechanism, Dropped, usize)> {
    let dropped = live.dropped.iter();
    dropped
        .map(|((mechanism, why), count)| (*mechanism, *why, *count))
        .collect()
}

/// Whether a probe of an address written as such would be permitted.
fn permits(live: &Live, module: &str, address: &str) -> bool {
    let address = address.parse().unwrap();
    let policy = live.policy(&ModuleName::new(module).unwrap());
    policy
        .check(&Endpoint::Address(address), &[address])
        .is_ok()
}

#[test]
fn a_file_is_the_operators_word_and_a_name_server_is_nobodys() {
    let away = ServeOptions {
        listens_on_loopback: false,
        ..ServeOptions::plain()
    };
    let file = || of_file("10.0.0.1:1", "default");
    let live = live(
        "allow: [{ host: shop.example, ports: [6060] }, { cidr: 10.9.0.0/16 }]",
        &away,
        None,
        vec![
            file(),
            file(),
            // The floor holds for everybody: it is listed, and refused when it is probed.
            of_file("169.254.169.254:80", "default"),
            of_service("10.9.0.1:1", "default"),
            of_service("10.8.0.1:1", "default"),
            of_service("shop.example:6060", "default"),
            of_service("unix:///run/a.sock", "default"),
            of_name("10.7.0.1:6060", "default", "shop.example"),
            of_name("10.7.0.2:6061", "default", "shop.example"),
            of_name("10.7.0.3:6060", "default", "evil.example"),
            of_name("127.0.0.1:6060", "default", "evil.example"),
            of_name("169.254.169.254:6060", "default", "shop.example"),
            of_name("[::ffff:169.254.169.254]:6060", "default", "shop.example"),
        ],
    );
    assert_eq!(
        names(&live),
        [
            "http://10.0.0.1:1",
            "http://169.254.169.254:80",
            "http://10.9.0.1:1",
            "http://shop.example:6060",
            "http://10.7.0.1:6060"
        ]
    );
    assert_eq!(
        dropped(&live),
        [
            (Mechanism::File, Dropped::Duplicate, 1),
            (Mechanism::Dns, Dropped::Refused, 7)
        ]
    );
    assert_eq!(live.known.get(&Mechanism::File), Some(&2));
    assert_eq!(live.known.get(&Mechanism::Dns), Some(&3));
    for (address, expected) in [
        ("10.0.0.1:1", true),
        ("10.0.0.1:2", false),
        ("10.7.0.1:6060", true),
        ("10.7.0.2:6061", false),
        ("10.7.0.3:6060", false),
        ("127.0.0.1:6060", false),
        ("169.254.169.254:80", false),
        ("169.254.169.254:6060", false),
    ] {
        assert_eq!(permits(&live, "default", address), expected, "{address}");
    }
}

#[test]
fn credentials_do_not_follow_a_name_server() {
    let secret = "http: { authorization: { credentials: hunter2 } }";
    let yaml = format!(
        "modules: {{ m: {{ {secret} }}, own: {{ {secret}, allow: [{{ host: a.example }}] }} }}"
    );
    let any = ServeOptions {
        allow_any_target: true,
        ..ServeOptions::plain()
    };
    let found = || {
        vec![
            of_file("https://10.0.0.1:1", "m"),
            of_file("10.0.0.2:1", "m"),
            of_file("https://10.0.0.3:1", "own"),
            of_service("https://10.0.0.4:1", "m"),
            of_name("https://127.0.0.1:1", "m", "a.example"),
            of_name("https://10.0.0.5:1", "own", "a.example"),
            of_name("10.0.0.6:1", "own", "a.example"),
            of_name("10.0.0.7:1", "gone", "a.example"),
            of_service("10.0.0.8:1", "default"),
        ]
    };
    let live = live(&yaml, &any, None, found());
    assert_eq!(
        names(&live),
        [
            "https://10.0.0.1:1",
            "https://10.0.0.5:1",
            "http://10.0.0.8:1"
        ]
    );
    assert!(permits(&live, "own", "10.0.0.5:1") && !permits(&live, "m", "10.0.0.5:1"));
    assert!(permits(&live, "m", "10.0.0.1:1") && !permits(&live, "m", "10.0.0.4:1"));
}

#[test]
fn nothing_found_takes_the_place_of_what_is_configured() {
    let mut all = vec![
        of_service("1.0.0.1:1", "default"),
        of_service("a:1", "default"),
    ];
    all.extend((0..MAX_TARGETS).map(|number| of_file(&format!("h{number}:1"), "default")));
    let any = ServeOptions {
        allow_any_target: true,
        ..ServeOptions::plain()
    };
    let live = live(
        "targets: [{ url: \"a:1\", labels: { k: v } }]",
        &any,
        None,
        all,
    );
    assert_eq!(live.targets.len(), MAX_TARGETS);
    assert_eq!(live.targets[0].labels.len(), 1);
    assert_eq!(names(&live)[1], "http://h0:1");
    assert_eq!(
        dropped(&live),
        [
            (Mechanism::File, Dropped::Limit, 1),
            (Mechanism::Dns, Dropped::Duplicate, 1),
            (Mechanism::Dns, Dropped::Limit, 1)
        ]
    );
}

#[test]
fn connections_outlive_targets_that_come_and_not_those_that_go() {
    let config = Arc::new(Config::from_yaml("modules: { a: {} }").unwrap());
    let one = vec![of_file("a:1", "a")];
    let two = vec![of_file("a:1", "a"), of_file("b:1", "a")];
    let build = |before: Option<&Live>, found: &[Found]| {
        Live::build(
            Arc::clone(&config),
            &ServeOptions::plain(),
            before,
            found.to_vec(),
        )
        .unwrap()
    };
    let name = ModuleName::new("a").unwrap();
    let same = |one: &Live, other: &Live| Arc::ptr_eq(&one.fetchers[&name], &other.fetchers[&name]);
    let first = build(None, &one);
    let grown = build(Some(&first), &two);
    assert!(same(&first, &grown) && grown.generation == first.generation + 1);
    let shrunk = build(Some(&grown), &one);
    assert!(!same(&grown, &shrunk));
}

#[test]
fn connections_outlive_a_reload_only_where_the_same_rules_hold() {
    let options = ServeOptions::plain();
    let build = |yaml: &str, before: Option<&Live>| {
        let config = Arc::new(Config::from_yaml(yaml).unwrap());
        Live::build(config, &options, before, Vec::new()).unwrap()
    };
    let before = build("modules: { a: {} }\nallow: [{ host: a.example }]", None);
    let check = |yaml: &str, same: bool| {
        let after = build(yaml, Some(&before));
        let name = before.config.modules().keys().next().unwrap();
        let kept = Arc::ptr_eq(&before.fetchers[name], &after.fetchers[name]);
        assert_eq!(kept, same, "{yaml}");
    };
    let allow = "allow: [{ host: a.example }]";
    check(
        &format!("modules: {{ a: {{ timeout: 3s }} }}\n{allow}"),
        true,
    );
    check(
        &format!("modules: {{ a: {{}}, b: {{}} }}\nprobes: {{ total: 3 }}\n{allow}"),
        true,
    );
    check("modules: { a: {} }\nallow: [{ host: b.example }]", false);
    check(
        &format!("modules: {{ a: {{ allow: [{{ host: a.example }}] }} }}\n{allow}"),
        false,
    );
    check(
        &format!("modules: {{ a: {{ http: {{ enable_http2: false }} }} }}\n{allow}"),
        false,
    );
    check(
        &format!("modules: {{ a: {{}} }}\ntargets: [{{ url: \"c:1\", module: a }}]\n{allow}"),
        false,
    );
}
