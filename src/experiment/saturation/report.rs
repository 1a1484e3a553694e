//! The report as text, in the order of the published one; every sentence is made from numbers.

use std::fmt::Write;

use super::curves::Estimate;
use super::gains::{Gains, Step};
use super::points::{Level, Times};
use super::{Analysis, Settings};
use crate::words::{counted, tenths};

/// What stands where a setting has no value.
const NOT_GIVEN: &str = "not given";

/// Lines under a heading.
struct Text(String);

impl Text {
    fn heading(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(title);
        self.0.push('\n');
        self.0.push_str(&"-".repeat(title.chars().count()));
        self.0.push('\n');
    }

    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// A label and its value, in columns.
    fn entry(&mut self, label: &str, value: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "  {label:<22}{value}");
    }

    fn item(&mut self, text: &str) {
        self.line(&format!("- {text}"));
    }
}

/// The whole report.
pub fn text(analysis: &Analysis, settings: &Settings) -> String {
    let mut text = Text(String::new());
    text.heading(&format!("SATURATION: {}", settings.name));
    text.entry("Load levels", &analysis.levels.len().to_string());
    let hardware = settings.hardware.as_ref().map(|h| match settings.gpus {
        1 => h.name.clone(),
        gpus => format!("{gpus} x {}", h.name),
    });
    text.entry("Hardware", hardware.as_deref().unwrap_or(NOT_GIVEN));
    if let Some(hardware) = &settings.hardware {
        text.entry("", &format!("({})", hardware.source));
    }
    let model = settings.model.map(|model| {
        let bytes = match model.bytes_per_param {
            Some(bytes) => format!("of {bytes} bytes"),
            None => format!("of a size that was {NOT_GIVEN}"),
        };
        format!("{} parameters {bytes}", tenths(model.params))
    });
    text.entry("Model", model.as_deref().unwrap_or(NOT_GIVEN));
    for level in &analysis.levels {
        load_level(&mut text, level, analysis, settings);
    }
    comparison(&mut text, analysis);
    saturation(&mut text, analysis);
    support(&mut text, analysis);
    insights(&mut text, analysis);
    text.0
}

fn times(times: &Times, absent: &str) -> String {
    let known: Vec<String> = times
        .named()
        .into_iter()
        .map(|(name, value)| match value {
            Some(ms) => format!("{name} {ms:.1}"),
            None => format!("{name} {absent}"),
        })
        .collect();
    if times.named().iter().all(|(_, value)| value.is_none()) {
        absent.to_owned()
    } else {
        format!("{} ms", known.join(", "))
    }
}

fn load_level(text: &mut Text, level: &Level, analysis: &Analysis, settings: &Settings) {
    let absent = settings.absent;
    let or_absent = |value: Option<String>| value.unwrap_or_else(|| absent.to_owned());
    text.heading(&format!("LOAD LEVEL: {}", counted(level.users, "user")));
    text.entry(
        "Requests",
        &match (level.successful, level.requests) {
            (Some(successful), Some(requests)) => format!("{successful} of {requests} successful"),
            (Some(successful), None) => format!("{successful} successful"),
            (None, Some(requests)) => format!("{requests}, successful ones {absent}"),
            (None, None) => absent.to_owned(),
        },
    );
    text.entry(
        "Duration",
        &or_absent(level.duration_s.map(|s| format!("{s:.1} s"))),
    );
    text.entry("Time to first token", &times(&level.ttft_ms, absent));
    text.entry("Total latency", &times(&level.latency_ms, absent));
    text.entry(
        "Throughput",
        &format!(
            "{:.1} tok/s in all, {:.2} per user",
            level.tok_s,
            level.tok_s_per_user()
        ),
    );
    text.entry(
        "Rate of one request",
        &match (level.request_tok_s, level.request_tok_s_p50) {
            (None, None) => absent.to_owned(),
            (mean, median) => format!(
                "avg {}, P50 {} tok/s",
                or_absent(mean.map(|x| format!("{x:.1}"))),
                or_absent(median.map(|x| format!("{x:.1}")))
            ),
        },
    );
    text.entry(
        "Output per request",
        &or_absent(level.output_tokens().map(|x| format!("{x:.1} tokens"))),
    );
    text.entry(
        "In service (Little)",
        &or_absent(level.in_service().map(|x| format!("{x:.1} requests"))),
    );
    text.entry("MFU", &mfu(analysis, level));
    text.entry(
        "Power",
        &or_absent(level.power_w.map(|w| format!("{w:.1} W"))),
    );
    text.entry(
        "Efficiency",
        &or_absent(
            level
                .tokens_per_joule()
                .map(|x| format!("{x:.2} tokens per joule")),
        ),
    );
}

