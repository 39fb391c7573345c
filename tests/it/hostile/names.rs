//! Names made to be taken for something else: in the exposition, on pages, in logs.

use super::bodies::{NAMES, odd_names};
use super::{Outcome, Stage};
use crate::programs::probe_path;
use crate::servers::{Server, ok};

/// What must never stand on a page as such.
const LIVE: [&str; 6] = [
    "<script>alert",
    "<img src=x",
    "\" onmouseover=\"alert",
    "]]></svg>",
    "--><!--",
    "</svg></svg>-->",
];

#[test]
fn names_are_shown_and_never_obeyed() {
    let mut stage = Stage::new();
    let goroutines = u32::try_from(60 * NAMES.len()).unwrap();
    let server = Server::answering(ok(&odd_names()));
    let metrics = stage.server(
        "names that are commands",
        "default",
        &server,
        Outcome::Reads(goroutines),
    );
    let groups: Vec<_> = metrics.all("goroutine_group_goroutines", &[]).collect();
    assert_eq!(groups.len(), NAMES.len());
    // What is told is what the bytes are, but for what cannot be shown.
    for name in NAMES {
        let shown: String = String::from_utf8_lossy(name)
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect();
        // What stands in brackets is taken for the types of a generic function.
        let shown = shown.replace("[2J\u{fffd}]", "[...]");
        let found = groups
            .iter()
            .any(|group| group.label("blocking_frame") == shown);
        assert!(found, "{shown:?} in:\n{}", metrics.text);
    }
    metrics.is("goroutine_goroutines", &[], f64::from(goroutines));
    let values: f64 = metrics
        .all("goroutine_label_goroutines", &[])
        .map(|sample| sample.value)
        .sum();
    assert_eq!(values, f64::from(goroutines));

    let target = server.target();
    let page = probe_path(&target, &[]).replacen("/probe", "/target", 1);
    let story = probe_path(&target, &[("debug", "true")]);
    for path in [page.as_str(), story.as_str(), "/"] {
        let answer = stage.exporter.get(path);
        assert_eq!(answer.status, 200, "{path}");
        let text = answer.text();
        for live in LIVE {
            let html = answer
                .header("content-type")
                .is_some_and(|kind| kind.starts_with("text/html"));
            assert!(!html || !text.contains(live), "{live} on {path}");
        }
        assert!(!text.contains('\u{1b}') && !text.contains('\0'), "{path}");
        if path == page {
            assert!(
                text.contains("&lt;script&gt;alert(1)"),
                "escaped names are shown"
            );
            assert!(text.contains("<svg"), "and drawn");
        }
    }
    let log = stage.exporter.program.log();
    assert!(
        !log.contains('\u{1b}') && !log.contains("alert(1)"),
        "{log}"
    );
}
