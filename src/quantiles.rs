//! Exact quantiles of a stream, without storing or sorting it.
//!
//! A walk over the stream counts values into logarithmic buckets (the bits of a non-negative `f64`
//! order like the number, so a bucket is a shift). Afterwards the counts tell in which buckets the
//! wanted order statistics lie, and a selection among the values of those few buckets gives them
//! exactly. Which values those are can be guessed before the walk from a sample of the stream
//! ([`Histogram::watching`]), so that one walk suffices; where the guess was wrong a second walk
//! collects them ([`Selection`]). The guess decides how long it takes, never the result.

/// The middle of some values, between the two middle ones of an even number; `None` where there are none. Sorts them.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    middle(values)
}

/// The same of values that are sorted.
pub fn middle(sorted: &[f64]) -> Option<f64> {
    let (low, high) = (
        sorted.get(sorted.len().wrapping_sub(1) / 2)?,
        sorted.get(sorted.len() / 2)?,
    );
    Some((low + high) / 2.0)
}

/// Buckets per octave, as a power of two: 64 buckets, each 1.1 % wide.
const MANTISSA_BITS: u32 = 6;
const OCTAVES: usize = 64;
const BUCKETS: usize = OCTAVES << MANTISSA_BITS;
/// Bits below the bucket number in the upper half of an `f64`.
const SHIFT: u32 = 52 - 32 - MANTISSA_BITS;
/// Bucket 0 begins at 2^-34; smaller and larger values share the end buckets, exactly but slower.
const BASE: u32 = (1023 - 34) << MANTISSA_BITS;

#[inline(always)]
fn bucket(value: f64) -> usize {
    let key = (value.to_bits() >> 32) as u32 >> SHIFT;
    key.saturating_sub(BASE).min(BUCKETS as u32 - 1) as usize
}

/// Values that are looked at together.
const KEPT: usize = 256;

/// The greater of two numbers that are no NaN: one instruction, where `f64::max` takes five.
#[inline(always)]
fn greater(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// Lower edge of a bucket.
fn edge(bucket: usize) -> f64 {
    if bucket == 0 {
        // The first bucket holds everything smaller, down to 0.
        0.0
    } else {
        f64::from_bits((bucket as u64 + u64::from(BASE)) << (32 + SHIFT))
    }
}

/// Counts, sum and maximum of non-negative values.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Box<[u32; BUCKETS]>,
    /// Exact zeros are common (no queueing, no output) and need no selection. They are in bucket 0
    /// as well.
    zeros: u64,
    sum: f64,
    max: f64,
    /// Buckets whose values are kept.
    watched: Box<[bool; BUCKETS]>,
    kept: Vec<f64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            counts: Box::new([0; BUCKETS]),
            zeros: 0,
            sum: 0.0,
            max: 0.0,
            watched: Box::new([false; BUCKETS]),
            kept: Vec::new(),
        }
    }
}

impl Histogram {
    /// A histogram that keeps every value, for short streams.
    pub fn keeping_all() -> Histogram {
        Histogram {
            watched: Box::new([true; BUCKETS]),
            ..Histogram::default()
        }
    }

    /// A histogram that keeps the values from among which these quantiles will have to be
    /// selected, judging by a sample of the stream; `draws` is the number of independent draws
    /// that the sample is worth, `length` how long the stream will about be.
    pub fn watching(sample: &Histogram, quantiles: &[f64], draws: f64, length: usize) -> Histogram {
        let mut histogram = Histogram::default();
        let count = sample.count() as f64;
        for &q in quantiles {
            let margin = 2.5 * libm::sqrt(q * (1.0 - q) / draws.max(1.0));
            let (from, to) = ((q - margin) * count, (q + margin) * count);
            let mut below = 0.0;
            for (watched, &n) in histogram.watched.iter_mut().zip(sample.counts.iter()) {
                let above = below + f64::from(n);
                // Empty buckets inside the range are watched as well.
                *watched |= above >= from && below <= to;
                below = above;
            }
        }
        let watched = histogram.watched.iter().zip(sample.counts.iter());
        let kept: u64 = watched.map(|(&w, &n)| u64::from(w) * u64::from(n)).sum();
        let share = kept as f64 / count.max(1.0);
        histogram
            .kept
            .reserve((share * 1.1 * length as f64) as usize);
        histogram
    }

