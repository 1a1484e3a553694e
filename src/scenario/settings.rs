//! Every setting of a scenario, once: its path, its range, and why it has no effect in some scenarios.
//!
//! From [`SETTINGS`] come the check of ranges ([`Scenario::validate`](super::Scenario::validate)), the refusal of settings
//! without effect ([`Scenario::from_json`](super::Scenario::from_json)), the JSON schema, `scenario explain` and
//! docs/SETTINGS.md. What a setting means says the comment of its field, which the schema carries along.
//!
//! A complete scenario has every field, those of other policies too. A field that has its default may therefore
//! stand anywhere; one that differs from it and has no effect is refused, because its author expects one. The page's
//! forms keep the settings of policies that are not chosen, and a study's points have a common base, so `validate` does
//! not make that check.

use super::effect::*;
use super::{ClosedLoop, Engine, Scenario, Source};
use crate::error::{Error, number, whole};
use crate::latency::Latency;
use crate::latency::StepLatency;
use crate::latency::step::Step;
use crate::sched::Closed;
use crate::sched::bins::{MAX_BINS, MAX_CUT};
use crate::sched::continuous::kv::Preemption;
use crate::sched::continuous::speculative::MAX_DRAFT;
use crate::sched::continuous::{Server, Warmup};

/// Most GPUs a fleet can have.
pub const MAX_GPUS: u32 = 4096;
/// Largest batch of any policy.
pub const MAX_BATCH: u32 = 4096;
/// Most users of a closed loop, and most requests of each; as many as a generated trace can have.
const MAX_USERS: u32 = 10_000_000;
/// Most tokens of a step, and most blocks of a cache: far beyond any server, and products of two fit.
pub(super) const MAX_STEP_TOKENS: u32 = 1 << 24;
pub(super) const MAX_BLOCKS: u32 = 1 << 30;

/// A setting of a scenario.
pub(super) struct Setting {
    /// Where it stands in the JSON form.
    pub path: &'static str,
    pub range: Range,
    /// Why it has no effect in a scenario, whatever its value; absent where it always has one, or one that only the trace's
    /// rows can tell.
    why: Option<fn(&Scenario) -> Option<String>>,
    is_default: fn(&Scenario) -> bool,
    reset: fn(&mut Scenario),
}

impl Setting {
    /// Why it has no effect in this scenario.
    fn idle(&self, s: &Scenario) -> Option<String> {
        // Settings of the engine that a scenario does not have: a flag or `--set` may name one.
        let other_engine = match self.path {
            path if path.starts_with("engine.closed.") => of_closed_batches(s),
            path if path.starts_with("engine.continuous.") => of_a_server(s),
            _ => None,
        };
        other_engine.or_else(|| self.why.and_then(|why| why(s)))
    }

    /// Whether it has no effect in some scenarios.
    pub fn is_at_times_idle(&self) -> bool {
        self.why.is_some()
    }
}

/// Which values a setting can have; `of` gives its value, where the scenario has one.
pub(super) enum Range {
    Number {
        low: f64,
        high: f64,
        of: fn(&Scenario) -> Option<f64>,
    },
    Whole {
        low: u32,
        high: u32,
        of: fn(&Scenario) -> Option<u32>,
    },
    /// A choice, a list, or a number whose range depends on other settings: [`check`](super::check) has it.
    Elsewhere,
}

/// Refuses the first setting whose value is outside its range.
pub(super) fn check_ranges(s: &Scenario) -> Result<(), Error> {
    for setting in SETTINGS {
        match setting.range {
            Range::Number { low, high, of } => {
                of(s).map_or(Ok(()), |value| number(setting.path, value, low, high))?;
            }
            Range::Whole { low, high, of } => {
                of(s).map_or(Ok(()), |value| whole(setting.path, value, low, high))?;
            }
            Range::Elsewhere => {}
        }
    }
    Ok(())
}

