//! One file for each subcommand; each wires what the rest of the library does and prints for people.

pub mod demo;
pub mod inspect;
pub mod log;
pub mod serve;
