//! What a `PromQL` expression names: metrics, labels, labels it makes itself. Dashboards and rules are held against the
//! exporter's own list of metrics with it. It reads words and does not judge grammar; `promtool` does that.

use std::collections::BTreeSet;

use goroutine_exporter::expose::godebug;
use goroutine_exporter::expose::metrics::{self, Kind, Metric};
use goroutine_exporter::self_metrics;

/// Labels that Prometheus or the user's configuration puts on every series; `target` comes from `/targets/metrics`.
const OF_EVERY_SERIES: [&str; 3] = ["job", "instance", "target"];

/// What the client library tells about a process on Linux.
const OF_THE_PROCESS: [&str; 7] = [
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
    "process_virtual_memory_bytes",
];

/// What Prometheus makes itself, with the labels queries may match.
const OF_PROMETHEUS: [(&str, &[&str]); 2] = [
    ("up", &[]),
    ("ALERTS", &["alertname", "alertstate", "severity"]),
];

/// Words that stand where a metric could, and are none.
const AGGREGATIONS: [&str; 12] = [
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "max",
    "min",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
];
const OPERATORS: [&str; 8] = [
    "and", "atan2", "bool", "inf", "nan", "offset", "or", "unless",
];

/// Words before a list of labels.
const BEFORE_LABELS: [&str; 6] = [
    "by",
    "group_left",
    "group_right",
    "ignoring",
    "on",
    "without",
];

/// A condition on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matcher {
    /// The label.
    pub(crate) label: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub(crate) operator: String,
    /// What is between the quotes, escapes as they are.
    pub(crate) value: String,
}

/// A metric with the conditions on its labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    /// The metric.
    pub(crate) metric: String,
    /// Its conditions.
    pub(crate) matchers: Vec<Matcher>,
}

/// What an expression names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// The metrics, each time they stand.
    pub(crate) selectors: Vec<Selector>,
    /// Labels it groups by, joins on, or reads to make others.
    pub(crate) labels: BTreeSet<String>,
    /// Labels that `label_replace` and `label_join` make.
    pub(crate) made: BTreeSet<String>,
}

/// A piece of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

fn tokens(expression: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        if matches!(first, '"' | '\'' | '`') {
            let mut escaped = false;
            let end = rest.char_indices().skip(1).find(|(_, c)| {
                let ends = *c == first && !escaped;
                escaped = *c == '\\' && !escaped && first != '`';
                ends
            });
            let (end, _) = end.ok_or_else(|| format!("no end of the text at {rest:?}"))?;
            found.push(Token::Text(rest[length..end].to_owned()));
            length += end;
        } else if first == '#' {
            length = rest.find('\n').unwrap_or(rest.len());
        } else if is_of_word(first) {
            length = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
            // Numbers and durations are of no interest here.
            if !first.is_ascii_digit() {
                found.push(Token::Word(rest[..length].to_owned()));
            }
        } else if !first.is_whitespace() {
            found.push(Token::Sign(first));
        }
        rest = &rest[length..];
    }
    Ok(found)
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Reads an expression.
///
/// # Errors
/// When a text, a list or a selector does not end, or a selector is not one.
pub(crate) fn read(expression: &str) -> Result<Names, String> {
    let tokens = tokens(expression)?;
    let mut names = Names::default();
    // The calls that are open, with the number of the argument.
    let mut calls: Vec<(String, usize)> = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let before_parenthesis = tokens.get(at + 1) == Some(&Token::Sign('('));
        at += 1;
        match token {
            Token::Word(word) if BEFORE_LABELS.contains(&lower(word).as_str()) => {
                if before_parenthesis {
                    at = list(&tokens, at + 1, &mut names.labels)?;
                }
            }
            Token::Word(word) if before_parenthesis => {
                calls.push((lower(word), 0));
                at += 1;
            }
            Token::Word(word) => {
                let lower = lower(word);
                if AGGREGATIONS.contains(&lower.as_str()) || OPERATORS.contains(&lower.as_str()) {
                    continue;
                }
                let mut selector = Selector {
                    metric: word.clone(),
                    matchers: Vec::new(),
                };
                if tokens.get(at) == Some(&Token::Sign('{')) {
                    at = matchers(&tokens, at + 1, &mut selector.matchers)?;
                }
                names.selectors.push(selector);
            }
            Token::Text(text) => {
                let call = calls
                    .last()
                    .map(|(name, argument)| (name.as_str(), *argument));
                match call {
                    Some(("label_replace" | "label_join", 1)) => {
                        names.made.insert(text.clone());
                    }
                    Some(("label_replace", 3) | ("label_join", 3..)) => {
                        names.labels.insert(text.clone());
                    }
                    _ => {}
                }
            }
            Token::Sign('(') => calls.push((String::new(), 0)),
            Token::Sign(')') => {
                calls.pop().ok_or("a ) too many")?;
            }
            Token::Sign(',') => {
                if let Some((_, argument)) = calls.last_mut() {
                    *argument += 1;
                }
            }
            Token::Sign('{') => return Err("a selector without a metric".to_owned()),
            Token::Sign(_) => {}
        }
    }
    if calls.is_empty() {
        Ok(names)
    } else {
        Err("a ) is missing".to_owned())
    }
}

