//! The event queue of the published simulator, to the order of its ties.
//!
//! The original keeps every event in a Python `heapq` and compares events by time alone. Requests
//! that arrive in the same second (BurstGPT's clock counts whole seconds) and ends that coincide
//! with arrivals then come out in whatever order the heap's shape gives, and the shape depends on
//! every event before. A batch boundary between two such requests moves published figures, so
//! exactness needs the heap itself (docs/MODEL.md).

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::sim) enum Event {
    /// The request in this row of the window arrives.
    Arrival { row: u32 },
    /// The batch on this GPU ends.
    Free { gpu: u16 },
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at_s: f64,
    /// A row, or [`GPU`] plus a GPU's number.
    id: u32,
}

/// Rows are below this: a window holds fewer rows (checked where it is made).
const GPU: u32 = 1 << 31;

/// CPython's `heapq` on times alone: `heappush` and `heappop` make the same comparisons and moves.
#[derive(Debug, Clone)]
pub(in crate::sim) struct PythonHeap {
    entries: Vec<Entry>,
}

impl PythonHeap {
    /// Most rows it can number.
    pub const MAX_ROWS: usize = GPU as usize;

    /// All arrivals at once, in order of time, as the original pushes them: a sorted array is a
    /// heap already.
    pub fn new(arrivals: impl Iterator<Item = (u32, f64)>) -> PythonHeap {
        PythonHeap {
            entries: arrivals.map(|(id, at_s)| Entry { at_s, id }).collect(),
        }
    }

    pub fn push_free(&mut self, gpu: u16, at_s: f64) {
        self.entries.push(Entry {
            at_s,
            id: GPU + u32::from(gpu),
        });
        self.sift_down(self.entries.len() - 1);
    }

    pub fn pop(&mut self) -> Option<(f64, Event)> {
        let last = self.entries.pop()?;
        let top = match self.entries.first_mut() {
            Some(first) => {
                let top = std::mem::replace(first, last);
                self.sift_up();
                top
            }
            None => last,
        };
        let event = match top.id.checked_sub(GPU) {
            Some(gpu) => Event::Free { gpu: gpu as u16 },
            None => Event::Arrival { row: top.id },
        };
        Some((top.at_s, event))
    }

    /// heapq's `_siftup`: the smaller child rises (the right one of equals) until a leaf is
    /// reached, then the entry finds its place from below.
    fn sift_up(&mut self) {
        let heap = &mut self.entries[..];
        let end = heap.len();
        let moved = heap[0];
        let mut place = 0;
        // Three levels at a time while they are all there: their loads wait for one address and
        // not for each other, and the lower levels of a long trace are far from the processor.
        while let Some(below) = heap.get(8 * place + 7..8 * place + 15) {
            let rises = |left: &Entry, right: &Entry| usize::from(left.at_s >= right.at_s);
            let great: [usize; 4] =
                std::array::from_fn(|i| rises(&below[2 * i], &below[2 * i + 1]));
            let Some(middle) = heap.get(4 * place + 3..4 * place + 7) else {
                break;
            };
            let grand: [usize; 2] =
                std::array::from_fn(|i| rises(&middle[2 * i], &middle[2 * i + 1]));
            let Some(upper) = heap.get(2 * place + 1..2 * place + 3) else {
                break;
            };
            let first = rises(&upper[0], &upper[1]);
            let second = 2 * first + grand[first];
            let third = 2 * second + great[second];
            let (child, grandchild) = (2 * place + 1 + first, 4 * place + 3 + second);
            heap[place] = heap[child];
            heap[child] = heap[grandchild];
            place = 8 * place + 7 + third;
            heap[grandchild] = heap[place];
        }
        loop {
            let left = 2 * place + 1;
            if left >= end {
                break;
            }
            let right = left + 1;
            // Without a branch on the data: which child rises cannot be predicted.
            let child = if right < end {
                left + usize::from(heap[left].at_s >= heap[right].at_s)
            } else {
                left
            };
            heap[place] = heap[child];
            place = child;
        }
        heap[place] = moved;
        self.sift_down(place);
    }

