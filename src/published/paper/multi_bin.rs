//! Closed forms of the multi-bin paper (Guldogan et al., arXiv 2412.04504), section 4 and
//! appendix A.4. One server, batches of exactly B, a batch takes as long as its longest member.

use crate::sched::bins::exponential_cuts;

/// Service times uniform on `[low_s, high_s]`, batches of `batch` requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UniformTimes {
    pub batch: u32,
    pub low_s: f64,
    pub high_s: f64,
}

impl UniformTimes {
    /// m, the mean service time of a request, s.
    pub fn middle_s(&self) -> f64 {
        (self.low_s + self.high_s) / 2.0
    }

    /// Proposition 4.1: no policy serves more than c_max = B / E[l] requests/s.
    pub fn capacity(&self) -> f64 {
        f64::from(self.batch) / self.middle_s()
    }

    /// Theorem 4.2: E[t_k] = m + ((B - 1) / (2 k (B + 1))) (l_max - l_min), the mean service time of
    /// a batch with `bins` bins of equal mass (optimal by lemma 4.1), s. `bins` is a real number so
    /// that a curve can be drawn.
    pub fn batch_s(&self, bins: f64) -> f64 {
        let b = f64::from(self.batch);
        self.middle_s() + (b - 1.0) / (2.0 * bins * (b + 1.0)) * (self.high_s - self.low_s)
    }

    /// Theorem 4.2: Thr_k = B / E[t_k], requests/s.
    pub fn throughput(&self, bins: f64) -> f64 {
        f64::from(self.batch) / self.batch_s(bins)
    }

    /// Theorem 4.3: the least number of bins whose throughput is within `gap` requests/s of c_max.
    /// Absent where `gap` is not above 0.
    pub fn bins_within(&self, gap: f64) -> Option<u64> {
        if !(gap > 0.0 && self.middle_s() > 0.0) {
            return None;
        }
        let b = f64::from(self.batch);
        let longest = b / (b + 1.0) * self.high_s + self.low_s / (b + 1.0);
        let least = (self.capacity() - gap) * (longest - self.middle_s()) / (gap * self.middle_s());
        Some(libm::ceil(least).max(1.0) as u64)
    }

    /// Mean service time of a batch where a request is sorted one bin too low with probability
    /// `error` and one too high with the same probability (at the edges only the one neighbour is
    /// there), s. The paper states this model and simulates it; the expectation of the maximum is
    /// worked out here.
    ///
    /// Bins keep equal shares of the requests, because as many stray in as out.
    pub fn batch_with_errors_s(&self, bins: u32, error: f64) -> f64 {
        let means = (0..bins).map(|bin| self.longest_of(bin, bins, error).0);
        means.sum::<f64>() / f64::from(bins)
    }

    /// B over [`UniformTimes::batch_with_errors_s`], requests/s.
    pub fn throughput_with_errors(&self, bins: u32, error: f64) -> f64 {
        f64::from(self.batch) / self.batch_with_errors_s(bins, error)
    }

    /// Standard error that the mean batch time of a run of `requests` requests has for its finite
    /// length, as a share of it: from the spread of the longest member within a bin, over the
    /// batches, and from the bins' shares of the requests, a multinomial draw.
    pub fn standard_error(&self, bins: u32, error: f64, requests: u32) -> f64 {
        let mean = self.batch_with_errors_s(bins, error);
        let (mut within, mut between) = (0.0, 0.0);
        for bin in 0..bins {
            let (longest, variance) = self.longest_of(bin, bins, error);
            within += variance / f64::from(bins);
            between += (longest - mean) * (longest - mean) / f64::from(bins);
        }
        let variance = (within * f64::from(self.batch) + between) / f64::from(requests);
        libm::sqrt(variance) / mean
    }

