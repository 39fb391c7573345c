//! Secrets of the configuration, in a type that cannot be printed.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// What is shown in a secret's place, as Prometheus shows it.
pub const HIDDEN: &str = "<secret>";

/// A password, token or key: given inline, or the file that holds it, which is read again on every use.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Written in the configuration.
    Inline(String),
    /// The path of a file whose content, less trailing white space, is the secret.
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => f.write_str(HIDDEN),
            Self::File(path) => write!(f, "{HIDDEN} from {}", path.display()),
        }
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}
