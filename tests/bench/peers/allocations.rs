//! What ours allocates while it reads the dumps of `peers`: `cargo bench --bench allocations`.
//!
//! A program of its own: counting replaces the allocator, and that one always copies what grows, which would cost time
//! in `peers`. For the same reason the most that is held at once counts what grows twice: no allocator needs more.
//!
//! Without `--bench`, as `cargo test` runs it, the dumps are small.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a benchmark that cannot go on must say so, and its figures are small"
)]

#[path = "../dumps.rs"]
#[allow(dead_code, reason = "other benchmarks need more of it")]
mod dumps;
#[allow(dead_code, reason = "the table of peers needs more of it")]
mod figures;
#[path = "../machine.rs"]
#[allow(dead_code, reason = "other benchmarks need more of it")]
mod machine;
#[allow(dead_code, reason = "it measures time, too")]
mod ours;
#[allow(dead_code, reason = "peers need more of it")]
mod work;

use std::hint::black_box;

use allocation_counter::AllocationInfo;
use figures::{met, size};
use machine::thousands;
use work::Work;

fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let bench = given.iter().any(|argument| argument == "--bench");
    let names: Vec<&String> = given.iter().filter(|name| !name.starts_with('-')).collect();
    let picked = |name: &&String| "allocations".contains(&***name);
    if !names.is_empty() && !names.iter().any(picked) {
        return;
    }
    let works = if bench { work::all() } else { work::tiny() };
    println!(
        "| dump | goroutines | inflated | allocations, decoding alone | goal | allocations | held at once beside the dump | goal |\n\
         |---|--:|--:|--:|---|--:|--:|---|"
    );
    for work in works {
        println!("{}", row(&work));
    }
}

/// Goals of allocations are those of decoding: what makes groups of it keeps their names.
fn row(work: &Work) -> String {
    let body = work.body();
    let mut decoded = 0;
    let alone = allocation_counter::measure(|| decoded = ours::decode(black_box(&body.bytes)));
    assert_eq!(decoded, u64::try_from(work.shape.goroutines).unwrap());
    let mut total = 0;
    let info: AllocationInfo = allocation_counter::measure(|| {
        total = ours::read(black_box(&body.bytes)).total;
    });
    assert_eq!(total, u64::try_from(work.shape.goroutines).unwrap());
    assert!(info.count_total > 0, "nothing was counted");
    let fewer = work.goals.allocations.map_or_else(String::new, |goal| {
        format!("fewer than {goal}: {}", met(alone.count_total < goal))
    });
    let most = work.goals.peak_bytes(body.inflated);
    let most = most.map_or_else(String::new, |goal| {
        format!("{}: {}", size(goal as usize), met(info.bytes_max <= goal))
    });
    format!(
        "| {} | {} | {} | {} | {fewer} | {} | {} | {most} |",
        work.name,
        thousands(work.shape.goroutines as u64),
        size(body.inflated),
        thousands(alone.count_total),
        thousands(info.count_total),
        size(info.bytes_max as usize),
    )
}
