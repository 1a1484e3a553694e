//! Throughput against users: four curves by least squares, their intervals, and which one the
//! data prefer (docs/MODEL.md, "Studies").
//!
//! Three of the curves are `u / d(u)` with `d` linear in its parameters. There the search needs
//! neither bounds nor luck: data without a maximum give `1 / Vmax` near 0 instead of a `Vmax` that
//! runs away.

use super::points::Level;
use crate::least_squares::{
    Matrix, Normal, Vector, inverse, minimise, quadratic, student_t_975, times,
};

/// A fitted quantity. The error and the 95 % interval (Student's t, delta method where the quantity
/// is a function of the fitted ones) are `None` where no degree of freedom is left, where the data
/// do not determine it, or where it lies on its bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub value: f64,
    pub standard_error: Option<f64>,
    pub interval: Option<[f64; 2]>,
}

impl Estimate {
    fn new(value: f64, variance: Option<f64>, t: Option<f64>) -> Estimate {
        let standard_error = variance
            .map(|v| libm::sqrt(v.max(0.0)))
            .filter(|e| e.is_finite());
        Estimate {
            value,
            standard_error,
            interval: standard_error
                .zip(t)
                .map(|(error, t)| [value - t * error, value + t * error])
                .filter(|[low, high]| low.is_finite() && high.is_finite()),
        }
    }
}

/// How well a curve holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// Measured - fitted, a value per level, tok/s.
    pub residuals: Vec<f64>,
    /// Sum of their squares.
    pub rss: f64,
    /// Coefficient of determination about the mean; `None` where all throughputs are equal.
    pub r2: Option<f64>,
    /// Parameters of the curve, the variance not counted.
    pub parameters: u32,
    /// Akaike's criterion, corrected for few data, the variance counted as a parameter; `None`
    /// where n - k - 1 is not positive.
    pub aicc: Option<f64>,
}

/// Residuals below this share of the data (as mean squares) are rounding: the curve is exact.
const EXACT: f64 = 1e-20;

impl Quality {
    fn of(levels: &[Level], at: impl Fn(f64) -> f64, parameters: u32) -> Quality {
        let n = levels.len() as f64;
        let residuals: Vec<f64> = levels
            .iter()
            .map(|l| l.tok_s - at(f64::from(l.users)))
            .collect();
        let rss: f64 = residuals.iter().map(|r| r * r).sum();
        let mean = levels.iter().map(|l| l.tok_s).sum::<f64>() / n;
        let squares: f64 = levels.iter().map(|l| l.tok_s * l.tok_s).sum();
        let total: f64 = levels
            .iter()
            .map(|l| (l.tok_s - mean) * (l.tok_s - mean))
            .sum();
        let k = f64::from(parameters + 1);
        // Exact curves are told apart by their parameters alone.
        let mean_square = (rss / n).max(EXACT * squares / n);
        Quality {
            residuals,
            rss,
            r2: (total > EXACT * squares).then(|| 1.0 - rss / total),
            parameters,
            aicc: (n - k - 1.0 > 0.0).then(|| {
                n * libm::log(mean_square) + 2.0 * k + 2.0 * k * (k + 1.0) / (n - k - 1.0)
            }),
        }
    }
}

/// Student's t for what is left of `n` data after `fitted` parameters.
fn student(n: usize, fitted: usize) -> Option<f64> {
    let freedom = n.checked_sub(fitted).filter(|&f| f > 0)?;
    Some(student_t_975(freedom as u32))
}

/// `u / d(u)`, `d(u) = p0 + p1 (u - 1)/U + p2 u (u - 1)/U^2`, U the most users of the data.
#[derive(Debug, Clone, PartialEq)]
struct Ratio {
    most: f64,
    p: Vector,
    free: [bool; 3],
    /// Of the free parameters; 0 elsewhere.
    covariance: Option<Matrix>,
    /// What the levels leave free.
    t: Option<f64>,
    rss: f64,
}

