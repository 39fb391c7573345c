//! What stands behind the addresses whose function names `debug=1` leaves out.
//!
//! The runtime's frames at the leaf say why a goroutine waits, and this encoding prints only their addresses:
//! `@ gopark chanrecv chanrecv1 | main.worker`. Two things in the dump itself tell which is which:
//!
//! 1. Visible functions that have one way to wait: `internal/poll.runtime_pollWait` stands above
//!    `netpollblock` and `gopark`, so the first address there is gopark's, in every stack of this program.
//! 2. The linker lays the functions of a package out file by file, and those of a file in the order of the
//!    source. In runtime/chan.go that is chansend1, chansend, chanrecv1, chanrecv2, chanrecv, and in
//!    runtime/select.go block, selectgo (Go 1.19 to 1.27). With more than one kind of wait in the dump, the
//!    order of their addresses tells them apart.
//!
//! What neither tells stays unknown. Memory: up to [`MAX_RUNS`] runs of at most [`MAX_LEN`] addresses.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::{HiddenId, Sink};

/// The most distinct runs of hidden addresses. Real programs have a few dozen.
const MAX_RUNS: usize = 4096;
/// The longest run that is looked at: gopark, goparkunlock, semacquire1 and one to spare.
const MAX_LEN: usize = 4;

/// The hidden runs met so far.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    runs: BTreeMap<(Run, Above), u16>,
}

/// The first addresses of a run, leaf first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    addresses: [u64; MAX_LEN],
    len: usize,
}

impl Run {
    fn new(addresses: &[u64]) -> Self {
        let mut run = Self::default();
        for (slot, &address) in run.addresses.iter_mut().zip(addresses) {
            *slot = address;
            run.len += 1;
        }
        run
    }

    fn as_slice(&self) -> &[u64] {
        self.addresses.get(..self.len).unwrap_or_default()
    }
}

/// What is visible right above a hidden run, as far as it tells something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Above {
    /// `internal/poll.runtime_pollWait`: gopark, netpollblock.
    PollWait,
    /// `time.Sleep`: gopark.
    Sleep,
    /// `sync.runtime_Semacquire...`, `sync.runtime_notifyListWait`: gopark first.
    Sync,
    /// `reflect.chanrecv`: gopark, chanrecv.
    Receive,
    /// `reflect.chansend0`: gopark, chansend.
    Send,
    /// `reflect.rselect`, and functions of the standard library that wait in one `select`: gopark, selectgo.
    Select,
    /// `iter.Pull`: coroswitch, unless it was preempted.
    Pull,
    /// A C function: cgocall.
    Cgo,
    /// `runtime/trace`: gopark, `ReadTrace`.
    Trace,
    /// Anything else.
    Other,
}

impl Hidden {
    /// Notes a run of hidden addresses, leaf first, with the visible function above it.
    pub(super) fn note(&mut self, addresses: &[u64], function: &[u8]) -> HiddenId {
        let key = (Run::new(addresses), above(function));
        let next = u16::try_from(self.runs.len()).unwrap_or(u16::MAX);
        if self.runs.len() >= MAX_RUNS {
            return HiddenId(self.runs.get(&key).copied().unwrap_or(u16::MAX));
        }
        HiddenId(*self.runs.entry(key).or_insert(next))
    }

    /// Tells the sink what was found out.
    pub(super) fn reveal<S: Sink>(&self, sink: &mut S) {
        let layout = Layout::learn(&self.runs);
        for ((run, above), &id) in &self.runs {
            if let Some(functions) = layout.explain(run.as_slice(), *above) {
                sink.reveal(HiddenId(id), functions);
            }
        }
    }
}

fn above(function: &[u8]) -> Above {
    match function {
        b"internal/poll.runtime_pollWait" => Above::PollWait,
        b"time.Sleep" => Above::Sleep,
        b"sync.runtime_notifyListWait" | b"internal/poll.runtime_Semacquire" => Above::Sync,
        b"reflect.chanrecv" => Above::Receive,
        b"reflect.chansend0" | b"reflect.chansend" => Above::Send,
        b"reflect.rselect"
        | b"io.(*pipe).read"
        | b"io.(*pipe).write"
        | b"net/http.(*persistConn).writeLoop"
        | b"net/http.(*persistConn).roundTrip"
        | b"database/sql.(*DB).connectionOpener" => Above::Select,
        _ if function.starts_with(b"sync.runtime_Sem")
            || function.starts_with(b"internal/sync.runtime_Sem") =>
        {
            Above::Sync
        }
        _ if function.starts_with(b"iter.Pull") => Above::Pull,
        _ if function.starts_with(b"runtime/trace.") => Above::Trace,
        // Setting up the search costs more than looking for the byte first, which most names lack.
        _ if memchr::memchr(b'_', function).is_some()
            && memchr::memmem::find(function, b"._Cfunc_").is_some() =>
        {
            Above::Cgo
        }
        _ => Above::Other,
    }
}

