//! The exporter behind a reverse proxy: every link, form and redirect of its pages leads somewhere that answers, whether the
//! proxy passes the path on as it is or cuts its prefix off.

use std::collections::{BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use url::Url;

use crate::http::{Answer, ask, get};
use crate::programs::Exporter;
use crate::servers::{Server, head};

/// A proxy that answers below `/ge/` alone, with what the exporter answers to the same path or to what is left of it.
fn proxy(exporter: SocketAddr, cuts: bool) -> Server {
    Server::raw(move |mut stream| {
        let Some(lines) = head(&stream) else { return };
        let mut words = lines[0].split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let below = path.strip_prefix("/ge");
        let passed = match below.filter(|rest| rest.starts_with('/')) {
            Some(rest) if cuts => rest,
            Some(_) => path,
            None => {
                drop(stream.write_all(b"HTTP/1.0 418 Not below\r\n\r\n"));
                return;
            }
        };
        // As proxies do by default, it names the exporter by its own address.
        let kept = lines[1..]
            .iter()
            .filter(|line| !line.to_ascii_lowercase().starts_with("host:"));
        let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
        let mut upstream = TcpStream::connect(exporter).unwrap();
        let request = format!("{method} {passed} HTTP/1.0\r\nHost: {exporter}\r\n{kept}\r\n");
        upstream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer).unwrap();
        drop(stream.write_all(&answer));
    })
}

/// Everything a page leads to: the values of these attributes.
fn leads(page: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for attribute in [" href=\"", " src=\"", " action=\"", " formaction=\""] {
        for rest in page.split(attribute).skip(1) {
            let (value, after) = rest.split_once('"').unwrap();
            let tag = after.split_once('>').unwrap().0;
            let posts = tag.contains("method=\"post\"");
            found.push((value.replace("&amp;", "&"), posts));
        }
    }
    found
}

/// Follows everything from the start page on, as a browser would, and returns the paths it came by.
fn crawl(proxy: SocketAddr, target: &str) -> BTreeSet<String> {
    let base: Url = format!("http://{proxy}/ge/").parse().unwrap();
    let mut paths = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut left = VecDeque::from([(base.clone(), false)]);
    while let Some((mut url, posts)) = left.pop_front() {
        url.set_fragment(None);
        if !seen.insert((url.clone(), posts)) {
            continue;
        }
        assert!(seen.len() < 400, "no end of links: {seen:#?}");
        assert_eq!(url.origin(), base.origin(), "{url}");
        let path = url[url::Position::BeforePath..].to_owned();
        let method = if posts { "POST" } else { "GET" };
        let accept = "Accept: text/html";
        let answer = ask(proxy, method, &path, &[accept, "Origin: https://a.example"]);
        paths.insert(url.path().to_owned());
        if matches!(answer.status, 302 | 303) {
            let next = url.join(answer.header("location").unwrap()).unwrap();
            left.push_back((next, false));
            continue;
        }
        // A form is asked for without its fields: what it says is missing is an answer, too.
        let fields = answer.status == 400 && answer.text().contains("target is missing");
        assert!(
            answer.status == 200 || fields,
            "{method} {url}: {} {}",
            answer.status,
            answer.text()
        );
        if !answer
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"))
        {
            continue;
        }
        for (lead, posts) in leads(&answer.text()) {
            // What deletes is left for the end of a person's visit.
            if lead.starts_with("data:") || lead.ends_with("/delete") {
                continue;
            }
            left.push_back((url.join(&lead).unwrap(), posts));
        }
    }
    let wanted = format!("{base}target?target={target}");
    let answer = ask(proxy, "GET", &wanted[base.as_str().len() - 4..], &[]);
    answer.is(200, "goroutines");
    paths
}

fn redirects(answer: &Answer, location: &str) {
    assert_eq!(answer.status, 302, "{}", answer.text());
    assert_eq!(answer.header("location"), Some(location));
}

