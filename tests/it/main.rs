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

mod bad_targets;
mod books;
mod captures;
mod certificates;
mod commands;
mod docs;
mod go;
mod http;
mod layering;
mod population;
mod programs;
mod prometheus;
mod promql;
mod properties;
mod recorded;
mod requests;
mod routing;
mod rules;
mod serve;
mod servers;
mod ways;
