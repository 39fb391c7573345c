//! A made-up program: goroutines on threads, what really happened, and the trace that Go would write of it.

use std::collections::{BTreeMap, HashMap};

use super::super::window::{Cause, Spans, Sum};
use super::super::wire::Format;
use super::super::wire::event;

/// Numbers that a seed decides (xorshift64*, Vigna 2016).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(number).unwrap() % bound
    }
}

pub(super) fn number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap());
}

/// As the runtime writes the size of a batch: in ten bytes.
fn long_number(out: &mut Vec<u8>, number: u64) {
    for at in 0..9 {
        out.push(u8::try_from((number >> (7 * at)) & 0x7f).unwrap() | 0x80);
    }
    out.push(u8::try_from(number >> 63).unwrap());
}

pub(super) fn header(format: Format) -> Vec<u8> {
    format!("go {} trace\0\0\0", format.as_str()).into_bytes()
}

pub(super) fn batch(out: &mut Vec<u8>, generation: u64, thread: u64, time: u64, content: &[u8]) {
    out.push(1);
    number(out, generation);
    number(out, thread);
    number(out, time);
    long_number(out, u64::try_from(content.len()).unwrap());
    out.extend_from_slice(content);
}

/// Frequency, and from Go 1.25 on the clocks.
pub(super) fn sync(out: &mut Vec<u8>, format: Format, generation: u64, time: u64, frequency: u64) {
    let mut content = Vec::new();
    if format.sync() == 50 {
        content.push(50);
    }
    content.push(8);
    number(&mut content, frequency);
    if format.sync() == 50 {
        content.extend_from_slice(&[51, 1, 2, 3, 4]);
    }
    batch(out, generation, u64::MAX, time, &content);
}

/// Strings, then stacks of one frame each: function, file and line.
pub(super) fn tables(out: &mut Vec<u8>, generation: u64, strings: &[&str], stacks: &[(u64, u64)]) {
    let mut content = vec![4];
    for (at, text) in (1..).zip(strings) {
        content.push(5);
        number(&mut content, at);
        number(&mut content, u64::try_from(text.len()).unwrap());
        content.extend_from_slice(text.as_bytes());
    }
    batch(out, generation, u64::MAX, 1 << 40, &content);
    let mut content = vec![2];
    for (at, (function, file)) in (1..).zip(stacks) {
        content.push(3);
        for part in [at, 1, 0xdead, *function, *file, 7] {
            number(&mut content, part);
        }
    }
    batch(out, generation, u64::MAX, 1 << 40, &content);
}

const STRINGS: [&str; 9] = [
    "chan send",
    "sync",
    "network",
    "preempted",
    "runtime.Gosched",
    "main.a",
    "main.b",
    "main.c",
    "/a/main.go",
];
/// The stacks are of `main.a`, `main.b` and `main.c`.
const STACKS: [(u64, u64); 3] = [(6, 9), (7, 9), (8, 9)];
/// Units of its clock in a second: 64 ns each.
pub(super) const FREQUENCY: u64 = 15_625_000;
pub(super) const UNIT: u64 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runnable(Option<Cause>),
    Running(usize),
    Syscall(usize),
    Waiting,
}

#[derive(Clone, Debug)]
struct Goroutine {
    state: State,
    since: u64,
    left: bool,
    /// Reason and stack, by their numbers in the tables; 0 for what was so before.
    place: (u64, u64),
    sequence: u64,
    told: bool,
}

/// What really happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Truth {
    pub(super) blocked: BTreeMap<(u64, u64), Spans>,
    pub(super) syscalls: BTreeMap<u64, Spans>,
    pub(super) latency: [Sum; Cause::ALL.len()],
    pub(super) runnable: Spans,
    pub(super) created: u64,
    pub(super) goroutines: u64,
}

/// The program, running.
#[derive(Debug)]
pub(super) struct Program {
    random: Random,
    format: Format,
    now: u64,
    generation: u64,
    goroutines: HashMap<u64, Goroutine>,
    next: u64,
    /// What each thread wrote in this generation.
    threads: Vec<Vec<(u64, Vec<u8>)>>,
    generations: Vec<Vec<Vec<(u64, Vec<u8>)>>>,
    pub(super) truth: Truth,
}

const START: u64 = 1 << 30;

