//! A profile as pages show it: counted, and with the stacks behind the counts.

use crate::config::Module;
use crate::decode::{DecodeError, decode};
use crate::tally::{GroupStacks, StackCollector, Tally};

/// What a page needs of a profile.
#[derive(Debug)]
pub(in crate::server) struct Profile {
    /// The counts.
    pub(in crate::server) tally: Tally,
    /// The stacks behind them.
    pub(in crate::server) stacks: GroupStacks,
}

impl Profile {
    /// Reads a profile by the rules of a module. Blocking; cost and memory as counting it, and 4 MiB of stacks.
    pub(in crate::server) fn read(body: &[u8], module: &Module) -> Result<Self, DecodeError> {
        let mut sink = StackCollector::new(&module.rules);
        let summary = decode(body, &module.decode, &mut sink)?;
        let (tally, stacks) = sink.finish(summary);
        Ok(Self { tally, stacks })
    }
}
