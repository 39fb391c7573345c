//! Profiles of the simulated service as text, in both of Go's forms.
//!
//! Source: Go 1.27 `runtime/pprof/pprof.go` (`printCountProfile`, `printStackRecord`) for `debug=1`,
//! `runtime/traceback.go` (`goroutineheader`, `traceback2`) for `debug=2`.

use std::fmt::{self, Write as _};

use bytes::Bytes;

use super::frame::{Frame, Stack};
use super::story::{Population, Snapshot};

/// Where Go stops writing a `debug=2` profile, in the middle of a line if it has to.
pub(super) const MAX_DEBUG2_BYTES: usize = 64 << 20;
/// Size of the pieces a `debug=2` profile is made in.
const PIECE_BYTES: usize = 64 << 10;
/// Return address of every goroutine's outermost call, `runtime.goexit`.
const GOEXIT: u64 = 0x49_1621;

/// Appends to a string, which cannot fail.
fn put(out: &mut String, text: fmt::Arguments<'_>) {
    out.write_fmt(text).unwrap_or_default();
}

/// The addresses of a stack as `debug=1` lists them, which is also what it sorts by.
fn addresses(stack: &Stack) -> String {
    let mut out = String::from("@");
    for pc in stack.frames().map(|f| f.pc + 1).chain([GOEXIT]) {
        put(&mut out, format_args!(" {pc:#x}"));
    }
    out
}

/// Populations in Go's order: the largest first, equal ones by address.
pub(super) fn sorted(snapshot: &Snapshot) -> Vec<&Population> {
    let mut populations: Vec<&Population> = snapshot.populations.iter().collect();
    populations.sort_by_cached_key(|p| (std::cmp::Reverse(p.count), addresses(p.stack)));
    populations
}

/// The profile in the form of `debug=1`.
pub(super) fn debug1(snapshot: &Snapshot) -> String {
    let mut out = format!("goroutine profile: total {}\n", snapshot.total());
    for population in sorted(snapshot) {
        put(
            &mut out,
            format_args!("{} {}\n", population.count, addresses(population.stack)),
        );
        // The runtime's own frames at the leaf are left out.
        let hidden = |f: &&Frame| {
            f.function.starts_with("runtime.") || f.function.starts_with("internal/runtime/")
        };
        let lines: Vec<(String, &Frame)> = population
            .stack
            .frames()
            .skip_while(hidden)
            .map(|f| (format!("{}+{:#x}", f.function, f.offset), f))
            .collect();
        // Columns end at multiples of eight, as text/tabwriter has them.
        let width = lines
            .iter()
            .map(|(name, _)| name.len() / 8 + 1)
            .max()
            .unwrap_or(0);
        for (name, frame) in lines {
            let tabs = "\t".repeat(width - name.len() / 8);
            put(
                &mut out,
                format_args!(
                    "#\t{:#x}\t{name}{tabs}{}:{}\n",
                    frame.pc,
                    frame.path(),
                    frame.line
                ),
            );
        }
        out.push('\n');
    }
    out
}

/// What follows the header of each goroutine in `debug=2`.
fn body(stack: &Stack) -> String {
    let mut out = String::new();
    for f in stack.text_frames() {
        // Unexported functions of the runtime are not shown, wherever they stand.
        if f.function
            .strip_prefix("runtime.")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
        {
            continue;
        }
        put(
            &mut out,
            format_args!("{}{}\n\t{}:{}", f.function, f.args, f.path(), f.line),
        );
        if !f.is_inlined() {
            put(&mut out, format_args!(" +{:#x}", f.offset + 1));
        }
        out.push('\n');
    }
    out
}

/// The profile in the form of `debug=2`, in pieces that are made when they are asked for.
///
/// At most two pieces are in memory, whatever the number of goroutines.
#[derive(Debug)]
pub(super) struct Debug2 {
    populations: std::vec::IntoIter<Population>,
    /// The population being written, its common text, and how many of it are written.
    current: Option<(Population, String, u64)>,
    left: usize,
    first: bool,
}

impl Debug2 {
    /// The profile, cut after `limit` bytes.
    pub(super) fn new(snapshot: Snapshot, limit: usize) -> Self {
        Self {
            populations: snapshot.populations.into_iter(),
            current: None,
            left: limit,
            first: true,
        }
    }

    /// Writes the next goroutine; whether there was one.
    fn write_next(&mut self, out: &mut String) -> bool {
        let (population, body, written) = loop {
            match &mut self.current {
                Some(current) if current.2 < current.0.count => break current,
                _ => match self.populations.next() {
                    Some(next) => {
                        let text = body(next.stack);
                        self.current = Some((next, text, 0));
                    }
                    None => return false,
                },
            }
        };
        if !self.first {
            out.push('\n');
        }
        self.first = false;
        let id = population.id(*written);
        put(out, format_args!("goroutine {id} [{}", population.reason()));
        match population.waited_minutes(*written) {
            0 => {}
            minutes => put(out, format_args!(", {minutes} minutes")),
        }
        out.push_str("]:\n");
        out.push_str(body);
        if let Some(creation) = &population.stack.created_by {
            let creator = if creation.by_main {
                1
            } else {
                id.saturating_sub(1)
            };
            put(
                out,
                format_args!(
                    "created by {} in goroutine {creator}\n\t{}\n",
                    creation.function,
                    creation.place()
                ),
            );
        }
        *written += 1;
        true
    }
}

