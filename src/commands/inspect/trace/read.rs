//! Where a trace comes from: a file, standard input, or a target that traces itself for a moment.

use std::io::{self, IsTerminal as _, Read};
use std::time::Duration;

use anyhow::{Context, anyhow};
use url::form_urlencoded;

use super::Traced;
use crate::budget::MAX_TRACE_BYTES;
use crate::commands::inspect::source::{Source, open, policy};
use crate::commands::look::Progress;
use crate::config::Module;
use crate::decode::{inflated, is_gzip};
use crate::fetch::{FetchError, Fetcher, Request, StatusHint};
use crate::target::Target;
use crate::trace::{Decoder, Limits, Refusal};

/// How long a target is traced unless somebody says.
const SECONDS: Duration = Duration::from_millis(200);
/// What Go's handler takes where it is not told, or not in a way that it understands.
const GO_SECONDS: f64 = 1.0;
/// The longest that a URL may ask for: more would not fit anyway.
const MOST_SECONDS: f64 = 3600.0;
/// The most that is held whole: what a target sends, and a compressed file.
const BODY_BYTES: u64 = MAX_TRACE_BYTES;
/// The most that is read of a compressed file. It streams through the decoder, whose own limits bound memory.
const INFLATED_BYTES: u64 = 1 << 30;
/// Bytes read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Reads the trace that `name` names to its end.
///
/// # Errors
/// When it cannot be opened, fetched or read, or nothing can be made of it: in a sentence that says what to do.
pub(super) fn read(
    name: &str,
    seconds: Option<Duration>,
    module: &Module,
    progress: &Progress,
) -> anyhow::Result<Traced> {
    let decoder = Decoder::new(&Limits::default(), &module.rules);
    let source = Source::of_trace(name)?;
    if !matches!(source, Source::Target(_) | Source::Profile(..)) && seconds.is_some() {
        return Err(anyhow!(
            "--seconds is for a target: a file is as long as it is"
        ));
    }
    let (target, path, query) = match source {
        Source::Stdin => {
            if io::stdin().is_terminal() {
                return Err(anyhow!(
                    "standard input is a terminal; pipe a trace into it, or name a file or a target"
                ));
            }
            return of_reader(&mut io::stdin().lock(), decoder, progress);
        }
        Source::File(path) => return of_reader(&mut open(&path)?, decoder, progress),
        Source::Target(target) => (target, format!("{}/trace", module.path), String::new()),
        Source::Profile(target, path, query) => (target, path, query),
    };
    let (query, seconds) = asked(&query, seconds);
    let deadline = module.timeout.saturating_add(seconds);
    let (body, cut) = fetch(&target, &path, &query, deadline, module, progress)?;
    decode(decoder, &body, cut)
}

/// Reads to the end. What is not compressed streams through.
fn of_reader(
    from: &mut impl Read,
    mut decoder: Decoder,
    progress: &Progress,
) -> anyhow::Result<Traced> {
    let mut head = Vec::new();
    from.by_ref()
        .take(2)
        .read_to_end(&mut head)
        .context(UNREADABLE)?;
    let packed = is_gzip(&head);
    let mut from = head.as_slice().chain(from);
    if packed {
        let mut body = Vec::new();
        let mut most = from.take(BODY_BYTES + 1);
        most.read_to_end(&mut body).context(UNREADABLE)?;
        progress.bytes(body.len());
        if most.limit() == 0 {
            return Err(anyhow!(
                "more than {} MiB compressed; unpack it, and it is read as it comes",
                BODY_BYTES >> 20
            ));
        }
        let mut taken = Ok(());
        let whole = inflated(&body, INFLATED_BYTES, |piece| {
            if taken.is_ok() {
                taken = decoder.push(piece);
            }
        })?;
        taken.map_err(refused)?;
        return finish(decoder, !whole);
    }
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return finish(decoder, false),
            Ok(read) => {
                progress.bytes(read);
                let piece = piece.get(..read).unwrap_or_default();
                decoder.push(piece).map_err(refused)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context(UNREADABLE),
        }
    }
}

const UNREADABLE: &str = "cannot be read";

/// The query to send, and how long its answer takes: what a person says, else the URL, else [`SECONDS`].
fn asked(query: &str, seconds: Option<Duration>) -> (String, Duration) {
    let said = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "seconds");
    if let (None, Some((_, said))) = (seconds, &said) {
        let said = said.parse().ok().filter(|said: &f64| *said > 0.0);
        let said = said.unwrap_or(GO_SECONDS).min(MOST_SECONDS);
        let said = Duration::try_from_secs_f64(said).unwrap_or_default();
        return (query.to_owned(), said);
    }
    let seconds = seconds.unwrap_or(SECONDS);
    let mut asked = form_urlencoded::Serializer::new(String::new());
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if key != "seconds" {
            asked.append_pair(&key, &value);
        }
    }
    asked.append_pair("seconds", &seconds.as_secs_f64().to_string());
    (asked.finish(), seconds)
}

