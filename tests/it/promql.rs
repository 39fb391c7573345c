//! Which metrics and labels a PromQL expression names. A small tokenizer, not a parser: promtool says whether an
//! expression is valid.

use std::collections::BTreeSet;

/// Words that are neither metrics nor labels when no parenthesis follows.
const KEYWORDS: [&str; 6] = ["and", "or", "unless", "offset", "bool", "atan2"];

/// Words before a list of labels.
const LISTS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Metrics.
    pub(crate) metrics: BTreeSet<String>,
    /// A metric, one of its labels in a selector, and the value or expression it is compared with.
    pub(crate) selectors: BTreeSet<(String, String, String)>,
    /// Labels that are grouped or matched by.
    pub(crate) lists: BTreeSet<String>,
}

/// A piece of an expression.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

impl Names {
    /// The names in `expression`.
    pub(crate) fn of(expression: &str) -> Self {
        let mut names = Self::default();
        let mut tokens = tokens(expression).into_iter().peekable();
        let mut metric = String::new();
        while let Some(token) = tokens.next() {
            match token {
                Token::Word(word) if LISTS.contains(&word.as_str()) => {
                    assert_eq!(tokens.next(), Some(Token::Sign('(')), "after {word}");
                    for token in tokens.by_ref() {
                        match token {
                            Token::Word(label) => drop(names.lists.insert(label)),
                            Token::Sign(')') => break,
                            _ => {}
                        }
                    }
                }
                Token::Word(word) => {
                    // `rate(` and `sum without (`.
                    let function = match tokens.peek() {
                        Some(Token::Sign('(')) => true,
                        Some(Token::Word(next)) => ["by", "without"].contains(&next.as_str()),
                        _ => false,
                    };
                    if !function && !KEYWORDS.contains(&word.as_str()) {
                        names.metrics.insert(word.clone());
                        metric = word;
                    }
                }
                Token::Sign('{') => {
                    let mut label = String::new();
                    for token in tokens.by_ref() {
                        match token {
                            Token::Word(word) => label = word,
                            Token::Text(value) => {
                                names
                                    .selectors
                                    .insert((metric.clone(), label.clone(), value));
                            }
                            Token::Sign('}') => break,
                            Token::Sign(_) => {}
                        }
                    }
                }
                Token::Text(_) | Token::Sign(_) => {}
            }
        }
        names
    }
}

/// Words, texts and signs. Numbers, durations and comments are left out.
fn tokens(expression: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = expression.chars().peekable();
    let word = |c: &char| c.is_ascii_alphanumeric() || *c == '_' || *c == ':';
    while let Some(c) = rest.next() {
        match c {
            '#' => while rest.next_if(|c| *c != '\n').is_some() {},
            '"' | '\'' => {
                let mut text = String::new();
                while let Some(inside) = rest.next().filter(|inside| *inside != c) {
                    text.push(inside);
                    if inside == '\\' {
                        text.extend(rest.next());
                    }
                }
                found.push(Token::Text(text));
            }
            '0'..='9' => while rest.next_if(word).is_some() {},
            // A range or a step: durations only.
            '[' => while rest.next_if(|c| *c != ']').is_some() {},
            _ if word(&c) => {
                let mut text = String::from(c);
                while let Some(more) = rest.next_if(word) {
                    text.push(more);
                }
                found.push(Token::Word(text));
            }
            _ if c.is_whitespace() => {}
            _ => found.push(Token::Sign(c)),
        }
    }
    found
}

#[test]
fn names_are_found() {
    let expression = r#"
        sum without (group_id) (a_b{x="1", y!~"c|\"d"} offset 5m) # not_this
        / on (job) group_left () last_over_time(c:d[5m:15s])
        unless e == 1e3 and ignoring (scope) count(f)"#;
    let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    assert_eq!(
        Names::of(expression),
        Names {
            metrics: set(&["a_b", "c:d", "e", "f"]),
            selectors: [("a_b", "x", "1"), ("a_b", "y", "c|\\\"d")]
                .map(|(metric, label, value)| (metric.into(), label.into(), value.into()))
                .into(),
            lists: set(&["group_id", "job", "scope"]),
        }
    );
}
