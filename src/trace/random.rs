//! Random numbers, the same bits on every target.
//!
//! The samplers are written here on `libm` rather than taken from `rand_distr`: that crate computes
//! through num-traits, whose `exp` and `ln` are the platform's or libm's depending on which features
//! some other crate switches on.
//!
//! One seed feeds many purposes. Each has a stream of its own, so that asking one for more numbers
//! never changes another: the state of xoshiro256++ (Blackman and Vigna 2021) is filled by SplitMix64
//! from `mix(purpose) ^ seed`, where `mix` is SplitMix64's finaliser (Steele, Lea and Flood 2014).

use rand::{Rng, SeedableRng};
use rand_mt::Mt;
use rand_xoshiro::Xoshiro256PlusPlus;

/// What a stream of random numbers is for. The numbers are part of the promise that a seed keeps its
/// meaning: never reuse or change one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    PredictionNoise = 1,
    BinErrors = 2,
    Arrivals = 3,
    ConversationArrivals = 4,
    Prompts = 5,
    Outputs = 6,
    Failures = 7,
    Models = 8,
    Days = 9,
    Bursts = 10,
    Levels = 11,
    ThinkTimes = 12,
    Acceptance = 13,
    Routing = 14,
}

/// A stream of uniform, normal, exponential and Gamma numbers.
#[derive(Debug, Clone)]
pub(crate) struct Stream(Xoshiro256PlusPlus);

impl Stream {
    pub(crate) fn new(seed: u32, purpose: Purpose) -> Self {
        Self::numbered(seed, purpose, 0)
    }

    /// One of many streams for a purpose, so that its numbers belong to their owner whatever the
    /// others ask for. The number takes the upper half of the word whose lower half is the seed;
    /// number 0 is [`Stream::new`].
    pub(crate) fn numbered(seed: u32, purpose: Purpose, number: u32) -> Self {
        let mixed = mix(purpose as u64) ^ u64::from(seed) ^ (u64::from(number) << 32);
        Stream(Xoshiro256PlusPlus::seed_from_u64(mixed))
    }

    /// Uniform in the open interval (0, 1): the middles of 2^52 equal cells, so that neither a
    /// logarithm nor a quantile function ever sees an end.
    #[inline]
    pub(crate) fn uniform(&mut self) -> f64 {
        const CELL: f64 = 1.0 / (1u64 << 52) as f64;
        ((self.0.next_u64() >> 12) as f64 + 0.5) * CELL
    }

    /// Uniform in 0..n, by Lemire's multiplication; its bias of n / 2^32 is of no account here.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        let high = self.0.next_u64() >> 32;
        ((high * u64::from(n)) >> 32) as u32
    }

    /// Standard normal, one uniform each.
    #[inline]
    pub(super) fn normal(&mut self) -> f64 {
        normal_quantile(self.uniform())
    }

    /// Exponential of mean 1.
    #[inline]
    pub(crate) fn exponential(&mut self) -> f64 {
        -libm::log(self.uniform())
    }

    /// Gamma of the given shape and mean `shape` (Marsaglia and Tsang 2000; below shape 1 through
    /// their boost `Gamma(a) = Gamma(a + 1) U^(1/a)`).
    #[inline]
    pub(super) fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let boost = libm::exp(libm::log(self.uniform()) / shape);
            return self.gamma_from_one(shape + 1.0) * boost;
        }
        self.gamma_from_one(shape)
    }

    fn gamma_from_one(&mut self, shape: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / libm::sqrt(9.0 * d);
        loop {
            let x = self.normal();
            let v = 1.0 + c * x;
            if v <= 0.0 {
                continue;
            }
            let v = v * v * v;
            let u = self.uniform();
            let x2 = x * x;
            // The first test accepts nearly always and spares both logarithms.
            if u < 1.0 - 0.0331 * x2 * x2 || libm::log(u) < 0.5 * x2 + d * (1.0 - v + libm::log(v))
            {
                return d * v;
            }
        }
    }
}

/// Uniform in (0, 1) and the same for the same three numbers: what is decided about a request does not
/// depend on the order in which requests are looked at.
pub(crate) fn hashed(seed: u32, row: u32, place: u32) -> f64 {
    const CELL: f64 = 1.0 / (1u64 << 52) as f64;
    let key = mix(Purpose::Acceptance as u64) ^ u64::from(seed) ^ (u64::from(row) << 32);
    let bits = mix(mix(key).wrapping_add(u64::from(place)));
    ((bits >> 12) as f64 + 0.5) * CELL
}