impl Ratio {
    fn basis(users: f64, most: f64) -> Vector {
        let beyond = (users - 1.0) / most;
        [1.0, beyond, users / most * beyond]
    }

    fn denominator(&self, users: f64) -> f64 {
        let basis = Ratio::basis(users, self.most);
        (0..3).map(|i| self.p[i] * basis[i]).sum()
    }

    fn at(&self, users: f64) -> f64 {
        users / self.denominator(users)
    }

    /// How the curve at `users` moves with each parameter.
    fn slope(&self, users: f64) -> Vector {
        let d = self.denominator(users);
        Ratio::basis(users, self.most).map(|b| -users / d / d * b)
    }

    /// 95 % interval of the curve at `users`.
    fn band(&self, users: f64) -> Option<[f64; 2]> {
        let variance = quadratic(&self.covariance?, &self.slope(users));
        Estimate::new(self.at(users), Some(variance), self.t).interval
    }

    /// A function of the parameters, by the delta method.
    fn estimate(&self, value: f64, slope: Vector) -> Estimate {
        let variance = self.covariance.map(|c| quadratic(&c, &slope));
        Estimate::new(value, variance, self.t)
    }

    /// Least squares over the parameters that are `free`, the least of what several starts reach;
    /// `nested` are starts of the caller's, in which the others are 0. `None` where no start has a
    /// positive denominator everywhere.
    fn fit(levels: &[Level], free: [bool; 3], nested: &[Vector]) -> Option<Ratio> {
        let data: Vec<(f64, f64)> = levels
            .iter()
            .map(|l| (f64::from(l.users), l.tok_s))
            .collect();
        let most = data.iter().map(|d| d.0).fold(1.0, f64::max);
        let evaluate = |p: &Vector| {
            let mut normal = Normal::default();
            for &(users, tok_s) in &data {
                let basis = Ratio::basis(users, most);
                let d: f64 = (0..3).map(|i| p[i] * basis[i]).sum();
                let fitted = users / d;
                if !(d > 0.0 && fitted.is_finite()) {
                    return None;
                }
                normal.add(tok_s - fitted, basis.map(|b| -fitted / d * b));
            }
            Some(normal)
        };
        // The line through 0, from which on every step is a gain on it.
        let product: f64 = data.iter().map(|d| d.0 * d.1).sum();
        let squares: f64 = data.iter().map(|d| d.0 * d.0).sum();
        let straight = [squares / product, 0.0, 0.0];
        // The published start: twice the last throughput, the median users.
        let last = data.last()?.1;
        let (lower, upper) = (data[(data.len() - 1) / 2].0, data[data.len() / 2].0);
        let k = (lower + upper) / 2.0;
        let published = [(k + 1.0) / (2.0 * last), most / (2.0 * last), 0.0];
        // And the linear problem u/T = d(u), each equation weighted to count like T itself.
        let mut linear = Normal::default();
        for &(users, tok_s) in &data {
            let weight = tok_s * tok_s / users;
            linear.add(
                users / tok_s * weight,
                Ratio::basis(users, most).map(|b| b * weight),
            );
        }
        let linear = linear.holding(free);
        let linear = inverse(linear.matrix).map(|inverse| times(&inverse, &linear.gradient));
        let (p, normal) = [Some(straight), free[1].then_some(published), linear]
            .into_iter()
            .flatten()
            .chain(nested.iter().copied())
            .filter_map(|start| minimise(start, free, evaluate))
            .reduce(|best, other| {
                if other.1.sum < best.1.sum {
                    other
                } else {
                    best
                }
            })?;
        let fitted = free.iter().filter(|&&f| f).count();
        let t = student(data.len(), fitted);
        let covariance = inverse(normal.matrix)
            .filter(|_| t.is_some())
            .map(|inverse| {
                let variance = normal.sum / (data.len() - fitted) as f64;
                std::array::from_fn(|i| {
                    std::array::from_fn(|j| {
                        if free[i] && free[j] {
                            inverse[i][j] * variance
                        } else {
                            0.0
                        }
                    })
                })
            });
        Some(Ratio {
            most,
            p,
            free,
            covariance,
            t,
            rss: normal.sum,
        })
    }
}

