//! Which settings have no effect, and why: one row a field.
//!
//! A complete scenario has every field, those of other policies too. A field that has its default may therefore
//! stand anywhere; one that differs from it and has no effect is refused, because its author expects one. Reading
//! a scenario makes that check ([`Scenario::from_json`](super::Scenario::from_json)). The page's forms keep the
//! settings of policies that are not chosen, and a study's points have a common base, so [`validate`] does not.
//!
//! A test holds each row: outcomes with and without the setting are the same bytes.
//!
//! [`validate`]: super::Scenario::validate

use serde::Serialize;

#[cfg(feature = "continuous")]
use super::Engine;
use super::{Scenario, Source};
use crate::error::Error;
use crate::latency::{Latency, Linear};
#[cfg(feature = "continuous")]
use crate::sched::continuous::kv::{Capacity, Reuse};
#[cfg(feature = "continuous")]
use crate::sched::continuous::router::Router;
#[cfg(feature = "continuous")]
use crate::sched::continuous::{Order, Rule, Server};
use crate::sched::memory::Memory;
use crate::sched::{Boundaries, MemoryRule, Policy, Variant};
use crate::trace::predict::Kind;
use crate::trace::synth::Shape;

/// A field that some scenarios ignore.
struct Row {
    /// Its path.
    field: &'static str,
    /// Why it has no effect here, whatever its value; absent where it has one.
    why: fn(&Scenario) -> Option<String>,
    is_default: fn(&Scenario) -> bool,
    reset: fn(&mut Scenario),
}

/// The first field that differs from its default and has no effect.
pub(super) fn check(s: &Scenario) -> Result<(), Error> {
    match without_effect(s).next() {
        Some((field, why)) => Err(refusal(field, &why)),
        None => Ok(()),
    }
}

/// A refusal of a setting, by its field or its flag.
pub(crate) fn refusal(what: &str, why: &str) -> Error {
    Error::Contradiction {
        what: what.to_owned(),
        why: format!("it would have no effect: {why}; leave it out"),
    }
}

/// Every field that differs from its default and has no effect, with the reason.
pub(super) fn without_effect(s: &Scenario) -> impl Iterator<Item = (&'static str, String)> {
    ROWS.iter()
        .filter(|row| !(row.is_default)(s))
        .filter_map(|row| Some((row.field, (row.why)(s)?)))
}

/// Why a field has no effect, whatever its value.
pub(super) fn reason(s: &Scenario, field: &str) -> Option<String> {
    let row = ROWS.iter().find(|row| row.field == field)?;
    (row.why)(s)
}

/// The paths of [`ROWS`].
pub(super) fn fields() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.field)
}

/// Puts every field that has no effect back to its default.
pub(super) fn reset(s: &mut Scenario) {
    // A reset can take another field's effect away: ageing goes with the order.
    while let Some(row) = ROWS
        .iter()
        .find(|row| !(row.is_default)(s) && (row.why)(s).is_some())
    {
        (row.reset)(s);
    }
}

/// A row of a field by its path in [`Scenario`].
macro_rules! field {
    ($why:expr, $first:ident $(. $rest:ident)*) => {
        Row {
            field: concat!(stringify!($first) $(, ".", stringify!($rest))*),
            why: $why,
            is_default: |s| s.$first$(.$rest)* == Scenario::default().$first$(.$rest)*,
            reset: |s| s.$first$(.$rest)* = Scenario::default().$first$(.$rest)*,
        }
    };
}

/// A row of a coefficient of the closed-batch latency.
macro_rules! linear {
    ($why:expr, $name:ident) => {
        Row {
            field: concat!("latency.linear.", stringify!($name)),
            why: $why,
            is_default: |s| {
                let Latency::Linear(linear) = &s.latency;
                linear.$name == Linear::default().$name
            },
            reset: |s| {
                let Latency::Linear(linear) = &mut s.latency;
                linear.$name = Linear::default().$name;
            },
        }
    };
}

