//! The targets: servers on loopback that say how many goroutines they have, never twice the same, and some that are ill.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use goroutine_exporter::decode::messages::{Function, Line, Location, Profile, Sample, ValueType};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How long an ill target stays ill in one way.
const EPOCH: Duration = Duration::from_secs(4);
/// A head longer than that is none of ours.
const MAX_HEAD: usize = 16 << 10;

/// All targets.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) targets: Vec<Arc<Fake>>,
    started: Instant,
}

/// A server in place of a Go service.
#[derive(Debug)]
pub(crate) struct Fake {
    number: u64,
    pub(crate) address: SocketAddr,
    /// Whether it is ill now and then.
    pub(crate) ill: bool,
    /// Profiles it has sent: each says one goroutine more than the one before.
    sent: AtomicU64,
}

/// What a target does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Well,
    Error500,
    LoginPage,
    CutShort,
    Reset,
    Silent,
    Drip,
    Garbage,
    Bomb,
    HangsUp,
}

impl Way {
    /// In the order in which a target falls ill.
    const ALL: [Self; 10] = [
        Self::Well,
        Self::Error500,
        Self::Silent,
        Self::LoginPage,
        Self::CutShort,
        Self::Drip,
        Self::Reset,
        Self::Garbage,
        Self::Bomb,
        Self::HangsUp,
    ];

    /// What the exporter calls it; none for a target that is well.
    pub(crate) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Well => None,
            Self::Error500 => Some("http_status"),
            Self::LoginPage | Self::Garbage => Some("not_pprof"),
            Self::CutShort => Some("decode"),
            Self::Reset | Self::HangsUp => Some("connect"),
            Self::Silent | Self::Drip => Some("timeout"),
            Self::Bomb => Some("too_large"),
        }
    }
}

impl Fleet {
    /// Every tenth of them is ill.
    pub(crate) async fn start(targets: usize) -> Arc<Self> {
        let started = Instant::now();
        let mut fakes = Vec::new();
        for number in 0..targets {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let fake = Arc::new(Fake {
                number: number as u64,
                address: listener.local_addr().unwrap(),
                ill: number % 10 == 9,
                sent: AtomicU64::new(0),
            });
            tokio::spawn(serve(listener, Arc::clone(&fake), started));
            fakes.push(fake);
        }
        Arc::new(Self {
            targets: fakes,
            started,
        })
    }

    /// What a target does now.
    pub(crate) fn way(&self, fake: &Fake) -> Way {
        fake.way(self.started)
    }
}

impl Fake {
    fn way(&self, started: Instant) -> Way {
        if !self.ill {
            return Way::Well;
        }
        let epoch = started.elapsed().as_secs() / EPOCH.as_secs();
        Way::ALL[((epoch + self.number / 10) % Way::ALL.len() as u64) as usize]
    }

    /// Profiles sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// The function at which each group of its goroutines waits, with how many, in the profile of this number.
    pub(crate) fn groups(&self, profile: u64) -> Vec<(String, u64)> {
        let groups = 2 + self.number % 12;
        (0..groups)
            .map(|group| {
                let leaking = if group == 0 { profile } else { 0 };
                let goroutines = 10 + 7 * group + self.number % 5 + leaking;
                (
                    format!("main.(*service{}).wait{group}", self.number),
                    goroutines,
                )
            })
            .collect()
    }

    /// All its goroutines in that profile.
    pub(crate) fn total(&self, profile: u64) -> u64 {
        self.groups(profile)
            .iter()
            .map(|(_, goroutines)| goroutines)
            .sum()
    }
}

async fn serve(listener: TcpListener, fake: Arc<Fake>, started: Instant) {
    while let Ok((stream, _)) = listener.accept().await {
        let fake = Arc::clone(&fake);
        tokio::spawn(async move { drop(talk(stream, &fake, started).await) });
    }
}