impl Program {
    pub(super) fn run(seed: u64, format: Format, threads: usize, steps: usize) -> Self {
        let mut program = Self {
            random: Random::new(seed),
            format,
            now: START,
            generation: 0,
            goroutines: HashMap::new(),
            next: 1,
            threads: vec![Vec::new(); threads + 1],
            generations: Vec::new(),
            truth: Truth::default(),
        };
        // Those that were there before.
        for at in 0..4 {
            let state = if at % 2 == 0 {
                State::Waiting
            } else {
                State::Runnable(None)
            };
            program.goroutines.insert(
                program.next,
                Goroutine {
                    state,
                    since: START,
                    left: true,
                    place: (0, 0),
                    sequence: 0,
                    told: false,
                },
            );
            program.next += 1;
        }
        for _ in 0..steps {
            program.now += 1 + u64::try_from(program.random.below(40)).unwrap();
            program.step();
        }
        program.next_generation();
        program.finish();
        program
    }

    fn step(&mut self) {
        let mut ids: Vec<u64> = self.goroutines.keys().copied().collect();
        ids.sort_unstable();
        let id = ids[self.random.below(ids.len())];
        let state = self.goroutines[&id].state;
        let busy = |thread: usize| {
            self.goroutines.values().any(|other| {
                matches!(other.state, State::Running(on) | State::Syscall(on) if on == thread)
            })
        };
        let idle: Vec<usize> = (0..self.threads.len() - 1)
            .filter(|&at| !busy(at))
            .collect();
        let anyone = self.random.below(self.threads.len() - 1);
        let stack = 1 + u64::try_from(self.random.below(3)).unwrap();
        if self.random.below(60) == 0 {
            return self.next_generation();
        }
        match state {
            State::Runnable(_) => {
                if let Some(&thread) = idle.first() {
                    self.turn(id, thread, event::GO_START, &[], State::Running(thread));
                }
            }
            State::Waiting => {
                self.turn(
                    id,
                    anyone,
                    event::GO_UNBLOCK,
                    &[stack],
                    State::Runnable(Some(Cause::Unblock)),
                );
            }
            State::Running(thread) => match self.random.below(6) {
                0 | 1 => {
                    let reason = 1 + u64::try_from(self.random.below(3)).unwrap();
                    self.own(
                        id,
                        thread,
                        event::GO_BLOCK,
                        &[reason, stack],
                        State::Waiting,
                    );
                    self.goroutines.get_mut(&id).unwrap().place = (reason, stack);
                }
                2 => {
                    let (reason, cause) =
                        [(4, Cause::Preempt), (5, Cause::Yield)][self.random.below(2)];
                    self.own(
                        id,
                        thread,
                        event::GO_STOP,
                        &[reason, stack],
                        State::Runnable(Some(cause)),
                    );
                }
                3 => {
                    self.own(
                        id,
                        thread,
                        event::GO_SYSCALL_BEGIN,
                        &[9, stack],
                        State::Syscall(thread),
                    );
                    self.goroutines.get_mut(&id).unwrap().place = (0, stack);
                }
                4 if self.goroutines.len() < 12 => self.create(id, thread, stack),
                _ if self.goroutines.len() > 3 => {
                    self.tell(id, thread);
                    self.emit(thread, event::GO_DESTROY, &[]);
                    self.goroutines.remove(&id);
                }
                _ => {}
            },
            State::Syscall(thread) => {
                if self.random.below(2) == 0 {
                    self.own(
                        id,
                        thread,
                        event::GO_SYSCALL_END,
                        &[],
                        State::Running(thread),
                    );
                } else {
                    let lost = State::Runnable(Some(Cause::Syscall));
                    self.own(id, thread, event::GO_SYSCALL_END_BLOCKED, &[], lost);
                }
            }
        }
    }

    fn create(&mut self, by: u64, thread: usize, stack: u64) {
        self.tell(by, thread);
        let id = self.next;
        self.next += 1;
        self.emit(thread, event::GO_CREATE, &[id, stack, stack]);
        self.truth.created += 1;
        self.goroutines.insert(
            id,
            Goroutine {
                state: State::Runnable(Some(Cause::Create)),
                since: self.now,
                left: false,
                place: (0, 0),
                sequence: 0,
                told: true,
            },
        );
    }

    /// Something happens to a goroutine that does not run: it has a number of its own.
    fn turn(&mut self, id: u64, thread: usize, what: u8, more: &[u64], to: State) {
        self.tell(id, thread);
        let goroutine = self.goroutines.get_mut(&id).unwrap();
        goroutine.sequence += 1;
        let arguments = [&[id, goroutine.sequence], more].concat();
        self.emit(thread, what, &arguments);
        self.becomes(id, to);
    }

    /// A goroutine does something itself.
    fn own(&mut self, id: u64, thread: usize, what: u8, arguments: &[u64], to: State) {
        self.tell(id, thread);
        self.emit(thread, what, arguments);
        self.becomes(id, to);
    }

