//! Stand-ins for targets: servers on loopback with prepared answers, so that what they cost is little and known.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::profile::{Stack, debug2, gzip, ordinary, protobuf, total};

/// As many targets run the same program, as replicas of a deployment do.
const REPLICAS: usize = 20;
/// Profiles that a target serves in turn.
const VERSIONS: u64 = 3;
/// A head longer than that is none of ours.
const MAX_HEAD: usize = 16 << 10;
/// As much as Go's server puts into a chunk of its own.
const CHUNK: usize = 2048;

/// What all replicas of a service answer, whole answers with their heads.
#[derive(Debug)]
struct Answers {
    /// With how many goroutines each has.
    profiles: Vec<(Vec<u8>, u64)>,
    detail: Vec<u8>,
}

/// A server in place of a Go service.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    answers: Arc<Answers>,
    /// Goroutine profiles sent so far.
    profiles: AtomicU64,
    /// Answers to debug=2 sent so far.
    details: AtomicU64,
    /// Nanoseconds from the head of a request to the end of its answer, over all of them.
    busy: AtomicU64,
}

/// What a target has done so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) profiles: u64,
    pub(crate) details: u64,
    pub(crate) busy: Duration,
}

/// Targets that are ordinary services.
pub(crate) async fn fleet(targets: usize) -> Vec<Arc<Fake>> {
    let mut fakes = Vec::new();
    let mut answers = Arc::new(Answers::ordinary(0));
    for number in 0..targets {
        if number % REPLICAS == 0 {
            answers = Arc::new(Answers::ordinary(number / REPLICAS));
        }
        fakes.push(Fake::start(Arc::clone(&answers)).await);
    }
    fakes
}

/// One target with these stacks.
pub(crate) async fn target(stacks: &[Stack]) -> Arc<Fake> {
    Fake::start(Arc::new(Answers::of(&[stacks.to_vec()]))).await
}

impl Answers {
    fn ordinary(service: usize) -> Self {
        let versions: Vec<_> = (0..VERSIONS)
            .map(|version| ordinary(service, version + service as u64 % 7))
            .collect();
        Self::of(&versions)
    }

    fn of(versions: &[Vec<Stack>]) -> Self {
        let profiles = versions.iter().map(|stacks| {
            let body = gzip(&protobuf(stacks));
            (answer("application/octet-stream", &body), total(stacks))
        });
        Self {
            profiles: profiles.collect(),
            detail: answer("text/plain; charset=utf-8", &debug2(&versions[0])),
        }
    }
}

impl Fake {
    async fn start(answers: Arc<Answers>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            answers,
            profiles: AtomicU64::new(0),
            details: AtomicU64::new(0),
            busy: AtomicU64::new(0),
        });
        let serving = Arc::clone(&fake);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fake = Arc::clone(&serving);
                tokio::spawn(async move { drop(fake.talk(stream).await) });
            }
        });
        fake
    }

    /// How many goroutines it says in the profile of this number, from 0.
    pub(crate) fn goroutines(&self, profile: u64) -> u64 {
        self.version(profile).1
    }

    pub(crate) fn done(&self) -> Done {
        Done {
            profiles: self.profiles.load(Ordering::SeqCst),
            details: self.details.load(Ordering::SeqCst),
            busy: Duration::from_nanos(self.busy.load(Ordering::SeqCst)),
        }
    }

    fn version(&self, profile: u64) -> &(Vec<u8>, u64) {
        let profiles = &self.answers.profiles;
        &profiles[(profile % profiles.len() as u64) as usize]
    }

    /// Answers until the other side has had enough.
    async fn talk(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut head = Vec::new();
        loop {
            head.clear();
            while !head.ends_with(b"\r\n\r\n") {
                if head.len() > MAX_HEAD || stream.read_buf(&mut head).await? == 0 {
                    return Ok(());
                }
            }
            let begun = Instant::now();
            let asked = |what: &[u8]| head.starts_with(what);
            if asked(b"GET /debug/pprof/goroutine?debug=2 ") {
                stream.write_all(&self.answers.detail).await?;
                self.details.fetch_add(1, Ordering::SeqCst);
            } else if asked(b"GET /debug/pprof/goroutine ") {
                let profile = self.profiles.fetch_add(1, Ordering::SeqCst);
                stream.write_all(&self.version(profile).0).await?;
            } else {
                return Ok(());
            }
            let nanoseconds = begun.elapsed().as_nanos() as u64;
            self.busy.fetch_add(nanoseconds, Ordering::SeqCst);
        }
    }
}

/// An answer as `net/http/pprof` gives it: in chunks, since it does not know the length.
fn answer(content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename=\"goroutine\"\r\nContent-Type: {content_type}\r\nX-Content-Type-Options: nosniff\r\nDate: Wed, 25 Nov 2026 08:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for chunk in body.chunks(CHUNK) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}
