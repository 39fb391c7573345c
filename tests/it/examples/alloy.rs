//! `examples/alloy`: Grafana Alloy is in no registry that these tests reach, so its file is read by a reader of our own,
//! which knows the words it uses, and its relabelling is then done by a real Prometheus like that of the other recipes.
//!
//! Words: docs of Grafana Alloy 1.16, `reference/components`, and `alloy:"..."` tags in
//! `internal/component/prometheus/scrape/scrape.go`.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Map, Value, json};

use super::{each, text};
use crate::programs::repository;

/// One block, with what it is called.
#[derive(Debug)]
struct Block {
    name: String,
    label: String,
    attributes: Map<String, Value>,
    blocks: Vec<Block>,
}

/// A kind of block: the attributes it must and may have, and its blocks.
struct Words {
    block: &'static str,
    must: &'static [&'static str],
    may: &'static [&'static str],
    blocks: &'static [&'static str],
}

const fn words_of(
    block: &'static str,
    must: &'static [&'static str],
    may: &'static [&'static str],
    blocks: &'static [&'static str],
) -> Words {
    Words {
        block,
        must,
        may,
        blocks,
    }
}

const KNOWN: [Words; 8] = [
    words_of("discovery.kubernetes", &["role"], &[], &[]),
    words_of("discovery.relabel", &["targets"], &[], &["rule"]),
    words_of("rule", &[], &RULE, &[]),
    words_of(
        "prometheus.scrape",
        &["targets", "forward_to"],
        &SCRAPE,
        &["clustering"],
    ),
    words_of("clustering", &["enabled"], &[], &[]),
    words_of("prometheus.remote_write", &[], &[], &["endpoint"]),
    words_of("endpoint", &["url"], &[], &[]),
    words_of("", &[], &[], &COMPONENTS),
];

const RULE: [&str; 7] = [
    "source_labels",
    "separator",
    "regex",
    "modulus",
    "target_label",
    "replacement",
    "action",
];

const SCRAPE: [&str; 10] = [
    "job_name",
    "metrics_path",
    "params",
    "scrape_interval",
    "sample_limit",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "body_size_limit",
    "target_limit",
];

const COMPONENTS: [&str; 4] = [
    "discovery.kubernetes",
    "discovery.relabel",
    "prometheus.scrape",
    "prometheus.remote_write",
];

/// What components export.
const EXPORTS: [(&str, &str); 3] = [
    ("discovery.kubernetes", "targets"),
    ("discovery.relabel", "output"),
    ("prometheus.remote_write", "receiver"),
];

/// The words of a file: names with their dots, numbers, texts with their quotes, and signs.
fn words(text: &str) -> Vec<String> {
    let word = r#""(?:[^"\\]|\\.)*"|[A-Za-z_][A-Za-z0-9_.]*|[0-9]+|[{}\[\]()=,]"#;
    let word = regex::Regex::new(&format!(r"\s+|//[^\n]*|({word})|(.)")).unwrap();
    let mut found = Vec::new();
    for part in word.captures_iter(text) {
        assert!(part.get(2).is_none(), "not understood: {part:?}");
        found.extend(part.get(1).map(|word| word.as_str().to_owned()));
    }
    found
}

/// Reads words one after the other.
struct Reader {
    words: std::iter::Peekable<std::vec::IntoIter<String>>,
}

impl Reader {
    fn next(&mut self) -> String {
        self.words.next().expect("the file ends too early")
    }

    fn take(&mut self, expected: &str) {
        assert_eq!(self.next(), expected);
    }

    fn sees(&mut self, word: &str) -> bool {
        self.words.peek().is_some_and(|next| next == word)
    }

    /// Attributes and blocks up to the closing brace, or the end of the file.
    fn body(&mut self, name: String, label: String) -> Block {
        let mut block = Block {
            name,
            label,
            attributes: Map::new(),
            blocks: Vec::new(),
        };
        while self.words.peek().is_some_and(|next| next != "}") {
            let name = self.next();
            if self.sees("=") {
                self.take("=");
                let value = self.value();
                assert_eq!(
                    block.attributes.insert(name.clone(), value),
                    None,
                    "{name} twice"
                );
                continue;
            }
            let label = if self.sees("{") {
                String::new()
            } else {
                unquoted(&self.next())
            };
            self.take("{");
            block.blocks.push(self.body(name, label));
            self.take("}");
        }
        block
    }

