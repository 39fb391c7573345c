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
#![allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "counts of goroutines are small and whole, and samples of them are compared as they are"
)]

mod alerts;
mod bad_targets;
#[path = "../fuzz/bodies/mod.rs"]
mod bodies;
mod books;
mod browser;
mod budgets;
mod captures;
mod certificates;
mod commands;
mod contention;
mod dashboards;
mod dashboards_live;
mod detail;
mod diff;
mod discovery;
mod docs;
mod evidence;
mod examples;
mod fuzzed;
mod gate;
mod go;
mod godebug;
mod harm;
mod hostile;
mod http;
mod incident;
mod inspect_trace;
mod layering;
mod leaks;
mod lifecycle;
mod namespace;
mod odd;
mod packaging;
mod pages;
mod pasted;
mod population;
mod programs;
mod prometheus;
mod promql;
mod properties;
mod proxied;
mod published;
mod reach;
mod recorded;
mod requests;
mod routing;
mod rules;
mod serve;
mod servers;
mod storm;
mod structmap;
mod systemd;
mod tells;
mod terminal;
mod traces;
mod tracing;
mod ways;
mod web_config;
mod web_tls;
