//! What a stack means: why the goroutine waits, at which function, on behalf of which application function.
//!
//! A total function over what a decoder read; nothing here fails, and nothing is guessed: what the frames and
//! words do not say is [`WaitReason::Unknown`]. The rules are data in [`tables`]; how symbols and paths are
//! read is in [`names`].

pub mod names;
pub mod tables;
mod wait;

use std::sync::Arc;

use regex::bytes::RegexSet;

pub use wait::WaitReason;

use crate::profile::Leaf;
use tables::Role;

/// The most entries of `plumbing`, `app_packages` or `labels`, and of `watch`, whose hits are a bit mask.
pub const MAX_ENTRIES: usize = 32;

/// The name of a goroutine that has not run yet, in place of a frame.
pub const NOT_STARTED: &str = "(not started)";

/// The name in place of a frame where a dump could not walk the stack.
pub const NO_STACK: &str = "(no stack)";

/// What a module says about classification: its `classify:` block, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassifySpec {
    /// Packages skipped on the way to the blocking frame, beside the built-in ones. An entry names one
    /// package, or with a trailing `/...` everything under it.
    pub plumbing: Vec<String>,
    /// What counts as the application: same form. Empty: neither standard library nor dependency.
    pub app_packages: Vec<String>,
    /// The pprof label keys to count goroutines by.
    pub labels: Vec<String>,
    /// Named regular expressions over function names.
    pub watch: Vec<(String, String)>,
}

/// A `classify:` block that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClassifyError {
    /// An expression does not compile.
    #[error("watch {name:?}: {problem}")]
    Watch {
        /// Its name in the configuration.
        name: String,
        /// What the regex crate says.
        problem: String,
    },
    /// Too many of something.
    #[error("{what}: {count} entries, at most {limit} are allowed")]
    TooMany {
        /// The key.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
}

/// Whose code a frame is, told from its file path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// The application itself.
    App,
    /// A module it depends on.
    Dependency,
    /// Go's standard library.
    Stdlib,
}

impl Origin {
    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Dependency => "dependency",
            Self::Stdlib => "stdlib",
        }
    }
}

/// Compiled classification rules, shared by all probes of a module. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Rules(Arc<Compiled>);

#[derive(Debug, Default)]
struct Compiled {
    plumbing: Vec<Packages>,
    app_packages: Vec<Packages>,
    labels: Vec<String>,
    watch_names: Vec<Arc<str>>,
    watch: RegexSet,
}

#[derive(Debug)]
enum Packages {
    One(String),
    Below(String),
}

/// What one frame is, whatever stack it stands in.
#[derive(Clone, Copy, Debug)]
pub struct FrameClass {
    role: Role,
    plumbing: bool,
    app: bool,
    runtime: bool,
    origin: Origin,
    watches: u32,
}

/// The wait reason of a stack, as far as its frames tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The frames tell.
    Known(WaitReason),
    /// The header's words tell; where they only say `semacquire`, this is what was waited for.
    Stated(WaitReason),
    /// Hidden addresses will tell, or nothing.
    Hidden(u16),
}

/// What a stack means. Places count from the leaf.
#[derive(Clone, Copy, Debug)]
pub struct StackClass {
    /// Why it waits.
    pub wait: Wait,
    /// The blocking frame; `None` for an empty stack.
    pub blocking: Option<usize>,
    /// The application frame.
    pub app: Option<usize>,
    /// The outermost frame that is not the runtime's start of a goroutine.
    pub entry: Option<usize>,
    /// The watch expressions that match any frame, as a bit mask.
    pub watches: u32,
}

impl Rules {
    /// Compiles them.
    ///
    /// # Errors
    /// When an expression does not compile or a list is too long.
    pub fn new(spec: &ClassifySpec) -> Result<Self, ClassifyError> {
        let lists = [
            ("plumbing", spec.plumbing.len()),
            ("app_packages", spec.app_packages.len()),
            ("labels", spec.labels.len()),
            ("watch", spec.watch.len()),
        ];
        if let Some(&(what, count)) = lists.iter().find(|(_, count)| *count > MAX_ENTRIES) {
            return Err(ClassifyError::TooMany {
                what,
                count,
                limit: MAX_ENTRIES,
            });
        }
        for (name, expression) in &spec.watch {
            regex::bytes::Regex::new(expression).map_err(|error| ClassifyError::Watch {
                name: name.clone(),
                problem: error.to_string(),
            })?;
        }
        let watch = RegexSet::new(spec.watch.iter().map(|(_, expression)| expression)).map_err(
            |error| ClassifyError::Watch {
                name: "all together".to_owned(),
                problem: error.to_string(),
            },
        )?;
        Ok(Self(Arc::new(Compiled {
            plumbing: spec
                .plumbing
                .iter()
                .map(|entry| Packages::parse(entry))
                .collect(),
            app_packages: spec
                .app_packages
                .iter()
                .map(|entry| Packages::parse(entry))
                .collect(),
            labels: spec.labels.clone(),
            watch_names: spec
                .watch
                .iter()
                .map(|(name, _)| name.as_str().into())
                .collect(),
            watch,
        })))
    }

