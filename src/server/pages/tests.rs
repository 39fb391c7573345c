//! The pages with hostile content: nothing runs, nothing hides, nothing grows without end.

use std::time::SystemTime;

use super::profile::Profile;
use super::target::TargetPage;
use super::*;
use crate::classify::Rules;
use crate::config::Module;
use crate::numbers;
use crate::probe::{ProbeOutcome, test_outcome, test_report};
use crate::profile::{Encoding, Facts, FrameText, Leaf, Sink, Stack, Summary};
use crate::tally::StackCollector;
use crate::target::Target;
use std::sync::Arc;

/// A page, whatever is on it, is no larger than this.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// A profile of goroutines at these stacks of functions, the blocked one first.
fn profile(stacks: impl Iterator<Item = (Vec<String>, u64)>) -> Profile {
    let mut sink = StackCollector::new(&Rules::default());
    for (functions, goroutines) in stacks {
        let frames: Vec<_> = functions
            .iter()
            .map(|function| {
                sink.frame(FrameText {
                    function: function.as_bytes(),
                    file: function.as_bytes(),
                    line: 7,
                })
            })
            .collect();
        let id = sink.stack(Stack {
            frames: &frames,
            leaf: Leaf::Complete,
            root_cut: false,
        });
        let facts = Facts {
            count: goroutines,
            ..Facts::default()
        };
        sink.count(id, &facts);
    }
    let (tally, stacks) = sink.finish(Summary {
        encoding: Encoding::Protobuf,
        leaked_only: false,
        declared_total: None,
        truncated: false,
        damage: 0,
        process: None,
    });
    Profile { tally, stacks }
}

fn page(profile: Profile, adorn: impl FnOnce(&mut ProbeOutcome)) -> String {
    let mut report = test_report();
    report.tally = profile.tally.clone();
    report.selection.shown = (0..20.min(report.tally.groups.len())).collect();
    let mut outcome = test_outcome("http://a:1", Ok(report));
    adorn(&mut outcome);
    let (target, links): (Target, _) = ("http://a:1/x'y".parse().unwrap(), Links::new("", 0));
    TargetPage {
        links: &links,
        target: &target,
        label: "default",
        module: &Module::default(),
        outcome: &outcome,
        profile: Some(profile),
        story: "a story\n<script>alert(2)</script>\u{202e}",
        snapshots: Vec::new(),
        against: None,
        downloads: true,
        keeps: true,
        storage: true,
        now: SystemTime::UNIX_EPOCH,
    }
    .render()
    .into_string()
}

/// The page without the one script that is ours.
fn without_script(page: &str) -> String {
    let ours = format!("<script>{SCRIPT}</script>");
    assert_eq!(page.matches(&ours).count(), 1);
    page.replace(&ours, "")
}

#[test]
fn style_and_script_are_those_the_policy_names() {
    let page = page(profile(std::iter::empty()), |_| {});
    let policy = CONTENT_POLICY.to_str().unwrap();
    for tag in ["style", "script"] {
        let (_, rest) = page.split_once(&format!("<{tag}>")).unwrap();
        let (text, _) = rest.split_once(&format!("</{tag}>")).unwrap();
        let digest = STANDARD.encode(Sha256::digest(text));
        let named = format!("{tag}-src 'sha256-{digest}'");
        assert!(policy.contains(&named), "{policy}");
    }
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
}

#[test]
fn what_a_target_says_stays_text() {
    let name = "main.<script>alert(1)</script>\"'&\u{202e}\u{200b}".to_owned();
    let stacks = vec![(vec![name.clone(), "main.main".to_owned()], 5)];
    let page = page(profile(stacks.into_iter()), |outcome| {
        let report = outcome.result.as_mut().unwrap();
        report.tally.labels = vec![(
            Arc::from("<script>"),
            Arc::from("\"><img src=x onerror=alert(3)>"),
            2,
        )];
        report.tally.watches = vec![(Arc::from("<b>"), 1)];
        outcome.goroutine.problem = Some("<i>".to_owned());
    });
    let text = without_script(&page);
    for word in [
        "<script", "<img", "<b>", "<i>", " style=", "\u{202e}", "\u{200b}",
    ] {
        assert!(!text.contains(word), "{word:?} in {text}");
    }
    assert!(
        text.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
        "{text}"
    );
    // The command is one word for a shell, escaped for the page.
    assert!(
        text.contains(r"go tool pprof 'http://a:1/x'\''y/debug/pprof/goroutine'"),
        "{text}"
    );
}

#[test]
fn a_hostile_profile_makes_no_huge_page() {
    let long = |n: usize| format!("main.{n}\"<&{}", "\"<&>".repeat(1 << 16));
    let short = |n: usize| format!("main.{n}{}", "\"<&>".repeat(45));
    let wide = (0..50_000).map(|n| (vec![format!("main.f{n}"), format!("main.g{}", n % 7)], 1));
    let deep = (0..300).map(|n| ((0..500).map(|at| format!("main.f{}", at * n)).collect(), 9));
    let all = (0..1200).map(|n| {
        let calls = (0..100).map(|at| short(if at == 0 { n % 60 } else { at + n }));
        (calls.collect(), 3)
    });
    let names = (0..60).map(|n| (vec![long(n), long(n + 1)], 3));
    for (what, profile) in [
        ("wide", profile(wide)),
        ("deep", profile(deep)),
        ("names", profile(names)),
        ("all of it", profile(all)),
    ] {
        let total = profile.tally.total;
        let page = page(profile, |_| {});
        assert!(page.len() < MAX_PAGE_BYTES, "{what}: {} bytes", page.len());
        assert!(page.contains(&numbers::count(total, "goroutine")), "{what}");
        assert!(page.contains("<svg class=\"flame\" id=\"flame\""), "{what}");
    }
}

#[test]
fn links_lead_home_from_everywhere() {
    let here = Links::new("", 0);
    assert_eq!((here.home(), here.path("x").as_str()), ("./", "x"));
    let below = Links::new("", 1);
    assert_eq!((below.home(), below.path("x").as_str()), ("../", "../x"));
    let based = Links::new("/ge/", 1);
    assert_eq!((based.home(), based.path("x").as_str()), ("/ge/", "/ge/x"));
    assert_eq!(
        based.target("http://a:1", "m"),
        "/ge/target?target=http%3A%2F%2Fa%3A1&module=m"
    );
}
