//! Where the exporter may not go it sends not even the first segment of a connection, however it is asked to.
//!
//! Each test runs in a network of its own ([`namespace`]), where the forbidden addresses exist and answer, and where the
//! test is the name server. A control with an entry written for the address shows that it could be reached.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::http::{Answer, Metrics};
use crate::namespace::{Everywhere, FORBIDDEN, INNER, NameServer, Named, begun, inside};
use crate::programs::{Exporter, probe_path};
use crate::servers::{Server, answer, nobody, ok, profile};

/// Spellings of a place that is forbidden whatever the configuration permits in general.
const SPELLINGS: [&str; 50] = [
    "169.254.169.254",
    "169.254.169.254.",
    "169.254.43518",
    "169.16689662",
    "2852039166",
    "0xa9fea9fe",
    "0XA9FEA9FE",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "025177524776",
    "0xa9.254.0251.254",
    "0x00000000a9.254.0xA9.254",
    "%31%36%39.254.169.254",
    "169%2e254%2E169.254",
    "１６９.２５４.１６９.２５４",
    "169。254。169。254",
    "①⑥⑨.254.169.254",
    "[::ffff:169.254.169.254]",
    "[::FFFF:A9FE:A9FE]",
    "[0:0:0:0:0:ffff:a9fe:a9fe]",
    "[::169.254.169.254]",
    "[::ffff:0:169.254.169.254]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1::169.254.169.254]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:a9fe:a9fe::]",
    "[2001:db8::5efe:169.254.169.254]",
    "[fe80::1]",
    "[fe80::a9fe:a9fe]",
    "[fd00:ec2::254]",
    "[FD20:CE::254]",
    "[fd00:c1::a9fe:a9fe]",
    "[ff02::1]",
    "[::]",
    "[::ffff:0.0.0.0]",
    "0.0.0.0",
    "0",
    "0x0",
    "00.0",
    "224.0.0.1",
    "255.255.255.255",
    "4294967295",
    "meta.test",
    "META.Test.",
    "both.test",
    "alias.test",
    "six.test",
    "mapped.test",
    "nat.test",
    "zero.test",
];

/// What is no target at all, forbidden or not.
const NO_TARGETS: [&str; 12] = [
    "[fe80::1%25lo]:80",
    "[fe80::1%lo]:80",
    "169.254.169.254:80:80",
    "127.0.0.1:80@169.254.169.254:80",
    "http://127.0.0.1\\@169.254.169.254:80",
    "http://127.0.0.1#@169.254.169.254:80",
    "http:///169.254.169.254:80",
    "169.254.169.254.1:80",
    "169.254.169.256:80",
    "unix://@abstract",
    "unix:///run/../run/docker.sock",
    "unix:///run/a\0b.sock",
];

/// All of them, and each forbidden address as it is.
fn spellings() -> Vec<String> {
    let plain = FORBIDDEN.iter().map(|at| {
        if at.contains(':') {
            format!("[{at}]")
        } else {
            (*at).to_owned()
        }
    });
    SPELLINGS
        .iter()
        .map(|host| (*host).to_owned())
        .chain(plain)
        .collect()
}

fn names() -> BTreeMap<&'static str, Named> {
    let always = |addresses: &'static [&'static str]| Named::At(vec![addresses]);
    BTreeMap::from([
        ("meta.test", always(&["169.254.169.254"])),
        ("both.test", always(&["169.254.169.254", "fd00:ec2::254"])),
        ("alias.test", Named::Alias("between.test")),
        ("between.test", Named::Alias("meta.test")),
        ("six.test", always(&["fd00:ec2::254"])),
        ("mapped.test", always(&["::ffff:169.254.169.254"])),
        ("nat.test", always(&["64:ff9b::a9fe:a9fe"])),
        ("zero.test", always(&["0.0.0.0"])),
        (
            "mixed.test",
            always(&["169.254.169.254", "127.0.0.1", "fd00:ec2::254"]),
        ),
        ("inner.test", always(&[INNER[0]])),
        ("shared.test", always(&INNER)),
        (
            "moves.test",
            Named::At(vec![&["127.0.0.1"], &["169.254.169.254"]]),
        ),
        (
            "moves-on.test",
            Named::At(vec![
                &["127.0.0.1"],
                &[INNER[0]],
                &["127.0.0.1"],
                &["fd00:ec2::254"],
            ]),
        ),
        (
            "later.test",
            Named::At(vec![&["127.0.0.1"], &["169.254.169.254"]]),
        ),
    ])
}