/// Refuses the first setting that differs from its default and has no effect.
pub(super) fn check_effects(s: &Scenario) -> Result<(), Error> {
    match without_effect(s).next() {
        Some((path, why)) => Err(refusal(path, &why)),
        None => Ok(()),
    }
}

/// A refusal of a setting, by its path or its flag.
pub(crate) fn refusal(what: &str, why: &str) -> Error {
    Error::contradiction(
        what,
        format!("it would have no effect: {why}; leave it out"),
    )
}

/// Every setting that differs from its default and has no effect, with the reason.
pub(super) fn without_effect(s: &Scenario) -> impl Iterator<Item = (&'static str, String)> {
    SETTINGS
        .iter()
        .filter(|setting| !(setting.is_default)(s))
        .filter_map(|setting| Some((setting.path, setting.idle(s)?)))
}

/// Why a setting, or a group that it belongs to, has no effect, whatever its value.
pub(super) fn reason(s: &Scenario, path: &str) -> Option<String> {
    let groups = std::iter::successors(Some(path), |path| {
        path.rsplit_once('.').map(|(group, _)| group)
    });
    groups
        .filter_map(|path| SETTINGS.iter().find(|setting| setting.path == path))
        .find_map(|setting| setting.idle(s))
}

/// Puts every setting that has no effect back to its default.
pub(super) fn reset(s: &mut Scenario) {
    // A reset can take another setting's effect away: ageing goes with the order.
    while let Some(setting) = SETTINGS
        .iter()
        .find(|setting| !(setting.is_default)(s) && setting.idle(s).is_some())
    {
        (setting.reset)(s);
    }
}

/// The range of a setting with the function that finds its value: `number(low, high)` and `whole(low, high)`, with `some_`
/// for one that may be absent, or `elsewhere`.
macro_rules! range {
    ($of:expr, elsewhere()) => {
        Range::Elsewhere
    };
    ($of:expr, number($low:expr, $high:expr)) => {
        Range::Number {
            low: $low,
            high: $high,
            of: |s| {
                let of: fn(&Scenario) -> Option<&f64> = $of;
                of(s).copied()
            },
        }
    };
    ($of:expr, some_number($low:expr, $high:expr)) => {
        Range::Number {
            low: $low,
            high: $high,
            of: |s| {
                let of: fn(&Scenario) -> Option<&Option<f64>> = $of;
                of(s).copied().flatten()
            },
        }
    };
    ($of:expr, whole($low:expr, $high:expr)) => {
        Range::Whole {
            low: $low,
            high: $high,
            of: |s| {
                let of: fn(&Scenario) -> Option<&u32> = $of;
                of(s).copied()
            },
        }
    };
    ($of:expr, some_whole($low:expr, $high:expr)) => {
        Range::Whole {
            low: $low,
            high: $high,
            of: |s| {
                let of: fn(&Scenario) -> Option<&Option<u32>> = $of;
                of(s).copied().flatten()
            },
        }
    };
}

/// A reason, or none.
macro_rules! why {
    () => {
        None
    };
    ($why:expr) => {
        Some($why)
    };
}

/// A setting by its path in [`Scenario`].
macro_rules! setting {
    ($first:ident $(. $rest:ident)*, $kind:ident $range:tt $(, $why:expr)?) => {
        Setting {
            path: concat!(stringify!($first) $(, ".", stringify!($rest))*),
            range: range!(|s| Some(&s.$first$(.$rest)*), $kind $range),
            why: why!($($why)?),
            is_default: |s| s.$first$(.$rest)* == Scenario::default().$first$(.$rest)*,
            reset: |s| s.$first$(.$rest)* = Scenario::default().$first$(.$rest)*,
        }
    };
}