    /// Mean, s, and variance, s^2, of the longest of B requests that were sorted into `bin`, 0 being
    /// the lowest: a mixture of three uniforms, so the distribution function F rises linearly
    /// within each bin. With t counted down from the upper edge of the bin above, the mean is the
    /// integral of F^B dt and the mean square that of 2 t F^B dt.
    fn longest_of(&self, bin: u32, bins: u32, error: f64) -> (f64, f64) {
        let width = (self.high_s - self.low_s) / f64::from(bins);
        let b = f64::from(self.batch);
        let below = if bin > 0 { error } else { 0.0 };
        let above = if bin + 1 < bins { error } else { 0.0 };
        let mut f = 0.0;
        let (mut mean, mut square) = (0.0, 0.0);
        // Lower edge of the segment, counted down.
        let mut edge = 3.0 * width;
        for share in [below, 1.0 - below - above, above] {
            let to = f + share;
            if share > 0.0 {
                // F^B and F^(B + 1) over the segment; t = edge - (F - f) width / share.
                let first = (libm::pow(to, b + 1.0) - libm::pow(f, b + 1.0)) / (b + 1.0);
                let second = (libm::pow(to, b + 2.0) - libm::pow(f, b + 2.0)) / (b + 2.0);
                let slope = width / share;
                mean += slope * first;
                square += 2.0 * slope * ((edge + f * slope) * first - slope * second);
            } else {
                let level = libm::pow(f, b);
                mean += width * level;
                square += width * level * (2.0 * edge - width);
            }
            f = to;
            edge -= width;
        }
        // Beyond the last bin F stays 1, so the edge may lie beyond it as well.
        let top = self.low_s + width * (f64::from(bin) + 2.0);
        (top - mean, (square - mean * mean).max(0.0))
    }
}

/// Exponential service times of mean `mean_s`, batches of `batch` requests (appendix A.4).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExponentialTimes {
    pub batch: u32,
    pub mean_s: f64,
}

impl ExponentialTimes {
    /// The cuts that make the bound least, s; one fewer than bins.
    pub fn cuts_s(&self, bins: u32) -> Vec<f64> {
        exponential_cuts(self.mean_s, bins as usize, self.batch)
    }

    /// Bound of the mean batch time at those cuts, s: E[t] <= sum over i < k of P_i l_i, plus
    /// P_k (l_{k-1} + H_B / mu).
    pub fn batch_bound_s(&self, bins: u32) -> f64 {
        let harmonic: f64 = (1..=self.batch).map(|i| 1.0 / f64::from(i)).sum();
        let beyond = |cut: f64| libm::exp(-cut / self.mean_s);
        let (mut bound, mut low) = (0.0, 0.0);
        for cut in self.cuts_s(bins) {
            bound += (beyond(low) - beyond(cut)) * cut;
            low = cut;
        }
        bound + beyond(low) * (low + harmonic * self.mean_s)
    }