    /// Counts values, which must be finite and not negative. Best a block at a time: sums in four
    /// lanes (in this order on every target), then the buckets.
    pub fn add_all(&mut self, values: &[f64]) {
        // Written out, because the browser's module is optimised for size and keeps loops as loops.
        let (mut s0, mut s1, mut s2, mut s3) = (0.0, 0.0, 0.0, 0.0);
        let (mut m0, mut m1, mut m2, mut m3) = (self.max, 0.0, 0.0, 0.0);
        let mut zeros = 0u32;
        let mut quads = values.chunks_exact(4);
        for quad in &mut quads {
            if let &[a, b, c, d] = quad {
                s0 += a;
                s1 += b;
                s2 += c;
                s3 += d;
                m0 = greater(a, m0);
                m1 = greater(b, m1);
                m2 = greater(c, m2);
                m3 = greater(d, m3);
                zeros += u32::from(a == 0.0)
                    + u32::from(b == 0.0)
                    + u32::from(c == 0.0)
                    + u32::from(d == 0.0);
            }
        }
        for &value in quads.remainder() {
            s0 += value;
            m0 = greater(value, m0);
            zeros += u32::from(value == 0.0);
        }
        self.sum += (s0 + s1) + (s2 + s3);
        self.max = greater(greater(m0, m1), greater(m2, m3));
        self.zeros += u64::from(zeros);

        let counts = &mut *self.counts;
        let watched = &*self.watched;
        // Which values are kept is hard to predict: no branch on it.
        let mut kept = [0.0; KEPT];
        for values in values.chunks(KEPT) {
            let mut count = 0;
            for &value in values {
                debug_assert!(value >= 0.0 && value.is_finite(), "{value}");
                let bucket = bucket(value);
                counts[bucket] += 1;
                kept[count] = value;
                count += usize::from(watched[bucket]);
            }
            self.kept.extend_from_slice(&kept[..count]);
        }
    }

    /// Counts one value.
    pub fn add(&mut self, value: f64) {
        self.add_all(&[value]);
    }

    /// Counts a value `times` times.
    #[inline]
    pub fn add_times(&mut self, value: f64, times: u32) {
        debug_assert!(value >= 0.0 && value.is_finite(), "{value}");
        self.sum += value * f64::from(times);
        self.max = greater(value, self.max);
        self.zeros += u64::from(value == 0.0) * u64::from(times);
        let bucket = bucket(value);
        self.counts[bucket] += times;
        if self.watched[bucket] {
            self.kept.extend(std::iter::repeat_n(value, times as usize));
        }
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().map(|&n| u64::from(n)).sum()
    }

    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// 0 for an empty stream.
    pub fn mean(&self) -> f64 {
        match self.count() {
            0 => 0.0,
            count => self.sum / count as f64,
        }
    }

    /// 0 for an empty stream.
    pub fn max(&self) -> f64 {
        self.max
    }

    /// Points `(x, share of values below x)` at bucket edges, from the first bucket that holds
    /// anything to the edge above the last: exact points of the distribution function.
    pub fn cumulative(&self) -> Vec<(f64, f64)> {
        let mut points = Vec::new();
        let mut below = 0u64;
        let total = self.count() as f64;
        for (b, &n) in self.counts.iter().enumerate() {
            if n > 0 {
                if points.last().is_none_or(|&(x, _)| x < edge(b)) {
                    points.push((edge(b), below as f64 / total));
                }
                below += u64::from(n);
                points.push((edge(b + 1), below as f64 / total));
            }
        }
        points
    }

    /// The quantiles, or, where a needed value was not kept, what must be shown the stream again.
    pub fn quantiles<const N: usize>(&self, quantiles: [f64; N]) -> Result<[f64; N], Selection<N>> {
        let mut selection = self.select(quantiles);
        let all_kept = selection
            .slot_of
            .iter()
            .zip(self.watched.iter())
            .all(|(&slot, &watched)| slot == NO_SLOT || watched);
        if all_kept {
            selection.add_all(&self.kept);
            Ok(selection.finish())
        } else {
            Err(selection)
        }
    }

