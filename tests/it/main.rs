//! Everything that is tested from outside: the library on recorded profiles, and the program against real servers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must say so and stop"
)]

mod captures;
mod recorded;
