//! The report on served loads; every sentence is made from numbers.

use super::tables::{MAIN, Metric, error_pct};
use super::{Comparison, Levels, Origin, Served, Stack};
use crate::experiment::saturation::curves::MichaelisMenten;
use crate::experiment::saturation::points::Level;
use crate::quantiles::median;
use crate::scenario::ClosedLoop;
use crate::sched::continuous::Server;
use crate::sched::continuous::kv::Capacity;
use crate::words::{aligned, change, counted, or_dash, paragraph, percent, short, thousands};

/// The whole report. `server` and `most`: of the level with the most users.
pub(super) fn text(all: &Levels<'_>, server: &Server, most: &ClosedLoop) -> String {
    let (stack, levels) = (all.stack, all.levels);
    let title = format!("SERVING USERS: {}", stack.name());
    let mut text = format!("{title}\n{}\n", "-".repeat(title.chars().count()));
    text += &match stack.origin {
        Origin::Calibration | Origin::Given => String::new(),
        Origin::Demonstration => paragraph(
            "A demonstration, on a software adapter or with a made-up model: it shows how this works \
             and says nothing of any GPU.",
        ),
        Origin::DataSheet => paragraph(
            "The step latency is the roofline of the data sheet: what the hardware allows at best, \
             which no program reaches.",
        ),
        Origin::Typical => paragraph(
            "The step latency is what engines typically reach on this hardware: shares of its peaks, fitted to \
             measurements of other models.",
        ),
    };
    text += &paragraph(&asked(all, most));
    text += &paragraph(&limits(all, server, most));
    if let (Some(other), Some(machine)) = (&stack.measured_on, &stack.machine) {
        text += &paragraph(&format!(
            "Measured on {other}, predicted by a calibration of {}: what differs may be the GPU.",
            machine.gpu
        ));
    }
    if let Some(error) = stack.step_error {
        text += &paragraph(&match stack.origin {
            Origin::Typical => format!(
                "Of models that the fit had not seen, 90 % of the measured step times were within {} of the predicted ones.",
                percent(error)
            ),
            _ => format!(
                "The calibration's step times are typically off by {}.",
                percent(error)
            ),
        });
    }
    for warning in &stack.warnings {
        text += &paragraph(&format!("Warning: {warning}"));
    }
    if stack.submission_s > 0.0 {
        text += &paragraph(&format!(
            "A step is predicted as its work on the GPU by the fit and {} ms for its submission and the \
             wait for its tokens.",
            short(stack.submission_s * 1e3)
        ));
    }
    for level in levels
        .iter()
        .filter(|level| level.predicted.steps_outside > 0)
    {
        text += &paragraph(&format!(
            "Caution: with {}, {} of {} predicted steps lie beyond what the step latency was measured for.",
            counted(level.users(), "user"),
            thousands(level.predicted.steps_outside.into()),
            thousands(level.predicted.steps.into())
        ));
    }
    text.push('\n');
    let any_measured = levels.iter().any(|level| level.measured.is_some());
    if any_measured {
        for metric in &MAIN {
            text += &compared(metric, levels);
            text.push('\n');
        }
        text += &steps(levels);
        for sentence in differences(levels) {
            text += &paragraph(&sentence);
        }
    } else {
        text += &predicted(levels);
        text.push('\n');
        text += &paragraph("All of this is predicted from the step latency; nothing was measured.");
    }
    text += &work(stack, levels);
    text + &maxima(levels)
}

/// "Each user sends 4 requests of 64 prompt and 32 output tokens, without a pause."
fn asked(all: &Levels<'_>, users: &ClosedLoop) -> String {
    let (least, most) = (users.think_min_s, users.think_max_s);
    let requests = match users.requests_per_user {
        1 => "1 request".to_owned(),
        n => format!("{n} requests, one after another,"),
    };
    let pause = if users.requests_per_user == 1 {
        String::new()
    } else if most == 0.0 {
        ", without a pause after an answer".to_owned()
    } else if least == most {
        format!(", pausing {least} s after an answer")
    } else {
        format!(", pausing {least} to {most} s after an answer")
    };
    format!("Each user sends {requests} of {}{pause}.", tokens(all))
}

