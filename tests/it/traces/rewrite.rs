//! Traces taken apart where batches begin, and written with other clocks.

/// A piece of a trace: its place, and if it is a batch, its generation, thread, time and content.
#[derive(Debug)]
pub(super) struct Piece<'b> {
    pub(super) start: usize,
    pub(super) batch: Option<(u64, u64, u64, &'b [u8])>,
}

/// All of it. Only what a batch begins with is understood.
pub(super) fn pieces(body: &[u8]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut at = 16;
    while at < body.len() {
        let start = at;
        at += 1;
        let batch = match body[start] {
            0x34 => None,
            0x01 => {
                let head: [u64; 4] = std::array::from_fn(|_| number(body, &mut at));
                let content = &body[at..][..usize::try_from(head[3]).unwrap()];
                at += content.len();
                Some((head[0], head[1], head[2], content))
            }
            other => panic!("{other} at {start}"),
        };
        pieces.push(Piece { start, batch });
    }
    pieces
}

fn number(body: &[u8], at: &mut usize) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let byte = body[*at];
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

/// The same trace, with the clock of each thread so far ahead.
pub(super) fn skewed(body: &[u8], ahead: impl Fn(u64) -> u64) -> Vec<u8> {
    let mut out = body[..16].to_vec();
    for piece in pieces(body) {
        let Some((generation, thread, time, content)) = piece.batch else {
            out.push(0x34);
            continue;
        };
        out.push(1);
        let ahead = if thread == u64::MAX { 0 } else { ahead(thread) };
        let size = u64::try_from(content.len()).unwrap();
        for mut number in [generation, thread, time + ahead, size] {
            while number >= 0x80 {
                out.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
                number >>= 7;
            }
            out.push(u8::try_from(number).unwrap());
        }
        out.extend_from_slice(content);
    }
    out
}
