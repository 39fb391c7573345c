//! The exporter under watch: what it holds, its configuration, and its end.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::fleet::Fleet;
use crate::http::{self, Metrics};
use crate::programs::{Program, command};

/// The exporter, serving, and the folder of its files.
#[derive(Debug)]
pub(crate) struct Watched {
    program: Program,
    pub(crate) address: SocketAddr,
    folder: tempfile::TempDir,
}

/// What the exporter held at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Bytes of memory.
    pub(crate) resident: u64,
    pub(crate) files: u64,
    pub(crate) threads: u64,
    /// Asynchronous tasks alive.
    pub(crate) tasks: u64,
}

/// What the exporter said of itself at the end, and whether it ended well.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) metrics: Metrics,
    pub(crate) panics: usize,
    pub(crate) status: String,
}

impl Watched {
    pub(crate) fn start(fleet: &Fleet) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("exporter.yml");
        fs::write(&file, configuration(0)).unwrap();
        let program = Program::start(
            command()
                .args(["serve", "--web.listen-address", "127.0.0.1:0"])
                .args(["--web.enable-lifecycle", "--config.enable-auto-reload"])
                .args(["--config.auto-reload-interval", "1s"])
                .arg("--storage.path")
                .arg(folder.path().join("snapshots"))
                .arg("--config.file")
                .arg(&file)
                .args(["--log.format", "logfmt", "--log.level", "info"])
                .args(["--target", &fleet.targets[0].address.to_string()]),
        );
        let address = program.listening();
        Self {
            program,
            address,
            folder,
        }
    }

    /// The `turn`th configuration: every fourth one is wrong. Whether it can be used.
    pub(crate) fn configure(&self, turn: u64) -> bool {
        let (file, new) = (self.file("exporter.yml"), self.file("new.yml"));
        fs::write(&new, configuration(turn)).unwrap();
        // As configuration management does it: never half a file.
        fs::rename(new, file).unwrap();
        is_good(turn)
    }

    pub(crate) fn hang_up(&self) {
        self.program.signal("HUP");
    }

    /// What it holds now.
    pub(crate) fn held(&self) -> Held {
        let proc = PathBuf::from(format!("/proc/{}", self.program.id()));
        let status = fs::read_to_string(proc.join("status")).unwrap();
        let value = |key: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).unwrap()
        };
        let metrics = Metrics::parse(&http::get(self.address, "/metrics").text());
        Held {
            resident: value("VmRSS:") * 1024,
            files: fs::read_dir(proc.join("fd")).unwrap().count() as u64,
            threads: value("Threads:"),
            tasks: metrics.value("goroutine_exporter_tasks", &[]).unwrap() as u64,
        }
    }

    /// Puts a good configuration in force, reads the last metrics and ends it.
    pub(crate) fn end(self: Arc<Self>) -> End {
        let mut watched = Arc::into_inner(self).expect("nobody else watches any more");
        watched.configure(0);
        let path = "/-/reload";
        http::ask(watched.address, "POST", path, &[]).is(200, "reloaded");
        let metrics = Metrics::parse(&http::get(watched.address, "/metrics").text());
        watched.program.signal("TERM");
        let status = watched.program.wait().to_string();
        let log = watched.program.log();
        End {
            metrics,
            panics: log.matches("panicked at").count(),
            status,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn is_good(turn: u64) -> bool {
    turn % 4 != 3
}

fn configuration(turn: u64) -> String {
    let groups = 20 + turn % 3;
    let wrong = if is_good(turn) { "" } else { "  grups: 1\n" };
    format!(
        "modules:\n  default: {{ timeout: 10s, limits: {{ groups: {groups} }} }}\n  ill: {{ timeout: 1s, limits: {{ inflated_bytes: 1MiB }} }}\n{wrong}allow:\n- {{ cidr: 127.0.0.0/8 }}\nstorage: {{ max_bytes: 4MiB, per_target: 3 }}\n"
    )
}
