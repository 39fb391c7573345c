//! One file for each command: each takes what was typed, calls the library and says how it went. `look` and `terminal`
//! are what those for people share.

pub mod check;
pub mod demo;
pub mod diff;
pub mod godebug;
pub mod inspect;
pub mod log;
mod look;
pub mod serve;
mod systemd;
mod terminal;
