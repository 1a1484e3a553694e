//! Every gap between two tokens, counted without being kept.

/// Buckets per octave, as a power of two: 256 buckets, each 0.27 % wide.
const MANTISSA_BITS: u32 = 8;
const OCTAVES: usize = 64;
const BUCKETS: usize = OCTAVES << MANTISSA_BITS;
const SHIFT: u32 = 52 - MANTISSA_BITS;
/// Bucket 0 begins at 2^-24 s, 60 ns, and holds the smaller gaps too; the last ends at 2^40 s.
const BASE: u64 = (1023 - 24) << MANTISSA_BITS;

#[inline(always)]
fn bucket(value: f64) -> usize {
    (value.to_bits() >> SHIFT)
        .saturating_sub(BASE)
        .min(BUCKETS as u64 - 1) as usize
}

/// Lower edge of a bucket.
fn edge(bucket: usize) -> f64 {
    if bucket == 0 {
        0.0
    } else {
        f64::from_bits((bucket as u64 + BASE) << SHIFT)
    }
}

/// Smallest and largest of no gap.
const NONE: [f64; 2] = [f64::INFINITY, 0.0];

/// A distribution of gaps: number, sum and extremes exact, quantiles to the width of a bucket and between the
/// extremes.
#[derive(Debug, Clone, PartialEq)]
pub struct Gaps {
    /// By bucket; as many octaves as there are gaps in.
    counts: Vec<u64>,
    pub count: u64,
    /// s.
    pub sum: f64,
    pub max: f64,
    /// s; infinity where there is none.
    pub min: f64,
    /// The smallest and the largest since [`Gaps::begin_part`].
    pub part: [f64; 2],
    /// The bound whose keeping is counted, s.
    bound: f64,
    /// Gaps within the bound.
    pub within: u64,
}

impl Default for Gaps {
    fn default() -> Self {
        Gaps::new(f64::INFINITY)
    }
}

impl Gaps {
    /// Counts apart how many gaps are at most `bound`, s.
    pub fn new(bound: f64) -> Gaps {
        Gaps {
            counts: Vec::new(),
            count: 0,
            sum: 0.0,
            max: 0.0,
            min: f64::INFINITY,
            part: NONE,
            bound,
            within: 0,
        }
    }

    #[inline]
    fn put(&mut self, bucket: usize, times: u64) {
        match self.counts.get_mut(bucket) {
            Some(count) => *count += times,
            None => self.grow(bucket, times),
        }
    }

    #[cold]
    fn grow(&mut self, bucket: usize, times: u64) {
        let octaves = (bucket >> MANTISSA_BITS) + 1;
        self.counts.resize(octaves << MANTISSA_BITS, 0);
        self.counts[bucket] += times;
    }

    /// Gaps from `least` to `most` ended in this part.
    #[inline]
    fn between(&mut self, least: f64, most: f64) {
        if most > self.part[1] {
            self.part[1] = most;
        }
        if least < self.part[0] {
            self.part[0] = least;
        }
    }

    /// A part of the run begins.
    pub(super) fn begin_part(&mut self) {
        self.part = NONE;
    }

    /// Counts a gap `times` times.
    #[inline]
    pub fn add(&mut self, gap: f64, times: u64) {
        self.put(bucket(gap), times);
        self.count += times;
        self.sum += gap * times as f64;
        self.max = self.max.max(gap);
        self.min = self.min.min(gap);
        self.between(gap, gap);
        if gap <= self.bound {
            self.within += times;
        }
    }

    /// Counts the gaps `first + i step` for i in 0..n, each `times` times; they may rise or fall. The first
    /// `before` of them ended before this part of the run began.
    #[inline]
    pub fn add_line(&mut self, mut first: f64, mut step: f64, n: u64, times: u64, before: u64) {
        if n == 0 {
            return;
        }
        let mut last = first + step * (n - 1) as f64;
        if before < n {
            let begun = first + step * before as f64;
            self.between(begun.min(last), begun.max(last));
        }
        if step < 0.0 {
            // The same gaps, the shortest first.
            std::mem::swap(&mut first, &mut last);
            step = -step;
        }
        let (low, high) = (bucket(first), bucket(last));
        if low == high {
            self.put(low, n * times);
        } else {
            self.spread(first, step, n, times);
        }
        self.count += n * times;
        self.sum += (first + last) * 0.5 * (n * times) as f64;
        self.max = self.max.max(last);
        self.min = self.min.min(first);
        if last <= self.bound {
            self.within += n * times;
        } else if first <= self.bound {
            self.within += (((self.bound - first) / step) as u64 + 1).min(n) * times;
        }
    }

