//! What each fuzz target does with its input. The test `fuzzed` calls the same functions with the corpus.

pub(crate) mod config;
pub(crate) mod debug3;
pub(crate) mod gzip;
pub(crate) mod logs;
pub(crate) mod policy;
pub(crate) mod proto;
pub(crate) mod target;
pub(crate) mod text;
pub(crate) mod trace;
pub(crate) mod web;

/// What a target does with an input: it panics when something does not hold.
type Body = fn(&[u8]);

/// Every target by its name.
pub(crate) const ALL: [(&str, Body); 12] = [
    ("decode", text::any),
    ("gzip", gzip::any),
    ("proto", proto::any),
    ("debug1", text::debug1),
    ("debug2", text::debug2),
    ("debug3", debug3::any),
    ("logs", logs::any),
    ("config", config::any),
    ("web", web::any),
    ("target", target::any),
    ("policy", policy::any),
    ("trace", trace::any),
];

/// A number that the input chooses: its last byte.
pub(crate) fn choice(bytes: &[u8]) -> usize {
    usize::from(bytes.last().copied().unwrap_or(0))
}

/// What the rest of the input stands for: a population in one of eight, since writing one costs as much as reading a
/// dozen bodies, and the body itself otherwise.
pub(crate) fn split(bytes: &[u8]) -> (bool, &[u8]) {
    bytes
        .split_first()
        .map_or((false, bytes), |(first, rest)| (first % 8 == 7, rest))
}