/// A half-saturation below this share of the lowest load is 0 to rounding.
const FLAT: f64 = 1e-9;

/// `T(u) = Vmax u / (K + u)`, Vmax in tok/s, K in users.
#[derive(Debug, Clone, PartialEq)]
pub struct MichaelisMenten {
    pub v_max: Estimate,
    pub k: Estimate,
    /// 1 / Vmax, s/tok: nearly normal where Vmax itself is not.
    pub inverse_v_max: Estimate,
    pub quality: Quality,
    ratio: Ratio,
}

impl MichaelisMenten {
    /// Least squares of throughput itself. Errors: a sentence why no finite positive maximum and
    /// half-saturation come out.
    pub fn fit(levels: &[Level]) -> Result<MichaelisMenten, String> {
        /// A half-saturation this many times beyond the data is a straight line through 0.
        const LINE: f64 = 1e9;
        let ratio = Ratio::fit(levels, [true, true, false], &[])
            .ok_or("the search found no curve that is defined at every level")?;
        let most = ratio.most;
        let [p0, p1, _] = ratio.p;
        let (a, b) = (p0 - p1 / most, p1 / most);
        if a <= 0.0 {
            return Err(
                "the least sum of squares has no positive half-saturation: throughput \
                        does not grow like u/(K + u)"
                    .to_owned(),
            );
        }
        let least = levels.iter().map(|l| l.users).min().map_or(1.0, f64::from);
        if a <= b * least * FLAT {
            return Err(
                "the half-saturation is not determined: it is 0 to rounding, and throughput does \
                        not grow with users"
                    .to_owned(),
            );
        }
        if b * most * LINE <= a {
            return Err(
                "the least sum of squares has no finite positive maximum: the data do not \
                        bend down as u/(K + u) does"
                    .to_owned(),
            );
        }
        Ok(MichaelisMenten {
            v_max: ratio.estimate(1.0 / b, [0.0, -1.0 / (b * b * most), 0.0]),
            k: ratio.estimate(a / b, [1.0 / b, -(a + b) / (b * b * most), 0.0]),
            inverse_v_max: ratio.estimate(b, [0.0, 1.0 / most, 0.0]),
            quality: Quality::of(levels, |u| ratio.at(u), 2),
            ratio,
        })
    }

    /// Throughput at `users`, tok/s.
    pub fn at(&self, users: f64) -> f64 {
        self.ratio.at(users)
    }

    /// 95 % interval of the curve at `users`, by the delta method.
    pub fn band(&self, users: f64) -> Option<[f64; 2]> {
        self.ratio.band(users)
    }

    /// Users at which the curve reaches 95 % of its maximum, cut to a whole number: int(19 K).
    pub fn users_at_95(&self) -> f64 {
        libm::trunc(19.0 * self.k.value)
    }

    /// The least and greatest maximum of data whose throughputs may each be off by `half_unit`: to
    /// first order the extremes lie where every error has the sign of its influence. `None` in
    /// place of one that is not finite.
    pub fn v_max_within(&self, levels: &[Level], half_unit: f64) -> Option<[Option<f64>; 2]> {
        let free = self.ratio.free;
        let mut normal = Normal::default();
        for level in levels {
            normal.add(0.0, self.ratio.slope(f64::from(level.users)));
        }
        let inverse = inverse(normal.holding(free).matrix)?;
        let shifted = |sign: f64| {
            let moved: Vec<Level> = levels
                .iter()
                .map(|level| {
                    let slope = self.ratio.slope(f64::from(level.users));
                    // More of this throughput, less of 1/Vmax: a greater maximum.
                    let raises = times(&inverse, &slope)[1] < 0.0;
                    let by = if raises { sign } else { -sign } * half_unit;
                    Level {
                        tok_s: level.tok_s + by,
                        ..level.clone()
                    }
                })
                .collect();
            if moved.iter().any(|l| l.tok_s <= 0.0) {
                return None;
            }
            MichaelisMenten::fit(&moved).ok().map(|fit| fit.v_max.value)
        };
        Some([shifted(-1.0), shifted(1.0)])
    }
}

