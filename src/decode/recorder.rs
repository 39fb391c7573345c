//! A sink for tests that writes down what it is given.

#![expect(clippy::as_conversions, reason = "places in a vector of a test")]

use std::collections::BTreeMap;

use super::{Limits, decode};
use crate::profile::{Facts, FrameId, FrameText, HiddenId, Leaf, Sink, Stack, StackId, Summary};

/// What was pushed, as lines a test can compare: `count reason minutes delay | leaf < ... < root | created by`.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    frames: Vec<String>,
    stacks: Vec<String>,
    pub(crate) goroutines: Vec<String>,
    pub(crate) total: u64,
    /// The numbers of goroutines, as far as they were told.
    pub(crate) ids: Vec<u64>,
    pub(crate) revealed: BTreeMap<u16, String>,
}

impl Recorder {
    /// Decodes `body` as text or protobuf and returns what was pushed.
    pub(crate) fn read(body: &[u8]) -> (Self, Result<Summary, super::DecodeError>) {
        let mut recorder = Self::default();
        let summary = decode(
            body,
            &Limits {
                inflated_bytes: 1 << 20,
            },
            &mut recorder,
        );
        (recorder, summary)
    }
}

impl Sink for Recorder {
    fn wants_labels(&self) -> bool {
        true
    }

    fn frame(&mut self, frame: FrameText<'_>) -> FrameId {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.frames.push(format!(
            "{}@{}:{}",
            text(frame.function),
            text(frame.file),
            frame.line
        ));
        FrameId(u64::try_from(self.frames.len() - 1).unwrap())
    }

    fn stack(&mut self, stack: Stack<'_>) -> StackId {
        let frames: Vec<&str> = stack
            .frames
            .iter()
            .map(|id| &*self.frames[usize::try_from(id.0).unwrap()])
            .collect();
        let leaf = match stack.leaf {
            Leaf::Complete | Leaf::Stated | Leaf::Cut => String::new(),
            Leaf::Hidden(id) => format!("#{} ", id.0),
        };
        self.stacks.push(format!(
            "{leaf}{}{}",
            frames.join(" < "),
            if stack.root_cut { " ..." } else { "" }
        ));
        StackId(u32::try_from(self.stacks.len() - 1).unwrap())
    }

    fn count(&mut self, stack: StackId, facts: &Facts<'_>) {
        let mut line = facts.count.to_string();
        if let Some(reason) = facts.wait_reason {
            line += &format!(" [{}]", String::from_utf8_lossy(reason));
        }
        if let Some(minutes) = facts.waited_minutes {
            line += &format!(" {minutes}m");
        }
        if facts.delay_nanoseconds > 0 {
            line += &format!(" {}ns", facts.delay_nanoseconds);
        }
        for (mark, set) in [
            (" leaked", facts.leaked),
            (" not started", facts.not_started),
        ] {
            line += if set { mark } else { "" };
        }
        line += &format!(" | {}", self.stacks[stack.0 as usize]);
        if let Some(creator) = facts.created_by {
            line += &format!(" | {}", self.frames[usize::try_from(creator.0).unwrap()]);
        }
        for (key, value) in facts.labels {
            line += &format!(
                " {}={}",
                String::from_utf8_lossy(key),
                String::from_utf8_lossy(value)
            );
        }
        self.total = self.total.saturating_add(facts.count);
        self.ids.extend(facts.id);
        self.goroutines.push(line);
    }

    fn reveal(&mut self, id: HiddenId, functions: &[&str]) {
        self.revealed.insert(id.0, functions.join(" < "));
    }
}
