//! One bad configuration for each kind of fault, with the whole text it is answered with.

use super::*;

/// The error and, on a second line, its hint.
fn answer(yaml: &str) -> String {
    match Config::from_yaml(yaml) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => match &error.hint {
            Some(hint) => format!("{error}\n{hint}"),
            None => error.to_string(),
        },
    }
}

/// `count` pieces, made of their numbers.
fn pieces(count: usize, piece: impl Fn(usize) -> String) -> String {
    (0..count).map(piece).collect::<Vec<_>>().concat()
}

fn check(yaml: &str, expected: &str) {
    assert_eq!(
        answer(yaml),
        expected,
        "in answer to:
{yaml}"
    );
}

/// A module `default` with these settings, in flow style: they begin in column 21 of line 1.
fn check_module(settings: &str, expected: &str) {
    check(&format!("modules: {{default: {{{settings}}}}}"), expected);
}

/// The same of its `http` block; it begins in column 28.
fn check_http(settings: &str, expected: &str) {
    check_module(&format!("http: {{{settings}}}"), expected);
}

mod http;
mod places;
mod values;
mod yaml;

#[test]
fn every_setting_makes_another_configuration() {
    let settings = [
        "path: /x",
        "timeout: 9s",
        "http: {follow_redirects: true}",
        "classify: {labels: [x]}",
        "limits: {groups: 1}",
        "limits: {body_bytes: 1MiB}",
        "limits: {detail_body_bytes: 1MiB}",
        "limits: {inflated_bytes: 1MiB}",
        "profiles: [threadcreate]",
        "detail: {mode: off}",
        "detail: {source: debug3}",
        "detail: {max_frames: 1}",
        "detail: {min_interval: 1h}",
        "leak: {max_goroutines: 1}",
        "leak: {min_interval: 1h}",
        "trace: {mode: auto}",
        "trace: {min_interval: 1h}",
        "trace: {window: 1s}",
        "trace: {max_bytes: 1MiB}",
        "trace: {max_goroutines: 1}",
    ];
    for setting in settings {
        let config = Config::from_yaml(&format!("modules: {{default: {{{setting}}}}}"));
        assert_ne!(config.unwrap(), Config::default(), "{setting}");
    }
}

/// Every file of `examples/config`, by name.
fn examples() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/config");
    let files = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .map(|file| {
            (
                file.display().to_string(),
                std::fs::read_to_string(&file).unwrap(),
            )
        })
        .collect()
}

#[test]
fn every_example_can_be_used() {
    let examples = examples();
    assert!(examples.len() >= 4, "{examples:?}");
    for (file, text) in examples {
        if let Err(error) = Config::from_yaml(&text) {
            panic!("{file}: {error}");
        }
    }
}

#[test]
fn the_reference_shows_the_defaults_and_every_key() {
    let examples = examples();
    let (_, text) = examples
        .iter()
        .find(|(file, _)| file.ends_with("/reference.yml"))
        .unwrap();
    assert_eq!(Config::from_yaml(text), Ok(Config::default()));
    // The same with its optional lines taken in: those behind `#: `.
    let whole = text.replace("#: ", "");
    let config = Config::from_yaml(&whole).unwrap_or_else(|error| panic!("{error} in\n{whole}"));
    assert_ne!(config, Config::default());
    for key in hint::known_keys() {
        assert!(
            whole.contains(&format!(" {key}:")) || whole.contains(&format!("\n{key}:")),
            "{key}"
        );
    }
}
