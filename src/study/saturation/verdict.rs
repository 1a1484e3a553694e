//! What the numbers allow one to say, as sentences.

use super::Settings;
use super::ceilings::Ceilings;
use super::curves::Curves;
use super::points::Level;
use super::words::{joined, number, users};

/// What the data can support.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// None of the reasons against a maximum applies.
    pub supports_maximum: bool,
    /// Why not, a sentence each.
    pub against: Vec<String>,
    /// The fitted maximum against the ceilings, where both exist and the first is greater.
    pub beyond_hardware: Option<String>,
    /// What else must be said about these levels, a sentence each.
    pub remarks: Vec<String>,
}

/// Widest interval of a maximum that still says something, half of it in proportion.
const WIDEST: f64 = 0.5;
/// TTFT and latency closer than this are the same measurement, ms.
const SAME_MS: f64 = 0.5;

impl Verdict {
    pub fn of(
        levels: &[Level],
        settings: &Settings,
        curves: &Curves,
        ceilings: &Ceilings,
    ) -> Verdict {
        let against = against(levels, curves);
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
                    number(fit.v_max.value),
                    number(ceiling)
                )
            });
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
                number(low),
                number(high),
                number(half * 100.0)
            ));
        }
    }
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
            users(last.users),
            number(fit.k.value)
        ));
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
        super::words::per_user(first.users, a, last.users, b)
    ));

    if let Some((ceiling, name)) = ceilings.least() {
        let over: Vec<&Level> = levels.iter().filter(|l| l.tok_s > ceiling).collect();
        if over.is_empty() {
            remarks.push(format!(
                "The highest throughput is {:.1} % of the lower ceiling, the {name} of {} tok/s.",
                levels.iter().map(|l| l.tok_s).fold(0.0, f64::max) / ceiling * 100.0,
                number(ceiling)
            ));
        } else {
            remarks.push(format!(
                "At {} users the throughput given exceeds the {name} of {} tok/s: throughput, \
                 hardware or model size is not what it was taken for.",
                list(&over),
                number(ceiling)
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
                number(at_95)
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
    if let Some(think) = settings.think_time_s {
        let closed: Vec<(f64, &Level)> = levels
            .iter()
            .filter_map(|l| Some((l.closed_loop_tok_s(think)?, l)))
            .collect();
        if !closed.is_empty() {
            let pairs = closed
                .iter()
                .map(|(rate, l)| format!("{rate:.0} against {:.0} at {}", l.tok_s, l.users));
            let meaning = if closed.iter().all(|(rate, l)| l.tok_s <= *rate) {
                "What is missing was spent where not all users were at work, as at the end of a \
                 level."
            } else {
                "A little more is what short levels give, as no think time follows a user's last \
                 request; much more means that latency, output or think time is not what it was \
                 taken for."
            };
            remarks.push(format!(
                "A closed loop with {think} s of think time gives users x tokens/(latency + think \
                 time) against the throughput given, tok/s: {} users. {meaning}",
                joined(pairs)
            ));
        }
    }
    remarks
}
