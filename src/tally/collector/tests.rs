use super::*;
use crate::classify::{ClassifySpec, NO_STACK};
use crate::profile::{Encoding, Leaf};
use crate::tally::judge::MAX_STACKS;
use crate::tally::labels::MAX_LABEL_VALUES;

const SUMMARY: Summary = Summary {
    encoding: Encoding::Debug2,
    leaked_only: false,
    declared_total: None,
    truncated: false,
    damage: 0,
    process: None,
};

const ONE: Facts<'_> = Facts {
    count: 1,
    delay_nanoseconds: 0,
    wait_reason: Some(b"select"),
    waited_minutes: None,
    leaked: false,
    not_started: false,
    created_by: None,
    id: None,
    labels: &[],
};

fn collector() -> Collector {
    Collector::new(&Rules::default())
}

/// A stack of functions, leaf first, each `function` or `function@file:line`.
fn stack(collector: &mut Collector, leaf: Leaf, calls: &[&str]) -> StackId {
    let frames: Vec<FrameId> = calls
        .iter()
        .map(|call| {
            let (function, place) = call.split_once('@').unwrap_or((call, ""));
            let (file, line) = place.rsplit_once(':').unwrap_or((place, "0"));
            collector.frame(FrameText {
                function: function.as_bytes(),
                file: file.as_bytes(),
                line: line.parse().unwrap(),
            })
        })
        .collect();
    collector.stack(Stack {
        frames: &frames,
        leaf,
        root_cut: false,
    })
}

fn add_one(collector: &mut Collector, calls: &[&str], facts: &Facts<'_>) {
    let stack = stack(collector, Leaf::Stated, calls);
    collector.count(stack, facts);
}

fn finish(collector: Collector) -> Tally {
    let tally = collector.finish(SUMMARY);
    let listed: u64 = tally.groups.iter().map(|group| group.goroutines).sum();
    assert_eq!(listed + tally.unlisted, tally.total);
    assert_eq!(tally.wait_reasons.iter().sum::<u64>(), tally.total);
    tally
}

#[test]
fn goroutines_of_one_key_are_one_group_largest_first() {
    let mut counts = collector();
    for line in 0..3 {
        add_one(
            &mut counts,
            &["sync.f", &format!("main.a@/a.go:{line}")],
            &ONE,
        );
    }
    add_one(&mut counts, &["main.b@/b.go:1"], &ONE);
    let sleeping = Facts {
        wait_reason: Some(b"sleep"),
        ..ONE
    };
    add_one(&mut counts, &["sync.f", "main.a@/a.go:0"], &sleeping);
    let tally = finish(counts);
    let shown: Vec<_> = tally
        .groups
        .iter()
        .map(|group| {
            (
                group.wait_reason.as_str(),
                &*group.blocking_frame,
                group.goroutines,
            )
        })
        .collect();
    assert_eq!(shown[0], ("select", "main.a", 3));
    assert_eq!(shown.len(), 3);
    assert!(tally.groups[1].id < tally.groups[2].id, "ties by id");
}

#[test]
fn waits_are_cumulative_and_the_longest_counts() {
    let mut counts = collector();
    for waited_minutes in [None, Some(1), Some(10), Some(61), Some(u64::MAX)] {
        add_one(
            &mut counts,
            &["main.a"],
            &Facts {
                waited_minutes,
                ..ONE
            },
        );
    }
    let tally = finish(counts);
    let select = WaitReason::Select.index();
    assert_eq!(tally.waited[select], [4, 3, 2, 1]);
    let forever = Some(Duration::from_secs(u64::MAX));
    assert_eq!(tally.longest_waits[select], forever);
    assert_eq!(tally.groups[0].longest_wait, forever);
    assert_eq!(tally.longest_waits[WaitReason::Sleep.index()], None);
}

#[test]
fn hidden_waits_become_what_is_revealed_and_join_their_group() {
    let mut counts = collector();
    let hidden = |id| Leaf::Hidden(HiddenId(id));
    let facts = Facts {
        wait_reason: None,
        ..ONE
    };
    for id in [0, 1, 2] {
        let stack = stack(&mut counts, hidden(id), &["main.a"]);
        counts.count(stack, &facts);
    }
    let complete = stack(
        &mut counts,
        Leaf::Complete,
        &["runtime.gopark", "runtime.chanrecv", "main.a"],
    );
    counts.count(complete, &facts);
    counts.reveal(HiddenId(0), &["runtime.gopark", "runtime.chanrecv"]);
    counts.reveal(HiddenId(1), &["runtime.gopark", "runtime.chanrecv"]);
    let tally = finish(counts);
    let shown: Vec<_> = tally
        .groups
        .iter()
        .map(|group| (group.wait_reason, group.goroutines))
        .collect();
    assert_eq!(
        shown,
        [(WaitReason::ChanReceive, 3), (WaitReason::Unknown, 1)]
    );
}

