//! The order in which the original wakes idle GPUs: the iteration order of a CPython set of small
//! integers (3.7, 3.8, 3.10 to 3.13; 3.9 does not reuse slots of removed ids and gives other
//! figures).

/// The ids of idle GPUs, in the order in which the original iterates over them.
#[derive(Debug, Clone)]
pub(in crate::sim) struct IdleSet {
    /// A power of two of slots: a GPU's number, [`EMPTY`] or [`DUMMY`].
    slots: Vec<u16>,
    used: usize,
    /// Used slots and dummies.
    fill: usize,
    order: Order,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Of the set's slots.
    Set,
    /// Of the GPUs' numbers: slot `i` is for GPU `i`.
    Ascending,
}

/// A slot that was never used.
const EMPTY: u16 = u16::MAX;
/// A slot whose id was removed.
const DUMMY: u16 = u16::MAX - 1;

/// Number of further slots that a walk looks at beside each place, where the table is long enough.
const BESIDE: usize = 9;
/// Slots of the smallest table.
const LEAST: usize = 8;

impl IdleSet {
    /// GPUs 0 to `gpus` - 1, added in this order.
    pub fn new(gpus: u16) -> IdleSet {
        let mut set = IdleSet {
            slots: vec![EMPTY; LEAST],
            used: 0,
            fill: 0,
            order: Order::Set,
        };
        for gpu in 0..gpus {
            set.add(gpu);
        }
        set
    }

    /// The same GPUs, always in ascending order (the original's state of 24 November, 16:10).
    pub fn ascending(gpus: u16) -> IdleSet {
        IdleSet {
            slots: (0..gpus).collect(),
            used: usize::from(gpus),
            fill: usize::from(gpus),
            order: Order::Ascending,
        }
    }

    /// The first idle GPU in or after a slot, and its slot. Removals move nothing, so a caller who
    /// goes on after each slot walks over the set as it was at the beginning.
    pub fn next(&self, slot: usize) -> Option<(usize, u16)> {
        if self.used == 0 {
            return None;
        }
        let rest = self.slots.get(slot..)?;
        let found = rest.iter().position(|&id| id < DUMMY)?;
        Some((slot + found, rest[found]))
    }

    /// A GPU starts a batch.
    pub fn remove(&mut self, gpu: u16) {
        let place = match self.order {
            Order::Ascending => Some(usize::from(gpu)),
            Order::Set => walk(self.slots.len(), gpu).find(|&place| self.slots[place] == gpu),
        };
        if let Some(place) = place {
            self.slots[place] = DUMMY;
            self.used -= 1;
        }
    }

    /// A GPU becomes idle.
    pub fn add(&mut self, gpu: u16) {
        self.used += 1;
        if self.order == Order::Ascending {
            self.slots[usize::from(gpu)] = gpu;
            return;
        }
        let mut dummy = None;
        for place in walk(self.slots.len(), gpu) {
            match self.slots[place] {
                EMPTY => {
                    let fresh = dummy.is_none();
                    self.slots[dummy.unwrap_or(place)] = gpu;
                    self.fill += usize::from(fresh);
                    if fresh && 5 * self.fill >= 3 * (self.slots.len() - 1) {
                        self.rebuild();
                    }
                    return;
                }
                DUMMY => dummy = Some(place),
                _ => {}
            }
        }
    }

    /// A table of the smallest power of two above four times the ids, without dummies.
    fn rebuild(&mut self) {
        let mut length = LEAST;
        while length <= 4 * self.used {
            length *= 2;
        }
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; length]);
        self.fill = self.used;
        for id in old.into_iter().filter(|&id| id < DUMMY) {
            if let Some(place) = walk(length, id).find(|&place| self.slots[place] == EMPTY) {
                self.slots[place] = id;
            }
        }
    }
}

