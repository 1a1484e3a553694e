//! What the numbers allow one to say, as sentences.

use super::Settings;
use super::ceilings::Ceilings;
use super::curves::{Curves, MichaelisMenten};
use super::points::Level;
use crate::words::{counted, joined, tenths};

/// What the data can support.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// None of the reasons against a maximum applies.
    pub supports_maximum: bool,
    /// Why not, a sentence each.
    pub against: Vec<String>,
    /// The fitted maximum against the ceilings, where both exist and the first is greater; one of
    /// the reasons against.
    pub beyond_hardware: Option<String>,
    /// What else must be said about these levels, a sentence each.
    pub remarks: Vec<String>,
}

/// Widest interval of a maximum that still says something, half of it in proportion.
const WIDEST: f64 = 0.5;
/// Maxima of two curves closer than this share of one are the same.
const SAME_MAXIMUM: f64 = 0.01;
/// Least difference of AICc that counts as a preference.
const PREFERENCE: f64 = 2.0;
/// TTFT and latency closer than this are the same measurement, ms.
const SAME_MS: f64 = 0.5;

impl Verdict {
    pub fn of(
        levels: &[Level],
        settings: &Settings,
        curves: &Curves,
        ceilings: &Ceilings,
    ) -> Verdict {
        let mut against = against(levels, curves);
        let beyond_hardware = curves
            .michaelis_menten
            .as_ref()
            .ok()
            .zip(ceilings.least())
            .filter(|(fit, (ceiling, _))| fit.v_max.value > *ceiling)
            .map(|(fit, (ceiling, name))| {
                let share = ceilings
                    .mfu_pct(fit.v_max.value)
                    .map_or(String::new(), |mfu| format!(", an MFU of {mfu:.0} %"));
                format!(
                    "The fitted maximum of {} tok/s exceeds what the hardware can do{share}: the \
                     {name} is {} tok/s.",
                    tenths(fit.v_max.value),
                    tenths(ceiling)
                )
            });
        against.extend(beyond_hardware.clone());
        Verdict {
            supports_maximum: against.is_empty(),
            against,
            beyond_hardware,
            remarks: remarks(levels, settings, curves, ceilings),
        }
    }
}

fn against(levels: &[Level], curves: &Curves) -> Vec<String> {
    let fit = match &curves.michaelis_menten {
        Ok(fit) => fit,
        Err(why) => return vec![format!("There is no Michaelis-Menten fit: {why}.")],
    };
    let mut reasons = Vec::new();
    match fit.inverse_v_max.interval {
        None => reasons.push(format!(
            "The maximum has no interval: {} levels leave a curve of two parameters no degree of \
             freedom to judge it by, or do not tell the two apart.",
            levels.len()
        )),
        Some([low, high]) if low <= 0.0 => reasons.push(format!(
            "The 95 % interval of 1/Vmax, {low:.3e} to {high:.3e} s/tok, includes 0: a \
             curve without any maximum is compatible with the data."
        )),
        Some(_) => {}
    }
    if let Some([low, high]) = fit.v_max.interval {
        let half = (high - low) / 2.0 / fit.v_max.value;
        if half > WIDEST {
            reasons.push(format!(
                "The 95 % interval of Vmax, {} to {} tok/s, is {} % of it to either side.",
                tenths(low),
                tenths(high),
                tenths(half * 100.0)
            ));
        }
    }
    if let Some([low, high]) = fit.k.interval
        && low <= 0.0
    {
        reasons.push(format!(
            "The 95 % interval of K, {} to {} users, includes 0: a throughput that does not depend \
             on users at all is compatible with the data.",
            tenths(low),
            tenths(high)
        ));
    }
    let above: Vec<&Level> = levels
        .iter()
        .filter(|l| l.tok_s > fit.v_max.value)
        .collect();
    if let Some(highest) = above
        .iter()
        .copied()
        .reduce(|a, b| if b.tok_s > a.tok_s { b } else { a })
    {
        reasons.push(format!(
            "The fitted maximum of {} tok/s lies below what was reached: {} tok/s at {}.",
            tenths(fit.v_max.value),
            tenths(highest.tok_s),
            counted(highest.users, "user")
        ));
    }
    reasons.extend(rivals(levels, fit, curves));
    let line = &curves.line.quality;
    if line.rss < fit.quality.rss {
        let (r2, by) = (
            line.r2.zip(fit.quality.r2).map_or(String::new(), |(a, b)| {
                format!(" (R2 {a:.6} against {b:.6})")
            }),
            line.aicc
                .zip(fit.quality.aicc)
                .map_or(String::new(), |(a, b)| {
                    format!("; AICc is lower by {:.1}", b - a)
                }),
        );
        reasons.push(format!(
            "A straight line, with as many parameters, fits better than the curve with a \
             maximum{r2}{by}."
        ));
    }
    if let Some(last) = levels.last()
        && f64::from(last.users) < fit.k.value
    {
        reasons.push(format!(
            "The highest load, {}, lies below the half-saturation of {} users: the bend that \
             would show a maximum was never reached.",
            counted(last.users, "user"),
            tenths(fit.k.value)
        ));
    }
    reasons
}

