//! Targets that are found while the exporter runs: in files, which are read again when they change, and in records of
//! DNS.
//!
//! What is found stays until something better is known: a file that cannot be used, or a name server that does not answer,
//! takes nobody's targets away; a file that is gone, or a name that is nobody's, does. Everything is bounded. Here is no
//! decision on where probes may go: each target says on whose word it is known ([`Word`]), and the server holds it
//! against the policy.

mod files;
mod message;
mod names;
mod resolver;

use std::time::Instant;

pub use files::{Files, MAX_ENTRIES, MAX_FILES};
pub use message::MAX_RECORDS;
pub use names::Question;
pub use resolver::{LookupError, Resolver};

use crate::config::{Config, StaticTarget};
use message::Record;
use names::Names;

/// How targets come to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// `targets`, and `--target`.
    Static,
    /// `file_sd_configs`.
    File,
    /// `dns_sd_configs`.
    Dns,
}

/// A target that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The target, its module and labels.
    pub target: StaticTarget,
    /// How it was found.
    pub mechanism: Mechanism,
    /// On whose word it is known.
    pub word: Word,
}

/// On whose word a target is known, which is to say whether probes may go there because it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// On the operator's, as a static target is: a file that not everybody may write to.
    Operator,
    /// On nobody's: the rules must permit it by themselves.
    Nobody,
    /// It is an address that a name server told for this name, without a dot at its end: the rules must permit the
    /// address as what the name resolves to.
    Behind(String),
}

/// Why looking somewhere failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A file or folder cannot be read.
    Unreadable,
    /// A file is not what it should be, or an answer no answer.
    Malformed,
    /// More files than are read.
    TooMany,
    /// No name server answered in time.
    Timeout,
    /// Every name server refused, or failed itself.
    Refused,
}

/// One failure to look somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What failed.
    pub mechanism: Mechanism,
    /// Why.
    pub reason: Reason,
    /// The same in words, on one line.
    pub problem: String,
}

/// What came of a look at all files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// What failed now; what failed before and was not tried again is not told again.
    pub failures: Vec<Failure>,
    /// Files that everybody may write to, and that were read now.
    pub open_files: Vec<String>,
    /// Whether other targets may be known than before.
    pub changed: bool,
    /// Whether every file could be used when it was last read.
    pub all_good: bool,
}

/// What is known from discovery.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    files: Files,
    names: Names,
    /// Whether other targets may be known than when that was last asked.
    changed: bool,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Static, Self::File, Self::Dns];

    /// Its name, which is a label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::File => "file",
            Self::Dns => "dns",
        }
    }
}

impl Reason {
    /// All that a mechanism can fail for.
    #[must_use]
    pub const fn all(mechanism: Mechanism) -> &'static [Self] {
        match mechanism {
            Mechanism::Static => &[],
            Mechanism::File => &[Self::Unreadable, Self::Malformed, Self::TooMany],
            Mechanism::Dns => &[Self::Malformed, Self::Timeout, Self::Refused],
        }
    }

    /// Its name, which is a label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Malformed => "malformed",
            Self::TooMany => "too_many",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
        }
    }
}

impl Discovery {
    /// Goes on with another configuration. What was found for entries that it has, too, is kept, and everything is looked
    /// at anew.
    pub fn adopt(&mut self, config: &Config) {
        self.files.adopt(config.file_sd());
        self.names.adopt(config.dns_sd());
    }

    /// Takes the files out, to be looked at: a disk that does not answer must not hold up whoever asks for the rest. Until
    /// [`Discovery::put_files`] nothing is known of them.
    #[must_use]
    pub fn take_files(&mut self) -> Files {
        std::mem::take(&mut self.files)
    }

    /// Puts the files back, with what came of the look.
    pub fn put_files(&mut self, files: Files, look: &Look) {
        self.files = files;
        self.changed |= look.changed;
    }

    /// What name servers are to be asked now.
    #[must_use]
    pub fn due(&mut self, now: Instant) -> Vec<Question> {
        self.names.due(now)
    }

    /// Takes note of an answer, and tells what failed.
    pub fn answered(
        &mut self,
        question: &Question,
        answer: Result<Vec<Record>, LookupError>,
    ) -> Option<Failure> {
        let (failure, changed) = self.names.answered(question, answer);
        self.changed |= changed;
        failure
    }

    /// Whether every name was answered when it was last asked for; not before all were.
    #[must_use]
    pub fn all_answered(&self) -> bool {
        self.names.all_good()
    }

    /// Whether other targets may be known than when this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Everything that is known, in the order of the configuration.
    #[must_use]
    pub fn found(&self) -> Vec<Found> {
        self.files.found().chain(self.names.found()).collect()
    }

    /// Records that named nothing that could be a target.
    #[must_use]
    pub fn invalid(&self) -> usize {
        self.names.invalid()
    }

    /// Records that were more than are taken of a name.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.names.left_out()
    }
}

/// What looking once at everything that a configuration names in files comes to. Blocks; what `check` shows.
#[must_use]
pub fn look_once(config: &Config) -> (Look, Vec<Found>) {
    let mut discovery = Discovery::default();
    discovery.adopt(config);
    let look = discovery.files.look(config, Instant::now());
    (look, discovery.found())
}
