//! `goroutine_exporter`: goroutine profiles of unmodified Go services in, Prometheus series out.
//!
//! # Map
//!
//! The **core** is pure and synchronous: no I/O, no clock, no logging, no globals.
//!
//! - [`profile`]: the words all speak, and the [`Sink`](profile::Sink) that decoders fill.
//! - [`decode`]: bytes in any encoding Go writes, pushed goroutine by goroutine into a sink.
//! - [`classify`]: what a stack means: wait reason, blocking frame, application frame.
//! - [`tally`]: counting by group in bounded memory, and choosing the groups that get series.
//! - [`trace`]: execution traces: for how long goroutines waited in a window, and for what.
//!
//! The **edge** does I/O and knows the configuration.
//!
//! - [`target`], [`policy`]: what users name, and where probes may go.
//! - [`fetch`]: the only place that opens connections to targets.
//! - [`config`]: the file, validated and compiled; reloading.
//! - [`discovery`]: targets found in files and in DNS, while it runs.
//! - [`budget`]: what may be asked of a target beyond the cheap profile, and when.
//! - [`probe`]: the order of one probe, and its outcome, which always exists.
//! - [`expose`]: an outcome as text for Prometheus.
//! - [`reading`]: how a profile was fetched and read.
//! - [`tracker`], [`history`], [`self_metrics`]: what is remembered of targets, of probes and of the exporter.
//! - [`snapshots`]: profiles kept as evidence, in a folder, within bounds.
//! - [`server`]: routes, pages, connections. [`commands`] and [`cli`]: the command line.
//! - `numbers`: counts as people read them.
//! - [`demo`]: a simulated target, which knows nothing of the exporter.
//!
//! # Invariants
//!
//! Each has a test.
//!
//! - The sum over all groups, and what is folded, is the total.
//! - A group has the same labels and id whichever encoding it was read from; where `debug=1`, which no probe asks for,
//!   hides why goroutines wait and nothing in the dump tells, they are `unknown`.
//! - No input makes the core panic or hold more than its stated limits; what it leaves out is counted.
//! - The core imports nothing of the edge, and names neither files, sockets, clocks nor logs
//!   (`tests/it/layering.rs`).
//! - No connection is opened to an address that [`policy`] did not permit, those to the system's name servers aside; and
//!   nothing that a name server answers makes it permit more than the configuration says of the name that was asked for.
//! - Credentials of a module go nowhere but where somebody wrote that they may, and never over plain HTTP unless that was
//!   written, too.
//! - A snapshot that was reported as kept survives a crash, and the first of an incident outlives its later ones.
//! - Nothing is answered to who may not ask, and no change of a file lets in who was not let in before
//!   ([`server::web`]).
//! - A secret has no way to be printed ([`secret`]).

pub mod budget;
pub mod classify;
pub mod cli;
pub mod commands;
pub mod config;
pub mod decode;
pub mod demo;
pub mod discovery;
pub mod expose;
pub mod failure;
pub mod fetch;
pub mod history;
mod numbers;
pub mod policy;
pub mod probe;
pub mod profile;
pub mod reading;
pub mod secret;
pub mod self_metrics;
pub mod server;
pub mod snapshots;
pub mod tally;
pub mod target;
pub mod trace;
pub mod tracker;
pub mod units;
