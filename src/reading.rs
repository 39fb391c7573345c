//! How one profile was fetched and read: all there is to say of it besides its content.

use std::time::{Duration, SystemTime};

use crate::failure::FailureReason;

/// One profile as it was read last. The default: not asked for yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Whether the target has it; `None` when that could not be found out.
    pub supported: Option<bool>,
    /// The `Content-Type` of the answer; printable, short.
    pub content_type: Option<String>,
    /// Bytes of the body, as sent; `None` when there was no body.
    pub body_bytes: Option<u64>,
    /// From the request to the end of the body.
    pub duration: Option<Duration>,
    /// When the data that is shown had been read.
    pub read_at: Option<SystemTime>,
    /// Whether it is known to be cut short; `None` when nothing of it was seen.
    pub truncated: Option<bool>,
    /// Records that could not be read and were left out; `None` when nothing was decoded.
    pub damage: Option<u64>,
    /// Why it was not read whole; `None` when it was, or when the target does not have it.
    pub failure: Option<FailureReason>,
    /// The same as a sentence.
    pub problem: Option<String>,
    /// Whether it was asked for in this very probe, as opposed to repeated.
    pub fresh: bool,
}

impl Reading {
    /// Whether it was read whole: nothing cut short, no record left out. A target that does not have it neither succeeds
    /// nor fails.
    #[must_use]
    pub fn success(&self) -> Option<bool> {
        if self.supported == Some(false) {
            None
        } else {
            Some(self.failure.is_none())
        }
    }

    /// Notes that it could not be read whole.
    pub fn fail(&mut self, reason: FailureReason, problem: &impl ToString) {
        self.failure = Some(reason);
        self.problem = Some(problem.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_target_does_not_have_is_no_failure() {
        let mut reading = Reading::default();
        assert_eq!(reading.success(), Some(true));
        reading.fail(FailureReason::HttpStatus, &"status 404");
        assert_eq!(reading.success(), Some(false));
        reading.supported = Some(false);
        assert_eq!(reading.success(), None);
    }
}