    fn becomes(&mut self, id: u64, to: State) {
        self.close(id, false);
        let now = self.now;
        let goroutine = self.goroutines.get_mut(&id).unwrap();
        (goroutine.state, goroutine.since, goroutine.left) = (to, now, false);
    }

    fn close(&mut self, id: u64, right: bool) {
        let goroutine = self.goroutines[&id].clone();
        let time = (self.now - goroutine.since) * UNIT;
        let spans = match goroutine.state {
            State::Running(_) => return,
            State::Waiting => self.truth.blocked.entry(goroutine.place).or_default(),
            State::Syscall(_) => self.truth.syscalls.entry(goroutine.place.1).or_default(),
            State::Runnable(cause) => {
                if let Some(cause) = cause.filter(|_| !goroutine.left && !right) {
                    self.truth.latency[cause.index()].add(time);
                }
                &mut self.truth.runnable
            }
        };
        spans.class(goroutine.left, right).add(time);
    }

    /// The status of a goroutine, before anything else is said of it in a generation.
    fn tell(&mut self, id: u64, thread: usize) {
        let goroutine = self.goroutines.get_mut(&id).unwrap();
        if goroutine.told {
            return;
        }
        goroutine.told = true;
        let (status, on) = match goroutine.state {
            State::Runnable(_) => (1, u64::MAX),
            State::Running(on) => (2, u64::try_from(on).unwrap()),
            State::Syscall(on) => (3, u64::try_from(on).unwrap()),
            State::Waiting => (4, u64::MAX),
        };
        self.emit(thread, event::GO_STATUS, &[id, on, status]);
        self.now += 1;
    }

    fn emit(&mut self, thread: usize, what: u8, arguments: &[u64]) {
        let mut bytes = Vec::new();
        for &argument in arguments {
            number(&mut bytes, argument);
        }
        self.threads[thread].push((self.now, [&[what], &bytes[..]].concat()));
    }

    fn next_generation(&mut self) {
        let mut ids: Vec<u64> = self.goroutines.keys().copied().collect();
        ids.sort_unstable();
        let nobody = self.threads.len() - 1;
        for id in ids {
            let thread = match self.goroutines[&id].state {
                State::Running(on) => on,
                _ => nobody,
            };
            self.tell(id, thread);
        }
        for goroutine in self.goroutines.values_mut() {
            (goroutine.told, goroutine.sequence) = (false, 0);
        }
        let count = self.threads.len();
        let done = std::mem::replace(&mut self.threads, vec![Vec::new(); count]);
        self.generations.push(done);
        self.generation += 1;
    }

    fn finish(&mut self) {
        self.now = self
            .generations
            .iter()
            .flatten()
            .flatten()
            .map(|(time, _)| *time)
            .max()
            .unwrap();
        let ids: Vec<u64> = self.goroutines.keys().copied().collect();
        for id in ids {
            self.close(id, true);
        }
        self.truth.goroutines = u64::try_from(self.goroutines.len()).unwrap();
    }

    /// Its trace, with the clock of each thread so many units ahead, in batches of so many events.
    pub(super) fn written(&self, ahead: &[u64], events: usize) -> Vec<u8> {
        let mut out = header(self.format);
        for (generation, threads) in (3..).zip(&self.generations) {
            if self.format.sync() == 50 {
                sync(&mut out, self.format, generation, START, FREQUENCY);
            }
            // One batch of each thread after the other.
            let mut parts: Vec<_> = threads.iter().map(|events| &events[..]).collect();
            while parts.iter().any(|part| !part.is_empty()) {
                for (thread, part) in parts.iter_mut().enumerate() {
                    let (now, rest) = part.split_at(events.min(part.len()));
                    *part = rest;
                    if now.is_empty() {
                        continue;
                    }
                    let nobody = thread == threads.len() - 1;
                    let ahead = if nobody {
                        0
                    } else {
                        ahead.get(thread).copied().unwrap_or(0)
                    };
                    let base = now[0].0 - 1 + ahead;
                    let mut content = Vec::new();
                    let mut last = base;
                    for (time, bytes) in now {
                        content.push(bytes[0]);
                        number(&mut content, time + ahead - last);
                        content.extend_from_slice(&bytes[1..]);
                        last = time + ahead;
                    }
                    let id = if nobody {
                        u64::MAX
                    } else {
                        u64::try_from(thread).unwrap()
                    };
                    batch(&mut out, generation, id, base, &content);
                }
            }
            tables(&mut out, generation, &STRINGS, &STACKS);
            if self.format.sync() != 50 {
                sync(&mut out, self.format, generation, START, FREQUENCY);
            }
            if self.format.says_ends() {
                out.push(52);
            }
        }
        out
    }
}