/// Answers until the other side has had enough.
async fn talk(mut stream: TcpStream, fake: &Fake, started: Instant) -> io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(path) = head(&mut stream).await? {
        let way = fake.way(started);
        if path.contains("debug=2") {
            // Too small a part of what is watched here to keep books of it, too.
            stream
                .write_all(&answer("404 Not Found", "text/plain", b"no"))
                .await?;
            continue;
        }
        match way {
            Way::Well => {
                let profile = fake.sent.fetch_add(1, Ordering::SeqCst) + 1;
                let body = gzip(&goroutines(&fake.groups(profile)));
                stream
                    .write_all(&answer("200 OK", "application/octet-stream", &body))
                    .await?;
            }
            Way::Error500 => {
                stream
                    .write_all(&answer("500 Oops", "text/plain", b"oops"))
                    .await?;
            }
            Way::LoginPage => {
                let page = b"<!doctype html><title>Log in</title><form></form>";
                stream
                    .write_all(&answer("200 OK", "text/html", page))
                    .await?;
            }
            Way::Garbage => {
                let body: Vec<u8> = (0..4096_u32).map(|n| (n * 7 + 3) as u8 | 0x80).collect();
                stream
                    .write_all(&answer("200 OK", "application/octet-stream", &body))
                    .await?;
            }
            Way::CutShort => {
                let mut body = gzip(&goroutines(&fake.groups(1)));
                body.truncate(body.len() / 2);
                stream
                    .write_all(&answer("200 OK", "application/octet-stream", &body))
                    .await?;
            }
            Way::Bomb => {
                let body = gzip(&vec![0; 4 << 20]);
                stream
                    .write_all(&answer("200 OK", "application/octet-stream", &body))
                    .await?;
            }
            Way::Reset => {
                let whole = answer(
                    "200 OK",
                    "application/octet-stream",
                    &gzip(&goroutines(&fake.groups(1))),
                );
                stream.write_all(&whole[..whole.len() / 2]).await?;
                // What is left unread when it is closed makes the system send a reset.
                stream.set_zero_linger()?;
                return Ok(());
            }
            Way::HangsUp => return Ok(()),
            Way::Silent => return until_gone(&mut stream).await,
            Way::Drip => {
                let whole = answer("200 OK", "application/octet-stream", &[0; 4096]);
                for byte in whole.chunks(1) {
                    stream.write_all(byte).await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
    Ok(())
}

/// The path and query of the next request; none at the end of the connection.
async fn head(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        if bytes.len() > MAX_HEAD || stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.split(' ').nth(1).map(str::to_owned))
}

async fn until_gone(stream: &mut TcpStream) -> io::Result<()> {
    let mut byte = [0];
    while stream.read(&mut byte).await? > 0 {}
    Ok(())
}

fn answer(status: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// A profile of goroutines that receive from channels, a group at each function.
fn goroutines(groups: &[(String, u64)]) -> Vec<u8> {
    const PARKED: [&str; 3] = ["runtime.chanrecv1", "runtime.chanrecv", "runtime.gopark"];
    let text = |text: &str| text.as_bytes().to_vec();
    let mut strings = vec![text(""), text("goroutine"), text("count"), text("main.go")];
    let (mut function, mut location, mut sample) = (Vec::new(), Vec::new(), Vec::new());
    let mut frame = |name: &str, line: i64| {
        let id = location.len() as u64 + 1;
        strings.push(text(name));
        function.push(Function {
            id,
            name: i64::try_from(strings.len()).unwrap() - 1,
            filename: 3,
            ..Function::default()
        });
        location.push(Location {
            id,
            address: 0x1000 * id,
            line: vec![Line {
                function_id: id,
                line,
                ..Line::default()
            }],
            ..Location::default()
        });
        id
    };
    let parked = PARKED.map(|name| frame(name, 400));
    for (name, goroutines) in groups {
        let at = frame(name, 42);
        let [receives, receive, park] = parked;
        sample.push(Sample {
            location_id: vec![park, receive, receives, at],
            value: vec![goroutines.cast_signed()],
            label: Vec::new(),
        });
    }
    Profile {
        sample_type: vec![ValueType { r#type: 1, unit: 2 }],
        sample,
        location,
        function,
        string_table: strings,
        ..Profile::default()
    }
    .encode_to_vec()
}
