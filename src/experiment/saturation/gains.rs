//! From one level to the next: gains, and where they end by the published rules.

use super::points::Level;

/// Two levels of load, one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    pub from: u32,
    pub to: u32,
    /// (new - old)/old x 100.
    pub gain_pct: f64,
    /// new - old, tok/s.
    pub tok_s: f64,
    /// The same per added user.
    pub tok_s_per_user: f64,
}

fn step(from: &Level, to: &Level) -> Step {
    let tok_s = to.tok_s - from.tok_s;
    Step {
        from: from.users,
        to: to.users,
        gain_pct: tok_s / from.tok_s * 100.0,
        tok_s,
        tok_s_per_user: tok_s / (f64::from(to.users) - f64::from(from.users)),
    }
}

/// Gains over levels in order of users.
#[derive(Debug, Clone, PartialEq)]
pub struct Gains {
    /// Each level against the one before it.
    pub steps: Vec<Step>,
    /// Each level but the first against the first.
    pub against_first: Vec<Step>,
    /// Users with the greatest throughput per user, and that, tok/s; the fewest of equals.
    pub best_per_user: (u32, f64),
    /// Users with the greatest throughput, and that, tok/s; the fewest of equals.
    pub best: (u32, f64),
}

impl Gains {
    /// Published rule: saturated at the first level that gains less than 10 %.
    pub const LEAST_GAIN_PCT: f64 = 10.0;
    /// Published rule: diminishing at the first level with less per added user, tok/s.
    pub const LEAST_TOK_S_PER_USER: f64 = 10.0;

    /// `levels` are in order of users. `None` for an empty list.
    pub fn of(levels: &[Level]) -> Option<Gains> {
        let first = levels.first()?;
        let most = |value: fn(&Level) -> f64| {
            levels.iter().map(|l| (l.users, value(l))).fold(
                (first.users, value(first)),
                |best, other| {
                    if other.1 > best.1 { other } else { best }
                },
            )
        };
        Some(Gains {
            steps: levels
                .iter()
                .zip(levels.iter().skip(1))
                .map(|(a, b)| step(a, b))
                .collect(),
            against_first: levels.iter().skip(1).map(|l| step(first, l)).collect(),
            best_per_user: most(Level::tok_s_per_user),
            best: most(|l| l.tok_s),
        })
    }

    /// The first step that gains less than 10 %.
    pub fn saturated(&self) -> Option<&Step> {
        self.steps
            .iter()
            .find(|s| s.gain_pct < Gains::LEAST_GAIN_PCT)
    }

    /// The first step with less than 10 tok/s per added user.
    pub fn diminishing(&self) -> Option<&Step> {
        self.steps
            .iter()
            .find(|s| s.tok_s_per_user < Gains::LEAST_TOK_S_PER_USER)
    }
}
