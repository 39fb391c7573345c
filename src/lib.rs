//! stub
pub mod classify;
pub mod cli;
pub mod config;
pub mod decode;
pub mod expose;
pub mod failure;
pub mod fetch;
pub mod history;
pub mod probe;
pub mod policy;
pub mod profile;
pub mod secret;
pub mod self_metrics;
pub mod tally;
pub mod tracker;
pub mod target;
pub mod units;
