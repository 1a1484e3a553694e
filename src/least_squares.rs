//! Least squares, and what its intervals need: in at most three parameters where a model is curved
//! ([`minimise`]), in any number where it is linear ([`Weighted`]).

/// One value per parameter.
pub type Vector = [f64; 3];
/// A symmetric matrix over the parameters.
pub type Matrix = [[f64; 3]; 3];

/// What a model says at one choice of its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Normal {
    /// Sum of squared residuals.
    pub sum: f64,
    /// The Jacobian of the model, transposed, times the residuals (measured - fitted).
    pub gradient: Vector,
    /// The Jacobian, transposed, times itself.
    pub matrix: Matrix,
}

impl Normal {
    /// Adds one measurement: its residual and the model's derivatives there.
    pub fn add(&mut self, residual: f64, slope: Vector) {
        self.sum += residual * residual;
        for i in 0..3 {
            self.gradient[i] += slope[i] * residual;
            for j in 0..3 {
                self.matrix[i][j] += slope[i] * slope[j];
            }
        }
    }

    /// The same with the parameters that are not `free` held: they move nothing.
    pub fn holding(mut self, free: [bool; 3]) -> Normal {
        for (i, _) in free.iter().enumerate().filter(|(_, free)| !**free) {
            self.gradient[i] = 0.0;
            self.matrix[i] = [0.0; 3];
            self.matrix.iter_mut().for_each(|row| row[i] = 0.0);
            self.matrix[i][i] = 1.0;
        }
        self
    }
}

/// `m v`.
pub fn times(m: &Matrix, v: &Vector) -> Vector {
    std::array::from_fn(|i| (0..3).map(|j| m[i][j] * v[j]).sum())
}

/// `v m v`: the variance of a sum of parameters with weights `v` and covariance `m`.
pub fn quadratic(m: &Matrix, v: &Vector) -> f64 {
    let mv = times(m, v);
    (0..3).map(|i| v[i] * mv[i]).sum()
}

/// The minimum that Levenberg and Marquardt's method reaches from `start` (Marquardt 1963): a
/// Gauss-Newton step, its diagonal enlarged until the sum of squares falls. It ends where no step
/// lowers the sum any more. Parameters that are not `free` stay at their start.
///
/// `evaluate` is `None` where the model is not defined; such a step is not taken. `None` if that is
/// so at the start.
pub fn minimise(
    start: Vector,
    free: [bool; 3],
    evaluate: impl Fn(&Vector) -> Option<Normal>,
) -> Option<(Vector, Normal)> {
    /// Beyond this a step is too short to change a parameter.
    const MOST_DAMPING: f64 = 1e14;
    /// Hyperbolas through positive data need some ten steps; this only bounds the time.
    const MOST_STEPS: u32 = 2_000;
    let evaluate = |at: &Vector| evaluate(at).map(|normal| normal.holding(free));
    let mut at = start;
    let mut here = evaluate(&at)?;
    let mut damping = 1e-3;
    for _ in 0..MOST_STEPS {
        let mut damped = here.matrix;
        for (i, row) in damped.iter_mut().enumerate() {
            row[i] *= 1.0 + damping;
        }
        let next = inverse(damped).and_then(|inverse| {
            let step = times(&inverse, &here.gradient);
            let next = std::array::from_fn(|i| at[i] + step[i]);
            evaluate(&next).map(|normal| (next, normal))
        });
        match next {
            Some((next, normal)) if normal.sum < here.sum => {
                at = next;
                here = normal;
                damping = (damping * 0.1).max(1e-16);
            }
            _ if damping > MOST_DAMPING => break,
            _ => damping *= 10.0,
        }
    }
    Some((at, here))
}

/// Inverse of a symmetric matrix by cofactors; `None` where it is singular to rounding.
pub fn inverse(m: Matrix) -> Option<Matrix> {
    let cofactor = |i: usize, j: usize| {
        let (a, b) = ((i + 1) % 3, (i + 2) % 3);
        let (c, d) = ((j + 1) % 3, (j + 2) % 3);
        m[a][c] * m[b][d] - m[a][d] * m[b][c]
    };
    let determinant: f64 = (0..3).map(|j| m[0][j] * cofactor(0, j)).sum();
    let size = m[0][0] * m[1][1] * m[2][2];
    if determinant.abs() <= size.abs() * 1e-12 {
        return None;
    }
    Some(std::array::from_fn(|i| {
        std::array::from_fn(|j| cofactor(j, i) / determinant)
    }))
}

/// A linear model's weighted least squares in `N` coefficients, gathered measurement by measurement.
#[derive(Debug, Clone)]
pub struct Weighted<const N: usize> {
    /// The rows' columns times each other, weighted.
    matrix: [[f64; N]; N],
    /// The rows' columns times the values, weighted.
    right: [f64; N],
}

/// The coefficients that a [`Weighted`] ends with.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution<const N: usize> {
    /// Those that were not free are 0.
    pub at: [f64; N],
    /// The inverse of the normal equations: times the variance of a measurement of weight 1 it is
    /// the covariance of the coefficients.
    pub inverse: [[f64; N]; N],
    /// By how much the weighted sum of squares is below that of no model at all.
    explains: f64,
}