    /// heapq's `_siftdown`: rises while it is strictly smaller than its parent.
    fn sift_down(&mut self, mut place: usize) {
        let heap = &mut self.entries[..];
        let moved = heap[place];
        while place > 0 {
            let parent = (place - 1) >> 1;
            if moved.at_s < heap[parent].at_s {
                heap[place] = heap[parent];
                place = parent;
            } else {
                break;
            }
        }
        heap[place] = moved;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_come_out_as_from_cpython() {
        // python3: h = []; for i, t in enumerate([0,1,1,1,2,2,2,2,3]): heappush(h, E(t, i)), where
        // E compares by t alone; then heappop until empty.
        let times = [0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0];
        let mut heap = PythonHeap::new((0u32..).zip(times));
        let mut rows = Vec::new();
        while let Some((_, event)) = heap.pop() {
            if let Event::Arrival { row } = event {
                rows.push(row);
            }
        }
        assert_eq!(rows, [0, 2, 1, 3, 6, 5, 4, 7, 8]);
    }

    #[test]
    fn times_come_out_sorted_and_ends_go_in_anywhere() {
        let mut heap = PythonHeap::new((0u32..50).map(|i| (i, f64::from(i / 3))));
        heap.push_free(7, 4.5);
        heap.push_free(8, 4.0);
        let mut last = f64::NEG_INFINITY;
        let mut seen = 0;
        let mut ends = Vec::new();
        while let Some((at, event)) = heap.pop() {
            assert!(at >= last);
            last = at;
            seen += 1;
            if let Event::Free { gpu } = event {
                ends.push((gpu, at));
            }
        }
        assert_eq!((seen, ends), (52, vec![(8, 4.0), (7, 4.5)]));
    }

    /// `_siftup` word by word, a level at a time.
    fn pop_by_levels(heap: &mut Vec<Entry>) -> Option<Entry> {
        let last = heap.pop()?;
        let Some(first) = heap.first_mut() else {
            return Some(last);
        };
        let top = std::mem::replace(first, last);
        let end = heap.len();
        let (mut place, mut child) = (0, 1);
        while child < end {
            let right = child + 1;
            if right < end && heap[child].at_s >= heap[right].at_s {
                child = right;
            }
            heap[place] = heap[child];
            place = child;
            child = 2 * place + 1;
        }
        heap[place] = last;
        while place > 0 && last.at_s < heap[(place - 1) / 2].at_s {
            heap[place] = heap[(place - 1) / 2];
            place = (place - 1) / 2;
        }
        heap[place] = last;
        Some(top)
    }

    proptest::proptest! {
        /// Few distinct times: most comparisons are of equals.
        #[test]
        fn several_levels_at_a_time_are_the_levels_one_by_one(
            mut times in proptest::collection::vec(0u8..12, 0..300),
            steps in proptest::collection::vec(proptest::option::weighted(0.4, 0u8..12), 0..600),
        ) {
            times.sort_unstable();
            let arrivals = (0u32..).zip(times.iter().map(|&t| f64::from(t)));
            let mut heap = PythonHeap::new(arrivals);
            let mut plain = heap.entries.clone();
            for step in steps {
                match step {
                    Some(t) => {
                        heap.push_free(3, f64::from(t));
                        plain.push(heap.entries[0]);
                        plain.copy_from_slice(&heap.entries);
                    }
                    None => {
                        heap.pop();
                        pop_by_levels(&mut plain);
                    }
                }
                let ids = |entries: &[Entry]| -> Vec<u32> { entries.iter().map(|e| e.id).collect() };
                proptest::prop_assert_eq!(ids(&heap.entries), ids(&plain));
            }
        }
    }
}
