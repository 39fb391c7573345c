//! stub

pub mod messages;

/// Bounds on what a dump may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after inflation, at most; more is [`DecodeError::TooLarge`].
    pub inflated_bytes: u64,
}
/// Why a body is no goroutine profile that can be counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Neither protobuf nor text of a goroutine profile.
    #[error("this is no goroutine profile: {found}")]
    NotPprof {
        /// What was found in its place.
        found: String,
    },
    /// More bytes than allowed.
    #[error("more than {limit} bytes after inflation")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// A damaged profile.
    #[error("{problem} at byte {offset}")]
    Damaged {
        /// What is wrong.
        problem: &'static str,
        /// Where, in inflated bytes.
        offset: u64,
    },
}
