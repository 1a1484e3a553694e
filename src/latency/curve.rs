//! Lines between measured points. Beyond the last point a line that rises goes on; where it would fall the
//! last value holds, so that nothing is below what was measured.

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

    /// The line at `x`: before the first point its value, beyond the last the line through the last two,
    /// or the last value where that line falls.
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
        if after == n {
            let slope = slope.max(0.0);
            return Line {
                // From the last point, so that it comes out as it was measured.
                y: self.y[n - 1] + slope * (x - self.x[n - 1]),
                slope,
                // The last point is measured, and nothing beyond it is.
                until: if inside { x } else { f64::INFINITY },
                inside,
            };
        }
        Line {
            y: self.y[i] + slope * (x - self.x[i]),
            slope,
            until: self.x[i + 1],
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

    /// Between the two curves whose keys are around `key`, in proportion; before the first key the first
    /// curve holds, and beyond the last [`Line::beyond`].
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
        let low = if after == n { n - 2 } else { after - 1 };
        let weight = (key - self.keys[low]) / (self.keys[low + 1] - self.keys[low]);
        let (a, b) = (self.curves[low].line(x), self.curves[low + 1].line(x));
        if after == n {
            return Line::beyond(a, b, weight - 1.0, x);
        }
        Line {
            y: a.y + (b.y - a.y) * weight,
            slope: a.slope + (b.slope - a.slope) * weight,
            until: a.until.min(b.until),
            inside: a.inside && b.inside,
        }
    }
}

impl Line {
    /// Beyond the last of the curves, `far` times the distance of the last two: what rises from `a` to
    /// `b` goes on rising, and where `b` is the lower one, `b` holds. `x` is where the two lines were taken.
    fn beyond(a: Line, b: Line, far: f64, x: f64) -> Line {
        let (rise, steeper) = (b.y - a.y, b.slope - a.slope);
        // Where the lines cross, one rule ends and the other begins.
        let meet = if rise * steeper < 0.0 {
            x - rise / steeper
        } else {
            f64::INFINITY
        };
        let rises = rise > 0.0 || (rise == 0.0 && steeper > 0.0);
        let far = if rises { far } else { 0.0 };
        Line {
            y: b.y + rise * far,
            slope: b.slope + steeper * far,
            until: a.until.min(b.until).min(meet),
            inside: false,
        }
    }
}

/// The value beyond the last of measured values, `far` times the distance of the last two: as
/// [`Line::beyond`].
#[inline]
pub(super) fn beyond(a: f64, b: f64, far: f64) -> f64 {
    b + (b - a).max(0.0) * far
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
            (3.0, 10.0, 4.0, 3.0),
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

    #[test]
    fn nothing_falls_below_the_last_measured_value() {
        let falling = Curve::new(vec![(0.0, 20.0), (100.0, 10.0)]);
        for (x, y, slope, until) in [
            (0.0, 20.0, -0.1, 100.0),
            (50.0, 15.0, -0.1, 100.0),
            (100.0, 10.0, 0.0, 100.0),
            (1e6, 10.0, 0.0, f64::INFINITY),
        ] {
            let line = falling.line(x);
            assert_eq!((line.y, line.slope, line.until), (y, slope, until), "{x}");
        }
        // Both rise, the second curve more slowly: they cross at 50, and from there on the second holds.
        let family = Family::new([
            (1.0, Curve::new(vec![(0.0, 10.0), (100.0, 110.0)])),
            (2.0, Curve::new(vec![(0.0, 35.0), (100.0, 85.0)])),
        ]);
        for (x, y, slope, until) in [
            (0.0, 85.0, -0.5, 50.0),
            (25.0, 72.5, -0.5, 50.0),
            (50.0, 60.0, 0.5, 100.0),
            (75.0, 72.5, 0.5, 100.0),
        ] {
            let line = family.line(4.0, x);
            assert_eq!((line.y, line.slope, line.until), (y, slope, until), "{x}");
        }
        assert_eq!(beyond(3.0, 2.0, 5.0), 2.0);
        assert_eq!(beyond(2.0, 3.0, 5.0), 8.0);
    }
}
