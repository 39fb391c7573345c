//! Evidence that outlives the target: goroutine profiles kept in a folder, within bounds.

mod entry;
mod store;

pub use entry::{Bounds, Entry, NewSnapshot, SnapshotId, StorageSpec, Trigger};
pub use store::{Store, StoreError};