/// "64 prompt and 32 output tokens", of the requests that the level with the most users sends.
fn tokens(all: &Levels<'_>) -> String {
    let users = all.scenarios.iter().filter_map(|s| s.workload.closed_loop);
    let requests = users.map(|users| users.requests()).max().unwrap_or(0) as usize;
    let trace = all.trace;
    // Failed rows are left out of a run with continuous batching.
    let rows = (0..trace.len()).filter(|&row| trace.output[row] > 0);
    let rows: Vec<usize> = rows.take(requests).collect();
    let [prompt, output] = [&trace.prompt, &trace.output].map(|lengths| {
        let of_rows = || rows.iter().map(|&row| lengths[row]);
        match (of_rows().min(), of_rows().max()) {
            (Some(least), Some(most)) if least == most => least.to_string(),
            (Some(least), Some(most)) => format!("{least} to {most}"),
            _ => "no".to_owned(),
        }
    });
    format!("{prompt} prompt and {output} output tokens")
}

fn limits(all: &Levels<'_>, server: &Server, users: &ClosedLoop) -> String {
    let memory = all.scenarios.first().map(|scenario| *scenario.memory());
    let gpus = f64::from(server.tensor_parallel);
    let cache = match (server.kv.capacity, memory) {
        (Capacity::Blocks(blocks), _) => format!(
            ", in a KV cache of {blocks} blocks of {} tokens",
            server.kv.block_tokens
        ),
        (Capacity::Memory, Some(memory)) => format!(
            ", in a KV cache of {} GB: what the weights leave of {} GB",
            short(gpus * (memory.capacity_gb - memory.margin_gb) - memory.model_gb),
            short(gpus * (memory.capacity_gb - memory.margin_gb))
        ),
        _ => String::new(),
    };
    let beyond = if users.users > server.max_sequences {
        " Users beyond that wait."
    } else {
        ""
    };
    format!(
        "The server works on up to {} sequences at once, with up to {} tokens in a step, decoded and of \
         prompts{cache}.{beyond}",
        server.max_sequences, server.max_batched_tokens
    )
}

fn predicted(levels: &[Comparison]) -> String {
    let header: Vec<&str> = std::iter::once("users")
        .chain([
            "tok/s",
            "TTFT (ms)",
            "P95",
            "TBT (ms)",
            "P95",
            "latency (ms)",
            "P95",
        ])
        .collect();
    let rows: Vec<Vec<String>> = levels
        .iter()
        .map(|level| {
            let served = &level.predicted;
            std::iter::once(served.level.users.to_string())
                .chain(
                    MAIN.iter()
                        .map(|metric| or_dash((metric.of)(served), short)),
                )
                .collect()
        })
        .collect();
    aligned(&header, &rows)
}

/// One figure at every level.
fn compared(metric: &Metric, levels: &[Comparison]) -> String {
    let rows: Vec<Vec<String>> = levels
        .iter()
        .map(|level| {
            let measured = level.measured.as_ref().and_then(metric.of);
            let predicted = (metric.of)(&level.predicted);
            vec![
                counted(level.users(), "user"),
                or_dash(measured, short),
                or_dash(predicted, short),
                or_dash(error_pct(predicted, measured), |e| change(e / 100.0, 1)),
            ]
        })
        .collect();
    aligned(&[metric.label, "measured", "predicted", "error"], &rows)
}

/// Median and greatest size of a figure's errors over the levels, and where the latter is.
fn errors(levels: &[Comparison], of: fn(&Served) -> Option<f64>) -> Option<(f64, f64, u32)> {
    let sized: Vec<(f64, u32)> = levels
        .iter()
        .filter_map(|level| {
            let measured = level.measured.as_ref().and_then(of);
            let error = error_pct(of(&level.predicted), measured)?;
            Some((error.abs(), level.users()))
        })
        .collect();
    let (worst, at) = sized
        .iter()
        .copied()
        .reduce(|a, b| if b.0 > a.0 { b } else { a })?;
    let mut sizes: Vec<f64> = sized.iter().map(|(size, _)| *size).collect();
    let median = median(&mut sizes)?;
    Some((median, worst, at))
}

/// How far the prediction is off, a sentence each.
fn differences(levels: &[Comparison]) -> Vec<String> {
    let mut sentences = Vec::new();
    for (what, of) in [
        (
            "Throughput",
            (|s: &Served| Some(s.level.tok_s)) as fn(&Served) -> Option<f64>,
        ),
        ("Mean TTFT", |s| s.level.ttft_ms.avg),
        ("Mean TBT", |s| s.tbt_ms.avg),
        ("Mean latency", |s| s.level.latency_ms.avg),
    ] {
        if let Some((median, worst, at)) = errors(levels, of) {
            sentences.push(format!(
                "{what} is predicted within {worst:.1} % at every level (worst at {}), {median:.1} % \
                 in the median.",
                counted(at, "user")
            ));
        }
    }
    sentences
}