fn mfu(analysis: &Analysis, level: &Level) -> String {
    analysis.ceilings.mfu_pct(level.tok_s).map_or_else(
        || format!("{NOT_GIVEN} (it needs peak FLOP/s and parameters)"),
        |mfu| format!("{mfu:.2} %"),
    )
}

fn comparison(text: &mut Text, analysis: &Analysis) {
    let Some((first, rest)) = analysis.levels.split_first() else {
        return;
    };
    text.heading("COMPARATIVE ANALYSIS");
    text.line(&format!("Baseline: {}", counted(first.users, "user")));
    text.entry("Throughput", &format!("{:.1} tok/s", first.tok_s));
    let shows_mfu = analysis.ceilings.compute.is_some();
    if shows_mfu {
        text.entry("MFU", &mfu(analysis, first));
    }
    for (level, step) in rest.iter().zip(&analysis.gains.against_first) {
        text.line(&format!(
            "{} against {}",
            counted(level.users, "user"),
            first.users
        ));
        text.entry(
            "Throughput",
            &format!("{:.1} tok/s ({:+.1} %)", level.tok_s, step.gain_pct),
        );
        if shows_mfu {
            text.entry("MFU", &mfu(analysis, level));
        }
        if let Some(p95) = level.ttft_ms.p95 {
            text.entry("TTFT P95", &format!("{p95:.1} ms"));
        }
        if let Some(p95) = level.latency_ms.p95 {
            text.entry("Latency P95", &format!("{p95:.1} ms"));
        }
    }
}

fn label(r2: f64) -> &'static str {
    if r2 > 0.95 {
        "Excellent"
    } else if r2 > 0.85 {
        "Good"
    } else {
        "Fair"
    }
}

fn saturation(text: &mut Text, analysis: &Analysis) {
    text.heading("SATURATION ANALYSIS (as the published benchmark reads it)");
    match (&analysis.curves.michaelis_menten, analysis.levels.last()) {
        (Ok(fit), Some(last)) => {
            let (v_max, at_95) = (fit.v_max.value, fit.users_at_95());
            text.line("Michaelis-Menten fit, T(u) = Vmax u/(K + u)");
            text.entry("Theoretical maximum", &format!("{} tok/s", tenths(v_max)));
            text.entry(
                "Half-saturation K",
                &format!("{} users", tenths(fit.k.value)),
            );
            if let Some(r2) = fit.quality.r2 {
                text.entry("Fit quality", &format!("{} (R2 = {r2:.3})", label(r2)));
            }
            text.entry(
                "Current status",
                &format!("{:.1} % of the maximum", last.tok_s / v_max * 100.0),
            );
            text.entry("95 % saturation", &format!("{} users", tenths(at_95)));
            text.entry(
                "Expected throughput",
                &format!("{} tok/s", tenths(fit.at(at_95))),
            );
            if f64::from(last.users) < at_95 {
                text.entry(
                    "Recommended",
                    &format!("to test up to {} users", tenths(at_95)),
                );
            }
        }
        (Err(why), _) => text.line(&format!("No Michaelis-Menten fit: {why}.")),
        (_, None) => {}
    }
    let gains = &analysis.gains;
    text.line(&match gains.saturated() {
        Some(step) => format!(
            "Empirical saturation at {}: the first step that gains less than {} % ({:+.1} %).",
            counted(step.to, "user"),
            Gains::LEAST_GAIN_PCT,
            step.gain_pct
        ),
        None => format!(
            "No empirical saturation: every step gains at least {} %.",
            Gains::LEAST_GAIN_PCT
        ),
    });
    text.line(&match gains.diminishing() {
        Some(step) => format!(
            "Diminishing returns from {}: the first step with less than {} tok/s per added user \
             ({:.2}).",
            counted(step.to, "user"),
            Gains::LEAST_TOK_S_PER_USER,
            step.tok_s_per_user
        ),
        None => format!(
            "No diminishing returns: every step brings at least {} tok/s per added user.",
            Gains::LEAST_TOK_S_PER_USER
        ),
    });
    let (best, rate) = gains.best_per_user;
    text.line(&format!(
        "Best efficiency: {} (highest throughput per user, {rate:.2} tok/s).",
        counted(best, "user")
    ));
    text.line("");
    text.line("Marginal gains breakdown");
    for step in &gains.steps {
        let Step {
            from,
            to,
            gain_pct,
            tok_s,
            tok_s_per_user,
        } = step;
        text.entry(
            &format!("{from} -> {to} users"),
            &format!(
                "{gain_pct:+.1} %, {tok_s:+.1} tok/s, {tok_s_per_user:.2} tok/s per added user"
            ),
        );
    }
}