/// The places at which CPython looks for an id in a table with this number of slots, without end. A table is
/// never full, so a search for an empty slot ends.
fn walk(slots: usize, id: u16) -> impl Iterator<Item = usize> {
    let mask = slots - 1;
    let mut perturb = usize::from(id);
    let mut place = perturb & mask;
    let mut beside = 0;
    std::iter::from_fn(move || {
        let looked_at = place + beside;
        if beside < BESIDE && place + BESIDE <= mask {
            beside += 1;
        } else {
            beside = 0;
            perturb >>= 5;
            place = (5 * place + 1 + perturb) & mask;
        }
        Some(looked_at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Add(u16),
        Remove(u16),
    }
    use Step::{Add, Remove};

    impl Step {
        fn apply(self, set: &mut IdleSet) {
            match self {
                Add(gpu) => set.add(gpu),
                Remove(gpu) => set.remove(gpu),
            }
        }
    }

    fn order(set: &IdleSet) -> Vec<u16> {
        let mut ids = Vec::new();
        let mut slot = 0;
        while let Some((at, id)) = set.next(slot) {
            ids.push(id);
            slot = at + 1;
        }
        ids
    }

    /// Slots that are not empty, -1 for a dummy.
    fn table(set: &IdleSet) -> Vec<(usize, i32)> {
        let slots = set.slots.iter().enumerate();
        slots
            .filter(|&(_, &id)| id != EMPTY)
            .map(|(slot, &id)| (slot, if id == DUMMY { -1 } else { i32::from(id) }))
            .collect()
    }

    #[test]
    fn eight_gpus_as_in_cpython() {
        // python3: s = set(range(8)); s.discard(0); list(s); ...
        let mut set = IdleSet::new(8);
        assert_eq!(set.slots.len(), 32);
        let steps: [(Step, &[u16], (usize, usize)); 10] = [
            (Remove(0), &[1, 2, 3, 4, 5, 6, 7], (8, 7)),
            (Remove(1), &[2, 3, 4, 5, 6, 7], (8, 6)),
            (Remove(2), &[3, 4, 5, 6, 7], (8, 5)),
            (Add(0), &[0, 3, 4, 5, 6, 7], (8, 6)),
            (Add(1), &[1, 0, 3, 4, 5, 6, 7], (8, 7)),
            (Add(2), &[1, 0, 3, 4, 5, 6, 7, 2], (9, 8)),
            (Remove(2), &[1, 0, 3, 4, 5, 6, 7], (9, 7)),
            (Remove(0), &[1, 3, 4, 5, 6, 7], (9, 6)),
            (Add(2), &[1, 3, 4, 5, 6, 7, 2], (9, 7)),
            (Add(0), &[1, 0, 3, 4, 5, 6, 7, 2], (9, 8)),
        ];
        for (step, ids, (fill, used)) in steps {
            step.apply(&mut set);
            assert_eq!(order(&set), ids, "after {step:?}");
            assert_eq!((set.fill, set.used), (fill, used), "after {step:?}");
        }
        let last: Vec<(usize, i32)> = vec![
            (0, -1),
            (1, 1),
            (2, 0),
            (3, 3),
            (4, 4),
            (5, 5),
            (6, 6),
            (7, 7),
            (8, 2),
        ];
        assert_eq!(table(&set), last);
    }

    #[test]
    fn four_gpus_grow_to_sixteen_slots() {
        let mut set = IdleSet::new(4);
        assert_eq!(set.slots.len(), 8);
        let steps: [(Step, &[u16]); 10] = [
            (Remove(0), &[1, 2, 3]),
            (Remove(1), &[2, 3]),
            (Remove(2), &[3]),
            (Add(1), &[1, 3]),
            (Remove(3), &[1]),
            (Add(3), &[3, 1]),
            (Add(0), &[0, 1, 3]),
            (Remove(0), &[1, 3]),
            (Add(2), &[1, 2, 3]),
            (Add(0), &[0, 1, 2, 3]),
        ];
        for (i, (step, ids)) in steps.into_iter().enumerate() {
            step.apply(&mut set);
            assert_eq!(order(&set), ids, "step {i}");
            if i == 6 {
                assert_eq!((set.slots.len(), set.fill), (16, 3));
            }
        }
    }

    #[test]
    fn thirty_two_gpus_wrap_to_slot_56() {
        let mut set = IdleSet::new(32);
        assert_eq!(set.slots.len(), 128);
        for gpu in [0, 1, 2] {
            set.remove(gpu);
        }
        for gpu in [0, 1, 2] {
            set.add(gpu);
        }
        assert_eq!(set.slots[56], 2);
        let mut ids = vec![1, 0, 3];
        ids.extend(4..32);
        ids.push(2);
        assert_eq!(order(&set), ids);
    }

    #[test]
    fn a_new_set_is_ascending_in_tables_of_the_right_size() {
        for (gpus, slots) in [
            (1, 8),
            (4, 8),
            (5, 32),
            (18, 32),
            (19, 128),
            (76, 128),
            (77, 512),
            (306, 512),
        ] {
            let set = IdleSet::new(gpus);
            assert_eq!(set.slots.len(), slots, "{gpus} GPUs");
            assert_eq!(order(&set), (0..gpus).collect::<Vec<_>>());
        }
    }

    #[test]
    fn ascending_stays_ascending() {
        let mut set = IdleSet::ascending(5);
        set.remove(3);
        set.remove(0);
        set.add(3);
        assert_eq!(order(&set), [1, 2, 3, 4]);
        set.add(0);
        assert_eq!(order(&set), [0, 1, 2, 3, 4]);
    }
}
