//! The levels as a table, the fits as JSON.

use serde_json::{Value, json};

use super::curves::{Estimate, Quality};
use super::points::Level;
use super::{Analysis, Settings};
use crate::report::document::{Cell, Table};

/// A row per level: what was given and what follows from it alone.
pub fn levels(analysis: &Analysis, settings: &Settings) -> Table {
    let absent = if settings.absent == "not modelled" {
        Cell::NotModelled
    } else {
        Cell::from(settings.absent)
    };
    // A metric of the level itself; what follows from a setting that was not given stays empty.
    let metric = |value: Option<f64>| value.map_or_else(|| absent.clone(), Cell::from);
    let count = |value: Option<u32>| value.map_or_else(|| absent.clone(), Cell::from);
    let mut table = Table::new([
        "users",
        "tok_s",
        "tok_s_per_user",
        "requests",
        "successful",
        "duration_s",
        "tokens_per_request",
        "ttft_ms",
        "ttft_p50_ms",
        "ttft_p95_ms",
        "ttft_p99_ms",
        "latency_ms",
        "latency_p50_ms",
        "latency_p95_ms",
        "latency_p99_ms",
        "request_tok_s",
        "request_tok_s_p50",
        "power_w",
        "tokens_per_joule",
        "mfu_pct",
        "in_service",
        "closed_loop_tok_s",
        "gain_pct",
        "gain_tok_s",
        "gain_tok_s_per_user",
        "gain_on_first_pct",
    ]);
    let (steps, firsts) = (&analysis.gains.steps, &analysis.gains.against_first);
    for (i, level) in analysis.levels.iter().enumerate() {
        let step = i.checked_sub(1).and_then(|i| steps.get(i));
        let first = i.checked_sub(1).and_then(|i| firsts.get(i));
        let closed_loop = match settings.think_time_s {
            Some(think) => metric(level.closed_loop_tok_s(think)),
            None => Cell::Empty,
        };
        table.rows.push(vec![
            level.users.into(),
            level.tok_s.into(),
            level.tok_s_per_user().into(),
            count(level.requests),
            count(level.successful),
            metric(level.duration_s),
            metric(level.output_tokens()),
            metric(level.ttft_ms.avg),
            metric(level.ttft_ms.p50),
            metric(level.ttft_ms.p95),
            metric(level.ttft_ms.p99),
            metric(level.latency_ms.avg),
            metric(level.latency_ms.p50),
            metric(level.latency_ms.p95),
            metric(level.latency_ms.p99),
            metric(level.request_tok_s),
            metric(level.request_tok_s_p50),
            metric(level.power_w),
            metric(level.tokens_per_joule()),
            analysis.ceilings.mfu_pct(level.tok_s).into(),
            metric(level.in_service()),
            closed_loop,
            step.map(|s| s.gain_pct).into(),
            step.map(|s| s.tok_s).into(),
            step.map(|s| s.tok_s_per_user).into(),
            first.map(|s| s.gain_pct).into(),
        ]);
    }
    table
}

fn estimate(e: &Estimate) -> Value {
    json!({
        "value": e.value,
        "standard_error": e.standard_error,
        "interval_95": e.interval,
    })
}

fn quality(q: &Quality) -> Value {
    json!({
        "residuals_tok_s": q.residuals,
        "rss": q.rss,
        "r2": q.r2,
        "parameters": q.parameters,
        "aicc": q.aicc,
    })
}

/// What the curves say at each level, tok/s.
fn at_levels(analysis: &Analysis) -> Vec<Value> {
    let curves = &analysis.curves;
    let michaelis_menten = curves.michaelis_menten.as_ref().ok();
    let usl = curves.usl.as_ref().ok();
    let at = |level: &Level| {
        let users = f64::from(level.users);
        json!({
            "users": level.users,
            "michaelis_menten": michaelis_menten.map(|c| c.at(users)),
            "michaelis_menten_band_95": michaelis_menten.and_then(|c| c.band(users)),
            "universal_scalability_law": usl.map(|c| c.at(users)),
            "straight_line": curves.line.at(users),
        })
    };
    analysis.levels.iter().map(at).collect()
}

/// Every fitted number, unrounded. What is not defined is `null`.
pub fn fit(analysis: &Analysis, settings: &Settings) -> Value {
    let curves = &analysis.curves;
    let michaelis_menten = match &curves.michaelis_menten {
        Ok(fit) => json!({
            "v_max_tok_s": estimate(&fit.v_max),
            "k_users": estimate(&fit.k),
            "inverse_v_max_s_per_tok": estimate(&fit.inverse_v_max),
            "users_at_95_pct": fit.users_at_95(),
            "tok_s_at_95_pct": fit.at(fit.users_at_95()),
            "quality": quality(&fit.quality),
        }),
        Err(why) => json!({ "none": why }),
    };
    let usl = match &curves.usl {
        Ok(fit) => json!({
            "lambda_tok_s": estimate(&fit.lambda),
            "sigma": estimate(&fit.sigma),
            "kappa": estimate(&fit.kappa),
            "peak_users": fit.peak_users(),
            "quality": quality(&fit.quality),
        }),
        Err(why) => json!({ "none": why }),
    };
    let estimators: Vec<Value> = curves
        .estimators
        .iter()
        .map(|e| {
            json!({
                "name": e.name,
                "v_max_tok_s": e.v_max_and_k.map(|v| v[0]),
                "k_users": e.v_max_and_k.map(|v| v[1]),
            })
        })
        .collect();
    let ranking: Vec<Value> = curves
        .ranking()
        .into_iter()
        .map(|(name, distance)| json!({ "curve": name, "aicc_above_least": distance }))
        .collect();
    let verdict = &analysis.verdict;
    json!({
        "name": settings.name,
        "levels": analysis.levels,
        "michaelis_menten": michaelis_menten,
        "universal_scalability_law": usl,
        "straight_line": {
            "intercept_tok_s": estimate(&curves.line.intercept),
            "slope_tok_s_per_user": estimate(&curves.line.slope),
            "quality": quality(&curves.line.quality),
        },
        "line_through_0": {
            "slope_tok_s_per_user": estimate(&curves.origin.slope),
            "quality": quality(&curves.origin.quality),
        },
        "at_levels": at_levels(analysis),
        "estimators": estimators,
        "aicc_ranking": ranking,
        "preference": curves.preference(),
        "rounding": analysis.rounding.map(|(half, v_max)| json!({
            "half_unit_tok_s": half,
            "v_max_tok_s": v_max,
        })),
        "hardware": settings.hardware,
        "model": settings.model,
        "ceilings_tok_s": {
            "compute": analysis.ceilings.compute,
            "weight_bandwidth": analysis.ceilings.weights,
        },
        "max_batch": settings.max_batch,
        "gpus": settings.gpus,
        "think_time_s": settings.think_time_s,
        "verdict": {
            "supports_maximum": verdict.supports_maximum,
            "against": verdict.against,
            "beyond_hardware": verdict.beyond_hardware,
            "remarks": verdict.remarks,
        },
    })
}