/// A row of `memory`, whose default is that of the engine.
macro_rules! memory {
    ($why:expr, $name:ident) => {
        Row {
            field: concat!("memory.", stringify!($name)),
            why: $why,
            is_default: |s| s.memory.$name == default_memory(s).$name,
            reset: |s| s.memory.$name = default_memory(s).$name,
        }
    };
}

/// A row of a field of `engine.continuous`; `why` takes the scenario and the server.
#[cfg(feature = "continuous")]
macro_rules! server {
    ($why:expr, $first:ident $(. $rest:ident)*) => {
        Row {
            field: concat!("engine.continuous.", stringify!($first) $(, ".", stringify!($rest))*),
            why: |s| {
                let why: fn(&Scenario, &Server) -> Option<String> = $why;
                why(s, server(s)?)
            },
            is_default: |s| {
                server(s).is_none_or(|x| x.$first$(.$rest)* == Server::default().$first$(.$rest)*)
            },
            reset: |s| {
                if let Engine::Continuous(server) = &mut s.engine {
                    server.$first$(.$rest)* = Server::default().$first$(.$rest)*;
                }
            },
        }
    };
}

/// Fields that are not here always have an effect, or one that only the trace's rows can tell.
static ROWS: &[Row] = &[
    // Where requests come from.
    Row {
        field: "trace.file.hash_tokens",
        why: no_hashes,
        is_default: |s| s.trace.reading().hash_tokens.is_none(),
        reset: |s| {
            if let Source::File { hash_tokens, .. } = &mut s.trace {
                *hash_tokens = None;
            }
        },
    },
    field!(rate_given, workload.time_scale),
    field!(none_failed, workload.failed),
    Row {
        field: "workload.closed_loop.think_min_s",
        why: one_request_each,
        is_default: |s| s.workload.closed_loop.is_none_or(|u| u.think_min_s == 0.0),
        reset: |s| {
            if let Some(users) = &mut s.workload.closed_loop {
                users.think_min_s = 0.0;
            }
        },
    },
    Row {
        field: "workload.closed_loop.think_max_s",
        why: one_request_each,
        is_default: |s| s.workload.closed_loop.is_none_or(|u| u.think_max_s == 0.0),
        reset: |s| {
            if let Some(users) = &mut s.workload.closed_loop {
                users.think_max_s = 0.0;
            }
        },
    },
    field!(nothing_random, seed),
    // What a scheduler believes.
    field!(no_prediction, predictor.kind),
    field!(no_noise, predictor.sigma),
    field!(no_bin_error, predictor.bin_error),
    field!(not_from_prompts, predictor.exponent),
    field!(not_from_prompts, predictor.scale),
    field!(not_from_prompts, predictor.max_tokens),
    // Closed batches.
    field!(of_closed_batches, scheduler.policy),
    field!(not_static_fifo, scheduler.static_batch),
    field!(no_full_batch, scheduler.full_batch),
    field!(not_dynamic, scheduler.max_batch),
    field!(no_count, scheduler.bins.count),
    field!(no_bins, scheduler.bins.boundaries),
    field!(no_turns, scheduler.bins.served),
    field!(no_outputs_sampled, scheduler.bins.sample_rows),
    field!(no_sample, scheduler.bins.sample_size),
    field!(no_cuts, scheduler.bins.cuts),
    field!(no_bins, scheduler.bins.last_upper),
    field!(none_below_range, scheduler.bins.below_range_to_last),
    field!(no_caps, scheduler.bins.batch_caps),
    field!(not_dynamic, scheduler.memory_bound.rule),
    field!(not_published_bound, scheduler.memory_bound.reserve),
    field!(not_exact_bound, scheduler.memory_bound.overflow_probability),
    field!(no_memory_bound, scheduler.memory_bound.smoothing),
    field!(
        no_memory_bound,
        scheduler.memory_bound.initial_prompt_tokens
    ),
    field!(
        no_memory_bound,
        scheduler.memory_bound.initial_output_tokens
    ),
    field!(not_exact_bound, scheduler.memory_bound.initial_sd_tokens),
    field!(bound_alone, scheduler.memory_bound.at_least_running),
    field!(not_dynamic, scheduler.controller.variant),
    field!(no_controller, scheduler.controller.feedback),
    field!(no_controller, scheduler.controller.target_s),
    field!(no_controller, scheduler.controller.epsilon_s),
    field!(not_by_alpha, scheduler.controller.alpha),
    field!(not_by_alpha, scheduler.controller.delta),
    field!(no_controller, scheduler.controller.smoothing),
    field!(no_controller, scheduler.controller.initial_batch),
    field!(no_controller, scheduler.controller.warmup_batches),
    field!(controller_alone, scheduler.controller.running_floor),
    field!(not_by_alpha, scheduler.controller.band_from_delta),
    linear!(of_closed_batches, alpha_s),
    linear!(of_closed_batches, beta_s_per_token),
    linear!(of_closed_batches, gamma),
    linear!(of_closed_batches, growth),
    linear!(of_closed_batches, floor_s),
    field!(of_closed_batches, sla.published_token_rule),
    memory!(blocks_given, capacity_gb),
    memory!(blocks_given, model_gb),
    memory!(blocks_given, margin_gb),
    // Continuous batching.
    #[cfg(feature = "continuous")]
    server!(does_not_age, ageing_per_s),
    #[cfg(feature = "continuous")]
    server!(no_classes, classes),
    #[cfg(feature = "continuous")]
    Row {
        field: "engine.continuous.classes.level",
        why: |s| no_level(server(s)?),
        is_default: |s| server(s).is_none_or(|x| x.classes.iter().all(|c| c.level == 0.0)),
        reset: |s| {
            if let Engine::Continuous(server) = &mut s.engine {
                server.classes.iter_mut().for_each(|c| c.level = 0.0);
            }
        },
    },
    #[cfg(feature = "continuous")]
    Row {
        field: "engine.continuous.classes.deadline_s",
        why: |s| no_deadline(server(s)?),
        is_default: |s| server(s).is_none_or(|x| x.classes.iter().all(|c| c.deadline_s.is_none())),
        reset: |s| {
            if let Engine::Continuous(server) = &mut s.engine {
                server.classes.iter_mut().for_each(|c| c.deadline_s = None);
            }
        },
    },
    #[cfg(feature = "continuous")]
    server!(bins_are_mixed, bin_patience_s),
    #[cfg(feature = "continuous")]
    server!(chunks_are_short, long_prefill_token_threshold),
    #[cfg(feature = "continuous")]
    server!(nobody_joins, async_scheduling),
    #[cfg(feature = "continuous")]
    server!(unlimited, kv.null_block),
    #[cfg(feature = "continuous")]
    server!(unlimited, kv.watermark),
    #[cfg(feature = "continuous")]
    server!(unlimited, kv.preemption),
    #[cfg(feature = "continuous")]
    server!(nothing_evicted, kv.prefix.eviction),
    #[cfg(feature = "continuous")]
    server!(nothing_evicted, kv.prefix.eviction_s),
    #[cfg(feature = "continuous")]
    server!(whole_anyway, admission.whole_prompt_fits),
    #[cfg(feature = "continuous")]
    server!(unlimited, admission.reject_too_long),
    #[cfg(feature = "continuous")]
    server!(one_replica, router),
];

