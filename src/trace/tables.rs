//! Strings and stacks of one generation, by number, and what they mean: groups and sites, which outlive it.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::window::{Births, Blame, Owner, Spans};
use super::wire::Bytes;
use crate::classify::{NO_STACK, Rules, Wait, WaitReason, traced};
use crate::profile::{FrameId, Leaf, Stack};
use crate::tally::{Function, GroupId, Name, NamedStack, Namer};

pub(super) type Map<K, V> = std::collections::HashMap<K, V, RandomState>;

/// The most strings, and the most stacks, of one generation that are found again.
const MAX_TABLE: usize = 1 << 18;
/// The most answers remembered of one kind; further questions are answered each time.
const MAX_ANSWERS: usize = 1 << 16;
/// The most frames of a stack (tracev2.MaxFramesPerStack).
const MAX_FRAMES: u64 = 128;
/// The most bytes of a string (tracev2.MaxEventTrailerDataSize).
const MAX_STRING_BYTES: u64 = 1 << 10;

/// The number of the first byte of each entry.
const STACK: u8 = 3;
const STRING: u8 = 5;

/// Stands for a group or a site there was no room for.
pub(super) const UNLISTED: u32 = u32::MAX;

/// A group, and what its goroutines did.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: GroupId,
    pub(super) wait_reason: WaitReason,
    pub(super) blocking: Name,
    pub(super) app: Name,
    pub(super) owner: Owner,
    pub(super) blame: Blame,
    pub(super) spans: Spans,
    pub(super) world_stopped: u64,
    pub(super) marking: u64,
    /// Time of those that moved, and of those that did not, that was spent helping the collector.
    pub(super) assisting: u64,
}

/// A place that makes goroutines.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) created_by: Name,
    pub(super) app: Name,
    pub(super) entry: Name,
    pub(super) births: Births,
}

/// All groups and sites of a window. Memory: bounded by `max` of each, some hundred bytes, and what [`Namer`] holds.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) namer: Namer,
    pub(super) groups: Vec<Group>,
    index: Map<(WaitReason, Name, Name), u32>,
    pub(super) places: Vec<Place>,
    place_index: Map<(Name, Name, Name), u32>,
    /// The name in place of the frames of a stack that is not known.
    pub(super) no_stack: Name,
    max: usize,
}

impl Groups {
    pub(super) fn new(rules: &Rules, max: usize) -> Self {
        let mut namer = Namer::new(rules);
        Self {
            no_stack: namer.name(NO_STACK),
            namer,
            groups: Vec::new(),
            index: Map::default(),
            places: Vec::new(),
            place_index: Map::default(),
            max,
        }
    }

    /// The number of a group.
    fn group(&mut self, wait_reason: WaitReason, blocking: Name, app: Name) -> u32 {
        let room = self.groups.len() < self.max;
        let next = u32::try_from(self.groups.len()).unwrap_or(UNLISTED);
        match self.index.entry((wait_reason, blocking, app)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(_) if !room => UNLISTED,
            Entry::Vacant(free) => {
                let (at, above) = (self.namer.text(blocking), self.namer.text(app));
                let owner = owner(&at, &above);
                self.groups.push(Group {
                    id: GroupId::of(wait_reason, &at, &above),
                    wait_reason,
                    blocking,
                    app,
                    owner,
                    blame: Blame::of(wait_reason),
                    spans: Spans::default(),
                    world_stopped: 0,
                    marking: 0,
                    assisting: 0,
                });
                *free.insert(next)
            }
        }
    }

    /// The group of goroutines whose stack is not known.
    pub(super) fn without_stack(&mut self, wait_reason: WaitReason) -> u32 {
        self.group(wait_reason, self.no_stack, Name::EMPTY)
    }

    /// The number of a site.
    pub(super) fn place(&mut self, created_by: Name, app: Name, entry: Name) -> u32 {
        let room = self.places.len() < self.max;
        let next = u32::try_from(self.places.len()).unwrap_or(UNLISTED);
        match self.place_index.entry((created_by, app, entry)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(_) if !room => UNLISTED,
            Entry::Vacant(free) => {
                self.places.push(Place {
                    created_by,
                    app,
                    entry,
                    births: Births::default(),
                });
                *free.insert(next)
            }
        }
    }

    pub(super) fn text(&self, name: Name) -> Arc<str> {
        self.namer.text(name)
    }
}

/// Whose goroutines stand there, or were made there.
pub(super) fn owner(blocking: &str, app: &str) -> Owner {
    let of_tracer = [
        "runtime/trace.",
        "runtime.trace",
        "runtime.(*trace",
        "net/http/pprof.",
    ];
    if of_tracer.iter().any(|name| blocking.starts_with(name)) {
        return Owner::Tracer;
    }
    if app.is_empty() && blocking.starts_with("runtime.") {
        return Owner::Runtime;
    }
    Owner::Application
}

