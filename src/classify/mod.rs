//! What a stack means: why the goroutine waits, at which function, on behalf of which application function.
//!
//! A total function over what a decoder read; nothing here fails, and nothing is guessed: what the frames and
//! words do not say is [`WaitReason::Unknown`]. The rules are data in [`tables`]; how symbols and paths are
//! read is in [`names`].

pub mod names;
pub mod tables;
#[cfg(test)]
mod tests;
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
    /// An entry that can never match a package.
    #[error(
        "{what}: {entry:?} names no package; write path/of/package, or path/... for all below it"
    )]
    Package {
        /// The key.
        what: &'static str,
        /// The entry.
        entry: String,
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
        for (what, entries) in [
            ("plumbing", &spec.plumbing),
            ("app_packages", &spec.app_packages),
        ] {
            if let Some(entry) = entries.iter().find(|entry| !Packages::can_match(entry)) {
                return Err(ClassifyError::Package {
                    what,
                    entry: entry.clone(),
                });
            }
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
            Leaf::Cut => Wait::Known(match role(0) {
                Role::StandIn(reason) => reason,
                _ => from_caller(role, 0),
            }),
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

    fn can_match(entry: &str) -> bool {
        let path = entry.strip_suffix("/...").unwrap_or(entry);
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '*';
        !path.is_empty()
            && !path.starts_with('/')
            && !path.ends_with('/')
            && !path.contains("...")
            && !path.contains(odd)
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

/// The wait reason that an execution trace tells in one of its few words. `told` is what the stack says where the word
/// stands for several.
///
/// Source: `traceBlockReasonStrings` in Go's runtime/traceruntime.go, Go 1.22 to 1.27.
#[must_use]
pub fn traced(word: &[u8], told: WaitReason) -> WaitReason {
    match word {
        b"chan receive" => WaitReason::ChanReceive,
        b"chan send" => WaitReason::ChanSend,
        b"select" => WaitReason::Select,
        b"network" => WaitReason::IoWait,
        b"sleep" => WaitReason::Sleep,
        b"sync.(*Cond).Wait" => WaitReason::CondWait,
        b"preempted" => WaitReason::Running,
        b"sync" | b"forever" | b"unspecified" => told,
        b"GC background sweeper wait"
        | b"GC mark assist wait for work"
        | b"GC weak to strong wait"
        | b"synctest"
        | b"system goroutine wait"
        | b"wait for debug call"
        | b"wait until GC ends" => WaitReason::Runtime,
        _ => WaitReason::Unknown,
    }
}

/// The wait reason from a complete stack: gopark's caller, else a leaf that is a system call, else it runs.
fn from_frames(role: impl Fn(usize) -> Role) -> WaitReason {
    match role(0) {
        Role::Park => {
            let caller = if role(1) == Role::ParkUnlock { 2 } else { 1 };
            from_caller(role, caller)
        }
        Role::Leaf(reason) => reason,
        _ if (1..3).any(|at| role(at) == Role::StandIn(WaitReason::Syscall)) => WaitReason::Syscall,
        _ => WaitReason::Running,
    }
}

/// The wait reason from the caller of the function that parks, at that place.
fn from_caller(role: impl Fn(usize) -> Role, caller: usize) -> WaitReason {
    match role(caller) {
        Role::Parked(reason) => reason,
        Role::Semaphore => semaphore(role, caller),
        _ => WaitReason::Unknown,
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
