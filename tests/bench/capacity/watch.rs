//! What the kernel says of a process.

use std::fs;
use std::time::Duration;

/// The unit of times in `/proc/PID/stat`: `USER_HZ` is 100 on every Linux that Rust runs on.
const TICK: Duration = Duration::from_millis(10);

/// A process, by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched(pub(crate) u32);

/// What it holds at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Bytes of memory now.
    pub(crate) resident: u64,
    /// The most there ever was.
    pub(crate) most_resident: u64,
    pub(crate) files: usize,
    pub(crate) threads: u64,
}

impl Watched {
    /// Time on processors so far, in its own code and in the kernel's, of threads that have ended, too.
    pub(crate) fn cpu(self) -> Duration {
        let stat = self.read("stat");
        // The second field is the name, which may hold anything; user and system time are the 14th and the 15th.
        let (_, rest) = stat.rsplit_once(')').unwrap();
        let ticks = rest.split_whitespace().skip(11).take(2);
        TICK * ticks.map(|ticks| ticks.parse::<u32>().unwrap()).sum()
    }

    pub(crate) fn held(self) -> Held {
        let status = self.read("status");
        let value = |key: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).unwrap()
        };
        Held {
            resident: value("VmRSS:") * 1024,
            most_resident: value("VmHWM:") * 1024,
            files: fs::read_dir(format!("/proc/{}/fd", self.0))
                .unwrap()
                .count(),
            threads: value("Threads:"),
        }
    }

    fn read(self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.0)).unwrap()
    }
}
