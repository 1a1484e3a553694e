//! The range of every field. A refusal names the field, the value and what is allowed.

#[cfg(feature = "continuous")]
use super::Engine;
use super::{ClosedLoop, Scenario, Source, Ties, VERSION, Workload};
use crate::error::Error;
use crate::latency::Latency;
#[cfg(feature = "continuous")]
use crate::latency::StepLatency;
use crate::sched::bins::{Boundaries, MAX_BINS, MAX_CUT};
#[cfg(feature = "continuous")]
use crate::sched::continuous::kv::{Capacity, Preemption};
#[cfg(feature = "continuous")]
use crate::sched::continuous::speculative::MAX_DRAFT;
#[cfg(feature = "continuous")]
use crate::sched::continuous::{Server, Warmup};
#[cfg(feature = "continuous")]
use crate::trace::Failed;

/// Most GPUs a fleet can have.
pub const MAX_GPUS: u32 = 4096;
/// Largest batch of any policy.
pub const MAX_BATCH: u32 = 4096;
/// Most users of a closed loop, and most requests of each; as many as a generated trace can have.
const MAX_USERS: u32 = 10_000_000;

pub(super) fn scenario(s: &Scenario) -> Result<(), Error> {
    if s.version != VERSION {
        return Err(refuse(
            "version",
            s.version,
            format!("{VERSION}, the only version so far"),
        ));
    }
    match &s.trace {
        Source::File { .. } => s.trace.reading().check()?,
        Source::Synthetic(synthetic) => synthetic.check("trace.synthetic")?,
    }
    let w = &s.workload;
    for (field, value) in [
        ("workload.window_start_s", w.window_start_s),
        ("workload.window_end_s", w.window_end_s),
    ] {
        if let Some(value) = value {
            number(field, value, 0.0, 1e12)?;
        }
    }
    if let (Some(start), Some(end)) = (w.window_start_s, w.window_end_s)
        && end <= start
    {
        return Err(refuse(
            "workload.window_end_s",
            end,
            format!("more than window_start_s, which is {start}"),
        ));
    }
    if let Some(limit) = w.limit {
        whole("workload.limit", limit, 1, u32::MAX)?;
    }
    number("workload.time_scale", w.time_scale, 1e-6, 1e9)?;
    if let Some(rate) = w.rate_per_s {
        number("workload.rate_per_s", rate, 1e-6, 1e7)?;
    }
    if let Some(users) = &w.closed_loop {
        closed_loop(users, w)?;
    }
    s.predictor.check("predictor")?;
    scheduler(s)?;
    whole("fleet.gpus", s.fleet.gpus, 1, MAX_GPUS)?;
    let Latency::Linear(linear) = &s.latency;
    number("latency.linear.alpha_s", linear.alpha_s, 0.0, 1e3)?;
    number(
        "latency.linear.beta_s_per_token",
        linear.beta_s_per_token,
        0.0,
        10.0,
    )?;
    number("latency.linear.gamma", linear.gamma, 0.0, 1e3)?;
    number("latency.linear.growth", linear.growth, 0.0, 10.0)?;
    number("latency.linear.floor_s", linear.floor_s, 1e-9, 10.0)?;
    memory(s)?;
    #[cfg(feature = "continuous")]
    if let Engine::Continuous(server) = &s.engine {
        continuous(s, server)?;
    }
    if let Some(ttft) = s.sla.ttft_s {
        number("sla.ttft_s", ttft, 1e-6, 1e7)?;
    }
    number("sla.token_ms", s.sla.token_ms, 1e-3, 1e7)?;
    number("sla.request_s", s.sla.request_s, 1e-6, 1e7)
}