/// The widest rules there are without an entry for a forbidden address: all networks, and all of these names.
const WIDE: &str = "allow: [{ cidr: 0.0.0.0/0 }, { cidr: '::/0' }, { cidr: '::ffff:0:0/96' }, { cidr: 64:ff9b::/96 }, { host: '*.test' }]\n";
const CHEAP: &str = "modules: { default: { detail: { mode: off } } }\n";

/// Probes, and expects the exporter to begin so many connections.
fn probe(exporter: &Exporter, target: &str, module: &str, connections: u64) -> Answer {
    let before = begun();
    let answer = exporter.get(&probe_path(target, &[("module", module)]));
    // One of them is this question.
    let made = begun() - before - 1;
    assert_eq!(made, connections, "{target}: {}", answer.text());
    if target.to_ascii_lowercase().contains(".test") {
        let text = answer.text();
        for address in FORBIDDEN.iter().chain(&INNER) {
            assert!(!text.contains(address), "{address} behind {target}: {text}");
        }
    }
    answer
}

fn succeeds(answer: &Answer) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    Metrics::parse(&answer.text()).is("goroutine_probe_success", &[], 1.0);
}

#[test]
fn no_spelling_leads_to_a_forbidden_address() {
    if !inside("reach::no_spelling_leads_to_a_forbidden_address") {
        return;
    }
    let (everywhere, names) = (Everywhere::start(), NameServer::start(names()));
    let wide = Exporter::start(&format!("{CHEAP}{WIDE}"));
    let any = Exporter::with(CHEAP, &["--web.allow-any-target"]);
    for exporter in [&wide, &any] {
        for host in spellings() {
            let target = format!("{host}:{}", everywhere.port);
            let answer = probe(exporter, &target, "default", 0);
            answer.is(403, "cidr");
            let answer = probe(exporter, &format!("https://{target}/x"), "default", 0);
            answer.is(403, "cidr");
        }
        for target in NO_TARGETS {
            assert_eq!(
                probe(exporter, target, "default", 0).status,
                400,
                "{target}"
            );
        }
        // What may be reached of a name's addresses is, and nothing else is tried.
        let target = format!("mixed.test:{}", everywhere.port);
        succeeds(&probe(exporter, &target, "default", 1));
        let met = everywhere.met();
        assert_eq!(met.connections, ["127.0.0.1".parse::<IpAddr>().unwrap()]);
    }
    assert!(names.lookups("meta.test") > 0);
    // With an entry written for it each of them is reached, so that the above could have failed. The unspecified ones lead
    // to loopback, which has to be permitted, too.
    for at in FORBIDDEN.iter().chain(&["0.0.0.0", "::"]) {
        let bits = if at.contains(':') { 128 } else { 32 };
        let config = format!(
            "{CHEAP}allow: [{{ cidr: '{at}/{bits}' }}, {{ cidr: 127.0.0.1/32 }}, {{ cidr: '::1/128' }}]\n"
        );
        let exporter = Exporter::start(&config);
        let host = if bits == 128 {
            format!("[{at}]")
        } else {
            (*at).to_owned()
        };
        let target = format!("{host}:{}", everywhere.port);
        succeeds(&probe(&exporter, &target, "default", 1));
        let met = everywhere.met();
        let there: IpAddr = at.parse().unwrap();
        assert!(
            there.is_unspecified() || met.connections == [there],
            "{at}: {met:?}"
        );
    }
    let exporter = Exporter::start(&format!("{CHEAP}allow: [{{ cidr: 169.254.169.254/32 }}]\n"));
    for host in ["meta.test", "alias.test", "0xa9fea9fe"] {
        succeeds(&probe(
            &exporter,
            &format!("{host}:{}", everywhere.port),
            "default",
            1,
        ));
    }
}