/// Curves with another maximum, or none, that AICc prefers or cannot tell from the fitted one.
fn rivals(levels: &[Level], fit: &MichaelisMenten, curves: &Curves) -> Vec<String> {
    let v_max = fit.v_max.value;
    let differs =
        |maximum: Option<f64>| maximum.is_none_or(|m| (m - v_max).abs() > SAME_MAXIMUM * v_max);
    let usl = curves.usl.as_ref().ok();
    let of_usl = usl.map(|usl| ("Universal Scalability Law", &usl.quality, usl.maximum()));
    let mut reasons = Vec::new();
    for (name, quality, maximum) in of_usl.into_iter().chain([
        ("straight line", &curves.line.quality, None),
        ("line through 0", &curves.origin.quality, None),
    ]) {
        // A line that fits closer is a reason of its own.
        let line = maximum.is_none() && quality.rss < fit.quality.rss;
        if line || !differs(maximum) {
            continue;
        }
        let has = match maximum {
            Some(m) => format!("whose maximum is {} tok/s", tenths(m)),
            None => "which has no maximum".to_owned(),
        };
        match (quality.aicc, fit.quality.aicc) {
            (Some(other), Some(own)) if other < own + PREFERENCE => {
                let by = (other - own).abs();
                reasons.push(if other <= own - PREFERENCE {
                    format!("AICc prefers the {name} by {by:.1}, {has}.")
                } else {
                    format!(
                        "AICc cannot tell the curve from the {name} (difference {by:.2}), {has}."
                    )
                });
            }
            (Some(_), Some(_)) => {}
            // Undefined for want of levels: the sums of squares are all there is to go by.
            _ if quality.rss < fit.quality.rss => reasons.push(format!(
                "{} levels are too few for AICc to tell the curve from the {name}, which fits \
                 closer and {}.",
                levels.len(),
                match maximum {
                    Some(m) => format!("whose maximum is {} tok/s", tenths(m)),
                    None => "has no maximum".to_owned(),
                }
            )),
            _ => {}
        }
    }
    reasons
}

