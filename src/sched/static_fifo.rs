//! `static-fifo`: up to a fixed number of requests, never waiting for more.

use super::{Lengths, Plan, Queues};

#[derive(Debug, Clone)]
pub struct StaticFifo {
    batch: u32,
}

impl StaticFifo {
    pub(super) fn new(batch: u32) -> StaticFifo {
        StaticFifo { batch }
    }

    #[inline(always)]
    pub(super) fn form(&mut self, queues: &Queues, lengths: Lengths<'_>) -> Option<Plan> {
        (!queues.is_empty(0)).then(|| Plan {
            bin: 0,
            shape: queues.shape(lengths, 0, self.batch, u64::MAX),
        })
    }
}
