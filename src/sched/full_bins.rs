//! `multi-bin`: Algorithm 1 of the multi-bin paper (arXiv 2412.04504). A bin waits until it holds
//! a full batch; full batches are served in the order in which they filled.

use std::collections::VecDeque;

use super::{Lengths, Plan, Queues};

#[derive(Debug, Clone)]
pub struct FullBins {
    batch: u32,
    /// Requests of each bin that are in no full batch yet.
    filling: Vec<u32>,
    /// Batches that may start: bin and size.
    ready: VecDeque<(u8, u32)>,
}

impl FullBins {
    pub(super) fn new(batch: u32, bins: usize) -> FullBins {
        FullBins {
            batch,
            filling: vec![0; bins],
            ready: VecDeque::new(),
        }
    }

    #[inline]
    pub(super) fn arrived(&mut self, _queues: &Queues, bin: u8) {
        let filling = &mut self.filling[usize::from(bin)];
        *filling += 1;
        if *filling == self.batch {
            *filling = 0;
            self.ready.push_back((bin, self.batch));
        }
    }

    /// What cannot fill any more is served as it is, oldest request first and of equally old ones
    /// the earlier row. The paper's model has no end; without this rule a finite trace would leave
    /// requests behind.
    pub(super) fn closed(&mut self, queues: &Queues, arrival: &[f64]) {
        let mut rest: Vec<u8> = (0..self.filling.len() as u8)
            .filter(|&bin| self.filling[usize::from(bin)] > 0)
            .collect();
        let oldest = |&bin: &u8| {
            let bin = usize::from(bin);
            queues.newest(bin, self.filling[bin])
        };
        rest.sort_by(|a, b| {
            let (a, b) = (oldest(a), oldest(b));
            let at = |row: u32| arrival[row as usize];
            at(a).total_cmp(&at(b)).then(a.cmp(&b))
        });
        for bin in rest {
            let size = std::mem::take(&mut self.filling[usize::from(bin)]);
            self.ready.push_back((bin, size));
        }
    }

    #[inline]
    pub(super) fn form(&mut self, queues: &Queues, lengths: Lengths<'_>) -> Option<Plan> {
        let (bin, size) = self.ready.pop_front()?;
        Some(Plan {
            bin,
            shape: queues.shape(lengths, usize::from(bin), size, u64::MAX),
        })
    }
}
