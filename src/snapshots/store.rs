//! The folder of snapshots: what is in it, and how it changes without ever showing half of anything.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::entry::{Bounds, Entry, NewSnapshot, SnapshotId, StorageSpec};
use super::file::{is_whole, write};
use super::folder::{
    Found, inspect, make_folder, name, open_lock, read_file, under_way, write_whole,
};
use super::retention::{SteadyClock, plan};

/// Names of files left alone that one line of the log tells, at most.
const MAX_TOLD: usize = 3;
/// How long a folder that cannot be used is left in peace, so that a disk that is full is not asked with every probe.
const REST: Duration = Duration::from_secs(30);
/// Numbers that are tried for an id.
const ATTEMPTS: usize = 16;

/// The folder of snapshots.
///
/// One process at a time writes to it: whoever holds the lock on a file in it. A folder that cannot be used is tried again
/// with each snapshot; that it cannot is told once.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// Held while files are written and removed.
    writer: Mutex<Writer>,
    /// Held for moments.
    index: Mutex<BTreeMap<SnapshotId, Entry>>,
    bytes: AtomicU64,
    skipped: AtomicU64,
    /// Whether the last attempt to write succeeded.
    usable: AtomicBool,
    /// When the last attempt that failed was.
    failed: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Writer {
    bounds: Bounds,
    /// The locked file, while the folder is in use.
    lock: Option<File>,
    clock: SteadyClock,
}

/// Why a snapshot is not kept, read or deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is none of that id.
    #[error("there is no snapshot {id}")]
    Unknown {
        /// The id.
        id: SnapshotId,
    },
    /// Its file is not what was written.
    #[error("the file of snapshot {id} was changed or cut by another process")]
    Damaged {
        /// The id.
        id: SnapshotId,
    },
    /// It alone is larger than all snapshots may be.
    #[error("the snapshot takes {bytes} bytes, and storage.max_bytes allows {limit}")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// Only what is worth more could make room for it.
    #[error("there is no room for it beside what is worth more")]
    NoRoom,
    /// The body is no profile.
    #[error("the profile is not compressed as a profile is")]
    NotAProfile,
    /// The folder cannot be used.
    #[error("the folder of snapshots cannot be used: {0}")]
    Io(#[from] io::Error),
}

