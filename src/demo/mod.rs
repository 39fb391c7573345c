//! A Go service that does not exist: what `goroutine_exporter demo` scrapes.
//!
//! It answers `/debug/pprof/goroutine` in the three encodings of Go, byte for byte as a service built with Go
//! 1.27 would, and lives through one incident over and over: at rest, leaking, fixed, at rest again
//! ([`story`]). Nothing here runs Go or looks at the exporter's own state, and nothing is random: what is
//! answered is a function of the story's time.

mod frame;
mod protobuf;
mod stacks;
pub mod story;
mod target;
mod text;

pub use target::router;