fn remarks(
    levels: &[Level],
    settings: &Settings,
    curves: &Curves,
    ceilings: &Ceilings,
) -> Vec<String> {
    let mut remarks = Vec::new();
    let (Some(first), Some(last)) = (levels.first(), levels.last()) else {
        return remarks;
    };
    let list = |levels: &[&Level]| joined(levels.iter().map(|l| l.users.to_string()));

    let same: Vec<&Level> = levels
        .iter()
        .filter(|l| {
            l.ttft_ms
                .avg
                .zip(l.latency_ms.avg)
                .is_some_and(|(ttft, total)| (total - ttft).abs() <= SAME_MS)
        })
        .collect();
    if !same.is_empty() {
        remarks.push(format!(
            "At {} users the time to first token equals the total latency within {SAME_MS} ms: it \
             was not measured by streaming and says nothing about the first token.",
            list(&same)
        ));
    }

    let (a, b) = (first.tok_s_per_user(), last.tok_s_per_user());
    remarks.push(format!(
        "Throughput per user {}.",
        per_user(first.users, a, last.users, b)
    ));

    if ceilings.least().is_none() {
        remarks.push(
            "No ceiling of the hardware was held against these levels: what it is made of was not given."
                .to_owned(),
        );
    }
    if let Some((ceiling, name)) = ceilings.least() {
        let over: Vec<&Level> = levels.iter().filter(|l| l.tok_s > ceiling).collect();
        if over.is_empty() {
            remarks.push(format!(
                "The highest throughput is {:.1} % of the lower ceiling, the {name} of {} tok/s.",
                levels.iter().map(|l| l.tok_s).fold(0.0, f64::max) / ceiling * 100.0,
                tenths(ceiling)
            ));
        } else {
            remarks.push(format!(
                "At {} users the throughput given exceeds the {name} of {} tok/s: throughput, \
                 hardware or model size is not what it was taken for.",
                list(&over),
                tenths(ceiling)
            ));
        }
    }

    if let Some(batch) = ceilings.max_batch {
        let beyond = curves
            .michaelis_menten
            .as_ref()
            .ok()
            .map(super::curves::MichaelisMenten::users_at_95)
            .filter(|&at_95| at_95 > f64::from(batch));
        if let Some(at_95) = beyond {
            remarks.push(format!(
                "The server works on at most {batch} requests at once; by Little's law further \
                 users only queue or think, so {} users cannot bring what the curve says.",
                tenths(at_95)
            ));
        }
    }

    let in_service: Vec<String> = levels
        .iter()
        .filter_map(|l| Some(format!("{:.1} at {}", l.in_service()?, l.users)))
        .collect();
    if !in_service.is_empty() {
        remarks.push(format!(
            "Requests in service by Little's law (throughput x latency): {} users.",
            joined(in_service)
        ));
    }
    remarks.extend(
        settings
            .think_time_s
            .and_then(|think| closed_loop(levels, think)),
    );
    remarks
}

/// The law of the closed loop against what was measured.
fn closed_loop(levels: &[Level], think: f64) -> Option<String> {
    /// Think times drawn by chance, and rounding, move a level by less than this share.
    const CHANCE: f64 = 0.02;
    let closed: Vec<(f64, &Level)> = levels
        .iter()
        .filter_map(|l| Some((l.closed_loop_tok_s(think)?, l)))
        .collect();
    if closed.is_empty() {
        return None;
    }
    let pairs = joined(
        closed
            .iter()
            .map(|(rate, l)| format!("{rate:.0} against {:.0} at {}", l.tok_s, l.users)),
    );
    let counted = closed.iter().all(|(_, l)| l.requests.is_some());
    let law = if counted {
        "users x tokens/(latency + think time (R - 1)/R), with R requests of each user and no \
         think time after the last,"
    } else {
        "for many requests of each user users x tokens/(latency + think time)"
    };
    let within = |(rate, l): &(f64, &Level)| l.tok_s <= *rate * (1.0 + CHANCE);
    let meaning = match (closed.iter().all(within), counted) {
        (true, _) => {
            "What is missing was spent where not all users were at work, as at the end of a level."
        }
        (false, false) => {
            "A little more is what short levels give, as no think time follows a user's last \
             request; much more means that latency, output or think time is not what it was taken \
             for."
        }
        (false, true) => {
            "More than that, by over 2 %, means that latency, output or think time is not what it \
             was taken for."
        }
    };
    Some(format!(
        "A closed loop with {think} s of think time gives {law} against the throughput given, \
         tok/s: {pairs} users. {meaning}"
    ))
}

/// How throughput per user changes with load, to the digits shown: "falls from 18.41 tok/s at 10
/// users to 14.58 at 100".
pub(super) fn per_user(first: u32, a: f64, last: u32, b: f64) -> String {
    let (from, to) = (format!("{a:.2}"), format!("{b:.2}"));
    if from == to {
        return format!(
            "stays at {from} tok/s from {first} to {}",
            counted(last, "user")
        );
    }
    let word = if b < a { "falls" } else { "rises" };
    format!(
        "{word} from {from} tok/s at {} to {to} at {last}",
        counted(first, "user")
    )
}
