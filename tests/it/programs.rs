//! Programs under test: started, listened to, told to end, and never left behind.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::http::{self, Answer, Metrics};

/// The longest a test waits for anything: far more than a busy machine needs, so that passing it means a fault.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Between two looks the processor is for the programs that are looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Where the program under test is.
pub(crate) const EXPORTER: &str = env!("CARGO_BIN_EXE_goroutine_exporter");

/// Looks until there is something to see.
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(SOON, what, look)
}

/// The same for what takes longer by itself.
pub(crate) fn until_within<T>(
    longest: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + longest;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited {longest:?} for {what}");
        thread::park_timeout(BETWEEN_LOOKS);
    }
}

/// Says aloud that a test cannot run on this machine; where everything must run (`CI=true`) it fails instead.
pub(crate) fn skip(reason: &str) {
    assert!(
        std::env::var_os("CI").is_none_or(|value| value != "true"),
        "with CI=true nothing is skipped: {reason}"
    );
    // Not eprintln!, which the test harness keeps to itself when the test passes.
    let name = thread::current().name().unwrap_or("a test").to_owned();
    drop(writeln!(io::stderr(), "SKIPPED: {name}: {reason}"));
}

/// A program that runs, with its standard input open. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    said: Arc<Said>,
    readers: Vec<JoinHandle<()>>,
}

/// What a program has written so far, both streams.
#[derive(Debug, Default)]
struct Said {
    state: Mutex<Lines>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    ended: usize,
}

/// Streams that are read: standard output and standard error.
const STREAMS: usize = 2;

impl Program {
    /// Starts it; both its outputs are read as they come.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said = Arc::new(Said::default());
        let streams: [Box<dyn Read + Send>; STREAMS] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        let readers = streams
            .into_iter()
            .map(|stream| {
                let said = Arc::clone(&said);
                thread::spawn(move || said.listen(stream))
            })
            .collect();
        Self {
            child,
            said,
            readers,
        }
    }

    /// Starts it for who reads its log up to where it says that it listens, and no further.
    pub(crate) fn start_unread(
        command: &mut Command,
    ) -> (Self, SocketAddr, BufReader<ChildStderr>) {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let program = Self {
            child,
            said: Arc::default(),
            readers: Vec::new(),
        };
        let mut line = String::new();
        loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "it has ended");
            if let Some(address) = listening(&line) {
                return (program, address, log);
            }
        }
    }

    /// What `look` finds in a line, past or to come. Fails when the program ends before, and shows what it said.
    pub(crate) fn line<T>(&self, what: &str, look: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + SOON;
        let mut state = self.said.state.lock().unwrap();
        let mut read = 0;
        loop {
            while let Some(line) = state.lines.get(read) {
                if let Some(found) = look(line) {
                    return found;
                }
                read += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                state.ended < STREAMS && !left.is_zero(),
                "no {what} in:\n{}",
                state.lines.join("\n")
            );
            state = self.said.more.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Where the exporter says that it listens.
    pub(crate) fn listening(&self) -> SocketAddr {
        self.line("address", listening)
    }

    /// Everything it wrote so far.
    pub(crate) fn log(&self) -> String {
        let state = self.said.state.lock();
        state
            .unwrap_or_else(PoisonError::into_inner)
            .lines
            .join("\n")
    }

    /// Sends a signal by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own `kill` is on every Unix.
        let status = Command::new("sh")
            .args(["-c", &format!("kill -s {name} {}", self.child.id())])
            .status()
            .unwrap();
        assert!(status.success(), "no SIG{name} sent: {status}");
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end, and for all it said.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = until("the program's end", || self.child.try_wait().unwrap());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status
    }
}

/// The address in the line that says where a program listens.
fn listening(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening")?;
    let (_, address) = rest.split_once("address=")?;
    address.split([' ', '\n']).next()?.parse().ok()
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Said {
    fn listen(&self, stream: impl Read) {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            self.state.lock().unwrap().lines.push(line);
            self.more.notify_all();
        }
        self.state.lock().unwrap().ended += 1;
        self.more.notify_all();
    }
}

/// The exporter, serving.
#[derive(Debug)]
pub(crate) struct Exporter {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Exporter {
    /// Serves with this configuration on a loopback port.
    pub(crate) fn start(config: &str) -> Self {
        Self::with(config, &[])
    }

    /// The same, with more flags.
    pub(crate) fn with(config: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("exporter.yml");
        std::fs::write(&file, config).unwrap();
        let program = Self::serve("127.0.0.1:0", &file, flags);
        let address = program.listening();
        Self {
            program,
            address,
            folder,
        }
    }

    fn serve(listen: &str, file: &Path, flags: &[&str]) -> Program {
        Program::start(
            command()
                .args(["serve", "--web.listen-address", listen])
                .args(["--log.level", "debug", "--config.file"])
                .arg(file)
                .args(flags),
        )
    }

    /// Serves again after its end, where it did before.
    pub(crate) fn restart(&mut self) {
        assert!(self.program.ended(), "it has not ended");
        let listen = self.address.to_string();
        self.program = Self::serve(&listen, &self.config_file(), &[]);
        assert_eq!(self.program.listening(), self.address);
    }

    /// Its configuration file.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.path().join("exporter.yml")
    }

    /// Writes the configuration file anew, whole at once: nobody reads a part of it.
    pub(crate) fn configure(&self, config: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, config).unwrap();
        std::fs::rename(new, self.config_file()).unwrap();
    }

    /// Asks it for a path.
    pub(crate) fn get(&self, path: &str) -> Answer {
        http::get(self.address, path)
    }

    /// Probes `target` with `module`, and expects an exposition.
    pub(crate) fn probe(&self, target: &str, module: &str) -> Metrics {
        let answer = self.get(&probe_path(target, &[("module", module)]));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        Metrics::parse(&answer.text())
    }

    /// Its own metrics.
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::parse(&self.get("/metrics").text())
    }

    /// Everything it shows: pages, configuration, metrics, and its log.
    pub(crate) fn shows(&self) -> String {
        let mut all = String::new();
        for path in ["/", "/config", "/metrics", "/targets/metrics"] {
            writeln!(all, "{}", self.get(path).text()).unwrap();
        }
        all + &self.program.log()
    }
}

/// The exporter's program, without the environment that could configure it.
pub(crate) fn command() -> Command {
    let mut command = Command::new(EXPORTER);
    command.env_clear();
    command
}

/// Runs a command of the exporter to its end with `input` on standard input.
pub(crate) fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A program that does not read its input to the end must not block the test.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// The path of a probe.
pub(crate) fn probe_path(target: &str, more: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("target", target);
    query.extend_pairs(more);
    format!("/probe?{}", query.finish())
}

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
