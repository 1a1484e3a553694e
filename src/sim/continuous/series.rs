//! State over time in a bounded number of intervals, whose width doubles when the run goes on longer.

/// Most intervals.
const MOST: usize = 1024;
/// Width at the beginning, s: a power of two, so that doubling is exact.
const FIRST_WIDTH_S: f64 = 1.0 / 64.0;

/// What is integrated over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Level {
    /// Requests that wait.
    Waiting,
    /// Requests at work.
    Running,
    /// Tokens in the caches.
    Tokens,
    /// Blocks in use.
    Blocks,
    /// Replicas that do a step.
    Busy,
}

/// Integrals over equal intervals from time 0 on.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// s.
    pub width_s: f64,
    /// By [`Level`]: integral over each interval, unit x s.
    levels: [Vec<f64>; 5],
}

impl Default for Series {
    fn default() -> Self {
        Series {
            width_s: FIRST_WIDTH_S,
            levels: Default::default(),
        }
    }
}

impl Series {
    /// A level held from `from` to `to`.
    #[inline]
    pub fn hold(&mut self, level: Level, from: f64, to: f64, value: f64) {
        self.slope(level, from, to, value, value);
    }

    /// A level that went evenly from one value to another.
    #[inline]
    pub fn slope(&mut self, level: Level, from: f64, to: f64, first: f64, last: f64) {
        while to >= self.width_s * MOST as f64 {
            self.double();
        }
        let (begin, end) = ((from / self.width_s) as usize, (to / self.width_s) as usize);
        let column = &mut self.levels[level as usize];
        if column.len() <= end {
            column.resize(end + 1, 0.0);
        }
        if begin == end {
            column[begin] += (first + last) * 0.5 * (to - from);
            return;
        }
        let rate = (last - first) / (to - from);
        let mut at = from;
        for (interval, sum) in column.iter_mut().enumerate().take(end + 1).skip(begin) {
            let next = ((interval + 1) as f64 * self.width_s).min(to);
            let middle = first + rate * ((at + next) * 0.5 - from);
            *sum += middle * (next - at).max(0.0);
            at = next;
        }
    }

    #[cold]
    fn double(&mut self) {
        self.width_s *= 2.0;
        for column in &mut self.levels {
            let pairs = column.len().div_ceil(2);
            for i in 0..pairs {
                let second = column.get(2 * i + 1).copied().unwrap_or(0.0);
                column[i] = column[2 * i] + second;
            }
            column.truncate(pairs);
        }
    }

    /// Integral over the whole run, unit x s.
    pub fn integral(&self, level: Level) -> f64 {
        self.levels[level as usize].iter().sum()
    }

    /// Intervals that a run of `end_s` has.
    pub fn intervals(&self, end_s: f64) -> usize {
        libm::ceil(end_s / self.width_s) as usize
    }

    /// Time average over an interval of a run that ended at `end_s`; the last may be cut short.
    pub fn mean(&self, level: Level, interval: usize, end_s: f64) -> f64 {
        let from = interval as f64 * self.width_s;
        let length = (end_s - from).min(self.width_s);
        let integral = self.levels[level as usize].get(interval).copied();
        if length > 0.0 {
            integral.unwrap_or(0.0) / length
        } else {
            0.0
        }
    }
}