/// A setting of the users of a closed loop.
macro_rules! users {
    ($name:ident, $kind:ident $range:tt $(, $why:expr)?) => {
        Setting {
            path: concat!("workload.closed_loop.", stringify!($name)),
            range: range!(|s| s.workload.closed_loop.as_ref().map(|users| &users.$name), $kind $range),
            why: why!($($why)?),
            is_default: |s| s.workload.closed_loop.is_none_or(|users| users.$name == ClosedLoop::default().$name),
            reset: |s| {
                if let Some(users) = &mut s.workload.closed_loop {
                    users.$name = ClosedLoop::default().$name;
                }
            },
        }
    };
}

/// A coefficient of the studies' formula.
macro_rules! linear {
    ($name:ident, $kind:ident $range:tt) => {
        of_choice!(
            concat!("engine.closed.latency.linear.", stringify!($name)),
            $kind $range,
            |s| s.closed()?.latency.linear().map(|linear| &linear.$name)
        )
    };
}

/// A setting of one engine, by the functions that find it; the reason takes the scenario and the engine's settings.
macro_rules! of_engine {
    ($at:literal, $get:ident, $change:expr, $type:ty, $first:ident $(. $rest:ident)*, $kind:ident $range:tt $(, $why:expr)?) => {
        Setting {
            path: concat!($at, stringify!($first) $(, ".", stringify!($rest))*),
            range: range!(|s| s.$get().map(|of| &of.$first$(.$rest)*), $kind $range),
            why: why!($(|s: &Scenario| {
                let why: fn(&Scenario, &$type) -> Option<String> = $why;
                why(s, s.$get()?)
            })?),
            is_default: |s| {
                s.$get().is_none_or(|of| of.$first$(.$rest)* == <$type>::default().$first$(.$rest)*)
            },
            reset: |s| {
                let change: fn(&mut Scenario) -> Option<&mut $type> = $change;
                if let Some(of) = change(s) {
                    of.$first$(.$rest)* = <$type>::default().$first$(.$rest)*;
                }
            },
        }
    };
}

/// A setting of `engine.closed`.
macro_rules! closed {
    ($($setting:tt)*) => {
        of_engine!("engine.closed.", closed, |s| s.closed().is_some().then(|| s.closed_mut()), Closed, $($setting)*)
    };
}

/// A setting of `engine.continuous`.
macro_rules! server {
    ($($setting:tt)*) => {
        of_engine!("engine.continuous.", server, Scenario::server_mut, Server, $($setting)*)
    };
}

/// A setting of a part of the server that may be absent, or is one of several.
macro_rules! part {
    ($path:literal, $kind:ident $range:tt, $part:pat = $of:ident $(. $rest:ident)* => $value:expr) => {
        of_choice!(concat!("engine.continuous.", $path), $kind $range, |s| match &s.server()?.$of$(.$rest)* {
            $part => Some($value),
            _ => None,
        })
    };
}

/// A setting that only one of several choices has.
macro_rules! of_choice {
    ($path:expr, $kind:ident $range:tt, $of:expr) => {
        Setting {
            path: $path,
            range: range!($of, $kind $range),
            why: None,
            // It has no default apart from the choice that it belongs to.
            is_default: |_| true,
            reset: |_| {},
        }
    };
}

/// A coefficient of a step, of the server and of closed batches that take steps.
macro_rules! step {
    ($at:literal, $of:expr, $name:ident, $high:expr) => {
        of_choice!(
            concat!($at, ".linear.", stringify!($name)),
            number(0.0, $high),
            |s| match $of(s)? {
                StepLatency::Linear(step) => Some(&step.$name),
                _ => None,
            }
        )
    };
    ($at:literal, $of:expr, compute.$name:ident, $high:expr) => {
        of_choice!(
            concat!($at, ".linear.compute.", stringify!($name)),
            number(0.0, $high),
            |s| match $of(s)? {
                StepLatency::Linear(Step {
                    compute: Some(compute),
                    ..
                }) => Some(&compute.$name),
                _ => None,
            }
        )
    };
}

/// How long the steps of closed batches take.
fn batch_steps(s: &Scenario) -> Option<&StepLatency> {
    match &s.closed()?.latency {
        Latency::Linear(_) => None,
        Latency::Steps(steps) => Some(steps),
    }
}