#[test]
fn no_redirect_leads_to_a_forbidden_address() {
    if !inside("reach::no_redirect_leads_to_a_forbidden_address") {
        return;
    }
    let (everywhere, _names) = (Everywhere::start(), NameServer::start(names()));
    let port = everywhere.port;
    // `/N/...` leads to the spelling of that number, `/far/N/...` to a server that leads there.
    let leads = move |path: &str| {
        let number = path.split('/').find_map(|part| part.parse::<usize>().ok());
        format!("http://{}:{port}/", spellings()[number.unwrap()])
    };
    let to = |location: &str| answer("302 Found", &format!("Location: {location}\r\n"), b"");
    let near = Arc::new(Server::by_path(move |path| to(&leads(path))));
    let next = near.target();
    let far =
        Server::by_path(move |path| to(&format!("http://{next}{}", path.replace("/far", ""))));
    let following =
        "modules: { default: { detail: { mode: off }, http: { follow_redirects: true } } }\n";
    let exporter = Exporter::start(&format!("{following}{WIDE}"));
    let refused = |answer: &Answer| {
        assert_eq!(answer.status, 200);
        let metrics = Metrics::parse(&answer.text());
        metrics.is("goroutine_probe_failure", &[("reason", "http_status")], 1.0);
    };
    for (number, host) in spellings().iter().enumerate() {
        // Of a header only ASCII is read.
        if host.is_ascii() {
            refused(&probe(
                &exporter,
                &format!("http://{}/{number}", near.target()),
                "default",
                1,
            ));
            refused(&probe(
                &exporter,
                &format!("http://{}/far/{number}", far.target()),
                "default",
                2,
            ));
        }
    }
    assert!(everywhere.met().connections.is_empty());
    let permitted =
        format!("{following}allow: [{{ cidr: 127.0.0.0/8 }}, {{ cidr: 169.254.169.254/32 }}]\n");
    let exporter = Exporter::start(&permitted);
    succeeds(&probe(
        &exporter,
        &format!("http://{}/far/0", far.target()),
        "default",
        3,
    ));
    assert_eq!(everywhere.met().connections.len(), 1);
    let refusals = exporter.metrics();
    let floor = [("reason", "floor")];
    refusals.is("goroutine_exporter_targets_refused_total", &floor, 0.0);
}

#[test]
fn no_proxy_is_asked_for_a_forbidden_address() {
    if !inside("reach::no_proxy_is_asked_for_a_forbidden_address") {
        return;
    }
    let (everywhere, names) = (Everywhere::start(), NameServer::start(names()));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    // Would go anywhere, and answers as if it had been there.
    let proxy = Server::asked_for(move |_, stream| {
        count.fetch_add(1, Ordering::SeqCst);
        crate::servers::send(stream, &ok(&profile()));
    });
    let module = |scheme: &str, at: &str| {
        format!("{{ detail: {{ mode: off }}, http: {{ proxy_url: '{scheme}://{at}' }} }}")
    };
    let at = proxy.target();
    let config = format!(
        "modules:\n  http: {}\n  socks5: {}\n  socks5h: {}\n  lost: {}\n  hidden: {}\n",
        module("http", &at),
        module("socks5", &at),
        module("socks5h", &at),
        module("http", &format!("meta.test:{}", everywhere.port)),
        module("socks5", &format!("0xa9fea9fe:{}", everywhere.port)),
    );
    let wide = Exporter::start(&format!(
        "{config}{}",
        WIDE.replace(", { host: '*.test' }", "")
    ));
    let any = Exporter::with(&config, &["--web.allow-any-target"]);
    for exporter in [&wide, &any] {
        for module in ["http", "socks5", "socks5h"] {
            for host in spellings() {
                let target = format!("{host}:{}", everywhere.port);
                probe(exporter, &target, module, 0).is(403, "allow");
            }
        }
        for module in ["lost", "hidden"] {
            let answer = probe(exporter, "127.0.0.1:1", module, 0);
            let metrics = Metrics::parse(&answer.text());
            metrics.is("goroutine_probe_failure", &[("reason", "connect")], 1.0);
        }
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert!(everywhere.met().connections.is_empty());
    // Only socks5 leaves the lookup to the exporter; the others would have looked it up themselves.
    assert_eq!(names.lookups("nat.test"), 2);
    succeeds(&probe(&any, "http://127.0.0.1:1", "http", 1));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// Takes note of the destinations that a SOCKS proxy (RFC 1928) is told, at every address of the namespace.
fn socks() -> (u16, Arc<Mutex<Vec<IpAddr>>>) {
    let listener = TcpListener::bind("[::]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&told);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut greeting, mut request) = ([0; 3], [0; 10]);
            stream.read_exact(&mut greeting).unwrap();
            stream.write_all(&[5, 0]).unwrap();
            stream.read_exact(&mut request).unwrap();
            assert_eq!(request[3], 1, "an IPv4 address");
            let octets: [u8; 4] = request[4..8].try_into().unwrap();
            noted.lock().unwrap().push(IpAddr::from(octets));
        }
    });
    (port, told)
}

