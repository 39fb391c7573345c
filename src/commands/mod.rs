//! One file for each command: each takes what was typed, calls the library and says how it went.

pub mod check;
pub mod demo;
pub mod inspect;
pub mod log;
pub mod serve;
