//! The file of known groups.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow};
use regex::Regex;

use super::side::{Known, Report};
use crate::tally::GroupId;

/// Bounds of the file: it is written by hand.
const MAX_BYTES: u64 = 1 << 20;
const MAX_LINES: usize = 1000;

/// What may be there.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowed {
    ids: BTreeSet<GroupId>,
    patterns: Vec<Regex>,
    /// As many goroutines as a report lists.
    counts: BTreeMap<GroupId, u64>,
}

impl Allowed {
    /// # Errors
    /// When the file cannot be read, or a line is neither id nor expression.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("--allow {}", path.display());
        if let Some(report) = Report::read(path).with_context(named)? {
            let mut counts = BTreeMap::new();
            for group in &report.groups {
                if let Some(id) = group.id() {
                    counts.insert(id, group.goroutines);
                }
            }
            return Ok(Self {
                counts,
                ..Self::default()
            });
        }
        let mut text = String::new();
        let file = File::open(path).with_context(named)?;
        let read = file.take(MAX_BYTES + 1).read_to_string(&mut text);
        if read.with_context(named)? > usize::try_from(MAX_BYTES)? {
            return Err(anyhow!("longer than {MAX_BYTES} bytes")).with_context(named);
        }
        Self::parse(&text).with_context(named)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut allowed = Self::default();
        for (number, line) in text.lines().enumerate() {
            // A # inside an expression is one with something before it.
            let line = match line.split_once(" #") {
                Some((before, _)) => before.trim(),
                None => line.trim(),
            };
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if allowed.ids.len() + allowed.patterns.len() >= MAX_LINES {
                return Err(anyhow!("more than {MAX_LINES} known groups"));
            }
            let digits = line.len() == 16 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
            match u64::from_str_radix(line, 16).ok().filter(|_| digits) {
                Some(id) => {
                    allowed.ids.insert(GroupId(id));
                }
                None => allowed.patterns.push(Regex::new(line).map_err(|error| {
                    let error = error.to_string();
                    let why = error.lines().last().unwrap_or_default().to_owned();
                    anyhow!(
                        "line {}: {line:?} is neither a group id nor an expression: {why}",
                        number + 1
                    )
                })?),
            }
        }
        Ok(allowed)
    }

    /// How many goroutines a group may have: `None` for any number.
    pub(super) fn goroutines(&self, id: GroupId, group: &Known) -> Option<u64> {
        let matches = |pattern: &Regex| {
            pattern.is_match(&group.blocking_frame)
                || (!group.app_frame.is_empty() && pattern.is_match(&group.app_frame))
        };
        if self.ids.contains(&id) || self.patterns.iter().any(matches) {
            return None;
        }
        Some(self.counts.get(&id).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_patterns_are_known() {
        let text = "# known\n00000000000000ff  # the pool\n\n^main\\.\\(\\*Pool\\)\r\nexample.com/dep\\.\n";
        let allowed = Allowed::parse(text).unwrap();
        let check = |id: u64, blocking: &str, app: &str, known: bool| {
            let group = Known {
                blocking_frame: blocking.to_owned(),
                app_frame: app.to_owned(),
                ..Known::default()
            };
            let found = allowed.goroutines(GroupId(id), &group).is_none();
            assert_eq!(found, known, "{id} {blocking} {app}");
        };
        check(255, "main.x", "", true);
        check(1, "main.x", "", false);
        check(1, "main.(*Pool).get", "", true);
        check(1, "net.x", "main.(*Pool).get", true);
        check(1, "xmain.(*Pool).get", "", false);
        check(1, "example.com/dep.run", "main.y", true);
        let error = Allowed::parse("ok\n(").unwrap_err().to_string();
        assert!(error.starts_with("line 2: \"(\" is neither"), "{error}");
    }
}