#[test]
fn a_proxy_of_the_same_name_lends_no_address() {
    if !inside("reach::a_proxy_of_the_same_name_lends_no_address") {
        return;
    }
    let _names = NameServer::start(names());
    let (port, told) = socks();
    let config = format!(
        "modules: {{ default: {{ http: {{ proxy_url: 'socks5://shared.test:{port}' }} }} }}\nallow: [{{ cidr: {}/32 }}]\n",
        INNER[1]
    );
    let exporter = Exporter::start(&config);
    let answer = probe(&exporter, "shared.test:6060", "default", 1);
    Metrics::parse(&answer.text()).is("goroutine_probe_success", &[], 0.0);
    let permitted: IpAddr = INNER[1].parse().unwrap();
    assert_eq!(*told.lock().unwrap(), [permitted]);
}

#[test]
fn a_name_that_moves_takes_nobody_along() {
    if !inside("reach::a_name_that_moves_takes_nobody_along") {
        return;
    }
    let (everywhere, names) = (Everywhere::start(), NameServer::start(names()));
    let exporter = Exporter::with(
        "modules: { default: { detail: { mode: off } }, more: { detail: { mode: off }, profiles: [threadcreate] } }\n",
        &["--web.allow-any-target"],
    );
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    // Whoever looked it up again to connect would have been sent on.
    let moves = format!("moves.test:{}", everywhere.port);
    succeeds(&probe(&exporter, &moves, "default", 1));
    assert_eq!(names.lookups("moves.test"), 1);
    assert_eq!(everywhere.met().connections, [loopback]);
    // Its connection is still open, and is not used either.
    probe(&exporter, &moves, "default", 0).is(403, "resolves to a link-local address");
    assert!(everywhere.met().requests.is_empty());
    // There and back, to where probes may go: whichever connection is taken, it leads there.
    let moves = format!("moves-on.test:{}", everywhere.port);
    succeeds(&probe(&exporter, &moves, "default", 1));
    for _ in 0..2 {
        let answer = exporter.get(&probe_path(&moves, &[]));
        succeeds(&answer);
    }
    probe(&exporter, &moves, "default", 0).is(403, "metadata");
    let met = everywhere.met();
    let inner = INNER[0].parse().unwrap();
    assert!(
        met.requests.len() == 3 && met.requests.iter().all(|at| [loopback, inner].contains(at)),
        "{met:?}"
    );
    // Between two requests of one probe.
    let answer = probe(
        &exporter,
        &format!("later.test:{}", everywhere.port),
        "more",
        1,
    );
    succeeds(&answer);
    let metrics = Metrics::parse(&answer.text());
    metrics.is(
        "goroutine_profile_success",
        &[("profile", "threadcreate")],
        0.0,
    );
    assert_eq!(everywhere.met().requests, [loopback]);
}

#[test]
fn what_a_name_resolves_to_is_not_told() {
    if !inside("reach::what_a_name_resolves_to_is_not_told") {
        return;
    }
    let _names = NameServer::start(names());
    let closed = nobody().port();
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().to_str().unwrap();
    let config = format!(
        "targets: [{{ url: 'http://inner.test:{closed}' }}, {{ url: 'http://meta.test:{closed}' }}, {{ url: 'https://inner.test:{closed}' }}]\n\
         modules: {{ proxied: {{ http: {{ proxy_url: 'http://inner.test:{closed}' }} }} }}\n\
         allow: [{{ cidr: 10.0.0.0/8 }}, {{ cidr: 127.0.0.0/8 }}]\n"
    );
    let exporter = Exporter::with(
        &config,
        &["--storage.path", storage, "--web.enable-lifecycle"],
    );
    let mut told = String::new();
    for target in ["inner.test", "meta.test", "nowhere.test", "mixed.test"] {
        for module in ["default", "proxied"] {
            let target = format!("{target}:{closed}");
            for (path, more) in [("/probe", "&debug=true"), ("/target", ""), ("/probe", "")] {
                let path = format!("{path}?target={target}&module={module}{more}");
                told += &exporter.get(&path).text();
            }
            let path = format!("/snapshots?target={target}&module={module}");
            told += &crate::http::ask(exporter.address, "POST", &path, &[]).text();
        }
    }
    told += &exporter.shows();
    told += &exporter.get("/snapshots").text();
    assert!(
        told.contains("connection refused") && told.contains("did not resolve"),
        "{told}"
    );
    for address in [
        "10.77",
        "169.254",
        "fd00:ec2",
        "127.0.0.1:".to_owned().as_str(),
    ] {
        let own = exporter.address.to_string();
        assert!(
            !told.replace(&own, "").contains(address),
            "{address} in:\n{told}"
        );
    }
}