/// The tables of one generation.
#[derive(Debug)]
pub(super) struct Tables<'g> {
    raw: &'g [u8],
    strings: Map<u64, Text>,
    stacks: Map<u64, Text>,
    functions: Map<(u64, u64), Option<Function>>,
    judged: Map<(u64, u8), Option<NamedStack>>,
    waits: Map<(u64, u64), u32>,
    syscalls: Map<u64, u32>,
    sites: Map<(u64, u64), u32>,
    /// Entries that could not be read, found, or kept.
    pub(super) damage: u64,
}

/// Where the content of an entry is: its bytes, or its frames.
#[derive(Clone, Copy, Debug)]
struct Text {
    start: u32,
    count: u32,
}

impl<'g> Tables<'g> {
    /// Empty ones, of a generation with these bytes.
    pub(super) fn new(raw: &'g [u8]) -> Self {
        Self {
            raw,
            strings: Map::default(),
            stacks: Map::default(),
            functions: Map::default(),
            judged: Map::default(),
            waits: Map::default(),
            syscalls: Map::default(),
            sites: Map::default(),
            damage: 0,
        }
    }

    /// Notes the entries of a batch of stacks or strings, whose content is at `start`.
    pub(super) fn note(&mut self, start: usize, size: usize, stacks: bool) {
        let end = start + size;
        let content = self.raw.get(start..end).unwrap_or_default();
        // The first byte says what the batch holds.
        let mut at = Bytes(content.get(1..).unwrap_or_default());
        while !at.0.is_empty() {
            let noted = if stacks {
                self.note_stack(&mut at, end)
            } else {
                self.note_string(&mut at, end)
            };
            if noted.is_none() {
                self.damage += 1;
                return;
            }
        }
    }

    fn note_stack(&mut self, at: &mut Bytes<'g>, end: usize) -> Option<()> {
        let (STACK, id, frames) = (at.byte()?, at.number()?, at.number()?) else {
            return None;
        };
        if frames > MAX_FRAMES {
            return None;
        }
        let text = Text {
            start: u32::try_from(end.checked_sub(at.0.len())?).ok()?,
            count: u32::try_from(frames).ok()?,
        };
        for _ in 0..frames * 4 {
            at.number()?;
        }
        if self.stacks.len() < MAX_TABLE {
            self.stacks.insert(id, text);
        } else {
            self.damage += 1;
        }
        Some(())
    }

    fn note_string(&mut self, at: &mut Bytes<'g>, end: usize) -> Option<()> {
        let (STRING, id, size) = (at.byte()?, at.number()?, at.number()?) else {
            return None;
        };
        if size > MAX_STRING_BYTES {
            return None;
        }
        let text = Text {
            start: u32::try_from(end.checked_sub(at.0.len())?).ok()?,
            count: u32::try_from(size).ok()?,
        };
        at.take(usize::try_from(size).ok()?)?;
        if self.strings.len() < MAX_TABLE {
            self.strings.insert(id, text);
        } else {
            self.damage += 1;
        }
        Some(())
    }