impl<const N: usize> Default for Weighted<N> {
    fn default() -> Self {
        Weighted {
            matrix: [[0.0; N]; N],
            right: [0.0; N],
        }
    }
}

impl<const N: usize> Weighted<N> {
    /// Adds one measurement: what its columns say, its value, and its weight.
    pub fn add(&mut self, columns: &[f64; N], value: f64, weight: f64) {
        for i in 0..N {
            for j in 0..N {
                self.matrix[i][j] += weight * columns[i] * columns[j];
            }
            self.right[i] += weight * columns[i] * value;
        }
    }

    /// The least sum of squares over the coefficients that are `free`; the others are 0. `None`
    /// where the measurements do not determine them.
    pub fn solve(&self, free: [bool; N]) -> Option<Solution<N>> {
        /// A column that others explain to this share of its square says nothing of its own.
        const SINGULAR: f64 = 1e-10;
        // Cholesky's method on columns of length 1, so that units do not matter. A column that is
        // held is replaced by one that is at right angles to all others.
        let mut scale = [1.0; N];
        for i in (0..N).filter(|&i| free[i]) {
            if self.matrix[i][i].is_nan() || self.matrix[i][i] <= 0.0 {
                return None;
            }
            scale[i] = 1.0 / libm::sqrt(self.matrix[i][i]);
        }
        let mut lower = [[0.0; N]; N];
        for i in 0..N {
            for j in 0..=i {
                let entry = if free[i] && free[j] {
                    self.matrix[i][j] * scale[i] * scale[j]
                } else {
                    f64::from(u8::from(i == j))
                };
                let rest = entry - (0..j).map(|k| lower[i][k] * lower[j][k]).sum::<f64>();
                lower[i][j] = if i != j {
                    rest / lower[j][j]
                } else if rest > SINGULAR {
                    libm::sqrt(rest)
                } else {
                    return None;
                };
            }
        }
        let substitute = |right: [f64; N]| {
            let mut x = right;
            for i in 0..N {
                x[i] = (x[i] - (0..i).map(|k| lower[i][k] * x[k]).sum::<f64>()) / lower[i][i];
            }
            for i in (0..N).rev() {
                x[i] = (x[i] - (i + 1..N).map(|k| lower[k][i] * x[k]).sum::<f64>()) / lower[i][i];
            }
            x
        };
        let held = |i: usize, value: f64| if free[i] { value * scale[i] } else { 0.0 };
        let scaled = substitute(std::array::from_fn(|i| held(i, self.right[i])));
        let at = std::array::from_fn(|i| held(i, scaled[i]));
        let mut inverse = [[0.0; N]; N];
        for j in (0..N).filter(|&j| free[j]) {
            let column = substitute(std::array::from_fn(|i| f64::from(u8::from(i == j))));
            for i in 0..N {
                inverse[i][j] = held(i, column[i]) * scale[j];
            }
        }
        Some(Solution {
            at,
            inverse,
            explains: (0..N).map(|i| at[i] * self.right[i]).sum(),
        })
    }

    /// The same with no coefficient below 0: of all choices of coefficients that are held at 0 the one
    /// with the least sum of squares. Trying them all is exact, and `N` is small.
    pub fn solve_nonnegative(&self, free: [bool; N]) -> Option<Solution<N>> {
        let all = self.solve(free)?;
        if all.at.iter().all(|&x| x >= 0.0) {
            return Some(all);
        }
        let mut best: Option<Solution<N>> = None;
        for held in 0..1u32 << N {
            let free = std::array::from_fn(|i| free[i] && held >> i & 1 == 0);
            if let Some(solution) = self.solve(free)
                && solution.at.iter().all(|&x| x >= 0.0)
                && best.as_ref().is_none_or(|b| solution.explains > b.explains)
            {
                best = Some(solution);
            }
        }
        best
    }
}

