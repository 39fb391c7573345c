//! Evidence that outlives the target: goroutine profiles kept in a folder, within bounds.
//!
//! One file is one snapshot: `go tool pprof` opens it as it is, and its facts are in its own header ([`mod@file`]). A file is
//! written under another name, made durable, then renamed, so that a crash at any moment leaves whole snapshots only
//! ([`store`]). What goes when there is too much is decided in [`retention`]. Nothing here knows of probes or requests,
//! and every call of [`Store`] that is not said to cost nothing reads or writes files.

mod entry;
mod file;
mod folder;
mod retention;
mod store;

pub use entry::{Bounds, Entry, NewSnapshot, SnapshotId, StorageSpec, Trigger};
pub use store::{Store, StoreError};