fn with_error(e: &Estimate) -> String {
    match (e.standard_error, e.interval) {
        (Some(error), _) if error < e.value.abs() * 1e-12 => {
            format!("{} (exact to rounding)", tenths(e.value))
        }
        (Some(error), Some([low, high])) => format!(
            "{} +- {} (95 %: {} to {})",
            tenths(e.value),
            tenths(error),
            tenths(low),
            tenths(high)
        ),
        _ => format!("{} (no error determined)", tenths(e.value)),
    }
}

/// A small coefficient, with its digits.
fn coefficient(e: &Estimate) -> String {
    match e.standard_error {
        Some(error) if error < e.value.abs() * 1e-12 => {
            format!("{:.4e} (exact to rounding)", e.value)
        }
        Some(error) => format!("{:.4e} +- {error:.1e}", e.value),
        None if e.value == 0.0 => "0 (at its bound)".to_owned(),
        None => format!("{:.4e} (no error determined)", e.value),
    }
}

fn support(text: &mut Text, analysis: &Analysis) {
    let (curves, verdict) = (&analysis.curves, &analysis.verdict);
    text.heading("WHAT THE DATA CAN SUPPORT");
    let interval = curves.michaelis_menten.as_ref().ok().map(|f| f.v_max);
    match interval {
        Some(v_max) if verdict.supports_maximum => text.line(&format!(
            "The data can support a maximum, of {} tok/s: none of the reasons against one \
             (docs/MODEL.md, \"Studies\") applies.",
            with_error(&v_max)
        )),
        _ => text.line("The data cannot support a maximum:"),
    }
    for reason in &verdict.against {
        text.item(reason);
    }

    text.line("");
    text.line("Curves (R2 about the mean; AICc with the variance counted as a parameter)");
    for (name, quality) in curves.named() {
        text.line(&format!(
            "  {name:<27}R2 {}, AICc {}, residuals {}",
            quality
                .r2
                .map_or_else(|| "not defined".to_owned(), |r2| format!("{r2:.6}")),
            quality
                .aicc
                .map_or_else(|| "not defined".to_owned(), |a| format!("{a:.1}")),
            residuals(&quality.residuals)
        ));
    }
    text.line(&curves.preference());
    text.line("");
    text.line("Michaelis-Menten, T(u) = Vmax u/(K + u)");
    match &curves.michaelis_menten {
        Ok(fit) => {
            text.entry("Vmax, tok/s", &with_error(&fit.v_max));
            text.entry("K, users", &with_error(&fit.k));
            text.entry("1/Vmax, s/tok", &coefficient(&fit.inverse_v_max));
        }
        Err(why) => text.line(&format!("  none: {why}")),
    }
    if let Some((half, [low, high])) = analysis.rounding {
        let side = |v: Option<f64>| v.map_or_else(|| "no finite maximum".to_owned(), tenths);
        text.entry(
            "Rounding alone",
            &format!(
                "throughputs off by up to {half} tok/s: Vmax {} to {}",
                side(low),
                side(high)
            ),
        );
    }
    text.line("Universal Scalability Law, X(u) = lambda u/(1 + sigma (u - 1) + kappa u (u - 1))");
    match &curves.usl {
        Ok(fit) => {
            text.entry("lambda, tok/s", &with_error(&fit.lambda));
            text.entry("sigma", &coefficient(&fit.sigma));
            text.entry("kappa", &coefficient(&fit.kappa));
            text.entry(
                "Peak",
                &fit.peak_users().map_or_else(
                    || "none at a finite number of users".to_owned(),
                    |peak| format!("{} users, {} tok/s", tenths(peak), tenths(fit.at(peak))),
                ),
            );
        }
        Err(why) => text.line(&format!("  none: {why}")),
    }
    text.line("Straight line, T(u) = a + b u");
    let highest = analysis.levels.iter().map(|l| l.tok_s).fold(0.0, f64::max);
    text.entry(
        "a, tok/s",
        &if curves.line.intercept.value.abs() < highest * 1e-12 {
            "0 (to rounding)".to_owned()
        } else {
            with_error(&curves.line.intercept)
        },
    );
    text.entry(
        "b, tok/s per user",
        &format!("{:.3}", curves.line.slope.value),
    );
    text.line("");
    text.line("Three estimators of the same maximum");
    for estimator in &curves.estimators {
        let value = estimator.v_max_and_k.map_or_else(
            || "no finite positive maximum".to_owned(),
            |[v_max, k]| format!("Vmax {} tok/s, K {} users", tenths(v_max), tenths(k)),
        );
        text.entry(estimator.name, &format!("{value} ({})", estimator.how));
    }
    ceilings(text, analysis);
    text.line("");
    text.line("About these levels");
    for remark in &verdict.remarks {
        text.item(remark);
    }
}