/// SplitMix64's finaliser.
fn mix(x: u64) -> u64 {
    let z = x.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn polynomial<const N: usize>(x: f64, coefficients: [f64; N]) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

/// The standard normal's quantile function, to about 16 digits (Wichura 1988, algorithm AS241,
/// PPND16), for `p` in (0, 1).
#[expect(
    clippy::excessive_precision,
    reason = "the digits as published, to be compared with the paper"
)]
#[inline]
pub(crate) fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180625 - q * q;
        return q * polynomial(
            r,
            [
                3.387_132_872_796_366_608,
                133.141_667_891_784_377_45,
                1_971.590_950_306_551_442_7,
                13_731.693_765_509_461_125,
                45_921.953_931_549_871_457,
                67_265.770_927_008_700_853,
                33_430.575_583_588_128_105,
                2_509.080_928_730_122_672_7,
            ],
        ) / polynomial(
            r,
            [
                1.0,
                42.313_330_701_600_911_252,
                687.187_007_492_057_908_3,
                5_394.196_021_424_751_107_7,
                21_213.794_301_586_595_867,
                39_307.895_800_092_710_61,
                28_729.085_735_721_942_674,
                5_226.495_278_852_854_561,
            ],
        );
    }
    let r = libm::sqrt(-libm::log(if q < 0.0 { p } else { 1.0 - p }));
    let x = if r <= 5.0 {
        let r = r - 1.6;
        polynomial(
            r,
            [
                1.423_437_110_749_683_577_34,
                4.630_337_846_156_545_295_9,
                5.769_497_221_460_691_405_5,
                3.647_848_324_763_204_605_04,
                1.270_458_252_452_368_382_58,
                0.241_780_725_177_450_611_77,
                0.022_723_844_989_269_184_583_3,
                7.745_450_142_783_414_076_4e-4,
            ],
        ) / polynomial(
            r,
            [
                1.0,
                2.053_191_626_637_758_821_87,
                1.676_384_830_183_803_849_4,
                0.689_767_334_985_100_004_55,
                0.148_103_976_427_480_074_59,
                0.015_198_666_563_616_457_196_6,
                5.475_938_084_995_344_946e-4,
                1.050_750_071_644_416_843_24e-9,
            ],
        )
    } else {
        let r = r - 5.0;
        polynomial(
            r,
            [
                6.657_904_643_501_103_777_2,
                5.463_784_911_164_114_369_9,
                1.784_826_539_917_291_335_8,
                0.296_560_571_828_504_891_23,
                0.026_532_189_526_576_123_093,
                1.242_660_947_388_078_438_6e-3,
                2.711_555_568_743_487_578_15e-5,
                2.010_334_399_292_288_132_65e-7,
            ],
        ) / polynomial(
            r,
            [
                1.0,
                0.599_832_206_555_887_937_69,
                0.136_929_880_922_735_805_31,
                0.014_875_361_290_850_615_025,
                7.868_691_311_456_132_591e-4,
                1.846_318_317_510_054_681_8e-5,
                1.421_511_758_316_445_888_7e-7,
                2.044_263_103_389_939_785_64e-15,
            ],
        )
    };
    if q < 0.0 { -x } else { x }
}

/// numpy's legacy generator (`np.random.seed(seed)`): MT19937 and the polar method, which makes two
/// normal numbers from each accepted point.
pub(super) struct NumpyLegacy {
    bits: Mt,
    /// Accepted points of the unit disc, with their squared radius.
    points: Vec<[f64; 3]>,
}

impl NumpyLegacy {
    pub(super) fn new(seed: u32) -> Self {
        NumpyLegacy {
            bits: Mt::new(seed),
            points: Vec::new(),
        }
    }