/// `Some(reason)` where it holds.
fn when(holds: bool, reason: impl Into<String>) -> Option<String> {
    holds.then(|| reason.into())
}

/// A choice as JSON has it.
fn word(choice: impl Serialize) -> String {
    // A plain name cannot fail to serialise.
    let quoted = serde_json::to_string(&choice).unwrap_or_default();
    quoted.trim_matches('"').to_owned()
}

#[cfg(feature = "continuous")]
fn server(s: &Scenario) -> Option<&Server> {
    match &s.engine {
        Engine::Continuous(server) => Some(server),
        Engine::Closed => None,
    }
}

fn is_continuous(s: &Scenario) -> bool {
    s.engine != super::Engine::Closed
}

fn default_memory(s: &Scenario) -> Memory {
    #[cfg(feature = "continuous")]
    if is_continuous(s) {
        return Memory::LLAMA_3_1_8B_ON_H100;
    }
    let _ = s;
    Memory::default()
}

fn is_dynamic(s: &Scenario) -> bool {
    let policy = s.scheduler.policy;
    !is_continuous(s) && matches!(policy, Policy::Dynamic | Policy::MultiBinDynamic)
}

/// One bin takes all requests.
fn one_bin(s: &Scenario) -> bool {
    let bins = &s.scheduler.bins;
    match bins.boundaries {
        Boundaries::Fixed => bins.cuts.is_empty(),
        _ => bins.count == 1,
    }
}

