//! The exporter that is measured: as it is without configuration, but for the targets it may reach.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::http;
use crate::programs::{EXPORTER, Program, command};
use crate::watch::Watched;

/// The exporter, serving on a loopback port: so it may probe whatever is on loopback.
#[derive(Debug)]
pub(crate) struct Exporter {
    program: Program,
    pub(crate) address: SocketAddr,
}

impl Exporter {
    pub(crate) fn start() -> Self {
        let program = Program::start(command().args(["--web.listen-address", "127.0.0.1:0"]));
        let address = program.listening();
        Self { program, address }
    }

    pub(crate) fn watched(&self) -> Watched {
        Watched(self.program.id())
    }

    /// The value of a metric of its own.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let text = http::get(self.address, "/metrics").text();
        http::Metrics::parse(&text).value(name, labels)
    }
}

/// From the start of the program to its first answer that it is ready.
pub(crate) fn first_answer() -> Duration {
    let begun = Instant::now();
    let exporter = Exporter::start();
    http::get(exporter.address, "/-/ready").is(200, "ready");
    begun.elapsed()
}

/// Bytes of the program without its symbols, as `cargo build --release` leaves it: the profile of benchmarks differs from
/// that of releases in nothing else. `None` without `strip`.
pub(crate) fn stripped_size(folder: &Path) -> Option<u64> {
    let stripped = folder.join("stripped");
    let mut strip = Command::new("strip");
    strip.arg("--strip-all").arg("-o").arg(&stripped);
    let done = strip.arg(EXPORTER).status().ok()?;
    assert!(done.success(), "strip: {done}");
    Some(std::fs::metadata(stripped).unwrap().len())
}