#[test]
fn every_link_leads_somewhere_behind_a_proxy() {
    let healthy = Server::healthy();
    let cases: [(bool, &[&str]); 4] = [
        (false, &["--web.external-url=https://a.example/ge/"]),
        (
            true,
            &[
                "--web.external-url=https://a.example/ge",
                "--web.route-prefix=/",
            ],
        ),
        // Without the URL that users know, links are relative, and lead there all the same.
        (false, &["--web.route-prefix=/ge"]),
        (true, &[]),
    ];
    for (cuts, flags) in cases {
        let folder = tempfile::tempdir().unwrap();
        let mut all = vec![
            "--web.enable-lifecycle",
            "--storage.path",
            folder.path().to_str().unwrap(),
        ];
        all.extend(flags);
        let config = format!("targets: [{{ url: \"{}\" }}]\n", healthy.target());
        let exporter = Exporter::with(&config, &all);
        let proxy = proxy(exporter.address, cuts);
        // Something to list, and a page of every kind.
        let post = format!("/ge/snapshots?target={}", healthy.target());
        let taken = ask(proxy.address, "POST", &post, &["Accept: text/html"]);
        assert_eq!(taken.status, 303, "{flags:?}: {}", taken.text());
        let knows = flags.iter().any(|flag| flag.contains("external-url"));
        // Only an exporter that knows its name tells its own pages from those of others where the proxy hides it.
        let own = ["Origin: https://a.example"];
        let answer = ask(proxy.address, "POST", "/ge/-/reload", &own);
        assert_eq!(answer.status, if knows { 200 } else { 403 }, "{flags:?}");
        ask(
            proxy.address,
            "POST",
            "/ge/-/reload",
            &["Origin: https://b.example"],
        )
        .is(403, "another site");
        if !knows {
            continue_without_forms(proxy.address, &healthy.target());
            continue;
        }
        let paths = crawl(proxy.address, &healthy.target());
        let id = taken
            .header("location")
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap();
        for path in [
            "/ge/",
            "/ge/metrics",
            "/ge/config",
            "/ge/target",
            "/ge/target/profile",
            "/ge/probe",
            "/ge/targets/metrics",
            "/ge/snapshots",
            &format!("/ge/snapshots/{id}"),
            "/ge/-/healthy",
            "/ge/-/ready",
        ] {
            assert!(paths.contains(path), "no page leads to {path}: {paths:#?}");
        }
    }
}

/// The same for links alone: forms that change something are refused where the exporter does not know its own name.
fn continue_without_forms(proxy: SocketAddr, target: &str) {
    let pages = [
        "/ge/".to_owned(),
        "/ge/snapshots".to_owned(),
        format!("/ge/target?target={target}"),
        "/ge/no/such/page".to_owned(),
    ];
    for page in pages {
        let url: Url = format!("http://{proxy}{page}").parse().unwrap();
        let answer = ask(proxy, "GET", &page, &["Accept: text/html"]);
        let links = leads(&answer.text());
        assert!(links.len() > 4, "{page}");
        for (link, posts) in links {
            let mut next = url.join(&link).unwrap();
            next.set_fragment(None);
            if posts || link.starts_with('#') || next.scheme() == "data" {
                continue;
            }
            let status = get(proxy, &next[url::Position::BeforePath..]).status;
            assert!(matches!(status, 200 | 400), "{page}: {link}: {status}");
        }
    }
}

#[test]
fn everything_is_under_the_prefix() {
    let healthy = Server::healthy();
    let exporter = Exporter::with("", &["--web.route-prefix", "/a/b/"]);
    redirects(&exporter.get("/"), "/a/b/");
    redirects(&exporter.get("/a/b"), "/a/b/");
    exporter.get("/a/b/").is(200, "Static targets");
    exporter.get("/a/b/-/healthy").is(200, "healthy");
    exporter.get("/a/b/-/ready").is(200, "ready");
    exporter
        .get("/a/b/metrics")
        .is(200, "goroutine_exporter_build_info");
    let path = format!("/a/b/probe?target={}", healthy.target());
    exporter.get(&path).is(200, "goroutine_probe_success 1");
    ask(exporter.address, "POST", "/a/b/metrics", &[]).is(405, "method");
    for outside in [
        "/metrics",
        "/-/healthy",
        "/probe?target=a:1",
        "/a",
        "/a/bc/metrics",
        "/a/b/nowhere",
        "/a/b//metrics",
        "/a/b/../b/metrics",
        "/%61/b/metrics",
    ] {
        let answer = exporter.get(outside);
        assert_eq!(answer.status, 404, "{outside}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{outside}");
    }
    let log = exporter.program.log();
    let url = format!("url=http://{}/a/b", exporter.address);
    assert!(log.contains(&url), "{log}");
}
