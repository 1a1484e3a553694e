//! What a scenario must fulfil: the ranges of [`settings`], and what concerns several settings at once. A refusal names the
//! field, the value and what is allowed.

use super::Engine;
use super::settings::{MAX_BLOCKS, MAX_STEP_TOKENS};
use super::{ClosedLoop, Scenario, Source, Ties, VERSION, Workload, settings};
use crate::error::Error;
use crate::error::{number, whole};
use crate::latency::{Latency, StepLatency};
use crate::sched::bins::{Boundaries, MAX_BINS, MAX_CUT};
use crate::sched::continuous::Server;
use crate::sched::continuous::kv::Capacity;
use crate::sched::memory::Memory;
use crate::trace::Failed;

pub(super) fn scenario(s: &Scenario) -> Result<(), Error> {
    if s.version != VERSION {
        return Err(Error::bad_field(
            "version",
            s.version,
            format!("{VERSION}; texts of version 1 are read as well"),
        ));
    }
    match &s.trace {
        Source::File { .. } => s.trace.reading().check()?,
        Source::Synthetic(synthetic) => synthetic.check("trace.synthetic")?,
    }
    settings::check_ranges(s)?;
    let w = &s.workload;
    if let (Some(start), Some(end)) = (w.window_start_s, w.window_end_s)
        && end <= start
    {
        return Err(Error::bad_field(
            "workload.window_end_s",
            end,
            format!("more than window_start_s, which is {start}"),
        ));
    }
    if let Some(users) = &w.closed_loop {
        closed_loop(users, w)?;
    }
    cuts(s)?;
    match &s.engine {
        Engine::Closed(closed) => {
            memory(&closed.memory, "engine.closed", 1)?;
            match &closed.latency {
                Latency::Linear(_) => Ok(()),
                Latency::Steps(latency) => steps(latency, "engine.closed.latency.steps"),
            }
        }
        Engine::Continuous(server) => {
            memory(&server.memory, "engine.continuous", server.tensor_parallel)?;
            continuous(s, server)
        }
    }
}

fn closed_loop(users: &ClosedLoop, w: &Workload) -> Result<(), Error> {
    if users.think_max_s < users.think_min_s {
        return Err(Error::bad_field(
            "workload.closed_loop.think_max_s",
            users.think_max_s,
            format!("at least think_min_s, which is {}", users.think_min_s),
        ));
    }
    // Settings about recorded arrival times, which a closed loop does not use.
    for (field, contradicts, remedy) in [
        (
            "workload.rate_per_s",
            w.rate_per_s.is_some(),
            "remove one of the two",
        ),
        (
            "workload.time_scale",
            w.time_scale != 1.0,
            "set it to 1, or remove the closed loop",
        ),
        (
            "workload.window_start_s",
            w.window_start_s.is_some(),
            "use workload.limit, or remove the closed loop",
        ),
        (
            "workload.window_end_s",
            w.window_end_s.is_some(),
            "use workload.limit, or remove the closed loop",
        ),
        (
            "workload.ties",
            w.ties != Ties::Fixed,
            "set it to fixed, or remove the closed loop",
        ),
    ] {
        if contradicts {
            return Err(Error::contradiction(
                field,
                format!(
                    "it is about the trace's arrival times, and in a closed loop users send when \
                     they have their answer (workload.closed_loop); {remedy}"
                ),
            ));
        }
    }
    Ok(())
}

/// The cuts of fixed boundaries.
fn cuts(s: &Scenario) -> Result<(), Error> {
    let bins = &s.bins;
    if bins.boundaries != Boundaries::Fixed {
        return Ok(());
    }
    if bins.cuts.len() >= MAX_BINS as usize {
        return Err(Error::bad_field(
            "bins.cuts",
            format!("a list of {}", bins.cuts.len()),
            format!("at most {} cuts", MAX_BINS - 1),
        ));
    }
    let increasing = bins.cuts.windows(2).all(|pair| pair[0] < pair[1]);
    let in_range = bins.cuts.iter().all(|cut| (1..=MAX_CUT).contains(cut));
    if !increasing || !in_range {
        return Err(Error::bad_field(
            "bins.cuts",
            format!("{:?}", bins.cuts),
            format!("increasing whole numbers from 1 to {MAX_CUT}"),
        ));
    }
    Ok(())
}