fn lower(word: &str) -> String {
    word.to_ascii_lowercase()
}

/// Reads labels up to the closing parenthesis, and returns where it goes on.
fn list(tokens: &[Token], mut at: usize, labels: &mut BTreeSet<String>) -> Result<usize, String> {
    loop {
        match tokens.get(at) {
            Some(Token::Word(label)) => {
                labels.insert(label.clone());
            }
            Some(Token::Sign(',')) => {}
            Some(Token::Sign(')')) => return Ok(at + 1),
            other => return Err(format!("{other:?} in a list of labels")),
        }
        at += 1;
    }
}

/// Reads the conditions of a selector up to the closing brace, and returns where it goes on.
fn matchers(tokens: &[Token], mut at: usize, matchers: &mut Vec<Matcher>) -> Result<usize, String> {
    loop {
        match tokens.get(at) {
            Some(Token::Sign('}')) => return Ok(at + 1),
            Some(Token::Sign(',')) => at += 1,
            Some(Token::Word(label)) => {
                let mut operator = String::new();
                at += 1;
                while let Some(Token::Sign(sign @ ('=' | '!' | '~'))) = tokens.get(at) {
                    operator.push(*sign);
                    at += 1;
                }
                let Some(Token::Text(value)) = tokens.get(at) else {
                    return Err(format!("no text after {label}{operator}"));
                };
                if !["=", "!=", "=~", "!~"].contains(&operator.as_str()) {
                    return Err(format!("{label}{operator}"));
                }
                matchers.push(Matcher {
                    label: label.clone(),
                    operator,
                    value: value.clone(),
                });
                at += 1;
            }
            other => return Err(format!("{other:?} in a selector")),
        }
    }
}

/// The labels a metric has, those of every series included; nothing when there is no such metric.
pub(crate) fn labels_of(name: &str) -> Option<Vec<&'static str>> {
    let own = |labels: &[&'static str]| [labels, &OF_EVERY_SERIES].concat();
    let mut others = OF_PROMETHEUS.iter();
    if let Some((_, labels)) = others.find(|(known, _)| *known == name) {
        return Some(own(labels));
    }
    if OF_THE_PROCESS.contains(&name) {
        return Some(own(&[]));
    }
    metrics::ALL
        .iter()
        .chain(self_metrics::ALL)
        .chain(godebug::ALL)
        .find_map(|metric| labels_in(metric, name))
        .map(|labels| own(&labels))
}

/// The labels of the series `name`, if it is one of this metric's.
fn labels_in(metric: &Metric, name: &str) -> Option<Vec<&'static str>> {
    let labels = metric.labels.to_vec();
    match (metric.kind, name.strip_prefix(metric.name)?) {
        (Kind::Histogram, "_bucket") => Some([labels, vec!["le"]].concat()),
        (Kind::Histogram, "_sum" | "_count") | (Kind::Gauge | Kind::Counter, "") => Some(labels),
        _ => None,
    }
}