/// Takes what the target sends as fast as it comes: what is not read piles up in the target's memory. Whether it was
/// cut is told beside it.
fn fetch(
    target: &Target,
    path: &str,
    query: &str,
    time: Duration,
    module: &Module,
    progress: &Progress,
) -> anyhow::Result<(Vec<u8>, Option<FetchError>)> {
    let policy = policy(target, module);
    let fetcher = Fetcher::new(&module.fetch)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let request = Request {
            target,
            path,
            query,
            policy: &policy,
            body_limit: BODY_BYTES,
            deadline: tokio::time::Instant::now() + time,
            again: false,
        };
        let mut answer = fetcher.open(&request).await.map_err(unfetched)?;
        let mut body = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => {
                    progress.bytes(chunk.len());
                    body.extend_from_slice(&chunk);
                }
                Ok(None) => return Ok((body, None)),
                Err(cut @ FetchError::Cut { .. }) => return Ok((body, Some(cut))),
                Err(error) => return Err(unfetched(error)),
            }
        }
    })
}

fn decode(mut decoder: Decoder, body: &[u8], cut: Option<FetchError>) -> anyhow::Result<Traced> {
    let pushed = decoder.push(body);
    match (pushed.and_then(|()| decoder.finish()), cut) {
        (Ok(window), cut) => Ok(Traced {
            window,
            cut: cut.is_some(),
        }),
        // That it was cut is the better reason.
        (Err(_), Some(cut)) => Err(unfetched(cut)),
        (Err(refusal), None) => Err(refused(refusal)),
    }
}

fn finish(decoder: Decoder, cut: bool) -> anyhow::Result<Traced> {
    let window = decoder.finish().map_err(refused)?;
    Ok(Traced { window, cut })
}

/// A refusal, with what to do about it.
fn refused(refusal: Refusal) -> anyhow::Error {
    let hint = match refusal {
        Refusal::NotATrace => "a trace is what /debug/pprof/trace answers, or runtime/trace writes",
        Refusal::UnknownFormat { .. } => "a newer goroutine_exporter may read it",
        Refusal::Truncated { .. } => "take it again, and let it end by itself",
        Refusal::TooLarge { .. } => "take a shorter one, for example with --seconds 0.05",
        Refusal::Damaged => "take it again, and copy it as binary",
        _ => return refusal.into(),
    };
    anyhow!("{refusal}; {hint}")
}

/// What went wrong on the way, with what to do about it.
fn unfetched(error: FetchError) -> anyhow::Error {
    let hint = match &error {
        FetchError::Status {
            hint: Some(StatusHint::Tracing),
            ..
        } => "Go takes one at a time: try again when that one is done",
        FetchError::Status { code: 404, .. } => {
            "net/http/pprof serves traces at /debug/pprof/trace; is it there under another path?"
        }
        FetchError::Status { code: 400, .. } => {
            "before Go 1.23 a server answers that when --seconds is not below its WriteTimeout"
        }
        FetchError::TooLarge { .. } => {
            "the program does much; ask for less, for example with --seconds 0.05"
        }
        FetchError::Cut { .. } => "a trace that is cut early holds nothing: ask again",
        FetchError::Timeout { .. } => "the time is the module's timeout, and --seconds on top",
        _ => return error.into(),
    };
    anyhow!("{error}; {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_how_long_unless_a_person_does() {
        let check = |query: &str, seconds: Option<u64>, expected: (&str, u64)| {
            let (asked, time) = asked(query, seconds.map(Duration::from_millis));
            let time = u64::try_from(time.as_millis()).unwrap();
            assert_eq!((asked.as_str(), time), expected, "{query} {seconds:?}");
        };
        check("", None, ("seconds=0.2", 200));
        check("", Some(50), ("seconds=0.05", 50));
        check("seconds=3", None, ("seconds=3", 3000));
        check("seconds=3&x=a%26b", Some(500), ("x=a%26b&seconds=0.5", 500));
        check("x=1", None, ("x=1&seconds=0.2", 200));
        // As Go reads it.
        check("seconds=many", None, ("seconds=many", 1000));
        check("seconds=-1", None, ("seconds=-1", 1000));
        check("seconds=1e300", None, ("seconds=1e300", 3_600_000));
    }
}