#[test]
fn whose_code_it_is_does_not_depend_on_the_order() {
    // One function, of the application's own source and of a copy in the module cache.
    let copies = [
        "example.com/a.F@/home/ci/a/a.go:1",
        "example.com/a.F@/go/pkg/mod/example.com/a@v1.0.0/a.go:1",
    ];
    for order in [[0, 1], [1, 0]] {
        let rules = Rules::new(&ClassifySpec {
            app_packages: vec!["main".into()],
            ..ClassifySpec::default()
        });
        let mut counts = Collector::new(&rules.unwrap());
        for copy in order {
            add_one(&mut counts, &[copies[copy], "main.main"], &ONE);
        }
        let tally = finish(counts);
        assert_eq!(
            (tally.groups.len(), tally.groups[0].origin),
            (1, Origin::App)
        );
    }
}

#[test]
fn the_most_frequent_place_entry_and_creator_are_shown() {
    let calls: Vec<String> = (0..100)
        .map(|line| format!("main.a@/a.go:{line}"))
        .collect();
    let mut counts = collector();
    for (line, call) in calls.iter().enumerate() {
        let times = if line == 7 { 5 } else { 1 };
        let entry = format!("main.entry{}", line % 40);
        let creator = counts.frame(FrameText {
            function: if line % 3 == 0 { b"main.x" } else { b"main.y" },
            file: b"/a.go",
            line: u32::try_from(line).unwrap(),
        });
        let stack = stack(&mut counts, Leaf::Stated, &[call, &entry]);
        counts.count(
            stack,
            &Facts {
                count: times,
                created_by: Some(creator),
                ..ONE
            },
        );
    }
    let tally = finish(counts);
    let [group] = &tally.groups[..] else {
        panic!("{:?}", tally.groups);
    };
    assert_eq!((&*group.file, group.line), ("a.go", 7));
    assert_eq!(&*group.entry, "main.entry7");
    assert_eq!(group.created_by.as_deref(), Some("main.y"));
}

#[test]
fn goroutines_of_too_many_groups_are_counted_and_their_leaks_too() {
    let mut counts = collector();
    let leaked = Facts {
        leaked: true,
        count: 2,
        ..ONE
    };
    for number in 0..MAX_GROUPS + 100 {
        add_one(&mut counts, &[&format!("main.f{number}")], &leaked);
    }
    let tally = finish(counts);
    assert_eq!((tally.groups.len(), tally.unlisted), (MAX_GROUPS, 200));
    assert_eq!(tally.leaked, Some(tally.total));
    assert_eq!(tally.wait_reasons[WaitReason::Unknown.index()], 200);
}

#[test]
fn stacks_beyond_the_table_are_judged_each_time() {
    let mut counts = collector();
    for number in 0..MAX_STACKS + 1000 {
        let stack = stack(
            &mut counts,
            Leaf::Stated,
            &[["main.a", "main.b"][number % 2]],
        );
        assert_eq!(stack == StackId::TRANSIENT, number >= MAX_STACKS);
        counts.count(stack, &ONE);
    }
    let tally = finish(counts);
    assert_eq!((tally.groups.len(), tally.unlisted), (2, 0));
    assert_eq!(tally.groups[0].goroutines, tally.groups[1].goroutines);
}

#[test]
fn frames_beyond_the_table_are_counted_in_no_group() {
    let mut counts = collector();
    let text = vec![b'x'; 10 << 20];
    for number in 0..3_u32 {
        let frame = counts.frame(FrameText {
            function: &text,
            file: number.to_string().as_bytes(),
            line: 1,
        });
        let stack = counts.stack(Stack {
            frames: &[frame],
            leaf: Leaf::Stated,
            root_cut: false,
        });
        counts.count(stack, &ONE);
    }
    let tally = finish(counts);
    assert_eq!((tally.groups.len(), tally.unlisted), (1, 2));
    assert!(tally.groups[0].blocking_frame.len() <= names::NAME_BYTES);
}

/// Thousands of groups whose application frame has a path of megabytes: worked out for each, it took minutes.
#[test]
fn a_path_is_made_relative_once() {
    let mut counts = collector();
    let app = counts.frame(FrameText {
        function: b"main.a",
        file: format!("/{}.go", "z".repeat(8 << 20)).as_bytes(),
        line: 1,
    });
    for number in 0..10_000_u32 {
        let dependency = counts.frame(FrameText {
            function: format!("example.com/x.f{number}").as_bytes(),
            file: b"/go/pkg/mod/example.com/x@v1.0.0/x.go",
            line: 1,
        });
        let stack = counts.stack(Stack {
            frames: &[dependency, app],
            leaf: Leaf::Stated,
            root_cut: false,
        });
        counts.count(stack, &ONE);
    }
    let tally = finish(counts);
    assert_eq!(tally.groups.len(), 10_000);
    assert!(
        tally
            .groups
            .iter()
            .all(|group| group.file.ends_with("zz.go"))
    );
}