/// The addresses that were told from others.
#[derive(Debug, Default)]
struct Layout {
    gopark: Option<u64>,
    /// Return addresses in chanrecv1 and chanrecv2, and in chansend1.
    receives: BTreeSet<u64>,
    sends: BTreeSet<u64>,
    selectgo: BTreeSet<u64>,
    block: BTreeSet<u64>,
}

impl Layout {
    fn learn(runs: &BTreeMap<(Run, Above), u16>) -> Self {
        let parked = [
            Above::PollWait,
            Above::Sleep,
            Above::Sync,
            Above::Receive,
            Above::Send,
        ];
        let gopark = runs
            .keys()
            .find(|(_, above)| parked.contains(above))
            .and_then(|(run, _)| run.as_slice().first().copied());
        let Some(gopark) = gopark else {
            return Self::default();
        };
        let mut layout = Self {
            gopark: Some(gopark),
            ..Self::default()
        };

        // chanrecv and chansend as seen below reflect, and all of them below chanrecv1, chanrecv2 and chansend1.
        let (mut receiving, mut sending) = (BTreeSet::new(), BTreeSet::new());
        let mut wrapped: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        let (mut selecting, mut either) = (BTreeSet::new(), BTreeSet::new());
        for (run, above) in runs.keys() {
            match (run.as_slice(), above) {
                (&[first, inner], Above::Receive) if first == gopark => receiving.insert(inner),
                (&[first, inner], Above::Send) if first == gopark => sending.insert(inner),
                (&[first, inner], Above::Select) if first == gopark => selecting.insert(inner),
                (&[first, inner], Above::Other) if first == gopark => either.insert(inner),
                (&[first, inner, wrapper], Above::Other) if first == gopark => {
                    wrapped.entry(wrapper).or_default().insert(inner)
                }
                _ => false,
            };
        }
        layout.learn_channels(&wrapped, &receiving, &sending);
        layout.learn_selects(&selecting, &either);
        layout
    }

    /// Sorted by address, the wrappers are chansend1, chanrecv1, chanrecv2, and chansend's body lies between the
    /// first two, chanrecv's behind the last.
    fn learn_channels(
        &mut self,
        wrapped: &BTreeMap<u64, BTreeSet<u64>>,
        receiving: &BTreeSet<u64>,
        sending: &BTreeSet<u64>,
    ) {
        let highest = wrapped.keys().next_back().copied().unwrap_or(0);
        // Whoever writes a dump chooses how many addresses are in it: to compare each with each would cost its square.
        let mut callers: BTreeMap<u64, usize> = BTreeMap::new();
        for &inner in wrapped.values().flatten() {
            *callers.entry(inner).or_default() += 1;
        }
        for (&wrapper, inner) in wrapped {
            let below_a_wrapper = inner
                .iter()
                .any(|&inner| wrapper < inner && inner < highest);
            let shared = inner
                .iter()
                .any(|inner| callers.get(inner).is_some_and(|&callers| callers > 1));
            let sends_known = self.sends.first().is_some_and(|&send| send < wrapper);
            if below_a_wrapper || !sending.is_disjoint(inner) {
                self.sends.insert(wrapper);
            } else if shared || sends_known || !receiving.is_disjoint(inner) {
                self.receives.insert(wrapper);
            }
        }
    }

    fn learn_selects(&mut self, selecting: &BTreeSet<u64>, either: &BTreeSet<u64>) {
        let low = either.first().copied();
        let (selectgo, block) = match (selecting.first().copied(), low, either.last().copied()) {
            (Some(known), Some(low), _) => (
                Some(known),
                Some(low).filter(|&low| low < known && either.range(..known).count() == 1),
            ),
            (None, Some(low), Some(high)) if either.len() == 2 => (Some(high), Some(low)),
            (known, ..) => (known, None),
        };
        self.selectgo
            .extend(selecting.iter().copied().chain(selectgo));
        self.block.extend(block);
    }

