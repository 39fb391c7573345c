//! stub

mod wait;
pub use wait::WaitReason;

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

/// Compiled classification rules, shared by all probes of a module. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Rules {}

impl Rules {
    /// Compiles them.
    ///
    /// # Errors
    /// When an expression does not compile or a list is too long.
    pub fn new(_spec: &ClassifySpec) -> Result<Self, ClassifyError> {
        Ok(Self {})
    }
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