impl Iterator for Debug2 {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        let mut piece = String::new();
        while piece.len() < PIECE_BYTES && self.write_next(&mut piece) {}
        if piece.is_empty() {
            return None;
        }
        let mut bytes = piece.into_bytes();
        bytes.truncate(self.left);
        self.left -= bytes.len();
        Some(Bytes::from(bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::story::{GROWTH, REST, Story};
    use super::*;

    fn debug2(snapshot: Snapshot, limit: usize) -> String {
        let bytes: Vec<u8> = Debug2::new(snapshot, limit).flatten().collect();
        String::from_utf8(bytes).expect("it is text")
    }

    #[test]
    fn debug1_counts_every_goroutine() {
        for time in [
            Duration::ZERO,
            REST + GROWTH,
            REST + GROWTH + Duration::from_mins(2),
        ] {
            let snapshot = Story::at(time);
            let text = debug1(&snapshot);
            let counted: u64 = text
                .lines()
                .filter_map(|l| l.split_once(" @ "))
                .map(|(n, _)| n.parse::<u64>().expect("a number"))
                .sum();
            assert_eq!(counted, snapshot.total());
            assert!(text.starts_with(&format!("goroutine profile: total {}\n", snapshot.total())));
        }
    }

    #[test]
    fn debug1_is_what_go_writes() {
        // From a profile of the real program the stacks were taken from; only the folders are others.
        let want = "1 @ 0x48a72a 0x4646f2 0x4646c9 0x48bc2e 0x496d65 0x6bb735 0x491621\n\
            #\t0x48bc2d\tsync.runtime_SemacquireWaitGroup+0x2d\t/usr/local/go/src/runtime/sema.go:114\n\
            #\t0x496d64\tsync.(*WaitGroup).Wait+0x84\t\t/usr/local/go/src/sync/waitgroup.go:206\n\
            #\t0x6bb734\tmain.(*Supervisor).wait+0x14\t\t/src/orders/background.go:95\n\n";
        let text = debug1(&Story::at(Duration::ZERO));
        assert!(text.contains(want), "{text}");
        assert!(
            text.contains("\truntime.main+0x426\t"),
            "frames of the runtime at the root are shown"
        );
    }

    #[test]
    fn debug2_has_one_block_for_each_goroutine() {
        for time in [Duration::ZERO, REST + GROWTH] {
            let snapshot = Story::at(time);
            let total = snapshot.total();
            let text = debug2(snapshot, MAX_DEBUG2_BYTES);
            let headers = text
                .lines()
                .filter(|l| l.starts_with("goroutine ") && l.ends_with("]:"))
                .count();
            assert_eq!(u64::try_from(headers), Ok(total));
            assert_eq!(u64::try_from(text.split("\n\n").count()), Ok(total));
            assert!(
                text.len() < MAX_DEBUG2_BYTES,
                "a whole profile is {} bytes",
                text.len()
            );
        }
    }

    #[test]
    fn debug2_is_what_go_writes() {
        let text = debug2(Story::at(REST + GROWTH), MAX_DEBUG2_BYTES);
        let block = text
            .split("\n\n")
            .find(|b| b.contains("Converter"))
            .expect("the leak");
        let want = "goroutine 4000002 [sync.Mutex.Lock, 30 minutes]:\n\
            internal/sync.runtime_SemacquireMutex(0x0?, 0x0?, 0x0?)\n\t/usr/local/go/src/runtime/sema.go:95 +0x25\n\
            internal/sync.(*Mutex).lockSlow(0x2d6ab1e06148)\n\t/usr/local/go/src/internal/sync/mutex.go:149 +0x15a\n\
            internal/sync.(*Mutex).Lock(...)\n\t/usr/local/go/src/internal/sync/mutex.go:70\n\
            sync.(*Mutex).Lock(...)\n\t/usr/local/go/src/sync/mutex.go:46\n\
            main.(*Converter).StructToMap(0xa6f268?, {0xa6f268, 0x2d6ab1de0400})\n\t/src/orders/converter.go:16 +0x4d\n\
            main.(*Server).enrich(0x2d6ab1e143c0, ";
        assert!(block.starts_with(want), "{block}");
        assert!(block.ends_with("created by main.(*Server).handleEvent in goroutine 4000001\n\t/src/orders/server.go:21 +0xe8"));
        assert!(
            !text.contains("\nruntime."),
            "the runtime's own frames are hidden"
        );
    }

    #[test]
    fn debug2_is_cut_where_it_says() {
        for limit in [0, 1, 100, PIECE_BYTES, PIECE_BYTES + 1, 1 << 20] {
            let cut = debug2(Story::at(REST + GROWTH), limit);
            assert_eq!(cut.len(), limit);
            assert!(debug2(Story::at(REST + GROWTH), MAX_DEBUG2_BYTES).starts_with(&cut));
        }
    }

    #[test]
    fn what_debug2_shows_has_arguments() {
        for population in Story::at(REST + GROWTH).populations {
            for line in body(population.stack)
                .lines()
                .filter(|l| !l.starts_with('\t'))
            {
                assert!(line.ends_with(')') && line.contains('('), "{line}");
            }
        }
    }
}