    fn explain(&self, run: &[u64], above: Above) -> Option<&'static [&'static str]> {
        const RUNNING: &[&str] = &["runtime.asyncPreempt2"];
        let Some(&first) = run.first() else {
            return Some(RUNNING);
        };
        if above == Above::Pull && run.len() == 1 {
            return Some(&["runtime.coroswitch"]);
        }
        if above == Above::Cgo && run.len() == 1 {
            return Some(&["runtime.cgocall"]);
        }
        if first != self.gopark? {
            return Some(RUNNING);
        }
        match *run {
            [_, _] if above == Above::Trace => Some(&["runtime.gopark", "runtime.ReadTrace"]),
            [_, _, wrapper] if self.receives.contains(&wrapper) => {
                Some(&["runtime.gopark", "runtime.chanrecv"])
            }
            [_, _, wrapper] if self.sends.contains(&wrapper) => {
                Some(&["runtime.gopark", "runtime.chansend"])
            }
            [_, inner] if self.selectgo.contains(&inner) => {
                Some(&["runtime.gopark", "runtime.selectgo"])
            }
            [_, inner] if self.block.contains(&inner) => Some(&["runtime.gopark", "runtime.block"]),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(dump: &[(&[u64], &str)]) -> Vec<Option<&'static str>> {
        let mut hidden = Hidden::default();
        for (run, function) in dump {
            hidden.note(run, function.as_bytes());
        }
        let layout = Layout::learn(&hidden.runs);
        dump.iter()
            .map(|(run, function)| {
                layout
                    .explain(run, above(function.as_bytes()))
                    .and_then(|found| found.last().copied())
            })
            .collect()
    }

    const POLL: (&[u64], &str) = (&[900, 500], "internal/poll.runtime_pollWait");

    #[test]
    fn nothing_is_said_without_a_landmark() {
        assert_eq!(
            explain(&[(&[900, 150, 140], "main.f"), (&[900, 600], "main.g")]),
            [None, None]
        );
        assert_eq!(explain(&[(&[], "main.f")]), [Some("runtime.asyncPreempt2")]);
        assert_eq!(
            explain(&[(&[7], "iter.Pull[...].func2")]),
            [Some("runtime.coroswitch")]
        );
    }

    #[test]
    fn sends_and_receives_are_told_by_the_order_of_addresses() {
        // chansend1 at 100, chansend at 110, chanrecv1 at 200, chanrecv2 at 220, chanrecv at 240.
        let (send, receive, ranged) = (
            (&[900, 110, 100][..], "main.s"),
            (&[900, 240, 200][..], "main.r"),
            (&[900, 240, 220][..], "main.q"),
        );
        let (sent, received) = (Some("runtime.chansend"), Some("runtime.chanrecv"));
        assert_eq!(
            explain(&[POLL, send, receive, ranged])[1..],
            [sent, received, received]
        );
        assert_eq!(explain(&[POLL, send, receive])[1..], [sent, received]);
        assert_eq!(explain(&[POLL, receive, ranged])[1..], [received, received]);
        assert_eq!(
            explain(&[POLL, receive])[1..],
            [None],
            "one kind alone could be either"
        );
        assert_eq!(explain(&[POLL, send])[1..], [None]);
        assert_eq!(
            explain(&[POLL, receive, (&[900, 240], "reflect.chanrecv")])[1],
            received
        );
    }

    #[test]
    fn selects_are_told_by_the_order_of_addresses_or_by_the_standard_library() {
        let (some, none) = ((&[900, 650][..], "main.f"), (&[900, 600][..], "main.g"));
        assert_eq!(
            explain(&[POLL, some, none])[1..],
            [Some("runtime.selectgo"), Some("runtime.block")]
        );
        assert_eq!(explain(&[POLL, some])[1..], [None]);
        let (pipe, other) = (
            (&[900, 650][..], "io.(*pipe).read"),
            (&[900, 800][..], "main.h"),
        );
        assert_eq!(
            explain(&[POLL, pipe, some, none, other])[2..],
            [Some("runtime.selectgo"), Some("runtime.block"), None]
        );
        assert_eq!(
            explain(&[POLL, (&[900, 800], "runtime/trace.Start.func1")])[1],
            Some("runtime.ReadTrace")
        );
        assert_eq!(
            explain(&[POLL, some, (&[900, 650], "io.(*pipe).read")])[1],
            Some("runtime.selectgo")
        );
    }

    #[test]
    fn what_does_not_begin_with_gopark_runs() {
        assert_eq!(
            explain(&[POLL, (&[30, 40], "main.f")])[1],
            Some("runtime.asyncPreempt2")
        );
    }
}