    /// The pprof label keys to count by.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.0.labels
    }

    /// The names of the watch expressions, in the order of the bits of [`StackClass::watches`].
    #[must_use]
    pub fn watches(&self) -> &[Arc<str>] {
        &self.0.watch_names
    }

    /// What a frame is. Cost: a few comparisons of the symbol, and the watch expressions over it.
    #[must_use]
    pub fn frame(&self, function: &[u8], file: &[u8]) -> FrameClass {
        let package = names::package(function);
        let configured = self
            .0
            .plumbing
            .iter()
            .any(|packages| packages.contain(package));
        let origin = names::origin(package, file);
        let app = if self.0.app_packages.is_empty() {
            origin == Origin::App
        } else {
            self.0
                .app_packages
                .iter()
                .any(|packages| packages.contain(package))
        };
        let mut watches = 0;
        if !self.0.watch.is_empty() {
            for bit in self.0.watch.matches(function) {
                watches |= u32::try_from(bit)
                    .ok()
                    .and_then(|bit| 1_u32.checked_shl(bit))
                    .unwrap_or(0);
            }
        }
        FrameClass {
            role: tables::role(function),
            plumbing: configured || names::is_plumbing(package),
            app: app && !configured,
            runtime: package == b"runtime",
            origin: if app { Origin::App } else { origin },
            watches,
        }
    }

    /// What a stack of `depth` frames means, which `frame` tells by their place from the leaf. Cost: reads to the
    /// application frame, and from the root to the entry; the whole stack only where something is watched.
    #[must_use]
    pub fn stack(
        &self,
        leaf: Leaf,
        depth: usize,
        frame: impl Fn(usize) -> FrameClass,
    ) -> StackClass {
        let (mut blocking, mut app) = (None, None);
        for at in 0..depth {
            let class = frame(at);
            if blocking.is_none() && !class.plumbing {
                blocking = Some(at);
            }
            if class.app {
                app = Some(at);
                break;
            }
        }
        let outermost = (0..depth)
            .rev()
            .find(|&at| !frame(at).runtime)
            .or(depth.checked_sub(1));
        let watches = if self.0.watch.is_empty() {
            0
        } else {
            (0..depth).fold(0, |mask, at| mask | frame(at).watches)
        };
        let role = |at: usize| {
            if at < depth {
                frame(at).role
            } else {
                Role::None
            }
        };
        let wait = match leaf {
            Leaf::Complete => Wait::Known(from_frames(role)),
            Leaf::Stated => Wait::Stated(semaphore(role, 0)),
            Leaf::Hidden(id) => from_visible(role).map_or(Wait::Hidden(id.0), Wait::Known),
        };
        StackClass {
            wait,
            blocking: blocking.or(outermost),
            app,
            entry: outermost,
            watches,
        }
    }

    /// The wait reason behind names of hidden functions, leaf first.
    #[must_use]
    pub fn revealed(&self, functions: &[&str]) -> WaitReason {
        from_frames(|at| {
            functions
                .get(at)
                .map_or(Role::None, |function| tables::role(function.as_bytes()))
        })
    }
}

impl FrameClass {
    /// Whose code it is.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }
}

impl Packages {
    fn parse(entry: &str) -> Self {
        match entry.strip_suffix("/...") {
            Some(root) => Self::Below(root.to_owned()),
            None => Self::One(entry.to_owned()),
        }
    }

    fn contain(&self, package: &[u8]) -> bool {
        match self {
            Self::One(one) => package == one.as_bytes(),
            Self::Below(root) => package
                .strip_prefix(root.as_bytes())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")),
        }
    }
}

/// The wait reason that a text header states, as far as its first words go.
#[must_use]
pub fn stated(words: &[u8]) -> WaitReason {
    tables::STATED
        .binary_search_by_key(&words, |(stated, _)| stated)
        .ok()
        .and_then(|at| tables::STATED.get(at))
        .map_or(WaitReason::Unknown, |(_, reason)| *reason)
}

/// The wait reason from a complete stack: gopark's caller, else a leaf that is a system call, else it runs.
fn from_frames(role: impl Fn(usize) -> Role) -> WaitReason {
    match role(0) {
        Role::Park => {
            let caller = if role(1) == Role::ParkUnlock { 2 } else { 1 };
            match role(caller) {
                Role::Parked(reason) => reason,
                Role::Semaphore => semaphore(role, caller),
                _ => WaitReason::Unknown,
            }
        }
        Role::Leaf(reason) => reason,
        _ if (1..3).any(|at| role(at) == Role::StandIn(WaitReason::Syscall)) => WaitReason::Syscall,
        _ => WaitReason::Running,
    }
}

/// What a semaphore was taken for: the method of package sync, which means the same in every version of Go,
/// before the runtime's own name for it. The frame at `from` is at or above the semaphore.
fn semaphore(role: impl Fn(usize) -> Role, from: usize) -> WaitReason {
    let mut reason = WaitReason::Semacquire;
    for at in from.. {
        match role(at) {
            Role::Method(method) => return method,
            Role::SemaphoreEntry(entry) => reason = entry,
            Role::Parked(WaitReason::CondWait) => reason = WaitReason::CondWait,
            Role::Park | Role::ParkUnlock | Role::Semaphore => {}
            _ => break,
        }
    }
    reason
}

/// The wait reason from a stack whose leading runtime frames are hidden, where what is visible tells.
fn from_visible(role: impl Fn(usize) -> Role) -> Option<WaitReason> {
    match role(0) {
        Role::StandIn(reason)
        | Role::Leaf(reason)
        | Role::Parked(reason @ (WaitReason::Sleep | WaitReason::CondWait)) => Some(reason),
        Role::SemaphoreEntry(_) => Some(semaphore(role, 0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
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
            &with(
                "internal/sync.runtime_SemacquireMutex < internal/sync.(*Mutex).lockSlow < main.f",
            ),
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
        let check = |functions: &[&str],
                     expected: (Option<usize>, Option<usize>, Option<usize>)| {
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
}