#[test]
fn label_values_are_counted_up_to_a_number_and_a_length() {
    let rules = Rules::new(&ClassifySpec {
        labels: vec!["tenant".into(), "absent".into()],
        ..ClassifySpec::default()
    });
    let mut counts = Collector::new(&rules.unwrap());
    assert!(counts.wants_labels() && !collector().wants_labels());
    let stack = stack(&mut counts, Leaf::Stated, &["main.a"]);
    let huge = vec![b'x'; 1 << 20];
    let mut values: Vec<Vec<u8>> = vec![huge, b"caf\xff".to_vec(), Vec::new()];
    values.extend((0..30).map(|number: u32| number.to_string().into_bytes()));
    for value in &values {
        let labels = [(&b"tenant"[..], value.as_slice()), (b"user", b"secret")];
        counts.count(
            stack,
            &Facts {
                labels: &labels,
                count: 10,
                ..ONE
            },
        );
    }
    let tally = finish(counts);
    assert_eq!(tally.labels.len(), MAX_LABEL_VALUES + 1);
    let counted: u64 = tally.labels.iter().map(|(_, _, count)| count).sum();
    assert_eq!(counted, tally.total);
    assert!(tally.labels.is_sorted());
    for (key, value, _) in &tally.labels {
        assert!(&**key == "tenant" && value.len() <= names::NAME_BYTES);
    }
    let of = |wanted: &str| {
        tally
            .labels
            .iter()
            .find(|(_, value, _)| &**value == wanted)
            .map(|(_, _, count)| *count)
    };
    assert_eq!(of("other"), Some(130));
    assert_eq!(of("caf\u{fffd}"), Some(10));
    assert_eq!(of(""), Some(10));
}

#[test]
fn watches_and_the_highest_id() {
    let rules = Rules::new(&ClassifySpec {
        watch: vec![
            ("maps".into(), "^runtime\\.map".into()),
            ("none".into(), "nothing".into()),
        ],
        ..ClassifySpec::default()
    });
    let mut counts = Collector::new(&rules.unwrap());
    for (id, calls) in [
        (Some(7), &["runtime.mapassign", "main.a"][..]),
        (Some(3), &["main.a"]),
        (None, &["main.a", "runtime.mapaccess1"]),
    ] {
        add_one(&mut counts, calls, &Facts { id, ..ONE });
    }
    let tally = finish(counts);
    assert_eq!(tally.watches, [("maps".into(), 2), ("none".into(), 0)]);
    assert_eq!(tally.highest_id, Some(7));
}

#[test]
fn a_goroutine_that_never_ran_has_no_frames() {
    let mut counts = collector();
    let facts = Facts {
        not_started: true,
        ..ONE
    };
    add_one(&mut counts, &["main.start.gowrap1"], &facts);
    add_one(&mut counts, &[], &ONE);
    let tally = finish(counts);
    let mut shown: Vec<_> = tally
        .groups
        .iter()
        .map(|group| (&*group.blocking_frame, &*group.app_frame, &*group.file))
        .collect();
    shown.sort_unstable();
    assert_eq!(shown, [(NO_STACK, "", ""), (NOT_STARTED, "", "")]);
}

#[test]
fn what_a_dump_has_to_walk_is_never_too_low() {
    let mut counts = collector();
    let mut add = |depth: usize, root_cut, count| {
        let frames = vec![
            counts.frame(FrameText {
                function: b"main.a",
                file: b"",
                line: 0,
            });
            depth
        ];
        let stack = counts.stack(Stack {
            frames: &frames,
            leaf: Leaf::Complete,
            root_cut,
        });
        counts.count(stack, &Facts { count, ..ONE });
        counts.depths
    };
    assert_eq!(add(3, false, 10), 30);
    // Nothing to walk still costs a look.
    assert_eq!(add(0, false, 2), 32);
    // Go kept 32 calls or 128 of it; how many there are nobody knows.
    assert_eq!(add(32, true, 1), 32 + 128);
    assert_eq!(add(128, true, 1), 32 + 2 * 128);
    assert_eq!(add(200, true, 1), 32 + 2 * 128 + 200);
    assert_eq!(add(3, false, u64::MAX / 2), u64::MAX, "it saturates");
    assert_eq!(counts.finish(SUMMARY).frames, u64::MAX);
}

#[test]
fn frames_tell_before_words_and_only_text_tells_creators() {
    let mut counts = collector();
    let complete = stack(
        &mut counts,
        Leaf::Complete,
        &["runtime.gopark", "runtime.chanrecv", "main.a"],
    );
    let facts = Facts {
        wait_reason: Some(b"select"),
        ..ONE
    };
    counts.count(complete, &facts);
    let tally = finish(counts);
    let [group] = &tally.groups[..] else {
        panic!("{:?}", tally.groups);
    };
    assert_eq!(group.wait_reason, WaitReason::ChanReceive);
    assert_eq!(group.created_by, None);
}
