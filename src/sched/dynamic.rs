//! `dynamic` and `multi-bin-dynamic`: one policy, with one bin or with many. Each bin has a memory
//! estimate and an SLA controller of its own; the batch is the smaller of the two bounds, cut
//! where the hard memory limit is reached.

use super::bins::Served;
use super::controller::ControllerState;
use super::memory::{Ended, MemoryEstimate};
use super::{Bins, Closed, Lengths, Plan, Queues};

#[derive(Debug, Clone)]
pub struct Dynamic {
    bins: Vec<Bin>,
    served: Served,
    /// Round robin looks from here on.
    next: usize,
    token_limit: u64,
}

#[derive(Debug, Clone)]
struct Bin {
    memory: MemoryEstimate,
    controller: ControllerState,
}

impl Dynamic {
    pub(super) fn new(
        closed: &Closed,
        settings: &Bins,
        token_sla_s: f64,
        intervals: &[[u32; 2]],
    ) -> Dynamic {
        let most = closed.max_batch;
        let bin = Bin {
            memory: MemoryEstimate::new(&closed.memory_bound, &closed.memory, most),
            controller: ControllerState::new(&closed.controller, token_sla_s, most),
        };
        let mut bins = vec![bin; intervals.len()];
        for (bin, &interval) in bins.iter_mut().zip(intervals) {
            if let Some(cap) = closed.batch_cap(settings, interval) {
                bin.memory = bin.memory.clone().capped(cap);
                bin.controller = bin.controller.clone().capped(cap);
            }
        }
        Dynamic {
            bins,
            served: settings.served,
            next: 0,
            token_limit: closed.memory.token_limit(),
        }
    }

    #[inline(always)]
    pub(super) fn form(
        &mut self,
        queues: &Queues,
        lengths: Lengths<'_>,
        running_elsewhere: u32,
    ) -> Option<Plan> {
        let bin = self.choose(queues)?;
        let state = &mut self.bins[bin];
        let by_sla = state.controller.batch(running_elsewhere);
        let size = by_sla.min(state.memory.bound(running_elsewhere));
        Some(Plan {
            bin: bin as u8,
            shape: queues.shape(lengths, bin, size, self.token_limit),
        })
    }

    #[inline(always)]
    fn choose(&mut self, queues: &Queues) -> Option<usize> {
        let count = self.bins.len();
        match self.served {
            Served::RoundRobin => {
                let bin = (self.next..count)
                    .chain(0..self.next)
                    .find(|&bin| !queues.is_empty(bin))?;
                self.next = if bin + 1 == count { 0 } else { bin + 1 };
                Some(bin)
            }
            Served::LongestQueue => {
                // `max_by_key` would give the last of equals.
                (0..count)
                    .rev()
                    .max_by_key(|&bin| queues.waiting(bin))
                    .filter(|&bin| !queues.is_empty(bin))
            }
        }
    }

    #[inline(always)]
    pub(super) fn ended(&mut self, bin: u8, ended: &Ended, running_elsewhere: u32) {
        let state = &mut self.bins[usize::from(bin)];
        state.memory.ended(ended);
        state.controller.ended(ended, running_elsewhere);
    }
}
