//! Any bytes as what a program writes under `GODEBUG`: no panic, the same in pieces, and sums that hold; lines of our own among
//! them are taken.

use goroutine_exporter::godebug::{Reader, Totals};

use super::{choice, split};

const CYCLE: &str = "\ngc 7 @0.500s 1%: 0.010+0.20+0.020 ms clock, 0.020+0/0.30/0+0.040 ms cpu, 7->9->5 MB, 8 MB goal, 0 MB stacks, 0 MB globals, 2 P\n";
const SAMPLE: &str = "\nSCHED 500ms: gomaxprocs=2 idleprocs=0 threads=5 spinningthreads=0 needspinning=0 idlethreads=2 runqueue=3 [ 1 0 ] schedticks=[ 7 5 ]\n";

fn read(text: &[u8], size: usize) -> Totals {
    let mut reader = Reader::default();
    for piece in text.chunks(size) {
        reader.feed(piece);
    }
    reader.cut();
    reader.totals().clone()
}

/// Whichever begins; lines of our own stand before or behind it.
pub(crate) fn any(bytes: &[u8]) {
    let (within, text) = split(bytes);
    let whole = read(text, usize::MAX);
    let size = choice(text) + 1;
    assert_eq!(read(text, size), whole, "pieces of {size}");
    check(&whole, text.len());
    if !within {
        return;
    }
    // Line ends around them keep them whole, whatever is there.
    let ended = read(&[text, b"\n"].concat(), size);
    let with = [text, CYCLE.as_bytes(), SAMPLE.as_bytes()].concat();
    let more = read(&with, size);
    assert_eq!(more.cycles, ended.cycles + 1);
    assert_eq!(more.samples, ended.samples + 1);
    assert_eq!(more.last_cycle.map(|cycle| cycle.number), Some(7));
    assert_eq!(
        more.last_sample.and_then(|sample| sample.runnable()),
        Some(4)
    );
}

/// What holds whatever the lines say.
fn check(totals: &Totals, length: usize) {
    let most = u64::try_from(length).expect("an input is short");
    assert!(totals.lines <= most);
    // The shortest lines of ours are longer than that.
    assert!(40 * (totals.cycles + totals.samples) <= most);
    assert!(totals.forced_cycles <= totals.cycles && totals.leak_checks <= totals.cycles);
    assert!(totals.joined.growing_cycles <= totals.joined.cycles);
    assert!(totals.joined.cycles <= totals.cycles);
    assert!(totals.restarts <= totals.cycles + totals.samples);
    let pauses = totals
        .sweep_termination_us
        .saturating_add(totals.mark_termination_us);
    assert!(totals.joined.growing_pause_us <= pauses);
    assert_eq!(totals.last_cycle.is_some(), totals.cycles > 0);
    assert_eq!(totals.last_sample.is_some(), totals.samples > 0);
}
