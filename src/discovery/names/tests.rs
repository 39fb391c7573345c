use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::super::{Discovery, Reason};
use super::*;
use crate::config::Config;

fn config(entry: &str) -> Config {
    Config::from_yaml(&format!(
        "dns_sd_configs: [{{ {entry}, refresh_interval: 30s }}]"
    ))
    .unwrap()
}

fn service(target: &str, port: u16) -> Record {
    Record::Service {
        target: target.to_owned(),
        port,
    }
}

fn address(text: &str) -> Record {
    Record::Address(text.parse().unwrap())
}

fn shown(discovery: &Discovery) -> Vec<(String, Word)> {
    let found = discovery.found().into_iter();
    found
        .map(|found| (found.target.target.to_string(), found.word))
        .collect()
}

#[test]
fn each_name_is_asked_for_once_in_an_interval() {
    let mut discovery = Discovery::default();
    discovery.adopt(&config("names: [b, a]"));
    let now = Instant::now();
    let due = discovery.due(now);
    let names: Vec<&str> = due.iter().map(|question| question.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(!discovery.all_answered());
    assert!(discovery.due(now + Duration::from_secs(29)).is_empty());
    assert_eq!(discovery.due(now + Duration::from_secs(30)).len(), 2);
    for question in &due {
        assert_eq!(discovery.answered(question, Ok(Vec::new())), None);
    }
    assert!(discovery.all_answered());
    // A reload asks anew, and knows nothing of names that are gone.
    discovery.adopt(&config("names: [a]"));
    assert_eq!(discovery.due(now).len(), 1);
    assert_eq!(discovery.answered(&due[1], Ok(vec![service("x", 1)])), None);
    assert!(discovery.found().is_empty());
}

#[test]
fn records_become_targets() {
    let mut discovery = Discovery::default();
    discovery.adopt(&config(
        "names: [_a._tcp.b], scheme: https, labels: { k: v }",
    ));
    let question = discovery.due(Instant::now()).remove(0);
    let answer = vec![
        service("h2.example", 6061),
        service("h1.example", 6060),
        service("h1.example", 6060),
        service("10.0.0.1", 1),
        service("h3.example", 0),
        service("user@h4.example", 1),
        service("h5.example/../x", 1),
        service("h 6", 1),
        service("unix://h7", 1),
        service("h8.example:1/x?", 1),
        service("h9.example:80#", 1),
        service("", 1),
    ];
    assert_eq!(discovery.answered(&question, Ok(answer.clone())), None);
    let expected = [
        "https://10.0.0.1:1",
        "https://h1.example:6060",
        "https://h2.example:6061",
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|text| ((*text).to_owned(), Word::Nobody))
        .collect();
    assert_eq!(shown(&discovery), expected);
    assert_eq!(discovery.found()[0].target.labels["k"], "v");
    assert_eq!(discovery.invalid(), 8);
    // In another order they are the same.
    let before = discovery.found();
    discovery.answered(&question, Ok(answer.into_iter().rev().collect()));
    assert_eq!(discovery.found(), before);
}

#[test]
fn addresses_are_known_by_their_name() {
    let mut discovery = Discovery::default();
    discovery.adopt(&config("names: [Shop.Example.], type: AAAA, port: 6060"));
    let question = discovery.due(Instant::now()).remove(0);
    let answer = vec![address("fd00::1"), address("::ffff:10.0.0.1")];
    discovery.answered(&question, Ok(answer));
    let word = || Word::Behind("shop.example".to_owned());
    assert_eq!(
        shown(&discovery),
        [
            ("http://[::ffff:a00:1]:6060".to_owned(), word()),
            ("http://[fd00::1]:6060".to_owned(), word())
        ]
    );
}

#[test]
fn silence_takes_nothing_away_and_an_empty_answer_does() {
    let mut discovery = Discovery::default();
    discovery.adopt(&config("names: [a], type: A, port: 1"));
    let question = discovery.due(Instant::now()).remove(0);
    discovery.answered(&question, Ok(vec![address("10.0.0.1")]));
    for (error, reason) in [
        (LookupError::Timeout, Reason::Timeout),
        (LookupError::Refused, Reason::Refused),
        (LookupError::Malformed, Reason::Malformed),
    ] {
        let failure = discovery.answered(&question, Err(error)).unwrap();
        assert_eq!(failure.reason, reason);
        assert_eq!(failure.problem, format!("A a: {error}"));
        assert_eq!(discovery.found().len(), 1);
        assert!(!discovery.all_answered());
    }
    discovery.answered(&question, Ok(Vec::new()));
    assert!(discovery.found().is_empty() && discovery.all_answered());
}

#[test]
fn a_name_has_as_many_targets_as_may_be() {
    let mut discovery = Discovery::default();
    discovery.adopt(&config("names: [a], type: A, port: 1"));
    let question = discovery.due(Instant::now()).remove(0);
    let flood = |count: usize| {
        let count = u32::try_from(count).unwrap();
        let addresses = (0..count).map(|number| Ipv4Addr::from_bits(0x0a00_0000 + number));
        addresses
            .map(|address| Record::Address(IpAddr::from(address)))
            .collect()
    };
    for (count, left_out) in [
        (MAX_RECORDS, 0),
        (MAX_RECORDS + 1, 1),
        (5 * MAX_RECORDS, 4 * MAX_RECORDS),
    ] {
        discovery.answered(&question, Ok(flood(count)));
        assert_eq!(
            (discovery.found().len(), discovery.left_out()),
            (MAX_RECORDS, left_out)
        );
    }
}
