use super::*;

fn classified(rules: &Rules, leaf: Leaf, functions: &[&str]) -> StackClass {
    rules.stack(leaf, functions.len(), |at| {
        rules.frame(functions[at].as_bytes(), b"")
    })
}

#[test]
fn wait_reason_from_the_frames_of_a_protobuf() {
    let check = |functions: &str, expected: WaitReason| {
        let rules = Rules::default();
        let frames: Vec<&str> = functions
            .split(" < ")
            .filter(|name| !name.is_empty())
            .collect();
        let class = classified(&rules, Leaf::Complete, &frames);
        assert_eq!(class.wait, Wait::Known(expected), "{functions}");
    };
    check("", WaitReason::Running);
    check(
        "runtime.gopark < runtime.chanrecv < runtime.chanrecv1 < main.f",
        WaitReason::ChanReceive,
    );
    check(
        "runtime.gopark < runtime.chanrecv < reflect.chanrecv < reflect.Value.recv",
        WaitReason::ChanReceive,
    );
    check(
        "runtime.gopark < runtime.chansend < runtime.chansend1 < main.f",
        WaitReason::ChanSend,
    );
    check(
        "runtime.gopark < runtime.selectgo < main.f",
        WaitReason::Select,
    );
    check(
        "runtime.gopark < runtime.block < main.f",
        WaitReason::SelectNoCases,
    );
    check(
        "runtime.gopark < runtime.netpollblock < internal/poll.runtime_pollWait",
        WaitReason::IoWait,
    );
    check("runtime.gopark < time.Sleep", WaitReason::Sleep);
    check(
        "runtime.gopark < runtime.goparkunlock < sync.runtime_notifyListWait < sync.(*Cond).Wait < main.f",
        WaitReason::CondWait,
    );
    let sema = "runtime.gopark < runtime.goparkunlock < runtime.semacquire1 < ";
    let with = |rest: &str| format!("{sema}{rest}");
    check(
        &with(
            "sync.runtime_SemacquireMutex < sync.(*Mutex).lockSlow < sync.(*Mutex).Lock < main.f",
        ),
        WaitReason::MutexLock,
    );
    check(
        &with("internal/sync.runtime_SemacquireMutex < internal/sync.(*Mutex).lockSlow < main.f"),
        WaitReason::MutexLock,
    );
    check(
        &with("sync.runtime_SemacquireMutex < sync.(*RWMutex).RLock < main.f"),
        WaitReason::RwMutexRLock,
    );
    check(
        &with("sync.runtime_SemacquireRWMutexR < sync.(*RWMutex).RLock < main.f"),
        WaitReason::RwMutexRLock,
    );
    check(
        &with("sync.runtime_SemacquireMutex < sync.(*RWMutex).Lock < main.f"),
        WaitReason::RwMutexLock,
    );
    check(
        &with(
            "sync.runtime_SemacquireMutex < sync.(*Mutex).lockSlow < sync.(*Mutex).Lock < sync.(*RWMutex).Lock",
        ),
        WaitReason::MutexLock,
    );
    check(
        &with("sync.runtime_Semacquire < sync.(*WaitGroup).Wait < main.f"),
        WaitReason::WaitGroupWait,
    );
    check(
        &with("sync.runtime_SemacquireWaitGroup < sync.(*WaitGroup).Wait"),
        WaitReason::WaitGroupWait,
    );
    check(
        &with("internal/poll.runtime_Semacquire < internal/poll.(*fdMutex).rwlock"),
        WaitReason::Semacquire,
    );
    check(
        &with("sync.runtime_Semacquire < main.f < sync.(*WaitGroup).Wait"),
        WaitReason::Semacquire,
    );
    check(
        "runtime.coroswitch < iter.Pull[go.shape.int].func2 < main.f",
        WaitReason::Coroutine,
    );
    check(
        "syscall.Syscall6 < os.(*Process).pidfdWait < main.f",
        WaitReason::Syscall,
    );
    check(
        "runtime.notetsleepg < os/signal.signal_recv < os/signal.loop",
        WaitReason::Syscall,
    );
    check(
        "runtime.asyncPreempt2 < runtime.asyncPreempt < main.f",
        WaitReason::Running,
    );
    check("runtime.Gosched < main.f", WaitReason::Running);
    check("main.f", WaitReason::Running);
    check("runtime.gopark < runtime.bgsweep", WaitReason::Runtime);
    check(
        "runtime.gopark < internal/synctest.Run < main.f",
        WaitReason::Runtime,
    );
    check("runtime.gopark < main.linknamed", WaitReason::Unknown);
    check("runtime.gopark", WaitReason::Unknown);
}

