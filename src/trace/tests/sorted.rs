//! The same totals by another way: each goroutine's events sorted by their sequence numbers, and nothing else known.

use std::collections::{BTreeMap, HashMap};

use super::super::window::{Cause, Sum, Window};
use super::super::wire::{self, Bytes, Format, Kind, Piece, event};
use super::program::UNIT;

/// Closed intervals.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    blocked: Sum,
    syscalls: Sum,
    latency: [Sum; Cause::ALL.len()],
    lost: u64,
}

impl Totals {
    pub(super) fn of(window: &Window) -> Self {
        let sum = |groups: &[super::super::Blocked]| {
            let closed = groups.iter().map(|group| group.spans.closed);
            closed.fold(Sum::default(), Sum::and)
        };
        Self {
            blocked: sum(&window.blocked),
            syscalls: sum(&window.syscalls),
            latency: window.latency.clone().map(|latency| Sum {
                count: latency.count,
                nanoseconds: latency.nanoseconds,
            }),
            lost: window.syscalls_lost_processor,
        }
    }
}

type Record = (u64, u64, u8, u64);

/// Reads a whole trace that is not damaged.
pub(super) fn read(body: &[u8], format: Format) -> Totals {
    let mut totals = Totals::default();
    // State, since when, and whether that was seen: carried from generation to generation.
    let mut states: HashMap<u64, (char, u64, bool, Cause)> = HashMap::new();
    let mut threads: BTreeMap<u64, Vec<(u64, &[u8])>> = BTreeMap::new();
    let mut rest = &body[wire::HEADER_BYTES..];
    loop {
        match wire::piece(rest, format) {
            Piece::Batch(batch) => {
                let content = &rest[batch.head..batch.head + batch.size];
                if batch.kind == Kind::Events {
                    threads
                        .entry(batch.thread)
                        .or_default()
                        .push((batch.time, content));
                }
                rest = &rest[batch.head + batch.size..];
            }
            Piece::End => {
                let mut records = collect(&threads, format);
                threads.clear();
                for (id, records) in &mut records {
                    records.sort_by_key(|record| record.0);
                    for record in records {
                        follow(&mut totals, &mut states, *id, *record);
                    }
                }
                rest = &rest[1..];
            }
            Piece::Cut | Piece::Broken => {
                assert!(rest.is_empty(), "{} bytes left", rest.len());
                return totals;
            }
        }
    }
}

/// What each goroutine does: sequence number, time, event, and what it adds.
fn collect(
    threads: &BTreeMap<u64, Vec<(u64, &[u8])>>,
    format: Format,
) -> BTreeMap<u64, Vec<Record>> {
    let mut records: BTreeMap<u64, Vec<Record>> = BTreeMap::new();
    for (thread, batches) in threads {
        let mut running = None;
        for (base, content) in batches {
            let (mut at, mut bytes) = (*base, Bytes(content));
            while let Some((kind, since)) = wire::event_head(&mut bytes, format) {
                at += since;
                let [first, second, third, ..] =
                    wire::event_arguments(&mut bytes, kind).unwrap().arguments;
                let (id, sequence, more) = match kind {
                    event::GO_START | event::GO_UNBLOCK => (first, second, 0),
                    event::GO_CREATE => (first, 0, 0),
                    event::GO_STATUS => (first, 0, third),
                    _ => {
                        let (id, sequence): (u64, u64) = running.unwrap();
                        (id, sequence, first)
                    }
                };
                records
                    .entry(id)
                    .or_default()
                    .push((sequence, at, kind, more));
                match kind {
                    event::GO_START => running = Some((id, sequence)),
                    event::GO_STATUS if third == 2 || (third == 3 && second == *thread) => {
                        running = Some((id, 0));
                    }
                    event::GO_BLOCK
                    | event::GO_STOP
                    | event::GO_DESTROY
                    | event::GO_SYSCALL_END_BLOCKED => running = None,
                    _ => {}
                }
            }
        }
    }
    records
}

fn follow(
    totals: &mut Totals,
    states: &mut HashMap<u64, (char, u64, bool, Cause)>,
    id: u64,
    (_, at, kind, more): Record,
) {
    let known = states.get(&id).copied();
    let next = match kind {
        event::GO_STATUS => {
            if known.is_none() {
                let state = [' ', 'R', 'X', 'S', 'W'][usize::try_from(more).unwrap()];
                states.insert(id, (state, at, false, Cause::Unblock));
            }
            return;
        }
        event::GO_CREATE => ('R', Cause::Create),
        event::GO_UNBLOCK => ('R', Cause::Unblock),
        event::GO_STOP if more == 4 => ('R', Cause::Preempt),
        event::GO_STOP => ('R', Cause::Yield),
        event::GO_START | event::GO_SYSCALL_END => ('X', Cause::Unblock),
        event::GO_BLOCK => ('W', Cause::Unblock),
        event::GO_SYSCALL_BEGIN => ('S', Cause::Unblock),
        event::GO_SYSCALL_END_BLOCKED => {
            totals.lost += 1;
            ('R', Cause::Syscall)
        }
        event::GO_DESTROY => {
            states.remove(&id);
            return;
        }
        other => panic!("{other}"),
    };
    if let Some((state, since, true, cause)) = known {
        let time = at.saturating_sub(since) * UNIT;
        match state {
            'W' => totals.blocked.add(time),
            'S' => totals.syscalls.add(time),
            'R' => totals.latency[cause.index()].add(time),
            _ => {}
        }
    }
    states.insert(id, (next.0, at, true, next.1));
}