/// The step latency against the very steps that were measured: no queueing, and no time between
/// steps, is in these errors.
fn steps(levels: &[Comparison]) -> String {
    let rows: Vec<Vec<String>> = levels
        .iter()
        .filter_map(|level| {
            let errors = level.step_errors?;
            Some(vec![
                counted(level.users(), "user"),
                change(errors.median, 1),
                percent(errors.median_size),
                percent(errors.p95_size),
            ])
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let header = [
        "error of the step latency",
        "median",
        "size, median",
        "size, P95",
    ];
    aligned(&header, &rows) + "\n"
}

/// What steps were like at the highest load, and how busy they kept the GPU.
fn work(stack: &Stack, levels: &[Comparison]) -> String {
    let Some(level) = levels.iter().max_by_key(|level| level.users()) else {
        return String::new();
    };
    let served = level.best();
    let whose = match stack.origin {
        Origin::DataSheet | Origin::Typical => "the data sheet's bandwidth",
        _ => "the measured read bandwidth",
    };
    let machine = stack.machine.as_ref();
    let hardware = machine.and_then(|machine| machine.hardware.as_ref());
    let mfu = match (stack.mfu(served), hardware) {
        (Some(mfu), Some(hardware)) => format!(
            " MFU is {} % of the peak of {}.",
            short(mfu * 100.0),
            hardware.name
        ),
        _ if stack.named.is_some() => " MFU and MBU of this model are not modelled.".to_owned(),
        _ => " There is no data sheet to give an MFU by.".to_owned(),
    };
    let between = match served.level.duration_s {
        Some(duration_s) if level.measured.is_some() => format!(
            " Steps fill {:.1} % of the time.",
            100.0 * served.busy_s / duration_s
        ),
        _ => String::new(),
    };
    let mbu = match stack.mbu(served) {
        Some(mbu) => format!("; MBU is {:.1} % of {whose}", mbu * 100.0),
        None => String::new(),
    };
    paragraph(&format!(
        "With {} a step decodes {} sequences and processes {} prompt tokens on average{mbu}.{mfu}{between}",
        counted(served.level.users, "user"),
        short(served.sequences),
        short(served.prefill),
    ))
}

/// The maximum that a Michaelis-Menten curve through either set of levels has.
fn maxima(levels: &[Comparison]) -> String {
    let measured: Option<Vec<Level>> = levels
        .iter()
        .map(|level| level.measured.as_ref().map(|served| served.level.clone()))
        .collect();
    let predicted: Vec<Level> = levels
        .iter()
        .map(|level| level.predicted.level.clone())
        .collect();
    let mut sentences = Vec::new();
    for (which, levels) in [("measured", measured), ("predicted", Some(predicted))] {
        let Some(levels) = levels.filter(|levels| levels.len() > 1) else {
            continue;
        };
        sentences.push(match MichaelisMenten::fit(&levels) {
            Ok(fit) => format!(
                "A Michaelis-Menten curve through the {which} levels has a maximum of {} tok/s, half \
                 of it at {} users.",
                short(fit.v_max.value),
                short(fit.k.value)
            ),
            Err(why) => format!(
                "There is no Michaelis-Menten curve through the {which} levels: {why}."
            ),
        });
    }
    if sentences.is_empty() {
        return paragraph("One level says nothing of saturation; --users 1,2,4,8 would.");
    }
    sentences.push(
        "saturation_report.txt (--out) says whether these levels can support a maximum.".to_owned(),
    );
    paragraph(&sentences.join(" "))
}

/// One sentence for the figure.
pub(super) fn caption(all: &Levels<'_>) -> String {
    let (stack, levels) = (all.stack, all.levels);
    let count = match levels.len() {
        1 => "1 level".to_owned(),
        n => format!("{n} levels"),
    };
    let how = match errors(levels, |s| Some(s.level.tok_s)) {
        Some((median, worst, _)) => format!(
            "lines predicted from the step latency, dots measured; throughput is off by {median:.1} \
             % in the median and {worst:.1} % at most"
        ),
        None => "predicted from the step latency, nothing measured".to_owned(),
    };
    let warning = match stack.origin {
        Origin::Calibration | Origin::Given => "",
        Origin::Demonstration => " A demonstration: it says nothing of any GPU.",
        Origin::DataSheet => " The step latency is the data sheet's roofline, an upper bound.",
        Origin::Typical => " The step latency is what engines typically reach.",
    };
    format!(
        "{count} of users with requests of {}; {how}.{warning}",
        tokens(all)
    )
}