fn no_hashes(s: &Scenario) -> Option<String> {
    #[cfg(feature = "continuous")]
    if let Some(server) = server(s) {
        let shared = server.kv.prefix.reuse == Reuse::Hashes;
        return when(
            !shared,
            "no block is shared by hashes; engine.continuous.kv.prefix.reuse \"hashes\" does",
        );
    }
    let _ = s;
    Some("closed batches have no prefix cache".to_owned())
}

fn rate_given(s: &Scenario) -> Option<String> {
    when(
        s.workload.rate_per_s.is_some(),
        "workload.rate_per_s sets the scale",
    )
}

fn none_failed(s: &Scenario) -> Option<String> {
    let none = match &s.trace {
        Source::Synthetic(synthetic) => match &synthetic.shape {
            Shape::Custom { failed_share, .. } => *failed_share == 0.0,
            Shape::BurstgptLike | Shape::BurstgptWeek1 => false,
        },
        Source::File { .. } => false,
    };
    when(
        none,
        "no request of the generated trace fails (failed_share is 0)",
    )
}

fn one_request_each(s: &Scenario) -> Option<String> {
    let users = s.workload.closed_loop?;
    when(
        users.requests_per_user == 1,
        "each user sends one request, and think times lie between two",
    )
}

/// Nothing draws a random number.
fn nothing_random(s: &Scenario) -> Option<String> {
    if matches!(s.trace, Source::Synthetic(_)) {
        return None;
    }
    let p = &s.predictor;
    let noise = no_noise(s).is_none() && p.sigma > 0.0;
    let errors = no_bin_error(s).is_none() && p.bin_error > 0.0;
    let users = s.workload.closed_loop;
    let thinks = users.is_some_and(|u| u.requests_per_user > 1 && u.think_max_s > u.think_min_s);
    let random = noise || errors || thinks || random_server(s);
    when(
        !random,
        "nothing of this run is random: the requests come from the file, and no setting draws a random number",
    )
}

/// The server itself draws random numbers, to route requests or to accept drafted tokens.
#[cfg(feature = "continuous")]
fn random_server(s: &Scenario) -> bool {
    let Some(server) = server(s) else {
        return false;
    };
    let routes = matches!(server.router, Router::Random | Router::PowerOfTwo) && s.replicas() > 1;
    let draft = server.speculative.as_ref();
    let drafts = draft.is_some_and(|d| d.acceptance.iter().any(|&a| a > 0.0 && a < 1.0));
    routes || drafts
}

/// Closed batches draw no random numbers.
#[cfg(not(feature = "continuous"))]
const fn random_server(_: &Scenario) -> bool {
    false
}

/// Nothing asks for predicted lengths.
fn no_prediction(s: &Scenario) -> Option<String> {
    if s.predicts() {
        return None;
    }
    Some(if is_continuous(s) {
        "this server does not look at predictions; the order sjf, the rule closed, engine.continuous.bins \
         (--share-bins) and the routers least-work and bin-affinity do"
            .to_owned()
    } else {
        format!(
            "the scheduler {} does not look at predictions",
            word(s.scheduler.policy)
        )
    })
}

