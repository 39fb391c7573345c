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

/// Bytes of a content type, at most: it is shown on pages. Those in use are shorter.
const MAX_CONTENT_TYPE_BYTES: usize = 64;

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
    /// `Content-Type` less its parameters; `unknown/unknown` where it is none of 64 bytes or less (RFC 9110, 8.3.1).
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

/// The type and subtype of a content type: enough to tell a page from a profile, and no room for words of the target.
fn media_type(value: &[u8]) -> String {
    let known = std::str::from_utf8(value).ok().and_then(|text| {
        let media = text.split(';').next().unwrap_or_default().trim();
        let token = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte);
            !part.is_empty() && part.bytes().all(allowed)
        };
        let (kind, subkind) = media.split_once('/')?;
        let valid = media.len() <= MAX_CONTENT_TYPE_BYTES && token(kind) && token(subkind);
        valid.then(|| media.to_ascii_lowercase())
    });
    known.unwrap_or_else(|| "unknown/unknown".to_owned())
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
        check(
            b"application/vnd.google.protobuf+gzip",
            "application/vnd.google.protobuf+gzip",
        );
        check(b"text/html; token=hunter2", "text/html");
        for strange in [
            &b""[..],
            b"text",
            b"/",
            b"text/",
            b"text/a b",
            b"text/h/x",
            b"text/\xff",
            b"text/<b>",
        ] {
            check(strange, "unknown/unknown");
        }
        check(
            format!("text/{}", "x".repeat(60)).as_bytes(),
            "unknown/unknown",
        );
    }
}
