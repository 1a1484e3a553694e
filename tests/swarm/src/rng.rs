//! Random numbers of a case. The generator is ours (SplitMix64, Steele, Lea and Flood 2014): a case must
//! be the same on every machine and after every update of a dependency.

#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The stream of one case of a run; `stream` separates uses within the case.
    pub fn new(seed: u64, case: u64, stream: u64) -> Rng {
        let mut rng = Rng(seed);
        rng.0 = rng.word() ^ case;
        rng.0 = rng.word() ^ stream;
        rng.word();
        rng
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number from 0 to `n - 1`; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.word()) * n as u128) >> 64) as usize
    }

    /// A whole number from `low` to `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let count = u128::from(high.saturating_sub(low)) + 1;
        low + ((u128::from(self.word()) * count) >> 64) as u64
    }

    /// From 0 to 1, 1 excluded.
    pub fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// One of a list that is not empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// A number from `low` to `high`; over several powers of ten where the range has them.
    pub fn float(&mut self, low: f64, high: f64) -> f64 {
        if low > 0.0 && high / low > 100.0 {
            let (from, to) = (low.log10(), high.log10());
            10f64
                .powf(from + (to - from) * self.unit())
                .clamp(low, high)
        } else {
            low + (high - low) * self.unit()
        }
    }
}
