//! Lines between measured points.

/// A number of `x`, ascending, and the measured value at each.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Curve {
    x: Vec<f64>,
    y: Vec<f64>,
}

/// A value, its slope, and how far the line holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    pub y: f64,
    pub slope: f64,
    /// The last `x` for which the line holds; infinity behind the last point.
    pub until: f64,
    pub inside: bool,
}

impl Curve {
    /// From points in any order; of several at one `x` the mean.
    pub fn new(mut points: Vec<(f64, f64)>) -> Curve {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut curve = Curve::default();
        let mut same = 0.0;
        for (x, y) in points {
            match (curve.x.last(), curve.y.last_mut()) {
                (Some(&last), Some(mean)) if last == x => {
                    same += 1.0;
                    *mean += (y - *mean) / same;
                }
                _ => {
                    curve.x.push(x);
                    curve.y.push(y);
                    same = 1.0;
                }
            }
        }
        curve
    }

    /// The line at `x`: before the first point its value, behind the last the line through the last two.
    #[inline]
    pub fn line(&self, x: f64) -> Line {
        let n = self.x.len();
        let after = self.x.partition_point(|&at| at <= x);
        let (i, inside) = match (after, n) {
            (0, 0) => {
                return Line {
                    y: 0.0,
                    slope: 0.0,
                    until: f64::INFINITY,
                    inside: false,
                };
            }
            (0, _) => {
                return Line {
                    y: self.y[0],
                    slope: 0.0,
                    until: self.x[0],
                    inside: false,
                };
            }
            (_, 1) => {
                return Line {
                    y: self.y[0],
                    slope: 0.0,
                    until: f64::INFINITY,
                    inside: x == self.x[0],
                };
            }
            _ if after == n => (n - 2, x == self.x[n - 1]),
            _ => (after - 1, true),
        };
        let slope = (self.y[i + 1] - self.y[i]) / (self.x[i + 1] - self.x[i]);
        // From the nearer side, so that measured points come out as they were measured.
        let y = if after == n {
            self.y[n - 1] + slope * (x - self.x[n - 1])
        } else {
            self.y[i] + slope * (x - self.x[i])
        };
        Line {
            y,
            slope,
            until: if after == n {
                f64::INFINITY
            } else {
                self.x[i + 1]
            },
            inside,
        }
    }
}

/// Curves of the same quantity for several values of another, ascending.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Family {
    keys: Vec<f64>,
    curves: Vec<Curve>,
}

impl Family {
    /// From curves in ascending order of their keys.
    pub fn new(curves: impl IntoIterator<Item = (f64, Curve)>) -> Family {
        let (keys, curves) = curves.into_iter().unzip();
        Family { keys, curves }
    }

    /// Between the two curves whose keys are around `key`, in proportion; beyond the ends the line through
    /// the last two goes on, and before the first the first holds.
    #[inline]
    pub fn line(&self, key: f64, x: f64) -> Line {
        let n = self.keys.len();
        let after = self.keys.partition_point(|&k| k < key);
        if after < n && self.keys[after] == key {
            return self.curves[after].line(x);
        }
        if n == 1 || after == 0 {
            return match self.curves.first() {
                Some(first) => Line {
                    inside: false,
                    ..first.line(x)
                },
                None => Curve::default().line(x),
            };
        }
        let (low, inside) = if after == n {
            (n - 2, false)
        } else {
            (after - 1, true)
        };
        let weight = (key - self.keys[low]) / (self.keys[low + 1] - self.keys[low]);
        let (a, b) = (self.curves[low].line(x), self.curves[low + 1].line(x));
        Line {
            y: a.y + (b.y - a.y) * weight,
            slope: a.slope + (b.slope - a.slope) * weight,
            until: a.until.min(b.until),
            inside: inside && a.inside && b.inside,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_out_as_they_went_in_and_lines_are_between_them() {
        let curve = Curve::new(vec![(3.0, 10.0), (1.0, 4.0), (2.0, 5.0), (2.0, 7.0)]);
        for (x, y, slope, until) in [
            (0.5, 4.0, 0.0, 1.0),
            (1.0, 4.0, 2.0, 2.0),
            (1.5, 5.0, 2.0, 2.0),
            (2.0, 6.0, 4.0, 3.0),
            (3.0, 10.0, 4.0, f64::INFINITY),
            (4.0, 14.0, 4.0, f64::INFINITY),
        ] {
            let line = curve.line(x);
            assert_eq!((line.y, line.slope, line.until), (y, slope, until), "{x}");
            assert_eq!(line.inside, (1.0..=3.0).contains(&x));
        }
    }

    #[test]
    fn families_are_linear_between_their_curves() {
        let family = Family::new([
            (1.0, Curve::new(vec![(0.0, 1.0), (10.0, 11.0)])),
            (3.0, Curve::new(vec![(0.0, 3.0), (5.0, 8.0), (10.0, 23.0)])),
        ]);
        let line = family.line(2.0, 4.0);
        assert_eq!((line.y, line.slope, line.until), (6.0, 1.0, 5.0));
        assert!(line.inside);
        assert!(!family.line(4.0, 4.0).inside);
        assert_eq!(family.line(4.0, 0.0).y, 4.0);
        assert_eq!(family.line(0.5, 0.0).y, 1.0);
    }
}