    /// Chooses what a second walk must collect for these quantiles (each in 0..=1).
    pub fn select<const N: usize>(&self, quantiles: [f64; N]) -> Selection<N> {
        let mut slot_of = Box::new([NO_SLOT; BUCKETS]);
        let mut slots = Vec::new();
        let count = self.count();
        let ranks = quantiles.map(|q| Rank::of(q, count));
        let mut wanted: Vec<u64> = ranks
            .iter()
            .flat_map(|r| [r.low, r.high])
            .filter(|&rank| rank >= self.zeros && count > 0)
            .collect();
        wanted.sort_unstable();
        let mut wanted = wanted.into_iter().peekable();
        let mut below = self.zeros;
        for (b, &n) in self.counts.iter().enumerate() {
            let n = if b == 0 {
                u64::from(n) - self.zeros
            } else {
                u64::from(n)
            };
            let above = below + n;
            if wanted.peek().is_some_and(|&rank| rank < above) {
                // At most 2 N slots, and N is small: the number fits.
                slot_of[b] = slots.len() as u8;
                slots.push(Slot {
                    below,
                    values: Vec::with_capacity(n as usize),
                });
                while wanted.peek().is_some_and(|&rank| rank < above) {
                    wanted.next();
                }
            }
            below = above;
        }
        Selection {
            slot_of,
            slots,
            ranks,
            zeros: self.zeros,
        }
    }
}

const NO_SLOT: u8 = u8::MAX;

/// A quantile's place between two order statistics, as numpy's "linear" method has it.
#[derive(Debug, Clone, Copy)]
struct Rank {
    low: u64,
    high: u64,
    weight: f64,
}

impl Rank {
    fn of(quantile: f64, count: u64) -> Rank {
        let last = count.saturating_sub(1);
        let place = last as f64 * quantile;
        let low = (libm::floor(place) as u64).min(last);
        Rank {
            low,
            high: (low + 1).min(last),
            weight: place - low as f64,
        }
    }
}

/// numpy's interpolation, which keeps both ends exact.
fn interpolate(low: f64, high: f64, weight: f64) -> f64 {
    if weight >= 0.5 {
        high - (high - low) * (1.0 - weight)
    } else {
        low + (high - low) * weight
    }
}

#[derive(Debug, Clone)]
struct Slot {
    below: u64,
    values: Vec<f64>,
}

/// A second walk: shown the same values again, gives the quantiles.
#[derive(Debug, Clone)]
pub struct Selection<const N: usize> {
    slot_of: Box<[u8; BUCKETS]>,
    slots: Vec<Slot>,
    ranks: [Rank; N],
    zeros: u64,
}

impl<const N: usize> Selection<N> {
    /// Shows values again.
    pub fn add_all(&mut self, values: &[f64]) {
        let slot_of = &*self.slot_of;
        for &value in values {
            let slot = slot_of[bucket(value)];
            if slot != NO_SLOT && value > 0.0 {
                self.slots[slot as usize].values.push(value);
            }
        }
    }

    /// Shows one value again.
    pub fn add(&mut self, value: f64) {
        self.add_all(&[value]);
    }

    /// The quantiles, in the order they were asked for; 0 for an empty stream.
    pub fn finish(mut self) -> [f64; N] {
        self.ranks.map(|rank| {
            let low = order_statistic(&mut self.slots, self.zeros, rank.low);
            let high = order_statistic(&mut self.slots, self.zeros, rank.high);
            interpolate(low, high, rank.weight)
        })
    }
}

fn order_statistic(slots: &mut [Slot], zeros: u64, rank: u64) -> f64 {
    if rank < zeros {
        return 0.0;
    }
    slots
        .iter_mut()
        .rev()
        .find(|slot| slot.below <= rank)
        .and_then(|slot| {
            let k = usize::try_from(rank - slot.below).ok()?;
            (k < slot.values.len())
                .then(|| *slot.values.select_nth_unstable_by(k, f64::total_cmp).1)
        })
        .unwrap_or(0.0)
}

/// A quantile of values that may be reordered, by numpy's "linear" method; `None` when empty.
pub fn quantile(values: &mut [u32], quantile: f64) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let rank = Rank::of(quantile, values.len() as u64);
    let (_, &mut low, above) = values.select_nth_unstable(rank.low as usize);
    let high = if rank.high == rank.low {
        low
    } else {
        above.iter().copied().min().unwrap_or(low)
    };
    Some(interpolate(f64::from(low), f64::from(high), rank.weight))
}