impl Store {
    /// The store in the folder of `spec`, with what is there already, within its bounds. A folder that is missing is
    /// made; one that cannot be used is tried again later.
    ///
    /// Cost: reads the head of each file.
    #[must_use]
    pub fn open(spec: &StorageSpec) -> Self {
        let store = Self {
            path: spec.path.clone(),
            writer: Mutex::new(Writer {
                bounds: spec.bounds,
                lock: None,
                clock: SteadyClock::new(SystemTime::now(), Instant::now()),
            }),
            index: Mutex::default(),
            bytes: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            usable: AtomicBool::new(true),
            failed: Mutex::default(),
        };
        let opened = store.ready(&mut store.writer());
        if opened.is_err() {
            // What is there can be read all the same, perhaps.
            if let Ok(found) = store.scan(false) {
                store.replace(found);
            }
        }
        store.note(opened.as_ref().err());
        if opened.is_ok() {
            store.tidy();
        }
        store
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a profile; when this returns its id, it outlives a crash. Makes room for it where there is none.
    ///
    /// # Errors
    /// When it cannot be written, or not within the bounds.
    pub fn keep(&self, new: &NewSnapshot) -> Result<SnapshotId, StoreError> {
        let mut writer = self.writer();
        let kept = self.try_keep(&mut writer, new);
        if let Err(StoreError::Io(problem)) = &kept
            && problem.kind() == ErrorKind::NotFound
        {
            // Somebody removed the folder; it is made again for the next one.
            writer.lock = None;
        }
        match &kept {
            Ok(_) => self.note(None),
            Err(StoreError::Io(problem)) => self.note(Some(problem)),
            Err(_) => {}
        }
        kept
    }

    /// What is kept, newest first. Costs no reading.
    #[must_use]
    pub fn list(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.index().values().cloned().collect();
        entries.sort_by(|one, other| (other.taken, &other.id).cmp(&(one.taken, &one.id)));
        entries
    }

    /// What is known of a snapshot. Costs no reading.
    #[must_use]
    pub fn entry(&self, id: &SnapshotId) -> Option<Entry> {
        self.index().get(id).cloned()
    }

    /// A snapshot: a compressed profile that `go tool pprof` opens.
    ///
    /// # Errors
    /// When there is none, or it is not what was written.
    pub fn read(&self, id: &SnapshotId) -> Result<(Entry, Vec<u8>), StoreError> {
        let unknown = || StoreError::Unknown { id: id.clone() };
        let entry = self.entry(id).ok_or_else(unknown)?;
        let file = match read_file(&self.file(id), entry.bytes) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.forget(id);
                return Err(unknown());
            }
            Err(error) => return Err(error.into()),
        };
        if !is_whole(&file, &entry) {
            if self.forget(id) {
                self.skipped.fetch_add(1, Ordering::Relaxed);
                warn!(snapshot = %id, "a snapshot was changed or cut by another process, and is left alone from now on");
            }
            return Err(StoreError::Damaged { id: id.clone() });
        }
        Ok((entry, file))
    }

    /// Deletes a snapshot for good.
    ///
    /// # Errors
    /// When there is none, or it cannot be deleted.
    pub fn delete(&self, id: &SnapshotId) -> Result<(), StoreError> {
        let mut writer = self.writer();
        if self.entry(id).is_none() {
            return Err(StoreError::Unknown { id: id.clone() });
        }
        self.ready(&mut writer)?;
        self.remove(id)?;
        self.sync()?;
        Ok(())
    }

    /// Bytes of all files together. Costs nothing.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Files in the folder that are no snapshots as this program writes them, and are left alone. Costs nothing.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Whether the last attempt to use the folder succeeded. Costs nothing.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }

    /// Whether an attempt failed a moment ago, so that whoever has time tries again later. Costs nothing.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.failed().is_some_and(|failed| failed.elapsed() < REST)
    }

    /// Whether one like this, of the same target by the same modules for the same reason, was taken since then; what was
    /// taken in the future does not count. Costs no reading.
    #[must_use]
    pub fn has_since(&self, new: &NewSnapshot, since: SystemTime) -> bool {
        let now = SystemTime::now();
        self.index().values().any(|entry| {
            entry.trigger == new.trigger
                && entry.target == new.target
                && entry.module == new.module
                && (since..=now).contains(&entry.taken)
        })
    }

    /// Changes the bounds, dropping at once what is beyond them.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.writer().bounds = bounds;
        self.tidy();
    }

    /// Drops what is beyond the bounds, above all what has become too old.
    pub fn tidy(&self) {
        let mut writer = self.writer();
        let now = writer.clock.now(SystemTime::now(), Instant::now());
        let plan = plan(self.index().values(), None, writer.bounds, now);
        if plan.drop.is_empty() {
            return;
        }
        let done = self.ready(&mut writer).and_then(|()| {
            for id in &plan.drop {
                self.remove(id)?;
            }
            self.sync()
        });
        self.note(done.as_ref().err());
    }

    fn try_keep(&self, writer: &mut Writer, new: &NewSnapshot) -> Result<SnapshotId, StoreError> {
        self.ready(writer)?;
        let id = self.new_id(new)?;
        let (entry, content) = write(&id, new).ok_or(StoreError::NotAProfile)?;
        let limit = writer.bounds.max_bytes;
        if entry.bytes > limit {
            let bytes = entry.bytes;
            return Err(StoreError::TooLarge { bytes, limit });
        }
        let now = writer.clock.now(SystemTime::now(), Instant::now());
        let plan = plan(self.index().values(), Some(&entry), writer.bounds, now);
        if !plan.admit {
            return Err(StoreError::NoRoom);
        }
        let under_way = self.path.join(under_way(&entry.id));
        let written = write_whole(&under_way, &content).and_then(|()| {
            // Room is made when the new one is safe already; it counts from its renaming on.
            for id in &plan.drop {
                self.remove(id)?;
            }
            fs::rename(&under_way, self.file(&entry.id))
        });
        if let Err(error) = written {
            // The one error is told; what cannot be removed now is at the next start.
            drop(fs::remove_file(&under_way));
            return Err(error.into());
        }
        let id = entry.id.clone();
        self.add(entry);
        if let Err(error) = self.sync() {
            drop(self.remove(&id));
            return Err(error.into());
        }
        Ok(id)
    }

    /// An id that no file has.
    fn new_id(&self, new: &NewSnapshot) -> io::Result<SnapshotId> {
        for _ in 0..ATTEMPTS {
            let random = RandomState::new().build_hasher().finish();
            let id = SnapshotId::new(new.taken, new.trigger, random);
            if self.entry(&id).is_none() && !self.file(&id).try_exists()? {
                return Ok(id);
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Takes the folder into use, unless it is.
    fn ready(&self, writer: &mut Writer) -> io::Result<()> {
        if writer.lock.is_some() {
            return Ok(());
        }
        make_folder(&self.path)?;
        let lock = open_lock(&self.path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let problem = "another process keeps its snapshots there";
                return Err(io::Error::new(ErrorKind::ResourceBusy, problem));
            }
            // A file system without locks is used without.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let found = self.scan(true)?;
        self.replace(found);
        writer.lock = Some(lock);
        Ok(())
    }

    /// Reads the heads of all snapshots. What is no snapshot is left alone, told and counted; what a crash left under
    /// way is removed where the folder is ours.
    fn scan(&self, ours: bool) -> io::Result<BTreeMap<SnapshotId, Entry>> {
        let mut found = BTreeMap::new();
        let mut skipped: u64 = 0;
        let mut names = Vec::new();
        for file in fs::read_dir(&self.path)? {
            let file = file?;
            match inspect(&file)? {
                Found::Snapshot(entry) => {
                    found.insert(entry.id.clone(), entry);
                }
                Found::UnderWay if ours => fs::remove_file(file.path())?,
                Found::UnderWay | Found::Nothing => {}
                Found::Foreign => {
                    skipped = skipped.saturating_add(1);
                    if names.len() < MAX_TOLD {
                        names.push(file.file_name().to_string_lossy().into_owned());
                    }
                }
            }
        }
        self.skipped.store(skipped, Ordering::Relaxed);
        if skipped > 0 {
            warn!(path = %self.path.display(), files = skipped, names = ?names, "files that are no snapshots, or were cut or replaced, are left alone");
        }
        Ok(found)
    }

    fn file(&self, id: &SnapshotId) -> PathBuf {
        self.path.join(name(id))
    }

    /// Removes file and entry; that the file is gone already is fine.
    fn remove(&self, id: &SnapshotId) -> io::Result<()> {
        match fs::remove_file(self.file(id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => {
                self.forget(id);
                Ok(())
            }
        }
    }

    /// Makes names durable.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn replace(&self, found: BTreeMap<SnapshotId, Entry>) {
        let mut index = self.index();
        *index = found;
        self.count(&index);
    }

    fn add(&self, entry: Entry) {
        let mut index = self.index();
        index.insert(entry.id.clone(), entry);
        self.count(&index);
    }

    fn forget(&self, id: &SnapshotId) -> bool {
        let mut index = self.index();
        let known = index.remove(id).is_some();
        self.count(&index);
        known
    }

    fn count(&self, index: &BTreeMap<SnapshotId, Entry>) {
        let lengths = index.values().map(|entry| entry.bytes);
        self.bytes
            .store(lengths.fold(0, u64::saturating_add), Ordering::Relaxed);
    }

    /// Tells once that the folder cannot be used, and once that it can again.
    fn note(&self, problem: Option<&io::Error>) {
        let before = self.usable.swap(problem.is_none(), Ordering::Relaxed);
        *self.failed() = problem.map(|_| Instant::now());
        let path = self.path.display();
        match problem {
            Some(problem) if before => {
                warn!(%path, %problem, "snapshots cannot be kept; probes go on without");
            }
            None if !before => info!(%path, "snapshots are kept again"),
            _ => {}
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // What it guards is whole between any two steps.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> MutexGuard<'_, Option<Instant>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn index(&self) -> MutexGuard<'_, BTreeMap<SnapshotId, Entry>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
