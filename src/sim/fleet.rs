//! Equal GPUs, each serving one closed batch at a time.

use std::collections::BinaryHeap;

use super::due::Due;

/// Which GPUs are idle and which ends its batch next.
#[derive(Debug, Clone)]
pub(super) struct Fleet {
    /// A bit per GPU; set when idle. Low GPU numbers first.
    idle: Vec<u64>,
    idle_count: u32,
    /// Ends of batches, by GPU.
    busy: BinaryHeap<Due>,
}

impl Fleet {
    pub fn new(gpus: u16) -> Fleet {
        let words = usize::from(gpus).div_ceil(64);
        let mut idle = vec![u64::MAX; words];
        if !gpus.is_multiple_of(64) {
            idle[words - 1] = (1 << (gpus % 64)) - 1;
        }
        Fleet {
            idle,
            idle_count: u32::from(gpus),
            busy: BinaryHeap::with_capacity(usize::from(gpus)),
        }
    }

    #[inline]
    pub fn any_idle(&self) -> bool {
        self.idle_count > 0
    }

    /// Lowest idle GPU.
    #[inline]
    pub fn lowest_idle(&self) -> Option<u16> {
        self.idle
            .iter()
            .position(|&word| word != 0)
            .map(|word| (word as u32 * 64 + self.idle[word].trailing_zeros()) as u16)
    }

    /// When the next batch ends; infinity when nothing runs.
    #[inline]
    pub fn next_end_s(&self) -> f64 {
        self.busy.peek().map_or(f64::INFINITY, |ending| ending.at_s)
    }

    /// An idle GPU starts a batch whose end this fleet keeps.
    #[inline]
    pub fn start(&mut self, gpu: u16, end_s: f64) {
        self.occupy(gpu);
        self.busy.push(Due {
            at_s: end_s,
            who: u32::from(gpu),
        });
    }

    /// An idle GPU starts a batch whose end somebody else keeps.
    #[inline]
    pub fn occupy(&mut self, gpu: u16) {
        self.idle[usize::from(gpu / 64)] &= !(1 << (gpu % 64));
        self.idle_count -= 1;
    }

    /// The counterpart of [`Fleet::occupy`].
    #[inline]
    pub fn release(&mut self, gpu: u16) {
        self.idle[usize::from(gpu / 64)] |= 1 << (gpu % 64);
        self.idle_count += 1;
    }

    /// The GPU whose batch ends next, still on the heap until [`Fleet::restart`] or [`Fleet::rest`].
    #[inline]
    pub fn ending(&self) -> Option<u16> {
        self.busy.peek().map(|ending| ending.who as u16)
    }

    /// The GPU whose batch just ended starts another: one sift instead of two.
    #[inline]
    pub fn restart(&mut self, end_s: f64) {
        if let Some(mut top) = self.busy.peek_mut() {
            top.at_s = end_s;
        }
    }

    /// The GPU whose batch just ended has nothing to do.
    #[inline]
    pub fn rest(&mut self) {
        if let Some(Due { who, .. }) = self.busy.pop() {
            self.release(who as u16);
        }
    }
}