/// Mean, median, P90, P95 and P99 of values that are finite and not negative; 0 of none.
pub fn mean_and_quantiles(values: &[f64]) -> [f64; 5] {
    // -0, which a file may hold, becomes 0.
    let values: Vec<f64> = values.iter().map(|value| value + 0.0).collect();
    let mut all = Histogram::keeping_all();
    all.add_all(&values);
    // A histogram that keeps everything has every quantile.
    let [p50, p90, p95, p99] = all.quantiles([0.5, 0.9, 0.95, 0.99]).unwrap_or_default();
    [all.mean(), p50, p90, p95, p99]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_zero_is_a_zero() {
        assert_eq!(
            mean_and_quantiles(&[-0.0, 3.0, -0.0]),
            mean_and_quantiles(&[0.0, 3.0, 0.0])
        );
        assert_eq!(mean_and_quantiles(&[-0.0]), [0.0; 5]);
    }
    use proptest::prelude::*;

    fn by_sorting(values: &[f64], q: f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let rank = Rank::of(q, sorted.len() as u64);
        interpolate(
            sorted[rank.low as usize],
            sorted[rank.high as usize],
            rank.weight,
        )
    }

    proptest! {
        #[test]
        fn selection_equals_sorting(
            values in prop::collection::vec(
                prop_oneof![Just(0.0), 0.0..1.0f64, 1e-14..1e-9f64, 0.0..1e12f64, Just(7.25)],
                1..400,
            ),
            q in 0.0..=1.0f64,
        ) {
            let mut first = Histogram::default();
            values.iter().for_each(|&v| first.add(v));
            let mut second = first.select([q, 0.0, 0.5, 1.0]);
            values.iter().for_each(|&v| second.add(v));
            let got = second.finish();
            prop_assert_eq!(
                got,
                [q, 0.0, 0.5, 1.0].map(|q| by_sorting(&values, q))
            );
        }

        #[test]
        fn weights_are_repetitions(
            pairs in prop::collection::vec((0.0..50.0f64, 1..9u32), 1..200),
        ) {
            let mut first = Histogram::keeping_all();
            pairs.iter().for_each(|&(v, n)| first.add_times(v, n));
            let spread: Vec<f64> = pairs
                .iter()
                .flat_map(|&(v, n)| std::iter::repeat_n(v, n as usize))
                .collect();
            prop_assert_eq!(
                first.quantiles([0.5, 0.95, 0.99]).ok(),
                Some([0.5, 0.95, 0.99].map(|q| by_sorting(&spread, q)))
            );
        }

        #[test]
        fn cumulative_is_exact(values in prop::collection::vec(1e-6..1e6f64, 1..200)) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|&v| histogram.add(v));
            for (x, share) in histogram.cumulative() {
                let below = values.iter().filter(|&&v| v < x).count();
                prop_assert_eq!(share, below as f64 / values.len() as f64);
            }
        }

        #[test]
        fn integer_quantile_equals_sorting(mut values in prop::collection::vec(0..9999u32, 1..200), q in 0.0..=1.0f64) {
            let expected = by_sorting(&values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), q);
            prop_assert_eq!(quantile(&mut values, q), Some(expected));
        }
    }

    proptest! {
        #[test]
        fn a_guess_never_changes_a_quantile(
            values in prop::collection::vec(prop_oneof![Just(0.0), 0.01..100.0f64], 1..600),
            step in 1..40usize,
            draws in 1.0..200.0f64,
        ) {
            let points = [0.5, 0.9, 0.95, 0.99];
            let mut sample = Histogram::default();
            values.iter().step_by(step).for_each(|&v| sample.add(v));
            let mut histogram = Histogram::watching(&sample, &points, draws, values.len());
            histogram.add_all(&values);
            let got = histogram.quantiles(points).unwrap_or_else(|mut second| {
                second.add_all(&values);
                second.finish()
            });
            prop_assert_eq!(got, points.map(|q| by_sorting(&values, q)));
            let mut all = Histogram::keeping_all();
            all.add_all(&values);
            prop_assert_eq!(all.quantiles(points).ok(), Some(got));
        }
    }

    #[test]
    fn empty_is_zero_not_a_panic() {
        let histogram = Histogram::default();
        assert_eq!(histogram.select([0.5, 0.99]).finish(), [0.0, 0.0]);
        assert!(histogram.cumulative().is_empty());
    }
}
