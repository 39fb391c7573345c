//! Files of targets: which there are, which have changed, and what they held when they could last be used.
//!
//! Looking costs a call of the system for each file and needs nothing of the kernel that network file systems and mounted
//! configurations of Kubernetes lack. What changes without its size, time or inode changing is found when a file is read
//! again for its age.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Failure, Found, Look, Mechanism, Reason, Word};
use crate::config::{Config, FilePattern, FileSd, MAX_BYTES, StaticTarget, read_groups};

/// Files that are read, at most, those of all entries together.
pub const MAX_FILES: usize = 1_000;

/// Entries of a folder that are looked at, at most.
pub const MAX_ENTRIES: usize = 10_000;

/// All files.
#[derive(Clone, Debug, Default)]
pub struct Files {
    sources: Vec<Source>,
}

/// An entry of `file_sd_configs`, and what is known of it.
#[derive(Clone, Debug)]
struct Source {
    spec: FileSd,
    files: BTreeMap<PathBuf, Known>,
    /// Patterns whose folder could not be read, or holds too much, and when that was last told.
    /// `None` stands for all files together.
    troubled: BTreeMap<Option<FilePattern>, Instant>,
}

/// A file.
#[derive(Clone, Debug, Default)]
struct Known {
    /// What it looked like, and when it was read. `None` asks for it to be read.
    read: Option<(Stamp, Instant)>,
    /// What it held when it could last be used.
    targets: Vec<StaticTarget>,
    /// Whether it was written by nobody but those whom the operator lets write.
    guarded: bool,
    /// Whether the last attempt failed.
    failed: bool,
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stamp {
    File {
        device: u64,
        inode: u64,
        bytes: u64,
        modified: (i64, i64),
        mode: u32,
    },
    /// It cannot be looked at.
    Hidden,
}

impl Files {
    pub(super) fn adopt(&mut self, specs: &[FileSd]) {
        let mut old = std::mem::take(&mut self.sources);
        let keep = |spec: &FileSd| {
            let known = old.iter().position(|source| source.spec == *spec);
            let mut source = known.map_or_else(|| Source::new(spec), |at| old.swap_remove(at));
            // Modules may mean something else now.
            for file in source.files.values_mut() {
                file.read = None;
            }
            source.troubled.clear();
            source
        };
        self.sources = specs.iter().map(keep).collect();
    }

    /// Looks at them, and reads those that have changed, or were not read for as long as they may. Blocks. Cost: a call of
    /// the system for each file.
    pub fn look(&mut self, config: &Config, now: Instant) -> Look {
        let mut look = Look::default();
        let mut room = MAX_FILES;
        for source in &mut self.sources {
            source.list(&mut room, now, &mut look);
            source.read(config, now, &mut look);
        }
        look.all_good = self.sources.iter().all(Source::is_good);
        look
    }

    pub(super) fn found(&self) -> impl Iterator<Item = Found> {
        let files = self.sources.iter().flat_map(|source| source.files.values());
        files.flat_map(|file| {
            file.targets.iter().map(|target| Found {
                target: target.clone(),
                mechanism: Mechanism::File,
                word: if file.guarded {
                    Word::Operator
                } else {
                    Word::Nobody
                },
            })
        })
    }
}

impl Source {
    fn new(spec: &FileSd) -> Self {
        Self {
            spec: spec.clone(),
            files: BTreeMap::new(),
            troubled: BTreeMap::new(),
        }
    }

    fn is_good(&self) -> bool {
        self.troubled.is_empty() && self.files.values().all(|file| !file.failed)
    }

    /// Finds out which files there are. Those in a folder that cannot be read are still there as far as anybody knows.
    fn list(&mut self, room: &mut usize, now: Instant, look: &mut Look) {
        let mut there = BTreeSet::new();
        for pattern in &self.spec.files.clone() {
            let trouble = match list(pattern) {
                Ok(listed) => {
                    let more = listed.more;
                    there.extend(listed.files);
                    let problem = format!(
                        "{pattern}: the folder has more than {MAX_ENTRIES} entries, and not all were looked at"
                    );
                    more.then_some((Reason::TooMany, problem))
                }
                Err(problem) => {
                    let known = self.files.keys().filter(|file| is_of(pattern, file));
                    there.extend(known.cloned());
                    let problem = format!("{pattern}: the folder cannot be read: {problem}");
                    Some((Reason::Unreadable, problem))
                }
            };
            let Some((reason, problem)) = trouble else {
                self.troubled.remove(&Some(pattern.clone()));
                continue;
            };
            self.trouble(Some(pattern.clone()), reason, problem, now, look);
        }
        let left_out = there.len().saturating_sub(*room);
        if left_out > 0 {
            let problem = format!("{left_out} files are left out: at most {MAX_FILES} are read");
            self.trouble(None, Reason::TooMany, problem, now, look);
        } else {
            self.troubled.remove(&None);
        }
        let there: BTreeSet<PathBuf> = there.into_iter().take(*room).collect();
        *room = room.saturating_sub(there.len());
        let before = self.files.len();
        self.files.retain(|file, _| there.contains(file));
        look.changed |= self.files.len() < before;
        for file in there {
            self.files.entry(file).or_default();
        }
    }

