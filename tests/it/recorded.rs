//! Recorded profiles of Go 1.19 to 1.27 against what the recorded programs say they started.

use std::collections::{BTreeMap, BTreeSet};

use goroutine_exporter::profile::Encoding;

use crate::captures::{Capture, groups, tally};

const FILES: [(&str, Encoding); 3] = [
    ("goroutine.debug0.pb.gz", Encoding::Protobuf),
    ("goroutine.debug1.txt", Encoding::Debug1),
    ("goroutine.debug2.txt", Encoding::Debug2),
];

/// Whether a group is that of the connection that asked for the profile, or of the reader of a running trace: those
/// are in another state at the next request, so encodings may differ in them.
fn moves_between_requests(blocking: &str) -> bool {
    blocking.starts_with("runtime/pprof.")
        || blocking.starts_with("runtime/trace.")
        || blocking.starts_with("net/http.(*connReader).")
        || blocking == "net/http.checkConnErrorWriter.Write"
        || blocking == "net/http.(*conn).serve"
        || blocking == "(not started)"
}

/// The canonical wait reason of a kind: the words its version prints, and where those say only `semacquire`, what the
/// program did.
fn canonical(kind: &str, printed: &str) -> String {
    let printed = printed.replace(" (nil chan)", "");
    match printed.as_str() {
        "runnable" => "running".to_owned(),
        "semacquire" => match kind {
            _ if kind.contains("waitgroup") => "sync.WaitGroup.Wait",
            _ if kind.contains("rwmutex_rlock") => "sync.RWMutex.RLock",
            _ if kind.contains("queued_behind_writer") => "sync.Mutex.Lock",
            _ if kind.contains("rwmutex_lock") => "sync.RWMutex.Lock",
            _ if kind.contains("fdmutex") || kind.contains("linkname") => "semacquire",
            _ => "sync.Mutex.Lock",
        }
        .to_owned(),
        _ => printed,
    }
}

#[test]
fn the_three_encodings_of_a_capture_give_the_same_groups() {
    let mut compared = 0;
    for capture in Capture::all() {
        let mut seen: Vec<(&str, BTreeMap<(String, String, String), u64>)> = Vec::new();
        for (file, encoding) in FILES {
            let Some(tally) = capture.tally(file) else {
                continue;
            };
            assert_eq!(tally.summary.encoding, encoding);
            assert_eq!(
                (tally.summary.truncated, tally.summary.damage),
                (false, 0),
                "{}/{file}",
                capture.name
            );
            assert_eq!(
                tally
                    .groups
                    .iter()
                    .map(|group| group.goroutines)
                    .sum::<u64>(),
                tally.total
            );
            assert_eq!(tally.wait_reasons.iter().sum::<u64>(), tally.total);
            let mut groups = groups(&tally);
            groups.retain(|(_, blocking, _), _| !moves_between_requests(blocking));
            seen.push((file, groups));
        }
        for pair in seen.windows(2) {
            let ((left_file, left), (right_file, right)) = (&pair[0], &pair[1]);
            let differ: Vec<_> = left
                .keys()
                .chain(right.keys())
                .filter(|key| left.get(*key) != right.get(*key))
                .map(|key| (key, left.get(key), right.get(key)))
                .collect();
            assert!(
                differ.is_empty(),
                "{}: {left_file} and {right_file}: {differ:#?}",
                capture.name
            );
            compared += 1;
        }
    }
    assert!(compared >= 24, "only {compared} pairs compared");
}

#[test]
fn wait_reason_blocking_frame_and_creator_are_what_the_program_says() {
    let mut checked = 0;
    for capture in Capture::all() {
        let truth = capture.truth();
        let mut expected: BTreeMap<(String, String), (u64, BTreeSet<String>)> = BTreeMap::new();
        for (kind, about) in truth["kinds"].as_object().unwrap() {
            let text = |key: &str| about[key].as_str().unwrap_or_default().replace("%2e", ".");
            let count = about["count"].as_u64().unwrap();
            if count > 0 {
                let key = (
                    canonical(kind, &text("wait_reason")),
                    text("first_user_frame"),
                );
                let entry = expected.entry(key).or_default();
                entry.0 += count;
                entry.1.insert(text("created_by"));
            }
        }
        // The main goroutine, which waits in a second accept and was created by none.
        let main = expected
            .entry(("IO wait".to_owned(), "net/http.(*Server).Serve".to_owned()))
            .or_default();
        main.0 += 1;
        main.1.insert(String::new());
        for (file, _) in FILES {
            let Some(tally) = capture.tally(file) else {
                continue;
            };
            let mut found: BTreeMap<(String, String), u64> = BTreeMap::new();
            for group in &tally.groups {
                *found
                    .entry((
                        group.wait_reason.to_string(),
                        group.blocking_frame.to_string(),
                    ))
                    .or_default() += group.goroutines;
            }
            for (key, (count, creators)) in &expected {
                let more = if moves_between_requests(&key.1) { 2 } else { 0 };
                let seen = found.get(key).copied().unwrap_or(0);
                assert!(
                    (*count..=count + more).contains(&seen),
                    "{}/{file}: {key:?}: {seen}, not {count}",
                    capture.name
                );
                checked += count;
                for group in tally
                    .groups
                    .iter()
                    .filter(|group| group.created_by.is_some())
                {
                    if (
                        group.wait_reason.to_string(),
                        group.blocking_frame.to_string(),
                    ) == *key
                    {
                        let creator = group.created_by.as_deref().unwrap();
                        assert!(
                            creators.contains(creator),
                            "{}: {key:?} created by {creator}, not {creators:?}",
                            capture.name
                        );
                    }
                }
            }
        }
    }
    assert!(checked > 20_000, "only {checked} goroutines checked");
}