/// What an expression, and the text beside it that shows labels, names without its being there. `also` are metrics that
/// others make, such as recording rules, with their labels.
pub(crate) fn problems(
    expression: &str,
    shown: &[String],
    also: &[(&str, &[&str])],
) -> Vec<String> {
    let names = match read(expression) {
        Ok(names) => names,
        Err(problem) => return vec![problem],
    };
    let mut problems = Vec::new();
    let mut unknown = false;
    let mut there: BTreeSet<&str> = names.made.iter().map(String::as_str).collect();
    for selector in &names.selectors {
        let known = also
            .iter()
            .find(|(name, _)| *name == selector.metric)
            .map(|(_, labels)| [*labels, &OF_EVERY_SERIES].concat())
            .or_else(|| labels_of(&selector.metric));
        let Some(known) = known else {
            problems.push(format!("no metric {}", selector.metric));
            unknown = true;
            continue;
        };
        for matcher in &selector.matchers {
            if !known.contains(&matcher.label.as_str()) {
                problems.push(format!("no label {} of {}", matcher.label, selector.metric));
            }
        }
        there.extend(known);
    }
    // What labels an unknown metric has, nobody knows.
    for label in names.labels.iter().chain(shown).filter(|_| !unknown) {
        if !there.contains(label.as_str()) {
            problems.push(format!("no label {label}"));
        }
    }
    problems.sort();
    problems.dedup();
    problems
}

#[test]
fn names_are_read() {
    let names = read(
        "# a {comment}\nsum by (a, b) (rate(x_total{c=~\"}\\\"(\", d!='e'}[5m] offset 1h)) / on () group_left () count(y) > 1e3
         or label_join(label_replace(z{}, \"made\", \"$1\", \"from\", \"(.*)\"), 'joined', `:`, \"f\", \"g\") @ end() and on(h) w",
    )
    .unwrap();
    let metrics: Vec<_> = names.selectors.iter().map(|s| s.metric.as_str()).collect();
    assert_eq!(metrics, ["x_total", "y", "z", "w"]);
    let matchers = &names.selectors[0].matchers;
    assert_eq!(matchers.len(), 2);
    assert_eq!(
        (matchers[0].label.as_str(), matchers[0].operator.as_str()),
        ("c", "=~")
    );
    assert_eq!(matchers[0].value, "}\\\"(");
    assert_eq!(
        (matchers[1].operator.as_str(), matchers[1].value.as_str()),
        ("!=", "e")
    );
    let labels: Vec<_> = names.labels.iter().map(String::as_str).collect();
    assert_eq!(labels, ["a", "b", "f", "from", "g", "h"]);
    let made: Vec<_> = names.made.iter().map(String::as_str).collect();
    assert_eq!(made, ["joined", "made"]);
    for bad in [
        "sum(a",
        "a)",
        "a{b}",
        "a{b=\"",
        "{a=\"b\"}",
        "sum by (\"a\") (b)",
        "a{b=\"c\"",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn problems_are_found() {
    let check = |expression: &str, shown: &[&str], expected: &[&str]| {
        let shown: Vec<String> = shown.iter().map(|&label| label.to_owned()).collect();
        assert_eq!(
            problems(expression, &shown, &[("made:up", &["level"])]),
            expected
        );
    };
    check(
        "sum by (job, wait_reason) (goroutine_wait_reason_goroutines)",
        &["job"],
        &[],
    );
    check(
        "histogram_quantile(0.9, sum by (le) (goroutine_exporter_probe_duration_seconds_bucket))",
        &[],
        &[],
    );
    check("made:up{level=\"5m\"}", &["target"], &[]);
    check(
        "goroutine_goroutines{wait_reason=\"x\"}",
        &[],
        &["no label wait_reason of goroutine_goroutines"],
    );
    check(
        "sum by (le) (goroutine_goroutines)",
        &["file"],
        &["no label file", "no label le"],
    );
    check(
        "goroutine_threads_of_old",
        &[],
        &["no metric goroutine_threads_of_old"],
    );
    check(
        "goroutine_goroutines_bucket",
        &[],
        &["no metric goroutine_goroutines_bucket"],
    );
}
