//! Least squares in at most three parameters, and what its intervals need.

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