    /// Throughput that is reached at least, requests/s.
    pub fn throughput_bound(&self, bins: u32) -> f64 {
        f64::from(self.batch) / self.batch_bound_s(bins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paper(batch: u32) -> UniformTimes {
        UniformTimes {
            batch,
            low_s: 1.0,
            high_s: 20.0,
        }
    }

    fn printed(x: f64, digits: usize) -> String {
        format!("{x:.digits$}")
    }

    #[test]
    fn theorem_4_2() {
        let at = |batch: u32, bins: u32| paper(batch).throughput(f64::from(bins));
        let rows = [1, 2, 3, 4, 5, 8].map(|k| printed(at(128, k), 3));
        assert_eq!(
            rows,
            ["6.447", "8.434", "9.400", "9.970", "10.347", "10.969"]
        );
        let rows = [1, 2, 3, 4, 5, 8, 16, 32].map(|k| printed(at(8, k), 4));
        assert_eq!(
            rows,
            [
                "0.4472", "0.5636", "0.6171", "0.6479", "0.6679", "0.7003", "0.7298", "0.7455"
            ]
        );
        assert_eq!(printed(paper(128).capacity(), 3), "12.190");
        assert_eq!(printed(paper(8).capacity(), 4), "0.7619");
    }

    #[test]
    fn theorem_4_3() {
        let least = [5.0, 2.0, 1.0, 0.5, 0.1].map(|gap| paper(128).bins_within(gap));
        assert_eq!(least, [2, 5, 10, 21, 108].map(Some));
        // The least: one bin fewer is not within the gap.
        for (gap, k) in [(2.0, 5.0), (1.0, 10.0), (0.5, 21.0), (0.1, 108.0)] {
            let p = paper(128);
            assert!(p.capacity() - p.throughput(k) <= gap);
            assert!(p.capacity() - p.throughput(k - 1.0) > gap);
        }
        assert_eq!(paper(128).bins_within(0.0), None);
        assert_eq!(paper(128).bins_within(f64::NAN), None);
        assert_eq!(paper(128).bins_within(100.0), Some(1));
    }

    #[test]
    fn prediction_errors() {
        let at = |k: u32, p: f64| printed(paper(128).throughput_with_errors(k, p), 2);
        let errors = [0.01, 0.05, 0.5];
        assert_eq!(errors.map(|p| at(2, p)), ["7.41", "6.66", "6.45"]);
        assert_eq!(errors.map(|p| at(4, p)), ["8.88", "8.06", "7.82"]);
        assert_eq!(errors.map(|p| at(8, p)), ["10.17", "9.52", "9.32"]);
        // An independent simulation of the same nine, within its own noise.
        for (k, simulated) in [
            (2, [7.37, 6.63, 6.45]),
            (4, [8.82, 8.08, 7.83]),
            (8, [10.18, 9.53, 9.32]),
        ] {
            for (p, simulated) in errors.into_iter().zip(simulated) {
                let off = paper(128).throughput_with_errors(k, p) / simulated - 1.0;
                assert!(off.abs() < 0.01, "k = {k}, p_e = {p}: {off}");
            }
        }
        // Everything strays: with two bins each holds a fair share of all lengths.
        let mixed = paper(128).throughput_with_errors(2, 0.5);
        assert!((mixed - paper(128).throughput(1.0)).abs() < 1e-9);
        for k in [1, 2, 5, 32] {
            let without = paper(8).throughput_with_errors(k, 0.0);
            assert!((without - paper(8).throughput(f64::from(k))).abs() < 1e-12);
        }
    }

    #[test]
    fn spread_of_the_longest_of_a_batch() {
        // Of B uniform draws on a width w: w^2 B / ((B + 1)^2 (B + 2)).
        for (batch, bins) in [(8, 1), (8, 4), (128, 3)] {
            let w = 19.0 / f64::from(bins);
            let b = f64::from(batch);
            let exact = w * w * b / ((b + 1.0) * (b + 1.0) * (b + 2.0));
            for bin in 0..bins {
                let (_, variance) = paper(batch).longest_of(bin, bins, 0.0);
                assert!((variance / exact - 1.0).abs() < 1e-6, "{variance} {exact}");
            }
        }
        // All lengths in either bin: as with one.
        let (mean, variance) = paper(8).longest_of(1, 2, 0.5);
        let (one_mean, one_variance) = paper(8).longest_of(0, 1, 0.0);
        assert!((mean - one_mean).abs() < 1e-9 && (variance - one_variance).abs() < 1e-9);
        // A quarter of the requests: twice the error.
        let ratio = paper(8).standard_error(4, 0.1, 1000) / paper(8).standard_error(4, 0.1, 4000);
        assert!((ratio - 2.0).abs() < 1e-12);
    }

    #[test]
    fn appendix_a_4() {
        let times = ExponentialTimes {
            batch: 200,
            mean_s: 10.0,
        };
        let bounds = [1, 2, 3, 4, 5].map(|k| printed(times.throughput_bound(k), 3));
        assert_eq!(bounds, ["3.402", "7.217", "9.904", "11.746", "13.053"]);
        let cuts: Vec<String> = times.cuts_s(5).iter().map(|&c| printed(c, 2)).collect();
        assert_eq!(cuts, ["5.32", "12.35", "22.54", "40.25"]);
    }
}