    /// Notes what is wrong with a pattern, and tells it once in an interval.
    fn trouble(
        &mut self,
        pattern: Option<FilePattern>,
        reason: Reason,
        problem: String,
        now: Instant,
        look: &mut Look,
    ) {
        let told = self.troubled.get(&pattern);
        if told.is_none_or(|at| is_due(*at, self.spec.refresh_interval, now)) {
            self.troubled.insert(pattern, now);
            look.failures.push(Failure {
                mechanism: Mechanism::File,
                reason,
                problem,
            });
        }
    }

    /// Reads the files that have changed, or are due.
    fn read(&mut self, config: &Config, now: Instant, look: &mut Look) {
        for (path, file) in &mut self.files {
            let stamp = fs::metadata(path).map_or(Stamp::Hidden, |found| Stamp::of(&found));
            let unchanged = file.read.as_ref().is_some_and(|(before, at)| {
                *before == stamp && !is_due(*at, self.spec.refresh_interval, now)
            });
            if unchanged {
                continue;
            }
            // Looked at before it is read: what changes meanwhile is found to have changed the next time.
            file.read = Some((stamp.clone(), now));
            let read = contents(path)
                .map_err(|problem| {
                    let problem = format!("{}: cannot be read: {problem}", path.display());
                    (Reason::Unreadable, problem)
                })
                .and_then(|bytes| {
                    let modules = config.modules();
                    read_groups(path, &bytes, &self.spec.module, modules)
                        .map_err(|error| (Reason::Malformed, error.to_string()))
                });
            file.failed = read.is_err();
            match read {
                Ok(targets) => {
                    look.changed = true;
                    file.targets = targets;
                    file.guarded = !stamp.is_open();
                    if !file.guarded {
                        look.open_files.push(path.display().to_string());
                    }
                }
                Err((reason, problem)) => look.failures.push(Failure {
                    mechanism: Mechanism::File,
                    reason,
                    problem,
                }),
            }
        }
    }
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self::File {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            mode: found.mode(),
        }
    }

    /// Whether everybody on the machine may write to it.
    fn is_open(&self) -> bool {
        matches!(self, Self::File { mode, .. } if mode & 0o002 != 0)
    }
}

/// What a pattern stands for, in the order of names.
#[derive(Clone, Debug, Default)]
struct Listed {
    files: BTreeSet<PathBuf>,
    /// Whether the folder has more entries than were looked at.
    more: bool,
}

/// A folder or file that is not there is no file, and no fault: others may make it when they have something to say.
fn list(pattern: &FilePattern) -> io::Result<Listed> {
    let Some((folder, name)) = pattern.parts() else {
        return Ok(Listed::default());
    };
    let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let mut listed = Listed::default();
    if !pattern.is_glob() {
        let file = folder.join(name);
        match fs::symlink_metadata(&file) {
            Err(error) if absent(&error) => {}
            Err(error) => return Err(error),
            Ok(_) => {
                listed.files.insert(file);
            }
        }
        return Ok(listed);
    }
    let entries = match fs::read_dir(folder) {
        Err(error) if absent(&error) => return Ok(listed),
        entries => entries?,
    };
    for (number, entry) in entries.enumerate() {
        let entry = entry?;
        if number >= MAX_ENTRIES {
            listed.more = true;
            break;
        }
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| pattern.matches(name)) {
            listed.files.insert(folder.join(name));
        }
    }
    Ok(listed)
}

fn is_of(pattern: &FilePattern, file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    let folder = pattern.parts().map(|(folder, _)| folder);
    file.parent() == folder && name.is_some_and(|name| pattern.matches(name))
}

/// Reads one byte more than may be, at most: enough to be refused as too long.
fn contents(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe would wait for somebody to write to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_due(last: Instant, interval: Duration, now: Instant) -> bool {
    now.saturating_duration_since(last) >= interval
}

#[cfg(test)]
mod tests;