    /// The string of that number; empty where there is none.
    pub(super) fn string(&mut self, id: u64) -> &'g [u8] {
        if id == 0 {
            return b"";
        }
        let text = self.strings.get(&id).copied();
        let found = text.and_then(|text| {
            let (start, count) = (usize::try_from(text.start), usize::try_from(text.count));
            let start = start.ok()?;
            self.raw.get(start..start.checked_add(count.ok()?)?)
        });
        found.unwrap_or_else(|| {
            self.damage += 1;
            b""
        })
    }

    /// The group of a goroutine that blocks for the reason of that number at the stack of that number.
    pub(super) fn wait(&mut self, groups: &mut Groups, reason: u64, stack: u64) -> u32 {
        if let Some(&known) = self.waits.get(&(reason, stack)) {
            return known;
        }
        let word = self.string(reason);
        let leaf = match word {
            // One word for all that package sync waits for.
            b"sync" => Leaf::Stated,
            _ => Leaf::Cut,
        };
        let group = match self.judged(groups, stack, leaf) {
            None if stack != 0 => UNLISTED,
            found => {
                let told = match found.map(|stack| stack.wait) {
                    Some(Wait::Known(told) | Wait::Stated(told)) => told,
                    _ => WaitReason::Unknown,
                };
                let reason = traced(word, told);
                match found {
                    Some(stack) => groups.group(reason, stack.blocking, stack.app),
                    None => groups.without_stack(reason),
                }
            }
        };
        remember(&mut self.waits, (reason, stack), group);
        group
    }

    /// The group of a goroutine that was parked when the generation began: its whole stack tells why.
    pub(super) fn parked(&mut self, groups: &mut Groups, stack: u64) -> u32 {
        match self.judged(groups, stack, Leaf::Complete) {
            Some(found) => {
                let reason = match found.wait {
                    Wait::Known(WaitReason::Running) | Wait::Stated(_) | Wait::Hidden(_) => {
                        WaitReason::Unknown
                    }
                    Wait::Known(reason) => reason,
                };
                groups.group(reason, found.blocking, found.app)
            }
            None if stack == 0 => groups.without_stack(WaitReason::Unknown),
            None => UNLISTED,
        }
    }

    /// The group of a goroutine in a system call.
    pub(super) fn syscall(&mut self, groups: &mut Groups, stack: u64) -> u32 {
        if let Some(&known) = self.syscalls.get(&stack) {
            return known;
        }
        let group = match self.judged(groups, stack, Leaf::Complete) {
            Some(found) => groups.group(WaitReason::Syscall, found.blocking, found.app),
            None if stack == 0 => groups.without_stack(WaitReason::Syscall),
            None => UNLISTED,
        };
        remember(&mut self.syscalls, stack, group);
        group
    }

    /// The group of a coroutine that has not begun, by the stack that names its function.
    pub(super) fn coroutine(&mut self, groups: &mut Groups, start: u64) -> u32 {
        match self.judged(groups, start, Leaf::Complete) {
            Some(found) => groups.group(WaitReason::Coroutine, found.blocking, found.app),
            None => groups.without_stack(WaitReason::Coroutine),
        }
    }

    /// The site of a goroutine: the stack that names its function, and that of the `go` statement.
    pub(super) fn site(&mut self, groups: &mut Groups, start: u64, creator: u64) -> u32 {
        if let Some(&known) = self.sites.get(&(start, creator)) {
            return known;
        }
        let entry = self.judged(groups, start, Leaf::Complete);
        let by = self.judged(groups, creator, Leaf::Complete);
        let site = groups.place(
            by.map_or(Name::EMPTY, |by| by.leaf),
            by.map_or(Name::EMPTY, |by| by.app),
            entry.map_or(Name::EMPTY, |entry| entry.leaf),
        );
        remember(&mut self.sites, (start, creator), site);
        site
    }

    /// What the stack of that number means; nothing where there is none.
    fn judged(&mut self, groups: &mut Groups, id: u64, leaf: Leaf) -> Option<NamedStack> {
        if id == 0 {
            return None;
        }
        let key = (
            id,
            match leaf {
                Leaf::Complete => 0,
                Leaf::Cut => 1,
                Leaf::Stated | Leaf::Hidden(_) => 2,
            },
        );
        if let Some(known) = self.judged.get(&key) {
            return *known;
        }
        let found = self.judge(&mut groups.namer, id, leaf);
        if found.is_none() {
            self.damage += 1;
        }
        // Bounded by the stacks noted, but for those that are not there, which cost nothing to look for again.
        if self.stacks.contains_key(&id) {
            self.judged.insert(key, found);
        }
        found
    }

    /// The function of these two strings, whose text is looked at once: both may be long where a frame is short.
    fn function(&mut self, namer: &mut Namer, symbol: u64, file: u64) -> Option<Function> {
        if let Some(&known) = self.functions.get(&(symbol, file)) {
            return known;
        }
        let function = namer.function(self.string(symbol), self.string(file));
        if self.functions.len() < MAX_TABLE {
            self.functions.insert((symbol, file), function);
        }
        function
    }

    fn judge(&mut self, namer: &mut Namer, id: u64, leaf: Leaf) -> Option<NamedStack> {
        let text = *self.stacks.get(&id)?;
        let mut at = Bytes(self.raw.get(usize::try_from(text.start).ok()?..)?);
        let mut frames: Vec<FrameId> = Vec::with_capacity(usize::try_from(text.count).ok()?);
        for _ in 0..text.count {
            at.number()?;
            let (function, file, line) = (at.number()?, at.number()?, at.number()?);
            let function = self.function(namer, function, file);
            frames.push(Namer::frame(function, u32::try_from(line).unwrap_or(0)));
        }
        namer.stack(Stack {
            frames: &frames,
            leaf,
            root_cut: u64::from(text.count) == MAX_FRAMES,
        })
    }
}

fn remember<K: Eq + std::hash::Hash>(answers: &mut Map<K, u32>, question: K, answer: u32) {
    if answers.len() < MAX_ANSWERS {
        answers.insert(question, answer);
    }
}