/// Gunther's Universal Scalability Law, `X(u) = lambda u / (1 + sigma (u - 1) + kappa u (u - 1))`
/// with `sigma, kappa >= 0`; lambda in tok/s.
#[derive(Debug, Clone, PartialEq)]
pub struct Usl {
    pub lambda: Estimate,
    /// Contention: the share that users wait for each other.
    pub sigma: Estimate,
    /// Coherence: what each pair of users costs.
    pub kappa: Estimate,
    pub quality: Quality,
    ratio: Ratio,
}

impl Usl {
    /// Least squares under the two bounds: of the minima with neither, one or both coefficients
    /// held at 0 the least that respects them. Errors: a sentence why there is no fit.
    pub fn fit(levels: &[Level]) -> Result<Usl, String> {
        if levels.len() < 3 {
            return Err(format!(
                "{} levels do not determine three parameters",
                levels.len()
            ));
        }
        let squares: f64 = levels.iter().map(|l| l.tok_s * l.tok_s).sum();
        let mut best: Option<Ratio> = None;
        let mut nested = Vec::new();
        // From the fewest parameters on: one more must lower the sum by more than rounding.
        for free in [
            [true, false, false],
            [true, true, false],
            [true, false, true],
            [true, true, true],
        ] {
            // Starts must not move what is held.
            let starts: Vec<Vector> = nested
                .iter()
                .copied()
                .filter(|p: &Vector| (0..3).all(|i| free[i] || p[i] == 0.0))
                .collect();
            let Some(ratio) = Ratio::fit(levels, free, &starts) else {
                continue;
            };
            let [p0, p1, p2] = ratio.p;
            nested.push(ratio.p);
            let better = best
                .as_ref()
                .is_none_or(|b| ratio.rss < b.rss * (1.0 - 1e-9) && b.rss > EXACT * squares);
            if p0 > 0.0 && p1 >= 0.0 && p2 >= 0.0 && better {
                best = Some(ratio);
            }
        }
        let ratio = best.ok_or("the search found no curve that is defined at every level")?;
        let most = ratio.most;
        let [p0, p1, p2] = ratio.p;
        let (sigma, kappa) = (p1 / (most * p0), p2 / (most * most * p0));
        let on_bound = |estimate: Estimate, free: bool| {
            if free {
                estimate
            } else {
                Estimate::new(0.0, None, None)
            }
        };
        Ok(Usl {
            lambda: ratio.estimate(1.0 / p0, [-1.0 / (p0 * p0), 0.0, 0.0]),
            sigma: on_bound(
                ratio.estimate(sigma, [-sigma / p0, 1.0 / (most * p0), 0.0]),
                ratio.free[1],
            ),
            kappa: on_bound(
                ratio.estimate(kappa, [-kappa / p0, 0.0, 1.0 / (most * most * p0)]),
                ratio.free[2],
            ),
            quality: Quality::of(levels, |u| ratio.at(u), 3),
            ratio,
        })
    }

    /// Throughput at `users`, tok/s.
    pub fn at(&self, users: f64) -> f64 {
        self.ratio.at(users)
    }

    /// Users at which throughput is greatest, sqrt((1 - sigma)/kappa); `None` where it never falls
    /// (kappa = 0) or falls from the first user on (sigma >= 1).
    pub fn peak_users(&self) -> Option<f64> {
        let (sigma, kappa) = (self.sigma.value, self.kappa.value);
        (kappa > 0.0 && sigma < 1.0)
            .then(|| libm::sqrt((1.0 - sigma) / kappa))
            .filter(|peak| peak.is_finite())
    }

