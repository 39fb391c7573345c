//! The folder of snapshots.

use std::io;

use super::entry::{Entry, NewSnapshot, SnapshotId, StorageSpec};

/// The folder of snapshots. Every call reads or writes files: never from a thread that drives futures.
#[derive(Debug)]
pub struct Store {}

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
    #[error("a snapshot of {bytes} bytes is more than storage.max_bytes allows, {limit}")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// The folder cannot be used.
    #[error("the folder of snapshots cannot be used: {0}")]
    Io(#[from] io::Error),
}

impl Store {
    /// The store in the folder of `spec`, with what is there already.
    #[must_use]
    pub fn open(_spec: &StorageSpec) -> Self {
        Self {}
    }

    /// Keeps a profile; when this returns, it outlives a crash.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, _new: &NewSnapshot) -> Result<SnapshotId, StoreError> {
        Err(io::Error::from(io::ErrorKind::Unsupported).into())
    }

    /// What is kept, newest first.
    #[must_use]
    pub fn list(&self) -> Vec<Entry> {
        Vec::new()
    }

    /// A snapshot: a compressed profile that `go tool pprof` opens.
    ///
    /// # Errors
    /// When there is none, or it is not what was written.
    pub fn read(&self, id: &SnapshotId) -> Result<(Entry, Vec<u8>), StoreError> {
        Err(StoreError::Unknown { id: id.clone() })
    }

    /// Deletes a snapshot for good.
    ///
    /// # Errors
    /// When there is none, or it cannot be deleted.
    pub fn delete(&self, id: &SnapshotId) -> Result<(), StoreError> {
        Err(StoreError::Unknown { id: id.clone() })
    }

    /// Bytes of all files together. Costs nothing.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        0
    }
}
