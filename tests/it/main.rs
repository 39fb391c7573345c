//! Everything that is tested from outside: the library on recorded profiles, and the program against real servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a test that cannot go on must say so and stop"
)]

mod books;
mod captures;
mod docs;
mod layering;
mod population;
mod properties;
mod recorded;