    /// The greatest throughput of the curve, tok/s: at its peak, at the first user where it falls
    /// from there on, or lambda/sigma, its limit, where it never falls; `None` for a straight line.
    pub fn maximum(&self) -> Option<f64> {
        let (sigma, kappa) = (self.sigma.value, self.kappa.value);
        if kappa > 0.0 {
            Some(self.at(self.peak_users().unwrap_or(1.0).max(1.0)))
        } else {
            (sigma > 0.0).then(|| self.lambda.value / sigma)
        }
    }
}

/// `T(u) = intercept + slope u`, tok/s.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Exactly 0 without error where the line was held through the origin.
    pub intercept: Estimate,
    pub slope: Estimate,
    pub quality: Quality,
}

impl Line {
    /// Ordinary least squares.
    pub fn fit(levels: &[Level]) -> Line {
        let (n, mean_u, mean_t, spread, product) =
            moments(levels, |l| (f64::from(l.users), l.tok_s));
        let slope = product / spread;
        let intercept = mean_t - slope * mean_u;
        let quality = Quality::of(levels, |u| intercept + slope * u, 2);
        let t = student(levels.len(), 2);
        let variance = t.map(|_| quality.rss / (n - 2.0));
        Line {
            intercept: Estimate::new(
                intercept,
                variance.map(|v| v * (1.0 / n + mean_u * mean_u / spread)),
                t,
            ),
            slope: Estimate::new(slope, variance.map(|v| v / spread), t),
            quality,
        }
    }

    /// Least squares with the intercept held at 0: throughput in proportion to users.
    pub fn through_origin(levels: &[Level]) -> Line {
        let (mut product, mut squares) = (0.0, 0.0);
        for level in levels {
            let users = f64::from(level.users);
            product += users * level.tok_s;
            squares += users * users;
        }
        let slope = product / squares;
        let quality = Quality::of(levels, |u| slope * u, 1);
        let t = student(levels.len(), 1);
        let variance = t.map(|_| quality.rss / (levels.len() - 1) as f64 / squares);
        Line {
            intercept: Estimate::new(0.0, None, None),
            slope: Estimate::new(slope, variance, t),
            quality,
        }
    }

    /// Throughput at `users`, tok/s.
    pub fn at(&self, users: f64) -> f64 {
        self.intercept.value + self.slope.value * users
    }
}

/// n, both means, the sum of squares of x and the sum of products, about the means.
fn moments(levels: &[Level], pair: impl Fn(&Level) -> (f64, f64)) -> (f64, f64, f64, f64, f64) {
    let n = levels.len() as f64;
    let (mut x, mut y) = (0.0, 0.0);
    for level in levels {
        let (a, b) = pair(level);
        x += a;
        y += b;
    }
    let (x, y) = (x / n, y / n);
    let (mut spread, mut product) = (0.0, 0.0);
    for level in levels {
        let (a, b) = pair(level);
        spread += (a - x) * (a - x);
        product += (a - x) * (b - y);
    }
    (n, x, y, spread, product)
}

/// One way to a Michaelis-Menten maximum.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimator {
    pub name: &'static str,
    /// What it fits.
    pub how: &'static str,
    /// Maximum, tok/s, and half-saturation, users; `None` where they come out infinite, to
    /// rounding, or not positive.
    pub v_max_and_k: Option<[f64; 2]>,
}