    /// A value. References and calls are objects with one key.
    fn value(&mut self) -> Value {
        let word = self.next();
        match word.as_str() {
            "[" => {
                let mut list = Vec::new();
                while !self.sees("]") {
                    list.push(self.value());
                    if self.sees(",") {
                        self.take(",");
                    }
                }
                self.take("]");
                Value::Array(list)
            }
            "{" => {
                let mut object = Map::new();
                while !self.sees("}") {
                    let key = unquoted(&self.next());
                    self.take("=");
                    object.insert(key, self.value());
                    if self.sees(",") {
                        self.take(",");
                    }
                }
                self.take("}");
                Value::Object(object)
            }
            "true" | "false" => json!(word == "true"),
            word if word.starts_with('"') => json!(unquoted(word)),
            word if word.parse::<u64>().is_ok() => json!(word.parse::<u64>().unwrap()),
            name if self.sees("(") => {
                self.take("(");
                let argument = self.value();
                self.take(")");
                json!({ "call": name, "with": argument })
            }
            name => json!({ "reference": name }),
        }
    }
}

fn unquoted(word: &str) -> String {
    serde_json::from_str(word).unwrap_or_else(|error| panic!("{word}: {error}"))
}

fn file() -> Block {
    let text = fs::read_to_string(repository("examples/alloy/config.alloy")).unwrap();
    let mut reader = Reader {
        words: words(&text).into_iter().peekable(),
    };
    let block = reader.body(String::new(), String::new());
    assert_eq!(reader.words.next(), None);
    block
}

fn check_words(block: &Block, exports: &BTreeSet<String>) {
    let known = KNOWN.iter().find(|known| known.block == block.name);
    let known = known.unwrap_or_else(|| panic!("{} is not known", block.name));
    for name in known.must {
        assert!(
            block.attributes.contains_key(*name),
            "{} lacks {name}",
            block.name
        );
    }
    for (name, value) in &block.attributes {
        let mut may = known.must.iter().chain(known.may);
        assert!(
            may.any(|known| known == name),
            "{} knows no {name}",
            block.name
        );
        for value in std::iter::once(value).chain(each(value)) {
            if let Some(reference) = value.get("reference") {
                assert!(
                    exports.contains(text(reference)),
                    "nothing exports {reference}"
                );
            }
            if let Some(call) = value.get("call") {
                assert_eq!(call, "sys.env");
            }
        }
    }
    for inner in &block.blocks {
        assert!(
            known.blocks.contains(&inner.name.as_str()),
            "{} in {}",
            inner.name,
            block.name
        );
        check_words(inner, exports);
    }
}

#[test]
fn alloy_knows_every_word() {
    let file = file();
    let exports = file.blocks.iter().filter_map(|block| {
        let (_, export) = EXPORTS.iter().find(|(name, _)| *name == block.name)?;
        Some(format!("{}.{}.{export}", block.name, block.label))
    });
    let exports: BTreeSet<String> = exports.collect();
    assert_eq!(exports.len(), EXPORTS.len());
    check_words(&file, &exports);
}

/// The job that probes, as Prometheus would write it.
pub(super) fn job() -> Value {
    let file = file();
    let find = |name: &str, label: &str| {
        let mut found = file.blocks.iter();
        found
            .find(|block| block.name == name && block.label == label)
            .unwrap()
    };
    let scrape = find("prometheus.scrape", "goroutines");
    let mut job = scrape.attributes.clone();
    for name in ["targets", "forward_to"] {
        job.remove(name);
    }
    // A number there, in Prometheus a text with a unit.
    let bytes = format!("{}B", job["body_size_limit"]);
    job.insert("body_size_limit".to_owned(), json!(bytes));
    let rules = find("discovery.relabel", "goroutines").blocks.iter();
    let rules = rules.map(|rule| Value::Object(rule.attributes.clone()));
    job.insert("relabel_configs".to_owned(), rules.collect());
    let pods = find("discovery.kubernetes", "pods").attributes.clone();
    job.insert("kubernetes_sd_configs".to_owned(), json!([pods]));
    Value::Object(job)
}