fn continuous(s: &Scenario, server: &Server) -> Result<(), Error> {
    const AT: &str = "engine.continuous";
    let field = |name: &str| format!("{AT}.{name}");
    let number = |name: &str, value, low, high| number(&field(name), value, low, high);
    let whole = |name: &str, value, low, high| whole(&field(name), value, low, high);
    for (what, contradicts, why) in [
        (
            "workload.failed",
            s.workload.failed == Failed::Keep,
            "a request without output has no last token; set it to drop",
        ),
        (
            "workload.ties",
            s.workload.ties != Ties::Fixed,
            "the published event queue is of closed batches; set it to fixed",
        ),
    ] {
        if contradicts {
            return Err(Error::contradiction(
                what,
                format!("engine.continuous serves token by token, and {why}"),
            ));
        }
    }
    if server.order.has_classes() && server.classes.is_empty() {
        return Err(Error::contradiction(
            field("order"),
            "priority and edf order requests by their classes, and engine.continuous.classes is empty; give \
                  classes, or use fcfs",
        ));
    }
    for (i, class) in server.classes.iter().enumerate() {
        if server.classes[..i]
            .iter()
            .any(|earlier| earlier.label == class.label)
        {
            return Err(Error::bad_field(
                field(&format!("classes[{i}].label")),
                format!("{:?}, a second time", class.label),
                "each label once",
            ));
        }
        number(&format!("classes[{i}].level"), class.level, -1e6, 1e6)?;
        if let Some(deadline) = class.deadline_s {
            number(&format!("classes[{i}].deadline_s"), deadline, 0.0, 1e7)?;
        }
    }
    if let Some(draft) = &server.speculative {
        let shown = format!("{:?}", draft.acceptance);
        if draft.acceptance.is_empty() || draft.acceptance.len() > draft.draft_tokens as usize {
            return Err(Error::bad_field(
                field("speculative.acceptance"),
                shown,
                match draft.draft_tokens {
                    1 => "a list of one number from 0 to 1, for the one drafted token".to_owned(),
                    n => format!(
                        "a list of 1 to {n} numbers from 0 to 1, one for each drafted token at most"
                    ),
                },
            ));
        }
        for (i, &chance) in draft.acceptance.iter().enumerate() {
            number(&format!("speculative.acceptance[{i}]"), chance, 0.0, 1.0)?;
        }
    }
    let per_sequence = 1 + server.speculative.as_ref().map_or(0, |d| d.draft_tokens);
    // Both factors are bounded above.
    let decoded = server.max_sequences * per_sequence;
    if !(decoded..=MAX_STEP_TOKENS).contains(&server.max_batched_tokens) {
        return Err(Error::bad_field(
            field("max_batched_tokens"),
            server.max_batched_tokens,
            format!(
                "a whole number from {decoded} to {MAX_STEP_TOKENS}, so that {} sequences can decode in one step{}",
                server.max_sequences,
                match per_sequence {
                    1 => String::new(),
                    n => format!(" with {n} tokens each"),
                }
            ),
        ));
    }
    if let Capacity::Blocks(blocks) = server.kv.capacity {
        // One for requests beside the null block.
        let least = 1 + u32::from(server.kv.null_block);
        whole("kv.capacity.blocks", blocks, least, MAX_BLOCKS)?;
    }
    if !s.fleet.gpus.is_multiple_of(server.tensor_parallel) {
        return Err(Error::bad_field(
            "fleet.gpus",
            s.fleet.gpus,
            format!(
                "a multiple of {AT}.tensor_parallel, which is {}",
                server.tensor_parallel
            ),
        ));
    }
    steps(&server.latency, "engine.continuous.latency")
}

/// Time must pass with every step.
fn steps(latency: &StepLatency, at: &str) -> Result<(), Error> {
    match latency {
        StepLatency::Linear(step) => {
            // Or a run of many tokens would end where it began. No coefficient is negative, so these are the two
            // shortest steps that there can be.
            let decode_s = step.step_s(1.0, 1.0, 0.0);
            let prompt_s = step.step_s(0.0, 0.0, 1.0) + step.c4_s_per_prefill_pair;
            for (what, least_s) in [("one sequence", decode_s), ("one prompt token", prompt_s)] {
                if least_s < 1e-9 {
                    return Err(Error::bad_field(
                        format!("{at}.linear"),
                        format!("a step of {least_s} s for {what}"),
                        "coefficients that make every step last at least 1e-9 s".to_owned(),
                    ));
                }
            }
            Ok(())
        }
        StepLatency::Table(table) => table.check(&format!("{at}.table")),
        StepLatency::Profile(profile) => profile.check(&format!("{at}.profile")),
        StepLatency::Modelled(step) => step.check(&format!("{at}.modelled")),
    }
}

/// The memory of a GPU, where `together` GPUs share the model.
fn memory(m: &Memory, engine: &str, together: u32) -> Result<(), Error> {
    let gpus = f64::from(together);
    if m.model_gb + gpus * m.margin_gb >= gpus * m.capacity_gb {
        let allowed = match together {
            1 => format!(
                "more than the model's {} GB and the margin's {} GB together",
                m.model_gb, m.margin_gb
            ),
            n => format!(
                "more than a share of the model's {} GB for each of {n} GPUs and the margin's {} GB together",
                m.model_gb, m.margin_gb
            ),
        };
        return Err(Error::bad_field(
            format!("{engine}.memory.capacity_gb"),
            m.capacity_gb,
            allowed,
        ));
    }
    Ok(())
}
