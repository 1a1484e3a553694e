//! Where values lie along an axis, which of them get a tick, and how a tick is written.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::report::figure::Scale;
use crate::words::without_zeros;

/// Numbers from here on are written with K, M, G or T.
const PLAIN: f64 = 1e4;
/// Beyond these sizes differences and quotients would overflow.
const LARGEST: f64 = 1e100;
const SMALLEST: f64 = 1e-100;
/// Ticks and light lines of an axis, at most: a bound against ranges that floats cannot divide.
const MOST_TICKS: usize = 200;

/// One axis, laid out.
#[derive(Debug, Clone)]
pub struct Place {
    log: bool,
    /// The first name of an axis of names is at the top.
    pub reversed: bool,
    low: f64,
    high: f64,
    /// Value and text of each tick.
    pub ticks: Vec<(f64, String)>,
    /// Light lines between ticks.
    minor: Vec<f64>,
}

/// What the values ask of an axis beyond its scale.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// Bars begin at zero, also on a tight axis.
    pub zero: bool,
    /// Room beyond the outermost values, as a share of the range.
    pub room: f64,
    /// How many ticks there is space for.
    pub ticks: f64,
}

impl Place {
    /// An axis that holds all `values`; those that [`fits`] refuses are not to be among them.
    pub fn new(scale: &Scale, values: impl Iterator<Item = f64>, wish: Wish) -> Place {
        if let Scale::Names(names) = scale {
            return Place::of_names(names);
        }
        let (mut low, mut high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
            (l.min(v), h.max(v))
        });
        if matches!(scale, Scale::Percent) {
            (low, high) = (low.min(0.0), high.max(100.0));
        }
        let log = matches!(scale, Scale::Log10 | Scale::Log2);
        if low > high {
            (low, high) = if log { (1.0, 10.0) } else { (0.0, 1.0) };
        }
        let mut place = Place {
            log,
            reversed: false,
            low,
            high,
            ticks: Vec::new(),
            minor: Vec::new(),
        };
        match scale {
            Scale::Log10 | Scale::Log2 => place.lay_log(scale == &Scale::Log2, wish),
            Scale::LinearTight => place.lay_linear(wish.zero, wish),
            Scale::Linear | Scale::Percent | Scale::Names(_) => place.lay_linear(true, wish),
        }
        place
    }

    fn of_names(names: &[String]) -> Place {
        Place {
            log: false,
            reversed: true,
            low: -0.5,
            high: names.len().max(1) as f64 - 0.5,
            ticks: names
                .iter()
                .enumerate()
                .map(|(i, name)| (i as f64, name.clone()))
                .collect(),
            minor: Vec::new(),
        }
    }

    fn lay_linear(&mut self, zero: bool, wish: Wish) {
        if zero {
            self.low = self.low.min(0.0);
            self.high = self.high.max(0.0);
        }
        if self.high - self.low <= self.low.abs().max(self.high.abs()) * 1e-12 {
            // One value: a range about it, on the side of zero that it lies on.
            let about = if self.low == 0.0 {
                1.0
            } else {
                self.low.abs() * 0.5
            };
            if !(zero && self.low == 0.0) {
                self.low -= about;
            }
            self.high += about;
        }
        let room = (self.high - self.low) * wish.room;
        if !(zero && self.low == 0.0) {
            self.low -= room;
        }
        if !(zero && self.high == 0.0) {
            self.high += room;
        }
        let step = nice_step((self.high - self.low) / wish.ticks.max(2.0));
        if zero {
            // The last tick closes the axis where that costs little room.
            let up = (self.high / step).ceil() * step;
            if self.high > 0.0 && up - self.high < 0.6 * step {
                self.high = up;
            }
            let down = (self.low / step).floor() * step;
            if self.low < 0.0 && self.low - down < 0.6 * step {
                self.low = down;
            }
        }
        self.ticks = linear_ticks(self.low, self.high, step);
    }

    fn lay_log(&mut self, two: bool, wish: Wish) {
        if self.high / self.low < 1.0001 {
            let about = if two { 2.0 } else { 3.0 };
            self.low /= about;
            self.high *= about;
        }
        let span = libm::log10(self.high / self.low);
        let room = libm::pow(10.0, span * wish.room.max(0.03));
        self.low /= room;
        self.high *= room;
        let base = if two { 2.0 } else { 10.0 };
        let power = |k: i32| libm::pow(base, f64::from(k));
        let exponent = |v: f64| {
            if two { libm::log2(v) } else { libm::log10(v) }
        };
        let first = (exponent(self.low) - 1e-9).ceil() as i32;
        let last = (exponent(self.high) + 1e-9).floor() as i32;
        let count = f64::from((last - first + 1).max(0));
        let stride = (count / wish.ticks.max(2.0)).ceil().max(1.0) as i32;
        let inside = |v: &f64| *v >= self.low && *v <= self.high;
        // Strides count from 1, so that 1 gets a tick whatever the range.
        let powers: Vec<f64> = (first..=last)
            .filter(|k| k.rem_euclid(stride) == 0)
            .map(power)
            .collect();
        let between = |factors: &[f64]| -> Vec<f64> {
            (first - 1..=last)
                .flat_map(|k| factors.iter().map(move |f| f * power(k)))
                .filter(inside)
                .collect()
        };
        let mut at = powers;
        if !two && stride == 1 {
            self.minor = between(&[2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
            if count * 3.0 <= wish.ticks {
                at.extend(between(&[2.0, 5.0]));
            }
        } else if stride > 1 {
            self.minor = (first..=last).map(power).collect();
        }
        at.sort_by(f64::total_cmp);
        if at.len() >= 2 {
            self.ticks = at.into_iter().map(|v| (v, power_text(v, two))).collect();
        } else {
            // Less than a power wide: the ticks of a linear axis, at their places on this one.
            self.minor.clear();
            let step = nice_step((self.high - self.low) / wish.ticks.max(2.0));
            self.ticks = linear_ticks(self.low, self.high, step);
        }
        self.minor.truncate(MOST_TICKS);
    }

    /// Whether this axis has a place for a value.
    pub fn fits(scale: &Scale, value: f64) -> bool {
        match scale {
            Scale::Log10 | Scale::Log2 => (SMALLEST..=LARGEST).contains(&value),
            Scale::Linear | Scale::Percent | Scale::LinearTight => value.abs() <= LARGEST,
            Scale::Names(names) => value >= -0.5 && value <= names.len() as f64 - 0.5,
        }
    }

    /// Where bars begin.
    pub fn floor(&self) -> f64 {
        if self.log {
            self.low
        } else {
            0f64.clamp(self.low, self.high)
        }
    }

    /// Ticks at these values of an axis of powers of two, instead of at powers.
    pub fn tick_at(&mut self, values: &[f64]) {
        self.minor.clear();
        self.ticks = values.iter().map(|v| (*v, power_text(*v, true))).collect();
    }

    /// Keeps every `n`-th tick.
    pub fn thin(&mut self, n: usize) {
        let mut at = 0;
        self.ticks.retain(|_| {
            at += 1;
            (at - 1) % n.max(1) == 0
        });
    }
}

impl Ranged for Place {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = if self.log {
            libm::log10(value / self.low) / libm::log10(self.high / self.low)
        } else {
            (value - self.low) / (self.high - self.low)
        };
        // `clamp` keeps NaN, which `as` makes 0.
        let place = f64::from(limit.0) + f64::from(limit.1 - limit.0) * share.clamp(-1.0, 2.0);
        place.round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.max_num_points() == 0 {
            Vec::new()
        } else if hint.weight().allow_light_points() {
            self.minor.clone()
        } else {
            self.ticks.iter().map(|tick| tick.0).collect()
        }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Place {
    fn format_ext(&self, value: &f64) -> String {
        number(*value, 3)
    }
}

/// The least of 1, 2, 2.5 and 5 times a power of ten that is no less than `step`.
fn nice_step(step: f64) -> f64 {
    let step = step.clamp(SMALLEST, LARGEST);
    let power = libm::pow(10.0, libm::log10(step).floor());
    [1.0, 2.0, 2.5, 5.0]
        .into_iter()
        .map(|f| f * power)
        .find(|s| *s >= step * 0.999_999)
        .unwrap_or(10.0 * power)
}

fn linear_ticks(low: f64, high: f64, step: f64) -> Vec<(f64, String)> {
    let first = (low / step - 1e-6).ceil();
    let last = (high / step + 1e-6).floor();
    let count = ((last - first) as usize).saturating_add(1).min(MOST_TICKS);
    let largest = low.abs().max(high.abs());
    (0..count)
        .map(|i| (first + i as f64) * step)
        .filter(|v| *v <= high + step * 1e-6)
        .map(|v| (v, tick(v, step, largest)))
        .collect()
}

/// A tick's text, with as many decimals as its neighbours need.
fn tick(value: f64, step: f64, largest: f64) -> String {
    if !(1e-4..1e15).contains(&largest) {
        let digits = (libm::log10(largest).floor() - libm::log10(step).floor()).max(0.0) as usize;
        return if value == 0.0 {
            "0".to_owned()
        } else {
            scientific(value, digits + 1)
        };
    }
    let (unit, letter) = if largest >= 1e5 {
        prefix(largest)
    } else {
        (1.0, "")
    };
    let step = step / unit;
    // 2.5 and 0.25 need one more than their power of ten says.
    let power = libm::floor(libm::log10(step) + 1e-9);
    let lead = step / libm::pow(10.0, power);
    let more = if (lead - 2.5).abs() < 0.01 { 1.0 } else { 0.0 };
    let decimals = (more - power).clamp(0.0, 12.0) as usize;
    let text = minus(&thousands(&format!("{:.decimals$}", value / unit)));
    if value == 0.0 {
        "0".to_owned()
    } else {
        text + letter
    }
}

/// A power's text; powers of two in full as long as people know them by heart.
fn power_text(value: f64, two: bool) -> String {
    match (two, value) {
        (true, 1e3..1e5) => thousands(&value.to_string()),
        (false, 1e3..1e4) => number(value / 1e3, 4) + "K",
        _ => number(value, 4),
    }
}

fn prefix(size: f64) -> (f64, &'static str) {
    match size {
        s if s >= 1e12 => (1e12, "T"),
        s if s >= 1e9 => (1e9, "G"),
        s if s >= 1e6 => (1e6, "M"),
        _ => (1e3, "K"),
    }
}

/// A number of so many digits for a bar or a power: thousands set apart or as K, M, G, T.
pub fn number(value: f64, digits: u8) -> String {
    written(value, digits, without_zeros)
}

/// The same for a cell among others: with the zeros that its digits end with, as its neighbours
/// would else look more precise.
pub fn cell(value: f64, digits: u8) -> String {
    written(value, digits, |text| text)
}

fn written(value: f64, digits: u8, end: fn(String) -> String) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "–".to_owned();
    }
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4 * 0.999..1e15).contains(&size) {
        return scientific(value, digits.into());
    }
    // Just below a power of ten, rounding may add a digit.
    let half = 0.5 * libm::pow(10.0, -f64::from(digits));
    let (unit, letter) = if size * (1.0 + half) >= PLAIN {
        prefix(size * (1.0 + half))
    } else {
        (1.0, "")
    };
    let scaled = value / unit;
    let before = libm::floor(libm::log10(scaled.abs() * (1.0 + half))) + 1.0;
    let decimals = (f64::from(digits) - before).clamp(0.0, 8.0);
    let text = end(format!("{scaled:.0$}", decimals as usize));
    minus(&thousands(&text)) + letter
}

