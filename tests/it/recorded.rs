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
        let mut seen = Vec::new();
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

#[test]
fn pieces_of_any_size_give_the_same_result() {
    for capture in Capture::all() {
        for file in FILES
            .map(|(file, _)| file)
            .into_iter()
            .chain(["stderr.txt"])
        {
            let Some(body) = capture.bytes(file) else {
                continue;
            };
            let whole = tally(&body, body.len());
            for size in [1, 2, 3, 7, 61, 64, 100, 1023, 4096, 65_536] {
                assert_eq!(
                    tally(&body, size),
                    whole,
                    "{}/{file} in pieces of {size}",
                    capture.name
                );
            }
        }
    }
}

#[test]
fn a_dump_cut_at_any_byte_never_has_more_goroutines_than_the_whole() {
    let mut cuts = 0;
    for capture in Capture::all() {
        for (file, _) in FILES {
            let Some(mut body) = capture.bytes(file) else {
                continue;
            };
            let whole = tally(&body, body.len()).unwrap().total;
            if !file.ends_with(".gz") {
                body.truncate(2_500);
            }
            for end in 0..body.len() {
                cuts += 1;
                match tally(&body[..end], 512) {
                    Ok(tally) => {
                        assert!(
                            tally.total <= whole,
                            "{}/{file} cut at {end}: {} of {whole}",
                            capture.name,
                            tally.total
                        );
                        let noticed = tally.summary.truncated || body[end - 1] == b'\n';
                        assert!(
                            noticed,
                            "{}/{file} cut at {end} in mid-line and nothing said",
                            capture.name
                        );
                        assert_eq!(tally.wait_reasons.iter().sum::<u64>(), tally.total);
                    }
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
            }
        }
    }
    assert!(cuts > 150_000, "only {cuts} cuts tried");
}

#[test]
fn fatal_signals_print_every_goroutine_once() {
    for name in ["go1.27.3-sigquit", "go1.27.3-sigquit-crash"] {
        let capture = Capture::all()
            .into_iter()
            .find(|capture| capture.name == name)
            .unwrap();
        let text = String::from_utf8(capture.bytes("stderr.txt").unwrap()).unwrap();
        let ids = text.lines().filter_map(|line| {
            let (id, rest) = line.strip_prefix("goroutine ")?.split_once(' ')?;
            rest.contains('[').then(|| id.parse::<u64>().unwrap())
        });
        let (threads, ids): (Vec<u64>, Vec<u64>) = ids.partition(|&id| id == 0);
        let expected = threads.len() + ids.iter().collect::<BTreeSet<_>>().len();
        let tally = capture.tally("stderr.txt").unwrap();
        assert_eq!(
            (tally.summary.damage, tally.summary.truncated),
            (0, false),
            "{name}"
        );
        assert_eq!(tally.total, u64::try_from(expected).unwrap(), "{name}");

        let truth = capture.truth();
        for (kind, about) in truth["kinds"].as_object().unwrap() {
            let frame = about["first_user_frame"]
                .as_str()
                .unwrap()
                .replace("%2e", ".");
            let reason = canonical(kind, about["wait_reason"].as_str().unwrap());
            let parked = !matches!(reason.as_str(), "running" | "syscall");
            let direct = kind.ends_with("_direct");
            let found: u64 = tally
                .groups
                .iter()
                .filter(|group| {
                    *group.blocking_frame == *frame
                        && (!parked || group.wait_reason.as_str() == reason)
                })
                .map(|group| group.goroutines)
                .sum();
            let expected = about["count"].as_u64().unwrap();
            // A signal also shows the compiler's wrapper of `go mu.Lock()`, which then is the blocking frame.
            assert!(
                found >= expected || direct,
                "{name}: {kind}: {found} of {expected}"
            );
        }
    }
}

#[test]
fn minutes_and_proven_leaks_are_read() {
    let capture = |name: &str| {
        Capture::all()
            .into_iter()
            .find(|capture| capture.name == name)
            .unwrap()
    };
    for name in ["go1.22.10-2min", "go1.27.3-2min"] {
        let tally = capture(name).tally("goroutine.debug2.txt").unwrap();
        let waiting: u64 = tally.waited.iter().map(|waited| waited[0]).sum();
        let text = String::from_utf8(capture(name).bytes("goroutine.debug2.txt").unwrap()).unwrap();
        let headers = text
            .lines()
            .filter(|line| line.starts_with("goroutine ") && line.contains(" minutes"));
        assert_eq!(waiting, u64::try_from(headers.count()).unwrap(), "{name}");
        let longest = tally.longest_waits.iter().max().unwrap().unwrap().as_secs();
        assert_eq!(longest, 120, "{name}");
    }
    let leaked = |name: &str, file: &str| capture(name).tally(file).unwrap();
    let all = leaked("go1.27.3", "goroutineleak.debug0.pb.gz");
    assert_eq!(
        (all.leaked, all.total, all.summary.leaked_only),
        (Some(94), 94, true)
    );
    assert_eq!(
        leaked("go1.27.3", "goroutineleak.debug1.txt").leaked,
        Some(94)
    );
    let text = leaked("go1.27.3", "goroutineleak.debug2.txt");
    assert_eq!(text.leaked, Some(94));
    assert!(text.total > 800);
    assert_eq!(
        leaked(
            "go1.26.6-goroutineleakprofile",
            "goroutineleak.debug0.pb.gz"
        )
        .leaked,
        Some(24)
    );
    let after = leaked("go1.27.3-after-leak-profile", "goroutine.debug2.txt");
    assert_eq!(after.leaked, Some(24));
    for group in after.groups.iter().filter(|group| group.leaked > 0) {
        assert!(group.leaked <= group.goroutines, "{group:?}");
    }
}