fn no_noise(s: &Scenario) -> Option<String> {
    let kind = s.predictor.kind;
    no_prediction(s).or_else(|| {
        when(
            !matches!(kind, Kind::Published | Kind::Noisy),
            format!("the predictor {} makes no such error", word(kind)),
        )
    })
}

fn no_bin_error(s: &Scenario) -> Option<String> {
    let kind = s.predictor.kind;
    no_bins(s)
        .or_else(|| {
            when(
                kind != Kind::Noisy,
                format!(
                    "only the predictor noisy has it, and this one is {}",
                    word(kind)
                ),
            )
        })
        .or_else(|| when(one_bin(s), ONE_BIN))
}

fn not_from_prompts(s: &Scenario) -> Option<String> {
    let kind = s.predictor.kind;
    no_prediction(s).or_else(|| {
        when(
            !matches!(kind, Kind::Published | Kind::PromptOnly),
            format!(
                "the predictor {} starts from the true output, not from the prompt",
                word(kind)
            ),
        )
    })
}

const ONE_BIN: &str = "there is one bin";

fn of_closed_batches(s: &Scenario) -> Option<String> {
    when(
        is_continuous(s),
        "it is about closed batches, and this run is of continuous batching (engine.continuous)",
    )
}

fn not_static_fifo(s: &Scenario) -> Option<String> {
    of_closed_batches(s).or_else(|| match s.scheduler.policy {
        Policy::StaticFifo => None,
        Policy::MultiBin => {
            Some("the scheduler multi-bin waits for scheduler.full_batch".to_owned())
        }
        policy => Some(sizes_itself(policy)),
    })
}

fn sizes_itself(policy: Policy) -> String {
    format!(
        "the scheduler {} sizes its batches itself, up to scheduler.max_batch (--max-batch)",
        word(policy)
    )
}

fn no_full_batch(s: &Scenario) -> Option<String> {
    // The paper's optimal cuts depend on the batch size, under every scheduler.
    let cuts = no_bins(s).is_none()
        && s.scheduler.bins.boundaries == Boundaries::ExponentialOptimal
        && !one_bin(s);
    if cuts {
        return None;
    }
    of_closed_batches(s).or_else(|| match s.scheduler.policy {
        Policy::MultiBin => None,
        Policy::StaticFifo => {
            Some("the scheduler static-fifo takes up to scheduler.static_batch".to_owned())
        }
        policy => Some(sizes_itself(policy)),
    })
}

fn not_dynamic(s: &Scenario) -> Option<String> {
    of_closed_batches(s).or_else(|| {
        when(
            !is_dynamic(s),
            format!(
                "the scheduler {} forms batches of a fixed size (--batch)",
                word(s.scheduler.policy)
            ),
        )
    })
}

/// Nothing sorts requests into bins.
fn no_bins(s: &Scenario) -> Option<String> {
    if s.has_bins() {
        return None;
    }
    Some(if is_continuous(s) {
        "this server does not sort requests into bins; engine.continuous.bins (--share-bins) and the router \
         bin-affinity do"
            .to_owned()
    } else {
        format!("the scheduler {} has no bins", word(s.scheduler.policy))
    })
}

fn no_count(s: &Scenario) -> Option<String> {
    let fixed = s.scheduler.bins.boundaries == Boundaries::Fixed;
    no_bins(s).or_else(|| {
        when(
            fixed,
            "boundaries \"fixed\" bring their own number of bins, by scheduler.bins.cuts",
        )
    })
}

fn no_turns(s: &Scenario) -> Option<String> {
    of_closed_batches(s)
        .or_else(|| no_bins(s))
        .or_else(|| {
            when(
                s.scheduler.policy == Policy::MultiBin,
                "the scheduler multi-bin serves full batches in the order in which they filled",
            )
        })
        .or_else(|| when(one_bin(s), ONE_BIN))
}