fn scientific(value: f64, digits: usize) -> String {
    let text = format!("{value:.0$e}", digits.clamp(1, 12) - 1);
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            minus(&without_zeros(mantissa.to_owned())) + "e" + &minus(exponent)
        }
        None => text,
    }
}

fn minus(text: &str) -> String {
    text.replace('-', "\u{2212}")
}

/// Sets the thousands of a plain number apart: 12,000.
fn thousands(text: &str) -> String {
    let whole = text.find('.').unwrap_or(text.len());
    let start = usize::from(text.starts_with('-'));
    let mut out = String::with_capacity(text.len() + 4);
    for (i, c) in text.char_indices() {
        if i > start && i < whole && (whole - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scale: Scale, values: &[f64]) -> Vec<String> {
        let wish = Wish {
            ticks: 6.0,
            ..Wish::default()
        };
        let place = Place::new(&scale, values.iter().copied(), wish);
        place.ticks.into_iter().map(|tick| tick.1).collect()
    }

    #[test]
    fn ticks_are_round_and_short() {
        assert_eq!(
            texts(Scale::Linear, &[3.0, 9.7]),
            ["0", "2", "4", "6", "8", "10"]
        );
        assert_eq!(
            texts(Scale::Linear, &[12_000.0]),
            ["0", "2,000", "4,000", "6,000", "8,000", "10,000", "12,000"]
        );
        assert_eq!(
            texts(Scale::Linear, &[900_000.0]),
            ["0", "0.2M", "0.4M", "0.6M", "0.8M", "1.0M"]
        );
        assert_eq!(
            texts(Scale::LinearTight, &[-1.0, 1.0]),
            ["\u{2212}1.0", "\u{2212}0.5", "0", "0.5", "1.0"]
        );
        assert_eq!(
            texts(Scale::Log10, &[0.01, 1e6]),
            ["0.01", "1", "100", "10K", "1M"]
        );
        assert_eq!(texts(Scale::Log2, &[1.0, 16.0]), ["1", "2", "4", "8", "16"]);
        assert_eq!(
            texts(Scale::Log10, &[1.0, 50.0]),
            ["1", "2", "5", "10", "20", "50"]
        );
        assert_eq!(
            texts(Scale::Log10, &[30.0, 40.0]),
            ["30", "32", "34", "36", "38", "40"]
        );
    }

    #[test]
    fn numbers_are_short() {
        let short = |v| number(v, 3);
        assert_eq!(short(0.0), "0");
        assert_eq!(short(1234.6), "1,235");
        assert_eq!(short(12_345.0), "12.3K");
        assert_eq!(short(999_999.0), "1M");
        assert_eq!(short(9.999), "10");
        assert_eq!(short(-0.001234), "\u{2212}0.00123");
        assert_eq!(short(1.5e-7), "1.5e\u{2212}7");
        assert_eq!(number(0.728, 2), "0.73");
        assert_eq!(cell(28_000.0, 3), "28.0K");
        assert_eq!(cell(1.0, 3), "1.00");
        assert_eq!(cell(339.2, 3), "339");
    }
}