fn closed_loop(users: &ClosedLoop, w: &Workload) -> Result<(), Error> {
    whole("workload.closed_loop.users", users.users, 1, MAX_USERS)?;
    whole(
        "workload.closed_loop.requests_per_user",
        users.requests_per_user,
        1,
        MAX_USERS,
    )?;
    for (field, value) in [
        ("workload.closed_loop.think_min_s", users.think_min_s),
        ("workload.closed_loop.think_max_s", users.think_max_s),
    ] {
        number(field, value, 0.0, 1e6)?;
    }
    if users.think_max_s < users.think_min_s {
        return Err(refuse(
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
            return Err(Error::Contradiction {
                what: field.to_owned(),
                why: format!(
                    "it is about the trace's arrival times, and in a closed loop users send when \
                     they have their answer (workload.closed_loop); {remedy}"
                ),
            });
        }
    }
    Ok(())
}

fn scheduler(s: &Scenario) -> Result<(), Error> {
    let scheduler = &s.scheduler;
    whole(
        "scheduler.static_batch",
        scheduler.static_batch,
        1,
        MAX_BATCH,
    )?;
    whole("scheduler.full_batch", scheduler.full_batch, 1, MAX_BATCH)?;
    whole("scheduler.max_batch", scheduler.max_batch, 1, MAX_BATCH)?;

    let bins = &scheduler.bins;
    whole("scheduler.bins.count", bins.count, 1, MAX_BINS)?;
    whole("scheduler.bins.sample_rows", bins.sample_rows, 1, u32::MAX)?;
    whole("scheduler.bins.sample_size", bins.sample_size, 1, u32::MAX)?;
    whole("scheduler.bins.last_upper", bins.last_upper, 2, MAX_CUT)?;
    if bins.boundaries == Boundaries::Fixed {
        let shown = format!("{:?}", bins.cuts);
        if bins.cuts.len() >= MAX_BINS as usize {
            return Err(refuse(
                "scheduler.bins.cuts",
                format!("a list of {}", bins.cuts.len()),
                format!("at most {} cuts", MAX_BINS - 1),
            ));
        }
        let increasing = bins.cuts.windows(2).all(|pair| pair[0] < pair[1]);
        let in_range = bins.cuts.iter().all(|cut| (1..=MAX_CUT).contains(cut));
        if !increasing || !in_range {
            return Err(refuse(
                "scheduler.bins.cuts",
                shown,
                format!("increasing whole numbers from 1 to {MAX_CUT}"),
            ));
        }
    }

    let bound = &scheduler.memory_bound;
    number("scheduler.memory_bound.reserve", bound.reserve, 0.0, 0.99)?;
    number(
        "scheduler.memory_bound.overflow_probability",
        bound.overflow_probability,
        1e-9,
        0.5,
    )?;
    number(
        "scheduler.memory_bound.smoothing",
        bound.smoothing,
        0.0,
        1.0,
    )?;
    for (field, value) in [
        (
            "scheduler.memory_bound.initial_prompt_tokens",
            bound.initial_prompt_tokens,
        ),
        (
            "scheduler.memory_bound.initial_output_tokens",
            bound.initial_output_tokens,
        ),
        (
            "scheduler.memory_bound.initial_sd_tokens",
            bound.initial_sd_tokens,
        ),
    ] {
        number(field, value, 0.0, 1e7)?;
    }

    let controller = &scheduler.controller;
    if let Some(target) = controller.target_s {
        number("scheduler.controller.target_s", target, 1e-6, 1e6)?;
    }
    number(
        "scheduler.controller.epsilon_s",
        controller.epsilon_s,
        0.0,
        1e6,
    )?;
    whole("scheduler.controller.alpha", controller.alpha, 0, MAX_BATCH)?;
    whole("scheduler.controller.delta", controller.delta, 0, MAX_BATCH)?;
    number(
        "scheduler.controller.smoothing",
        controller.smoothing,
        0.0,
        1.0,
    )?;
    number(
        "scheduler.controller.initial_batch",
        controller.initial_batch,
        1.0,
        f64::from(MAX_BATCH),
    )
}

/// Most tokens of a step, and most blocks of a cache: far beyond any server, and products of two fit.
#[cfg(feature = "continuous")]
const MAX_STEP_TOKENS: u32 = 1 << 24;
#[cfg(feature = "continuous")]
const MAX_BLOCKS: u32 = 1 << 30;

#[cfg(feature = "continuous")]
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
            s.workload.ties == Ties::PublishedHeap,
            "the published event queue is of closed batches; set it to fixed",
        ),
    ] {
        if contradicts {
            return Err(Error::Contradiction {
                what: what.to_owned(),
                why: format!("engine.continuous serves token by token, and {why}"),
            });
        }
    }
    if server.order.has_classes() && server.classes.is_empty() {
        return Err(Error::Contradiction {
            what: field("order"),
            why: "priority and edf order requests by their classes, and engine.continuous.classes is empty; give \
                  classes, or use fcfs"
                .to_owned(),
        });
    }
    number("ageing_per_s", server.ageing_per_s, 0.0, 1e6)?;
    for (i, class) in server.classes.iter().enumerate() {
        number(&format!("classes[{i}].level"), class.level, -1e6, 1e6)?;
        if let Some(deadline) = class.deadline_s {
            number(&format!("classes[{i}].deadline_s"), deadline, 0.0, 1e7)?;
        }
    }
    number("bin_patience_s", server.bin_patience_s, 0.0, 1e7)?;
    whole("max_sequences", server.max_sequences, 1, MAX_BATCH)?;
    if let Some(draft) = &server.speculative {
        whole("speculative.draft_tokens", draft.draft_tokens, 1, MAX_DRAFT)?;
        let shown = format!("{:?}", draft.acceptance);
        if draft.acceptance.is_empty() || draft.acceptance.len() > draft.draft_tokens as usize {
            return Err(refuse(
                &field("speculative.acceptance"),
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
        number("speculative.draft_s", draft.draft_s, 0.0, 10.0)?;
        number(
            "speculative.draft_s_per_sequence",
            draft.draft_s_per_sequence,
            0.0,
            10.0,
        )?;
    }
    let per_sequence = 1 + server.speculative.as_ref().map_or(0, |d| d.draft_tokens);
    // Both factors are bounded above.
    let decoded = server.max_sequences * per_sequence;
    if !(decoded..=MAX_STEP_TOKENS).contains(&server.max_batched_tokens) {
        return Err(refuse(
            &field("max_batched_tokens"),
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
    whole(
        "long_prefill_token_threshold",
        server.long_prefill_token_threshold,
        0,
        MAX_STEP_TOKENS,
    )?;
    whole("kv.block_tokens", server.kv.block_tokens, 1, 4_096)?;
    if let Capacity::Blocks(blocks) = server.kv.capacity {
        // One for requests beside the null block.
        let least = 1 + u32::from(server.kv.null_block);
        whole("kv.capacity.blocks", blocks, least, MAX_BLOCKS)?;
    }
    number("kv.watermark", server.kv.watermark, 0.0, 0.9)?;
    if let Preemption::Swap { gb_per_s } = server.kv.preemption {
        number("kv.preemption.swap.gb_per_s", gb_per_s, 1e-3, 1e6)?;
    }
    number(
        "kv.prefix.eviction_s",
        server.kv.prefix.eviction_s,
        0.0,
        10.0,
    )?;
    if let Some(most) = server.admission.max_waiting {
        whole("admission.max_waiting", most, 0, u32::MAX)?;
    }
    if let Some(timeout) = server.admission.timeout_s {
        number("admission.timeout_s", timeout, 0.0, 1e7)?;
    }
    whole("tensor_parallel", server.tensor_parallel, 1, 1024)?;
    if !s.fleet.gpus.is_multiple_of(server.tensor_parallel) {
        return Err(refuse(
            "fleet.gpus",
            s.fleet.gpus,
            format!(
                "a multiple of {AT}.tensor_parallel, which is {}",
                server.tensor_parallel
            ),
        ));
    }
    if let Warmup::Share(share) = server.warmup {
        number("warmup.share", share, 0.0, 0.5)?;
    }
    if let Some(c) = &server.ceiling {
        for (name, value) in [
            ("weight_bytes", c.weight_bytes),
            ("token_bytes", c.token_bytes),
            ("token_flops", c.token_flops),
            ("pair_flops", c.pair_flops),
        ] {
            number(&format!("ceiling.{name}"), value, 0.0, 1e18)?;
        }
        number("ceiling.peak_flops", c.peak_flops, 1.0, 1e21)?;
        number(
            "ceiling.bandwidth_bytes_per_s",
            c.bandwidth_bytes_per_s,
            1.0,
            1e18,
        )?;
    }
    match &server.latency {
        StepLatency::Linear(step) => {
            for (name, value, most) in [
                ("c0_s", step.c0_s, 1e3),
                ("c1_s_per_sequence", step.c1_s_per_sequence, 10.0),
                ("c2_s_per_context_token", step.c2_s_per_context_token, 1.0),
                ("c3_s_per_prefill_token", step.c3_s_per_prefill_token, 1.0),
                ("c4_s_per_prefill_pair", step.c4_s_per_prefill_pair, 1.0),
            ] {
                number(&format!("latency.linear.{name}"), value, 0.0, most)?;
            }
            if let Some(compute) = step.compute {
                number("latency.linear.compute.d0_s", compute.d0_s, 0.0, 1e3)?;
                number(
                    "latency.linear.compute.d1_s_per_token",
                    compute.d1_s_per_token,
                    0.0,
                    1.0,
                )?;
            }
            // Time must pass, or a run of many tokens would end where it began. No coefficient is negative,
            // so these are the two shortest steps that there can be.
            let decode_s = step.step_s(1.0, 1.0, 0.0);
            let prompt_s = step.step_s(0.0, 0.0, 1.0) + step.c4_s_per_prefill_pair;
            for (what, least_s) in [("one sequence", decode_s), ("one prompt token", prompt_s)] {
                if least_s < 1e-9 {
                    return Err(refuse(
                        &field("latency.linear"),
                        format!("a step of {least_s} s for {what}"),
                        "coefficients that make every step last at least 1e-9 s".to_owned(),
                    ));
                }
            }
        }
        StepLatency::Table(table) => table.check(&field("latency.table"))?,
        StepLatency::Profile(profile) => profile.check(&field("latency.profile"))?,
    }
    Ok(())
}

fn memory(s: &Scenario) -> Result<(), Error> {
    let m = &s.memory;
    // GPUs that work together share the model.
    let gpus = f64::from(s.gpus_together());
    number("memory.capacity_gb", m.capacity_gb, 1e-3, 1e6)?;
    number("memory.model_gb", m.model_gb, 0.0, 1e6)?;
    number("memory.kv_gb_per_token", m.kv_gb_per_token, 1e-12, 1.0)?;
    number("memory.margin_gb", m.margin_gb, 0.0, 1e6)?;
    if m.model_gb + gpus * m.margin_gb >= gpus * m.capacity_gb {
        let allowed = match s.gpus_together() {
            1 => format!(
                "more than the model's {} GB and the margin's {} GB together",
                m.model_gb, m.margin_gb
            ),
            n => format!(
                "more than a share of the model's {} GB for each of {n} GPUs and the margin's {} GB together",
                m.model_gb, m.margin_gb
            ),
        };
        return Err(refuse("memory.capacity_gb", m.capacity_gb, allowed));
    }
    Ok(())
}

fn refuse(field: &str, value: impl ToString, allowed: String) -> Error {
    Error::BadField {
        field: field.to_owned(),
        value: value.to_string(),
        allowed,
    }
}

/// Refuses NaN and infinities too: no range contains them.
pub(crate) fn number(field: &str, value: f64, low: f64, high: f64) -> Result<(), Error> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(refuse(field, value, format!("{low} to {high}")))
    }
}

pub(crate) fn whole(field: &str, value: u32, low: u32, high: u32) -> Result<(), Error> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(refuse(
            field,
            value,
            format!("a whole number from {low} to {high}"),
        ))
    }
}