fn no_outputs_sampled(s: &Scenario) -> Option<String> {
    let boundaries = s.scheduler.bins.boundaries;
    no_bins(s)
        .or_else(|| {
            when(
                boundaries != Boundaries::EqualMassOutputs,
                format!("boundaries \"{}\" do not look at outputs", word(boundaries)),
            )
        })
        .or_else(|| when(one_bin(s), ONE_BIN))
}

fn no_sample(s: &Scenario) -> Option<String> {
    let fixed = s.scheduler.bins.boundaries == Boundaries::Fixed;
    no_bins(s)
        .or_else(|| when(fixed, "boundaries \"fixed\" are not fitted to a sample"))
        .or_else(|| when(one_bin(s), ONE_BIN))
}

fn no_cuts(s: &Scenario) -> Option<String> {
    let boundaries = s.scheduler.bins.boundaries;
    no_bins(s).or_else(|| {
        when(
            boundaries != Boundaries::Fixed,
            format!(
                "boundaries \"{}\" make their own cuts; \"fixed\" takes these",
                word(boundaries)
            ),
        )
    })
}

fn none_below_range(s: &Scenario) -> Option<String> {
    let boundaries = s.scheduler.bins.boundaries;
    no_bins(s)
        .or_else(|| when(one_bin(s), ONE_BIN))
        .or_else(|| {
            when(
                matches!(
                    boundaries,
                    Boundaries::Fixed | Boundaries::ExponentialOptimal
                ),
                format!(
                    "the first bin of boundaries \"{}\" begins at 0",
                    word(boundaries)
                ),
            )
        })
}

fn no_caps(s: &Scenario) -> Option<String> {
    of_closed_batches(s).or_else(|| no_bins(s)).or_else(|| {
        when(
            s.scheduler.policy != Policy::MultiBinDynamic,
            "only the scheduler multi-bin-dynamic bounds a bin's batch by memory",
        )
    })
}

fn no_memory_bound(s: &Scenario) -> Option<String> {
    let off = s.scheduler.memory_bound.rule == MemoryRule::Off;
    not_dynamic(s).or_else(|| when(off, "scheduler.memory_bound.rule is off"))
}

fn not_published_bound(s: &Scenario) -> Option<String> {
    let rule = s.scheduler.memory_bound.rule;
    not_dynamic(s).or_else(|| {
        when(
            rule != MemoryRule::Published,
            format!(
                "it is of the rule published, and scheduler.memory_bound.rule is {}",
                word(rule)
            ),
        )
    })
}

fn not_exact_bound(s: &Scenario) -> Option<String> {
    let rule = s.scheduler.memory_bound.rule;
    not_dynamic(s).or_else(|| {
        when(
            rule != MemoryRule::Exact,
            format!(
                "it is of the rule exact, and scheduler.memory_bound.rule is {}",
                word(rule)
            ),
        )
    })
}

const ONE_GPU: &str = "it counts requests in service on other GPUs, and there is one GPU";

fn bound_alone(s: &Scenario) -> Option<String> {
    no_memory_bound(s).or_else(|| when(s.fleet.gpus == 1, ONE_GPU))
}

fn no_controller(s: &Scenario) -> Option<String> {
    let off = s.scheduler.controller.variant == Variant::Off;
    not_dynamic(s).or_else(|| when(off, "scheduler.controller.variant is off"))
}

fn not_by_alpha(s: &Scenario) -> Option<String> {
    no_controller(s).or_else(|| {
        when(
            s.scheduler.controller.variant == Variant::Nov24,
            "the controller nov24 has neither alpha nor delta",
        )
    })
}

fn controller_alone(s: &Scenario) -> Option<String> {
    no_controller(s).or_else(|| when(s.fleet.gpus == 1, ONE_GPU))
}

