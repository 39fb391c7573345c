//! stub
pub mod classify;
pub mod cli;
pub mod commands;
pub mod config;
pub mod decode;
pub mod failure;
pub mod fetch;
pub mod policy;
pub mod profile;
pub mod secret;
pub mod tally;
pub mod target;
pub mod units;