#[test]
fn wait_reason_from_words() {
    let check = |words: &str, expected: WaitReason| {
        assert_eq!(stated(words.as_bytes()), expected, "{words}");
    };
    check("chan receive (nil chan)", WaitReason::ChanReceive);
    check("select (no cases)", WaitReason::SelectNoCases);
    check("runnable", WaitReason::Running);
    check("GC worker (idle)", WaitReason::Runtime);
    check("some reason of a later Go", WaitReason::Unknown);
    check("", WaitReason::Unknown);
    for reason in WaitReason::ALL {
        if !matches!(
            reason,
            WaitReason::Running | WaitReason::Runtime | WaitReason::Unknown
        ) {
            check(reason.as_str(), reason);
        }
    }
}

#[test]
fn semacquire_of_old_versions_is_told_by_the_method() {
    let rules = Rules::default();
    let check = |functions: &[&str], expected: WaitReason| {
        assert_eq!(
            classified(&rules, Leaf::Stated, functions).wait,
            Wait::Stated(expected),
            "{functions:?}"
        );
    };
    check(
        &[
            "sync.runtime_Semacquire",
            "sync.(*WaitGroup).Wait",
            "main.f",
        ],
        WaitReason::WaitGroupWait,
    );
    check(
        &[
            "sync.runtime_SemacquireMutex",
            "sync.(*RWMutex).RLock",
            "main.f",
        ],
        WaitReason::RwMutexRLock,
    );
    check(
        &["sync.runtime_Semacquire", "main.f"],
        WaitReason::Semacquire,
    );
    check(
        &[
            "runtime.gopark",
            "runtime.goparkunlock",
            "runtime.semacquire1",
            "sync.runtime_Semacquire",
            "sync.(*WaitGroup).Wait",
        ],
        WaitReason::WaitGroupWait,
    );
    check(
        &["main.f", "sync.(*WaitGroup).Wait"],
        WaitReason::Semacquire,
    );
}

#[test]
fn blocking_application_and_entry_frames() {
    let spec = ClassifySpec {
        plumbing: vec!["example.com/svc/syncx/...".into()],
        ..ClassifySpec::default()
    };
    let rules = Rules::new(&spec).unwrap();
    let check = |functions: &[&str], expected: (Option<usize>, Option<usize>, Option<usize>)| {
        let class = classified(&rules, Leaf::Complete, functions);
        assert_eq!(
            (class.blocking, class.app, class.entry),
            expected,
            "{functions:?}"
        );
    };
    check(&[], (None, None, None));
    check(
        &[
            "runtime.gopark",
            "runtime.selectgo",
            "net/http.(*T).roundTrip",
            "main.get",
            "main.main",
            "runtime.main",
        ],
        (Some(2), Some(3), Some(4)),
    );
    check(&["runtime.gopark", "time.Sleep"], (Some(1), None, Some(1)));
    check(
        &["runtime.gopark", "runtime.bgsweep", "runtime.goexit"],
        (Some(2), None, Some(2)),
    );
    check(
        &[
            "sync.(*Mutex).Lock",
            "example.com/svc/syncx/lock.Do",
            "example.com/svc.f",
        ],
        (Some(2), Some(2), Some(2)),
    );
    check(
        &[
            "sync.(*Mutex).Lock",
            "example.com/svc/syncxy.Do",
            "example.com/svc.f",
        ],
        (Some(1), Some(1), Some(2)),
    );
}

#[test]
fn application_packages_override_paths() {
    let spec = ClassifySpec {
        app_packages: vec!["github.com/us/...".into(), "main".into()],
        ..ClassifySpec::default()
    };
    let rules = Rules::new(&spec).unwrap();
    let class = |function: &str, file: &str| rules.frame(function.as_bytes(), file.as_bytes());
    assert!(
        class(
            "github.com/us/lib.F",
            "/go/pkg/mod/github.com/us/lib@v1.0.0/f.go"
        )
        .app
    );
    assert!(class("github.com/us.F", "").app);
    assert!(!class("github.com/usx.F", "").app);
    assert!(!class("example.com/other.F", "/home/ci/other/f.go").app);
}

