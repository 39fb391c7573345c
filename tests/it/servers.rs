//! Small TCP servers in place of targets: each does one thing, right or wrong, and says who is connected.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use crate::programs::{SOON, repository};

/// A profile that any exporter can read, of 831 goroutines.
pub(crate) fn profile() -> Vec<u8> {
    std::fs::read(repository("tests/data/go1.27.3/goroutine.debug0.pb.gz")).unwrap()
}

/// The goroutines of [`profile`].
pub(crate) const GOROUTINES: f64 = 831.0;

/// A server that does the same with each connection.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

/// How many connections there are and were.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Open now.
    pub(crate) open: AtomicUsize,
    /// The most that were open at once.
    pub(crate) most: AtomicUsize,
    /// Requests whose head has been read.
    pub(crate) asked: AtomicUsize,
}

impl Server {
    /// Calls `serve` with each connection, in a thread of its own.
    pub(crate) fn raw(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::start(move |stream, _| serve(stream))
    }

    /// Reads the head of each request and hands the connection over.
    pub(crate) fn asked(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::start(move |stream, seen| {
            if head(&stream).is_some() {
                seen.asked.fetch_add(1, Ordering::SeqCst);
                serve(stream);
            }
        })
    }

    /// Answers every request with these bytes and closes the connection.
    pub(crate) fn answering(bytes: Vec<u8>) -> Self {
        Self::asked(move |stream| send(&stream, &bytes))
    }

    /// Answers each request by its path and query.
    pub(crate) fn by_path(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::asked_for(move |path, stream| send(stream, &answer(path)))
    }

    /// Hands over each request's path and query with its connection.
    pub(crate) fn asked_for(serve: impl Fn(&str, &TcpStream) + Send + Sync + 'static) -> Self {
        Self::start(move |stream, seen| {
            let Some(lines) = head(&stream) else { return };
            seen.asked.fetch_add(1, Ordering::SeqCst);
            let path = lines.first().and_then(|line| line.split(' ').nth(1));
            serve(path.unwrap_or_default(), &stream);
        })
    }

    /// Answers as the program did that was recorded in this folder of tests/data; what was not recorded is answered as Go
    /// answers for a profile it does not have.
    pub(crate) fn recorded(folder: &str) -> Self {
        let folder = repository("tests/data").join(folder);
        Self::by_path(move |path| {
            let file = match path.strip_prefix("/debug/pprof/") {
                Some("goroutine") => "goroutine.debug0.pb.gz",
                Some("goroutine?debug=2") => "goroutine.debug2.txt",
                Some("goroutineleak") => "goroutineleak.debug0.pb.gz",
                Some("block") => "block.pb.gz",
                Some("mutex") => "mutex.pb.gz",
                Some("threadcreate") => "threadcreate.pb.gz",
                _ => "",
            };
            std::fs::read(folder.join(file)).map_or_else(|_| unknown_profile(), |body| ok(&body))
        })
    }

    /// A target that is well.
    pub(crate) fn healthy() -> Self {
        Self::answering(ok(&profile()))
    }

    /// A target that answers once the gate is opened, or stops when the asker hangs up.
    pub(crate) fn waiting(gate: &Arc<Gate>) -> Self {
        let gate = Arc::clone(gate);
        let body = ok(&profile());
        Self::asked(move |stream| {
            gate.wait();
            send(&stream, &body);
        })
    }

    fn start(serve: impl Fn(TcpStream, &Seen) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
        let accepting = {
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            let serve = Arc::new(serve);
            thread::spawn(move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let Ok(stream) = stream else { continue };
                    stream.set_read_timeout(Some(SOON)).unwrap();
                    stream.set_write_timeout(Some(SOON)).unwrap();
                    let (seen, serve) = (Arc::clone(&seen), Arc::clone(&serve));
                    thread::spawn(move || {
                        let open = seen.open.fetch_add(1, Ordering::SeqCst) + 1;
                        seen.most.fetch_max(open, Ordering::SeqCst);
                        serve(stream, &seen);
                        seen.open.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            })
        };
        Self {
            address,
            seen,
            stop,
            accepting: Some(accepting),
        }
    }

    /// The address as a target.
    pub(crate) fn target(&self) -> String {
        self.address.to_string()
    }

    /// Who is connected.
    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the loop, which looks at `stop` after each connection.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
    }
}

/// Holds answers back until it is opened.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    /// Lets everybody pass.
    pub(crate) fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_timeout_while(open, SOON, |open| !*open));
    }
}

/// The head of a request; nothing when the connection ends first.
pub(crate) fn head(stream: &TcpStream) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    for line in BufReader::new(stream).lines() {
        let line = line.ok()?;
        if line.is_empty() {
            return Some(lines);
        }
        lines.push(line);
    }
    None
}

/// Writes and closes; an asker that went away is no concern of the server's.
pub(crate) fn send(mut stream: &TcpStream, bytes: &[u8]) {
    drop(stream.write_all(bytes));
    drop(stream.shutdown(Shutdown::Write));
}

/// Returns when the other side has closed the connection.
pub(crate) fn until_closed(mut stream: &TcpStream) {
    let mut byte = [0];
    while matches!(stream.read(&mut byte), Ok(1..)) {}
}

/// An answer of status 200 that says how long it is.
pub(crate) fn ok(body: &[u8]) -> Vec<u8> {
    answer("200 OK", "Content-Type: application/octet-stream\r\n", body)
}

/// What Go answers for a profile it does not have.
pub(crate) fn unknown_profile() -> Vec<u8> {
    answer(
        "404 Not Found",
        "Content-Type: text/plain; charset=utf-8\r\nX-Go-Pprof: 1\r\n",
        b"Unknown profile\n",
    )
}

/// An answer; `headers` end each with a line end.
pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// An address of loopback where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    // Freed at the end of this function; the system does not hand the same port out again soon.
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}
