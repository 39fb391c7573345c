//! The body of an answer, handed over as it arrives.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use tokio::time::timeout_at;

use super::error::FetchError;
use super::fault::Evidence;
use super::trace::{Phase, Phases, Trace};

/// Content types that are told: those of profiles, and of what answers in their place. Others are words of the target's.
const KNOWN_TYPES: [&str; 10] = [
    "application/gzip",
    "application/json",
    "application/octet-stream",
    "application/vnd.google.protobuf",
    "application/x-gzip",
    "application/x-protobuf",
    "application/xml",
    "text/html",
    "text/plain",
    "text/xml",
];

/// In place of any other.
const OTHER_TYPE: &str = "another content type";

/// An answer with status 200 whose body is still to be read. Dropping it closes the connection.
#[derive(Debug)]
pub struct Answer {
    response: Response,
    limit: u64,
    deadline: tokio::time::Instant,
    head_at: Instant,
    fetched: Fetched,
}

/// What is known of a fetch, the body aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// How long everything took so far.
    pub phases: Phases,
    /// Bytes of the body as sent, as far as it was read.
    pub body_bytes: u64,
    /// `Content-Type` less its parameters, where it is one that profiles and pages have; otherwise only that there was
    /// another.
    pub content_type: Option<String>,
    /// Whether a connection was opened for it, as opposed to a reused one.
    pub new_connection: bool,
    /// Where the connection led to: the target or the proxy; nothing for a socket.
    pub remote: Option<SocketAddr>,
}

impl Answer {
    /// Takes over an answer whose head was judged already.
    pub(super) fn new(
        response: Response,
        limit: u64,
        deadline: tokio::time::Instant,
        trace: &Trace,
    ) -> Result<Self, FetchError> {
        // A promise of more is believed; of less, the bytes are counted.
        if response
            .content_length()
            .is_some_and(|length| length > limit)
        {
            return Err(FetchError::TooLarge { limit });
        }
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.map(|value| media_type(value.as_bytes()));
        let fetched = Fetched {
            phases: trace.phases(),
            body_bytes: 0,
            content_type,
            new_connection: trace.opened_connection(),
            remote: response.remote_addr(),
        };
        Ok(Self {
            response,
            limit,
            deadline,
            head_at: Instant::now(),
            fetched,
        })
    }

    /// The bytes that the body has, if it keeps to what was promised; at most as many as are allowed.
    #[must_use]
    pub fn promised(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next bytes of the body, as they came; `None` at its end.
    ///
    /// # Errors
    /// When the body is longer than the limit, is cut, or the deadline passes.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        let late = FetchError::Timeout {
            phase: Phase::Transfer,
        };
        // A body that always has bytes ready would never let the timer speak.
        if tokio::time::Instant::now() >= self.deadline {
            return Err(late);
        }
        let read = timeout_at(self.deadline, self.response.chunk()).await;
        self.fetched.phases.transfer = Some(self.head_at.elapsed());
        let Some(chunk) = read.map_err(|_| late)?.map_err(|error| self.cut(&error))? else {
            return Ok(None);
        };
        let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.fetched.body_bytes = self.fetched.body_bytes.saturating_add(length);
        if self.fetched.body_bytes > self.limit {
            return Err(FetchError::TooLarge { limit: self.limit });
        }
        Ok(Some(chunk))
    }

    /// What is known by now; `phases.transfer` and `body_bytes` grow with each chunk.
    #[must_use]
    pub fn fetched(&self) -> &Fetched {
        &self.fetched
    }

    fn cut(&self, error: &reqwest::Error) -> FetchError {
        FetchError::Cut {
            received: self.fetched.body_bytes,
            reset: Evidence::of(error).is_reset(),
        }
    }
}

/// The known content type that a header holds (RFC 9110, section 8.3.1).
fn media_type(value: &[u8]) -> String {
    let media = value.split(|byte| *byte == b';').next().unwrap_or_default();
    let media = media.trim_ascii();
    let known = KNOWN_TYPES
        .iter()
        .find(|known| media.eq_ignore_ascii_case(known.as_bytes()));
    known.copied().unwrap_or(OTHER_TYPE).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_says_what_it_is_and_no_more() {
        let check =
            |value: &[u8], expected: &str| assert_eq!(media_type(value), expected, "{value:?}");
        check(b"text/plain; charset=utf-8", "text/plain");
        check(b" Application/Octet-Stream ", "application/octet-stream");
        check(b"text/html; token=hunter2", "text/html");
        for strange in [&b""[..], b"text", b"text/", b"text/hunter2", b"text/\xff"] {
            check(strange, OTHER_TYPE);
        }
    }
}