/// How long the steps of the server take.
fn server_steps(s: &Scenario) -> Option<&StepLatency> {
    s.server().map(|server| &server.latency)
}

/// In the order of the JSON form. `trace.synthetic` and the step latencies have ranges of their own, which depend on what was
/// chosen.
pub(super) static SETTINGS: &[Setting] = &[
    // Where requests come from.
    Setting {
        path: "trace.file.hash_tokens",
        range: Range::Elsewhere,
        why: Some(no_hashes),
        is_default: |s| s.trace.reading().hash_tokens.is_none(),
        reset: |s| {
            if let Source::File { hash_tokens, .. } = &mut s.trace {
                *hash_tokens = None;
            }
        },
    },
    setting!(workload.window_start_s, some_number(0.0, 1e12)),
    setting!(workload.window_end_s, some_number(0.0, 1e12)),
    setting!(workload.limit, some_whole(1, u32::MAX)),
    setting!(workload.time_scale, number(1e-6, 1e9), rate_given),
    setting!(workload.rate_per_s, some_number(1e-6, 1e7)),
    setting!(workload.failed, elsewhere(), none_failed),
    setting!(workload.ties, elsewhere()),
    users!(users, whole(1, MAX_USERS)),
    users!(requests_per_user, whole(1, MAX_USERS)),
    users!(think_min_s, number(0.0, 1e6), one_request_each),
    users!(think_max_s, number(0.0, 1e6), one_request_each),
    // What a scheduler believes.
    setting!(predictor.kind, elsewhere(), no_prediction),
    setting!(predictor.sigma, number(0.0, 5.0), no_noise),
    setting!(predictor.bin_error, number(0.0, 0.5), no_bin_error),
    setting!(predictor.exponent, number(0.0, 4.0), not_from_prompts),
    setting!(predictor.scale, number(1e-6, 1e6), not_from_prompts),
    setting!(predictor.max_tokens, whole(1, u32::MAX), not_from_prompts),
    // How requests are sorted.
    setting!(bins.count, whole(1, MAX_BINS), no_count),
    setting!(bins.full_batch, whole(1, MAX_BATCH), no_full_batch),
    setting!(bins.boundaries, elsewhere(), no_bins),
    setting!(bins.served, elsewhere(), no_turns),
    setting!(bins.sample_rows, whole(1, u32::MAX), no_outputs_sampled),
    setting!(bins.sample_size, whole(1, u32::MAX), no_sample),
    setting!(bins.cuts, elsewhere(), no_cuts),
    setting!(bins.last_upper, whole(2, MAX_CUT), no_bins),
    setting!(bins.below_range_to_last, elsewhere(), none_below_range),
    setting!(bins.batch_caps, elsewhere(), no_caps),
    // Closed batches.
    closed!(policy, elsewhere()),
    closed!(static_batch, whole(1, MAX_BATCH), not_static_fifo),
    closed!(max_batch, whole(1, MAX_BATCH), not_dynamic),
    closed!(memory_bound.rule, elsewhere(), not_dynamic),
    closed!(memory_bound.reserve, number(0.0, 0.99), not_published_bound),
    closed!(
        memory_bound.overflow_probability,
        number(1e-9, 0.5),
        not_exact_bound
    ),
    closed!(memory_bound.smoothing, number(0.0, 1.0), no_memory_bound),
    closed!(
        memory_bound.initial_prompt_tokens,
        number(0.0, 1e7),
        no_memory_bound
    ),
    closed!(
        memory_bound.initial_output_tokens,
        number(0.0, 1e7),
        no_memory_bound
    ),
    closed!(
        memory_bound.initial_sd_tokens,
        number(0.0, 1e7),
        not_exact_bound
    ),
    closed!(memory_bound.at_least_running, elsewhere(), bound_alone),
    closed!(controller.variant, elsewhere(), not_dynamic),
    closed!(controller.feedback, elsewhere(), no_controller),
    closed!(controller.target_s, some_number(1e-6, 1e6), no_controller),
    closed!(controller.epsilon_s, number(0.0, 1e6), no_controller),
    closed!(controller.alpha, whole(0, MAX_BATCH), not_by_alpha),
    closed!(controller.delta, whole(0, MAX_BATCH), not_by_alpha),
    closed!(controller.smoothing, number(0.0, 1.0), no_controller),
    closed!(
        controller.initial_batch,
        number(1.0, MAX_BATCH as f64),
        no_controller
    ),
    closed!(controller.warmup_batches, whole(0, u32::MAX), no_controller),
    closed!(controller.running_floor, elsewhere(), controller_alone),
    closed!(controller.band_from_delta, elsewhere(), not_by_alpha),
    linear!(alpha_s, number(0.0, 1e3)),
    linear!(beta_s_per_token, number(0.0, 10.0)),
    linear!(gamma, number(0.0, 1e3)),
    linear!(growth, number(0.0, 10.0)),
    linear!(floor_s, number(1e-9, 10.0)),
    step!("engine.closed.latency.steps", batch_steps, c0_s, 1e3),
    step!(
        "engine.closed.latency.steps",
        batch_steps,
        c1_s_per_sequence,
        10.0
    ),
    step!(
        "engine.closed.latency.steps",
        batch_steps,
        c2_s_per_context_token,
        1.0
    ),
    step!(
        "engine.closed.latency.steps",
        batch_steps,
        c3_s_per_prefill_token,
        1.0
    ),
    step!(
        "engine.closed.latency.steps",
        batch_steps,
        c4_s_per_prefill_pair,
        1.0
    ),
    step!(
        "engine.closed.latency.steps",
        batch_steps,
        compute.d0_s,
        1e3
    ),
    step!(
        "engine.closed.latency.steps",
        batch_steps,
        compute.d1_s_per_token,
        1.0
    ),
    closed!(memory.capacity_gb, number(1e-3, 1e6)),
    closed!(memory.model_gb, number(0.0, 1e6)),
    closed!(memory.kv_gb_per_token, number(1e-12, 1.0)),
    closed!(memory.margin_gb, number(0.0, 1e6)),
    // Continuous batching.
    server!(rule, elsewhere()),
    server!(order, elsewhere()),
    server!(ageing_per_s, number(0.0, 1e6), does_not_age),
    server!(classes, elsewhere(), no_classes),
    Setting {
        path: "engine.continuous.classes.level",
        range: Range::Elsewhere,
        why: Some(|s| no_level(s.server()?)),
        is_default: |s| {
            s.server()
                .is_none_or(|x| x.classes.iter().all(|c| c.level == 0.0))
        },
        reset: |s| {
            if let Engine::Continuous(server) = &mut s.engine {
                server.classes.iter_mut().for_each(|c| c.level = 0.0);
            }
        },
    },
    Setting {
        path: "engine.continuous.classes.deadline_s",
        range: Range::Elsewhere,
        why: Some(|s| no_deadline(s.server()?)),
        is_default: |s| {
            s.server()
                .is_none_or(|x| x.classes.iter().all(|c| c.deadline_s.is_none()))
        },
        reset: |s| {
            if let Engine::Continuous(server) = &mut s.engine {
                server.classes.iter_mut().for_each(|c| c.deadline_s = None);
            }
        },
    },
    server!(bins, elsewhere()),
    server!(bin_patience_s, number(0.0, 1e7), bins_are_mixed),
    server!(max_sequences, whole(1, MAX_BATCH)),
    server!(max_batched_tokens, elsewhere()),
    server!(
        long_prefill_token_threshold,
        whole(0, MAX_STEP_TOKENS),
        chunks_are_short
    ),
    server!(async_scheduling, elsewhere()),
    server!(kv.block_tokens, whole(1, 4_096)),
    server!(kv.capacity, elsewhere()),
    server!(kv.null_block, elsewhere(), unlimited),
    server!(kv.watermark, number(0.0, 0.9), unlimited),
    server!(kv.preemption, elsewhere(), unlimited),
    part!("kv.preemption.swap.gb_per_s", number(1e-3, 1e6), Preemption::Swap { gb_per_s } = kv.preemption => gb_per_s),
    server!(kv.prefix.reuse, elsewhere()),
    server!(kv.prefix.eviction, elsewhere(), nothing_evicted),
    server!(kv.prefix.eviction_s, number(0.0, 10.0), nothing_evicted),
    part!("speculative.draft_tokens", whole(1, MAX_DRAFT), Some(draft) = speculative => &draft.draft_tokens),
    part!("speculative.acceptance", elsewhere(), Some(draft) = speculative => &draft.acceptance),
    part!("speculative.draft_s", number(0.0, 10.0), Some(draft) = speculative => &draft.draft_s),
    part!(
        "speculative.draft_s_per_sequence",
        number(0.0, 10.0),
        Some(draft) = speculative => &draft.draft_s_per_sequence
    ),
    server!(admission.whole_prompt_fits, elsewhere(), whole_anyway),
    server!(admission.max_waiting, some_whole(0, u32::MAX)),
    server!(admission.timeout_s, some_number(0.0, 1e7)),
    server!(admission.reject_too_long, elsewhere(), unlimited),
    server!(router, elsewhere(), one_replica),
    server!(tensor_parallel, whole(1, 1024)),
    part!("warmup.share", number(0.0, 0.5), Warmup::Share(share) = warmup => share),
    part!("ceiling.weight_bytes", number(0.0, 1e18), Some(c) = ceiling => &c.weight_bytes),
    part!("ceiling.token_bytes", number(0.0, 1e18), Some(c) = ceiling => &c.token_bytes),
    part!("ceiling.token_flops", number(0.0, 1e18), Some(c) = ceiling => &c.token_flops),
    part!("ceiling.pair_flops", number(0.0, 1e18), Some(c) = ceiling => &c.pair_flops),
    part!("ceiling.peak_flops", number(1.0, 1e21), Some(c) = ceiling => &c.peak_flops),
    part!(
        "ceiling.bandwidth_bytes_per_s",
        number(1.0, 1e18),
        Some(c) = ceiling => &c.bandwidth_bytes_per_s
    ),
    step!("engine.continuous.latency", server_steps, c0_s, 1e3),
    step!(
        "engine.continuous.latency",
        server_steps,
        c1_s_per_sequence,
        10.0
    ),
    step!(
        "engine.continuous.latency",
        server_steps,
        c2_s_per_context_token,
        1.0
    ),
    step!(
        "engine.continuous.latency",
        server_steps,
        c3_s_per_prefill_token,
        1.0
    ),
    step!(
        "engine.continuous.latency",
        server_steps,
        c4_s_per_prefill_pair,
        1.0
    ),
    step!("engine.continuous.latency", server_steps, compute.d0_s, 1e3),
    step!(
        "engine.continuous.latency",
        server_steps,
        compute.d1_s_per_token,
        1.0
    ),
    server!(memory.capacity_gb, number(1e-3, 1e6), blocks_given),
    server!(memory.model_gb, number(0.0, 1e6), blocks_given),
    server!(memory.kv_gb_per_token, number(1e-12, 1.0)),
    server!(memory.margin_gb, number(0.0, 1e6), blocks_given),
    // The machine, and what is promised.
    setting!(fleet.gpus, whole(1, MAX_GPUS)),
    setting!(sla.token_ms, number(1e-3, 1e7)),
    setting!(sla.request_s, number(1e-6, 1e7)),
    setting!(sla.ttft_s, some_number(1e-6, 1e7)),
    setting!(sla.published_token_rule, elsewhere(), of_closed_batches),
    setting!(seed, whole(0, u32::MAX), nothing_random),
];
