//! Stretches of time that concern the whole program, and how much of a wait falls into them.

/// The most stretches kept; what comes later is not told apart. A program that stops its world so often does nothing else.
const MAX_STRETCHES: usize = 1 << 16;

/// Stretches of one kind, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Stretches {
    closed: Vec<Stretch>,
    open: Option<u64>,
    depth: u32,
    /// How many were not kept.
    pub(super) dropped: u64,
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: u64,
    until: u64,
    /// Time in all stretches before.
    before: u64,
}

impl Stretches {
    /// One begins. Where one is open already, both are one.
    pub(super) fn begin(&mut self, at: u64) {
        self.depth += 1;
        if self.depth == 1 {
            let last = self.closed.last().map_or(0, |last| last.until);
            self.open = Some(at.max(last));
        }
    }

    /// One ends.
    pub(super) fn end(&mut self, at: u64) {
        self.depth = self.depth.saturating_sub(1);
        if self.depth > 0 {
            return;
        }
        let Some(from) = self.open.take() else {
            return;
        };
        if self.closed.len() >= MAX_STRETCHES {
            self.dropped += 1;
            return;
        }
        let before = self
            .closed
            .last()
            .map_or(0, |last| last.before + (last.until - last.from));
        let until = at.max(from);
        self.closed.push(Stretch {
            from,
            until,
            before,
        });
    }

    /// How much of the time between two moments falls into them, as far as they are known by now. Cost: one comparison
    /// where the last stretch was before, else a search by halves.
    pub(super) fn within(&self, from: u64, until: u64) -> u64 {
        let open = self
            .open
            .map_or(0, |open| until.saturating_sub(open.max(from)));
        if self.closed.last().is_none_or(|last| last.until <= from) {
            return open;
        }
        open + self.up_to(until).saturating_sub(self.up_to(from))
    }

    /// Time in closed stretches before a moment.
    fn up_to(&self, moment: u64) -> u64 {
        let next = self.closed.partition_point(|stretch| stretch.from < moment);
        let last = next.checked_sub(1).and_then(|at| self.closed.get(at));
        last.map_or(0, |last| {
            last.before + last.until.min(moment).saturating_sub(last.from)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_of_a_wait_inside_stretches_is_found() {
        let mut stretches = Stretches::default();
        let check = |stretches: &Stretches, from, until, expected| {
            assert_eq!(stretches.within(from, until), expected, "{from}..{until}");
        };
        check(&stretches, 0, 100, 0);
        for (from, until) in [(10, 20), (30, 40), (40, 45)] {
            stretches.begin(from);
            stretches.end(until);
        }
        check(&stretches, 0, 5, 0);
        check(&stretches, 0, 15, 5);
        check(&stretches, 12, 18, 6);
        check(&stretches, 15, 35, 10);
        check(&stretches, 0, 100, 25);
        check(&stretches, 20, 30, 0);
        check(&stretches, 44, 100, 1);
        check(&stretches, 45, 100, 0);
        stretches.begin(90);
        stretches.begin(95);
        check(&stretches, 35, 100, 20);
        stretches.end(96);
        check(&stretches, 95, 110, 15);
        stretches.end(99);
        check(&stretches, 95, 110, 4);
    }

    #[test]
    fn a_clock_that_lags_makes_no_stretch_overlap_another() {
        let mut stretches = Stretches::default();
        stretches.begin(50);
        stretches.end(60);
        stretches.begin(55);
        stretches.end(58);
        stretches.end(70);
        assert_eq!(stretches.within(0, 100), 10);
        assert_eq!(stretches.within(52, 100), 8);
    }
}