/// The 97.5 % quantile of Student's t: exact for 1 and 2 degrees of freedom, else Hill's expansion
/// (Algorithm 396, CACM 1970; better than 1e-4 from 3 on).
pub fn student_t_975(freedom: u32) -> f64 {
    let n = f64::from(freedom);
    match freedom {
        1 => 12.706_204_736_174_7,
        2 => 4.302_652_729_749_46,
        _ => {
            let p = 0.05;
            let a = 1.0 / (n - 0.5);
            let b = 48.0 / (a * a);
            let mut c = ((20_700.0 * a / b - 98.0) * a - 16.0) * a + 96.36;
            let d = ((94.5 / (b + c) - 3.0) / b + 1.0)
                * libm::sqrt(a * std::f64::consts::FRAC_PI_2)
                * n;
            let mut y = libm::pow(d * p, 2.0 / n);
            if y > 0.05 + a {
                let x = crate::trace::random::normal_quantile(p * 0.5);
                y = x * x;
                if freedom < 5 {
                    c += 0.3 * (n - 4.5) * (x + 0.6);
                }
                c += (((0.05 * d * x - 5.0) * x - 7.0) * x - 2.0) * x + b;
                y = (((((0.4 * y + 6.3) * y + 36.0) * y + 94.5) / c - y - 3.0) / b + 1.0) * x;
                y = libm::expm1(a * y * y);
            } else {
                y = ((1.0 / (((n + 6.0) / (n * y) - 0.089 * d - 0.822) * (n + 2.0) * 3.0)
                    + 0.5 / (n + 4.0))
                    * y
                    - 1.0)
                    * (n + 1.0)
                    / (n + 2.0)
                    + 1.0 / y;
            }
            libm::sqrt(n * y)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_undoes_its_matrix() {
        let m = [[4.0, 1.0, 0.5], [1.0, 3.0, 0.25], [0.5, 0.25, 2.0]];
        let columns = inverse(m).unwrap(); // Symmetric: its rows are its columns.
        for (i, column) in columns.iter().enumerate() {
            for (j, x) in times(&m, column).into_iter().enumerate() {
                assert!((x - f64::from(u8::from(i == j))).abs() < 1e-14);
            }
        }
        assert_eq!(
            inverse([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 1.0]]),
            None
        );
    }

    #[test]
    fn a_curved_valley_is_followed_to_its_end() {
        // Rosenbrock's function as two residuals: 1 - x and 10 (y - x^2).
        let evaluate = |p: &Vector| {
            let mut normal = Normal::default();
            normal.add(1.0 - p[0], [1.0, 0.0, 0.0]);
            normal.add(10.0 * (p[0] * p[0] - p[1]), [-20.0 * p[0], 10.0, 0.0]);
            Some(normal)
        };
        let (at, normal) = minimise([-1.2, 1.0, 7.0], [true, true, false], evaluate).unwrap();
        assert!((at[0] - 1.0).abs() < 1e-12 && (at[1] - 1.0).abs() < 1e-12);
        assert_eq!(at[2], 7.0);
        assert!(normal.sum < 1e-20);
    }

    /// A plane through points that are no grid, with weights.
    fn plane(truth: [f64; 4]) -> Weighted<4> {
        let mut linear = Weighted::default();
        for i in 0..20 {
            let x = f64::from(i);
            let row = [1.0, x, 1e6 * (x * x % 7.0), 1e-6 * (x * x * x % 11.0)];
            let value = (0..4).map(|k| row[k] * truth[k]).sum();
            linear.add(&row, value, 1.0 / (1.0 + x));
        }
        linear
    }

    #[test]
    fn a_linear_model_is_found_whatever_the_units() {
        let truth = [3.0, 0.5, 2e-6, 4e6];
        let linear = plane(truth);
        let found = linear.solve([true; 4]).unwrap();
        for (k, x) in found.at.into_iter().enumerate() {
            assert!((x / truth[k] - 1.0).abs() < 1e-10, "{k}: {x}");
        }
        for (i, row) in linear.matrix.iter().enumerate() {
            for j in 0..4 {
                let one: f64 = (0..4).map(|k| row[k] * found.inverse[k][j]).sum();
                let size = libm::sqrt(linear.matrix[j][j] / linear.matrix[i][i]);
                assert!((one * size - f64::from(u8::from(i == j))).abs() < 1e-9);
            }
        }
        // A held column is as if it were not there.
        let held = linear.solve([true, true, false, true]).unwrap();
        assert_eq!((held.at[2], held.inverse[2]), (0.0, [0.0; 4]));
        assert!(held.explains < found.explains);
    }

    #[test]
    fn a_linear_model_that_is_not_determined() {
        let mut twice = Weighted::<2>::default();
        for i in 0..5 {
            twice.add(&[1.0, 2.0], f64::from(i), 1.0);
        }
        assert_eq!(twice.solve([true, true]), None);
        assert!(twice.solve([true, false]).is_some());
        assert_eq!(Weighted::<2>::default().solve([true, false]), None);
    }

    #[test]
    fn no_coefficient_falls_below_zero() {
        let found = plane([3.0, -0.5, 2e-6, 4e6]).solve_nonnegative([true; 4]);
        let found = found.unwrap();
        assert_eq!(found.at[1], 0.0);
        assert!(found.at.iter().all(|&x| x >= 0.0));
        // No neighbour that is allowed fits better: the gradient points out at the bound.
        let linear = plane([3.0, -0.5, 2e-6, 4e6]);
        let slope: f64 = linear.right[1]
            - (0..4)
                .map(|k| linear.matrix[1][k] * found.at[k])
                .sum::<f64>();
        assert!(slope < 0.0);
    }

    #[test]
    fn a_model_that_is_not_defined_at_the_start() {
        assert_eq!(minimise([0.0; 3], [true; 3], |_| None), None);
    }

    #[test]
    fn student_quantiles_of_the_tables() {
        for (freedom, t) in [
            (1, 12.7062),
            (2, 4.30265),
            (3, 3.18245),
            (5, 2.57058),
            (10, 2.22814),
            (27, 2.05183),
            (120, 1.97993),
        ] {
            let got = student_t_975(freedom);
            assert!((got - t).abs() < 5e-4, "{freedom}: {got} {t}");
        }
    }
}
