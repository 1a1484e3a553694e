//! Whose turn comes when: GPUs that end a batch, users who send a request.

use std::cmp::Ordering;

/// A GPU or a user, and a time. The greatest of a heap is the next event: earliest, then the lowest
/// number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub at_s: f64,
    pub who: u32,
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        other
            .at_s
            .total_cmp(&self.at_s)
            .then(other.who.cmp(&self.who))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}