#[test]
fn watches_are_bits() {
    let watch = vec![
        ("map".to_owned(), r"^runtime\.mapassign.*".to_owned()),
        ("db".to_owned(), "database/sql".to_owned()),
    ];
    let rules = Rules::new(&ClassifySpec {
        watch,
        ..ClassifySpec::default()
    })
    .unwrap();
    let class = classified(
        &rules,
        Leaf::Complete,
        &["runtime.mapassign_faststr", "main.f"],
    );
    assert_eq!(class.watches, 1);
    let class = classified(
        &rules,
        Leaf::Complete,
        &["main.f", "database/sql.(*DB).conn"],
    );
    assert_eq!(class.watches, 2);
}

#[test]
fn bad_specs_are_refused() {
    for entry in ["", "github.com/x/*", "foo/", "/foo", "a/.../b", "a b"] {
        let spec = ClassifySpec {
            plumbing: vec![entry.into()],
            ..ClassifySpec::default()
        };
        assert!(
            matches!(Rules::new(&spec), Err(ClassifyError::Package { .. })),
            "{entry}"
        );
    }
    let bad = Rules::new(&ClassifySpec {
        watch: vec![("x".into(), "(".into())],
        ..ClassifySpec::default()
    });
    assert!(matches!(bad, Err(ClassifyError::Watch { name, .. }) if name == "x"));
    let many = Rules::new(&ClassifySpec {
        labels: vec!["k".into(); 33],
        ..ClassifySpec::default()
    });
    assert_eq!(
        many.unwrap_err().to_string(),
        "labels: 33 entries, at most 32 are allowed"
    );
}

#[test]
fn wait_reason_from_the_word_of_a_trace_and_the_frames_it_leaves() {
    let check = |word: &str, functions: &str, expected: WaitReason| {
        let frames: Vec<&str> = functions.split(" < ").collect();
        let leaf = if word == "sync" {
            Leaf::Stated
        } else {
            Leaf::Cut
        };
        let told = match classified(&Rules::default(), leaf, &frames).wait {
            Wait::Known(told) | Wait::Stated(told) => told,
            Wait::Hidden(_) => WaitReason::Unknown,
        };
        assert_eq!(
            traced(word.as_bytes(), told),
            expected,
            "{word}: {functions}"
        );
    };
    check(
        "chan send",
        "runtime.chansend1 < main.f",
        WaitReason::ChanSend,
    );
    check("chan receive", "main.f", WaitReason::ChanReceive);
    check("select", "main.f", WaitReason::Select);
    check(
        "network",
        "internal/poll.(*FD).Read < net.f",
        WaitReason::IoWait,
    );
    check("sleep", "main.f", WaitReason::Sleep);
    // One word for two waits that never end, told by the frame below.
    check(
        "forever",
        "runtime.chanrecv1 < main.f",
        WaitReason::ChanReceive,
    );
    check(
        "forever",
        "runtime.chansend1 < main.f",
        WaitReason::ChanSend,
    );
    check(
        "forever",
        "reflect.chanrecv < main.f",
        WaitReason::ChanReceive,
    );
    check(
        "forever",
        "runtime.block < main.f",
        WaitReason::SelectNoCases,
    );
    check("forever", "main.f", WaitReason::Unknown);
    // One word for all of package sync.
    check(
        "sync",
        "sync.(*WaitGroup).Wait < main.f",
        WaitReason::WaitGroupWait,
    );
    check(
        "sync",
        "internal/sync.(*Mutex).lockSlow < main.f",
        WaitReason::MutexLock,
    );
    check(
        "sync",
        "sync.(*RWMutex).RLock < main.f",
        WaitReason::RwMutexRLock,
    );
    check(
        "sync",
        "sync.(*RWMutex).Lock < main.f",
        WaitReason::RwMutexLock,
    );
    check(
        "sync",
        "internal/poll.(*fdMutex).rwlock < main.f",
        WaitReason::Semacquire,
    );
    check("sync.(*Cond).Wait", "main.f", WaitReason::CondWait);
    check(
        "GC mark assist wait for work",
        "main.f",
        WaitReason::Runtime,
    );
    check(
        "a word of tomorrow",
        "runtime.chanrecv1 < main.f",
        WaitReason::Unknown,
    );
}