    #[cold]
    fn spread(&mut self, first: f64, step: f64, n: u64, times: u64) {
        let mut from = 0;
        while from < n {
            let gap = first + step * from as f64;
            let here = bucket(gap);
            // The first that is beyond the bucket; at least one is in it.
            let to = if here + 1 == BUCKETS {
                n
            } else {
                let beyond = (edge(here + 1) - first) / step;
                (libm::ceil(beyond) as u64).clamp(from + 1, n)
            };
            self.put(here, (to - from) * times);
            from = to;
        }
    }

    /// The gaps that were counted since `before`, a state of this very distribution; `min` and `max`: the
    /// smallest and the largest of them.
    pub fn since(&self, before: &Gaps, [min, max]: [f64; 2]) -> Gaps {
        Gaps {
            counts: self
                .counts
                .iter()
                .zip(before.counts.iter().chain(std::iter::repeat(&0)))
                .map(|(now, then)| now - then)
                .collect(),
            count: self.count - before.count,
            sum: self.sum - before.sum,
            max,
            min,
            part: [min, max],
            bound: self.bound,
            within: self.within - before.within,
        }
    }

    /// s; 0 where there is no gap. Between the extremes: the sum of many equal gaps, or the difference of two
    /// sums, may be rounded beyond them.
    pub fn mean(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            let mean = self.sum / self.count as f64;
            mean.max(self.min).min(self.max)
        }
    }

    /// The quantile, s, between the edges of its bucket in proportion to rank: at most 0.4 % off, and never
    /// outside the extremes. Gaps below 60 ns, as of tokens of one step, count as 0.
    pub fn quantile(&self, q: f64) -> f64 {
        let rank = q * self.count.saturating_sub(1) as f64;
        let mut below = 0u64;
        for (b, &n) in self.counts.iter().enumerate() {
            let above = below + n;
            if n > 0 && rank < above as f64 {
                let share = (rank - below as f64 + 0.5) / n as f64;
                let value = match b {
                    0 => 0.0,
                    _ => edge(b) + (edge(b + 1) - edge(b)) * share,
                };
                return value.max(self.min).min(self.max);
            }
            below = above;
        }
        self.max
    }

    /// Points `(x, share of gaps below x)` at bucket edges.
    pub fn cumulative(&self) -> Vec<(f64, f64)> {
        let mut points = Vec::new();
        let mut below = 0u64;
        for (b, &n) in self.counts.iter().enumerate() {
            if n > 0 {
                if points.last().is_none_or(|&(x, _)| x < edge(b)) {
                    points.push((edge(b), below as f64 / self.count as f64));
                }
                below += n;
                points.push((edge(b + 1), below as f64 / self.count as f64));
            }
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_the_mean_lie_between_the_extremes() {
        // All in one bucket, whose edges are 0.2 % apart.
        let mut gaps = Gaps::default();
        gaps.add_line(0.004_484, 1e-8, 49, 1, 0);
        let (min, max) = (0.004_484, 0.004_484 + 48.0 * 1e-8);
        assert_eq!([gaps.min, gaps.max], [min, max]);
        for q in [0.0, 0.5, 0.99, 1.0] {
            assert!((min..=max).contains(&gaps.quantile(q)), "{q}");
        }
        // Many equal gaps: neither the sum nor a difference of sums may round the mean away from them.
        let mut gaps = Gaps::default();
        for _ in 0..1000 {
            gaps.add(0.1, 1);
        }
        let before = gaps.clone();
        gaps.begin_part();
        for _ in 0..7 {
            gaps.add(0.3, 1);
        }
        assert_eq!(before.mean(), 0.1);
        assert_eq!(gaps.since(&before, gaps.part).mean(), 0.3);
        assert_eq!(gaps.part, [0.3, 0.3]);
    }

    #[test]
    fn tokens_of_one_step_have_no_gap() {
        let mut gaps = Gaps::default();
        gaps.add(0.0, 3);
        gaps.add(0.02, 2);
        assert_eq!(gaps.quantile(0.5), 0.0);
        assert_eq!(gaps.quantile(1.0), 0.02);
        assert_eq!([gaps.min, gaps.max], [0.0, 0.02]);
    }

    #[test]
    fn a_part_has_its_own_extremes() {
        let mut gaps = Gaps::default();
        gaps.add(0.5, 1);
        gaps.begin_part();
        // The first two of these ended before.
        gaps.add_line(0.1, 0.01, 5, 1, 2);
        let part = gaps.part.map(|gap| libm::round(gap * 1e6) as u32);
        assert_eq!(part, [120_000, 140_000]);
        gaps.add_line(0.2, -0.02, 3, 1, 0);
        let part = gaps.part.map(|gap| libm::round(gap * 1e6) as u32);
        assert_eq!(part, [120_000, 200_000]);
        assert_eq!([gaps.min, gaps.max], [0.1, 0.5]);
    }
}