fn residuals(residuals: &[f64]) -> String {
    const SHOWN: usize = 8;
    let mut shown: Vec<String> = residuals
        .iter()
        .take(SHOWN)
        .map(|r| format!("{r:+.1}"))
        .collect();
    if residuals.len() > SHOWN {
        shown.push(format!("... ({} in all)", residuals.len()));
    }
    shown.join(" ")
}

fn ceilings(text: &mut Text, analysis: &Analysis) {
    let ceilings = &analysis.ceilings;
    text.line("");
    text.line("Ceilings of the hardware");
    let or_not_given = |value: Option<String>, needs: &str| {
        value.unwrap_or_else(|| format!("{NOT_GIVEN} (it needs {needs})"))
    };
    text.entry(
        "Compute",
        &or_not_given(
            ceilings
                .compute
                .map(|most| format!("{} tok/s (peak FLOP/s over 2 per parameter)", tenths(most))),
            "peak FLOP/s and parameters",
        ),
    );
    text.entry(
        "Weight bandwidth",
        &or_not_given(
            ceilings
                .weights
                .map(|most| format!("{} tok/s (weights read once per step)", tenths(most))),
            "bandwidth, parameters, their size and the largest batch",
        ),
    );
    let batch = ceilings
        .max_batch
        .map(|batch| format!("{batch} requests at once"));
    text.entry("Largest batch", batch.as_deref().unwrap_or(NOT_GIVEN));
}

fn insights(text: &mut Text, analysis: &Analysis) {
    text.heading("KEY INSIGHTS");
    let (at, best) = analysis.gains.best;
    if let Some(mfu) = analysis.ceilings.mfu_pct(best) {
        text.item(&format!("Best MFU: {mfu:.2} % at {}.", counted(at, "user")));
    }
    text.item(&format!(
        "Best throughput: {best:.1} tok/s at {}.",
        counted(at, "user")
    ));
    if let Some((level, rate)) = analysis
        .levels
        .iter()
        .filter_map(|l| Some((l, l.tokens_per_joule()?)))
        .reduce(|best, other| if other.1 > best.1 { other } else { best })
    {
        text.item(&format!(
            "Most output per energy: {rate:.2} tokens per joule at {}.",
            counted(level.users, "user")
        ));
    }
    let most = analysis.levels.last().map_or(at, |l| l.users);
    text.item(&if at < most {
        format!(
            "Throughput is highest at {} and no higher at the highest load of {most}.",
            counted(at, "user")
        )
    } else {
        format!(
            "Throughput still rises at the highest load of {}; only levels beyond it can show \
             where it ends.",
            counted(most, "user")
        )
    });
    if let Some(step) = analysis.gains.saturated() {
        text.item(&format!(
            "By the 10 % rule the system is saturated at {}.",
            counted(step.to, "user")
        ));
    }
}