fn blocks_given(s: &Scenario) -> Option<String> {
    #[cfg(feature = "continuous")]
    if let Some(server) = server(s) {
        return match server.kv.capacity {
            Capacity::Memory => None,
            Capacity::Blocks(_) => {
                Some("engine.continuous.kv.capacity says how many blocks there are".to_owned())
            }
            Capacity::Unlimited => Some(UNLIMITED.to_owned()),
        };
    }
    let _ = s;
    None
}

#[cfg(feature = "continuous")]
const UNLIMITED: &str = "engine.continuous.kv.capacity is unlimited";

#[cfg(feature = "continuous")]
fn does_not_age(_: &Scenario, server: &Server) -> Option<String> {
    when(
        matches!(server.order, Order::Fcfs | Order::Edf),
        format!(
            "the order {} does not age; sjf and priority do",
            word(server.order)
        ),
    )
}

#[cfg(feature = "continuous")]
fn no_classes(_: &Scenario, server: &Server) -> Option<String> {
    when(
        !server.order.has_classes(),
        format!(
            "the order {} does not look at classes; edf and priority do",
            word(server.order)
        ),
    )
}

#[cfg(feature = "continuous")]
fn no_level(server: &Server) -> Option<String> {
    when(
        server.order == Order::Edf,
        format!(
            "the order {} does not look at levels; priority does",
            word(server.order)
        ),
    )
}

#[cfg(feature = "continuous")]
fn no_deadline(server: &Server) -> Option<String> {
    when(
        server.order == Order::Priority,
        format!(
            "the order {} does not look at deadlines; edf does",
            word(server.order)
        ),
    )
}

#[cfg(feature = "continuous")]
fn bins_are_mixed(s: &Scenario, server: &Server) -> Option<String> {
    when(
        !server.bins,
        "requests of all bins share a replica (engine.continuous.bins is false)",
    )
    .or_else(|| when(one_bin(s), ONE_BIN))
}

#[cfg(feature = "continuous")]
fn chunks_are_short(_: &Scenario, server: &Server) -> Option<String> {
    when(
        server.rule == Rule::Orca,
        "the rule orca processes whole prompts",
    )
    .or_else(|| {
        when(
            server.long_prefill_token_threshold >= server.max_batched_tokens,
            "no step has more tokens than engine.continuous.max_batched_tokens",
        )
    })
}

#[cfg(feature = "continuous")]
fn nobody_joins(_: &Scenario, server: &Server) -> Option<String> {
    when(
        server.rule == Rule::Closed,
        "under the rule closed no request joins a running batch",
    )
}

#[cfg(feature = "continuous")]
fn unlimited(_: &Scenario, server: &Server) -> Option<String> {
    when(server.kv.capacity == Capacity::Unlimited, UNLIMITED)
}

#[cfg(feature = "continuous")]
fn nothing_evicted(s: &Scenario, server: &Server) -> Option<String> {
    when(
        server.kv.prefix.reuse == Reuse::Off,
        "the prefix cache is off (engine.continuous.kv.prefix.reuse)",
    )
    .or_else(|| unlimited(s, server))
}

#[cfg(feature = "continuous")]
fn whole_anyway(s: &Scenario, server: &Server) -> Option<String> {
    match server.rule {
        Rule::Sarathi | Rule::Orca => Some(format!(
            "with the rule {} a request takes the blocks of its whole prompt when it joins",
            word(server.rule)
        )),
        Rule::Closed => {
            Some("the rule closed takes the blocks of a whole batch by its own rule".to_owned())
        }
        Rule::Vllm => unlimited(s, server),
    }
}

#[cfg(feature = "continuous")]
fn one_replica(s: &Scenario, server: &Server) -> Option<String> {
    // These two ask for predictions, whose errors are figures of the run.
    let predicts = matches!(server.router, Router::LeastWork | Router::BinAffinity);
    when(
        s.replicas() == 1 && !predicts,
        "one replica serves all requests",
    )
}