    /// 53 random bits over [0, 1), from two words.
    #[inline]
    fn double(&mut self) -> f64 {
        let high = self.bits.next_u32() >> 5;
        let low = self.bits.next_u32() >> 6;
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// The next draws of `np.random.lognormal(0, sigma)`. Every call but the last must ask for an
    /// even number: the second number of a half-used point is dropped.
    ///
    /// First all the rejections, then all the arithmetic: the unpredictable branch and the long
    /// chains of logarithm, root and exponential would otherwise wait for each other in every row.
    pub(super) fn lognormals(&mut self, sigma: f64, out: &mut [f64]) {
        self.points.clear();
        while self.points.len() < out.len().div_ceil(2) {
            let x1 = 2.0 * self.double() - 1.0;
            let x2 = 2.0 * self.double() - 1.0;
            let r2 = x1 * x1 + x2 * x2;
            if r2 < 1.0 && r2 != 0.0 {
                self.points.push([x1, x2, r2]);
            }
        }
        for (pair, [x1, x2, r2]) in out.chunks_mut(2).zip(&self.points) {
            let f = libm::sqrt(-2.0 * libm::log(*r2) / r2);
            // numpy returns the second coordinate first.
            for (value, x) in pair.iter_mut().zip([x2, x1]) {
                *value = libm::exp(sigma * (f * x));
            }
        }
    }
}

/// The first draws of `np.random.exponential(1.0)` after `np.random.seed(seed)`.
#[cfg(feature = "cli")]
pub(crate) fn numpy_exponentials(seed: u32, draws: usize) -> Vec<f64> {
    let mut random = NumpyLegacy::new(seed);
    let one = |_| -libm::log(1.0 - random.double());
    (0..draws).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_quantiles_match_an_independent_implementation() {
        // Python 3's statistics.NormalDist().inv_cdf, which has C code of its own for AS241.
        for (p, x) in [
            (1e-300, -37.0470962993612),
            (1e-20, -9.262340089798405),
            (1e-9, -5.9978070150076865),
            (0.001, -3.090232306167813),
            (0.02425, -1.9729610513118845),
            (0.075, -1.4395314709384557),
            (0.3, -0.5244005127080407),
            (0.5, 0.0),
            (0.7, 0.5244005127080407),
            (0.925, 1.439531470938456),
            (0.999, 3.090232306167813),
            (0.999999999999, 7.0344869100478356),
        ] {
            let got = normal_quantile(p);
            assert!((got - x).abs() <= 2e-15 * x.abs(), "{p}: {got} is not {x}");
        }
    }

    #[test]
    fn moments_of_the_samplers() {
        const N: usize = 200_000;
        let moments = |sample: &mut dyn FnMut() -> f64| {
            let values: Vec<f64> = (0..N).map(|_| sample()).collect();
            let mean = values.iter().sum::<f64>() / N as f64;
            let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / N as f64;
            (mean, variance)
        };
        let mut s = Stream::new(1, Purpose::Arrivals);
        // Five standard errors of the mean, and ten percent of the variance.
        let mut check = |mean: f64, variance: f64, sample: &mut dyn FnMut(&mut Stream) -> f64| {
            let (m, v) = moments(&mut || sample(&mut s));
            let error = 5.0 * libm::sqrt(variance / N as f64);
            assert!(
                (m - mean).abs() < error,
                "mean {m}, expected {mean} +- {error}"
            );
            assert!(
                (v / variance - 1.0).abs() < 0.1,
                "variance {v}, expected {variance}"
            );
        };
        check(0.5, 1.0 / 12.0, &mut |s| s.uniform());
        check(0.0, 1.0, &mut |s| s.normal());
        check(1.0, 1.0, &mut |s| s.exponential());
        for shape in [0.2, 0.9, 1.0, 4.0, 100.0] {
            check(shape, shape, &mut |s| s.gamma(shape));
        }
        check(4.5, 8.25, &mut |s| f64::from(s.below(10)));
    }

    #[test]
    fn purposes_and_seeds_have_streams_of_their_own() {
        let first = |seed, purpose| Stream::new(seed, purpose).uniform();
        let a = first(42, Purpose::Prompts);
        assert_eq!(a, first(42, Purpose::Prompts));
        assert_ne!(a, first(42, Purpose::Outputs));
        assert_ne!(a, first(43, Purpose::Prompts));
        let numbered = |number| Stream::numbered(42, Purpose::Prompts, number).uniform();
        assert_eq!(numbered(0), a);
        assert_ne!(numbered(1), a);
        assert_ne!(numbered(1), numbered(2));
    }
}