/// Three estimators of the same curve, which weigh errors differently: they agree where the data
/// determine a maximum.
pub fn estimators(levels: &[Level], fit: Option<&MichaelisMenten>) -> [Estimator; 3] {
    // A maximum this far above the data is one over a rounding error.
    let highest = levels.iter().map(|l| l.tok_s).fold(0.0, f64::max) * 1e9;
    let least = levels.iter().map(|l| l.users).min().map_or(1.0, f64::from);
    let positive = |v_max: f64, k: f64| {
        (v_max > 0.0 && k > FLAT * least && v_max <= highest && k.is_finite()).then_some([v_max, k])
    };
    // 1/T = 1/Vmax + K/Vmax 1/u.
    let (_, x, y, spread, product) = moments(levels, |l| (1.0 / f64::from(l.users), 1.0 / l.tok_s));
    let slope = product / spread;
    let intercept = y - slope * x;
    let reciprocal = positive(1.0 / intercept, slope / intercept);
    // u/T = K/Vmax + u/Vmax.
    let (_, x, y, spread, product) = moments(levels, |l| {
        let users = f64::from(l.users);
        (users, users / l.tok_s)
    });
    let slope = product / spread;
    let quotient = positive(1.0 / slope, (y - slope * x) / slope);
    [
        Estimator {
            name: "least squares",
            how: "T against u",
            v_max_and_k: fit.map(|f| [f.v_max.value, f.k.value]),
        },
        Estimator {
            name: "Lineweaver-Burk",
            how: "1/T against 1/u, a line",
            v_max_and_k: reciprocal,
        },
        Estimator {
            name: "Hanes-Woolf",
            how: "u/T against u, a line",
            v_max_and_k: quotient,
        },
    ]
}

/// All curves of one set of levels.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// Or the sentence that says why there is none; so for the second.
    pub michaelis_menten: Result<MichaelisMenten, String>,
    pub usl: Result<Usl, String>,
    pub line: Line,
    pub origin: Line,
    pub estimators: [Estimator; 3],
}

impl Curves {
    /// Fits every curve to checked levels ([`check`](super::points::check)).
    pub fn fit(levels: &[Level]) -> Curves {
        let michaelis_menten = MichaelisMenten::fit(levels);
        Curves {
            estimators: estimators(levels, michaelis_menten.as_ref().ok()),
            michaelis_menten,
            usl: Usl::fit(levels),
            line: Line::fit(levels),
            origin: Line::through_origin(levels),
        }
    }

    /// The curves that were fitted, with their names.
    pub fn named(&self) -> Vec<(&'static str, &Quality)> {
        let mut named = Vec::new();
        if let Ok(fit) = &self.michaelis_menten {
            named.push(("Michaelis-Menten", &fit.quality));
        }
        if let Ok(fit) = &self.usl {
            named.push(("Universal Scalability Law", &fit.quality));
        }
        named.push(("straight line", &self.line.quality));
        named.push(("line through 0", &self.origin.quality));
        named
    }

    /// Curves for which AICc is defined, the preferred first, with their distance from it.
    pub fn ranking(&self) -> Vec<(&'static str, f64)> {
        let mut ranking: Vec<(&'static str, f64)> = self
            .named()
            .into_iter()
            .filter_map(|(name, quality)| Some((name, quality.aicc?)))
            .collect();
        ranking.sort_by(|a, b| a.1.total_cmp(&b.1));
        let least = ranking.first().map_or(0.0, |first| first.1);
        ranking.iter_mut().for_each(|curve| curve.1 -= least);
        ranking
    }

    /// Which curve the data prefer, as one sentence.
    pub fn preference(&self) -> String {
        let n = self.line.quality.residuals.len();
        let ranking = self.ranking();
        let [(first, _), (second, distance), ..] = ranking[..] else {
            return format!(
                "AICc cannot tell the curves apart: with {n} levels it is defined for {} of them.",
                match ranking.len() {
                    0 => "none",
                    _ => "only one",
                }
            );
        };
        if distance < 2.0 {
            return format!(
                "AICc cannot tell the {first} from the {second} (difference {distance:.2}, below 2)."
            );
        }
        format!(
            "AICc prefers the {first}; the next, the {second}, lies {distance:.1} above it \
             (2 or more counts as a preference)."
        )
    }
}
