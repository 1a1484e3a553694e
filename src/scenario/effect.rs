//! Why a setting has no effect in a scenario: a function for each reason, which [`SETTINGS`](super::settings::SETTINGS)
//! names. A test holds each: outcomes with and without the setting are the same bytes.

use serde::Serialize;

use super::{Scenario, Source};
use crate::sched::continuous::kv::{Capacity, Reuse};
use crate::sched::continuous::router::Router;
use crate::sched::continuous::{Order, Rule, Server};
use crate::sched::{Boundaries, Closed, MemoryRule, Policy, Variant};
use crate::trace::predict::Kind;
use crate::trace::synth::Shape;

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

/// One bin takes all requests.
fn one_bin(s: &Scenario) -> bool {
    let bins = &s.bins;
    match bins.boundaries {
        Boundaries::Fixed => bins.cuts.is_empty(),
        _ => bins.count == 1,
    }
}

pub(super) fn no_hashes(s: &Scenario) -> Option<String> {
    let Some(server) = s.server() else {
        return Some("closed batches have no prefix cache".to_owned());
    };
    when(
        server.kv.prefix.reuse != Reuse::Hashes,
        "no block is shared by hashes; engine.continuous.kv.prefix.reuse \"hashes\" does",
    )
}

pub(super) fn rate_given(s: &Scenario) -> Option<String> {
    when(
        s.workload.rate_per_s.is_some(),
        "workload.rate_per_s sets the scale",
    )
}

pub(super) fn none_failed(s: &Scenario) -> Option<String> {
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

pub(super) fn one_request_each(s: &Scenario) -> Option<String> {
    let users = s.workload.closed_loop?;
    when(
        users.requests_per_user == 1,
        "each user sends one request, and think times lie between two",
    )
}

/// Nothing draws a random number.
pub(super) fn nothing_random(s: &Scenario) -> Option<String> {
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
fn random_server(s: &Scenario) -> bool {
    let Some(server) = s.server() else {
        return false;
    };
    let routes = matches!(server.router, Router::Random | Router::PowerOfTwo) && s.replicas() > 1;
    let draft = server.speculative.as_ref();
    let drafts = draft.is_some_and(|d| d.acceptance.iter().any(|&a| a > 0.0 && a < 1.0));
    routes || drafts
}

/// Nothing asks for predicted lengths.
pub(super) fn no_prediction(s: &Scenario) -> Option<String> {
    if s.predicts() {
        return None;
    }
    Some(match s.policy() {
        None => "this server does not look at predictions; the order sjf, engine.continuous.bins \
                 (--share-bins) and the routers least-work and bin-affinity do"
            .to_owned(),
        Some(policy) => format!(
            "the scheduler {} does not look at predictions",
            word(policy)
        ),
    })
}

pub(super) fn no_noise(s: &Scenario) -> Option<String> {
    let kind = s.predictor.kind;
    no_prediction(s).or_else(|| {
        when(
            !matches!(kind, Kind::Published | Kind::Noisy),
            format!("the predictor {} makes no such error", word(kind)),
        )
    })
}

pub(super) fn no_bin_error(s: &Scenario) -> Option<String> {
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

pub(super) fn not_from_prompts(s: &Scenario) -> Option<String> {
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

pub(super) fn of_closed_batches(s: &Scenario) -> Option<String> {
    when(
        s.closed().is_none(),
        "it is about closed batches, and this run is of continuous batching (engine.continuous)",
    )
}

pub(super) fn of_a_server(s: &Scenario) -> Option<String> {
    when(
        s.server().is_none(),
        "it is about continuous batching, and this run is of closed batches (engine.closed)",
    )
}

pub(super) fn not_static_fifo(_: &Scenario, closed: &Closed) -> Option<String> {
    match closed.policy {
        Policy::StaticFifo => None,
        Policy::MultiBin => Some("the scheduler multi-bin waits for bins.full_batch".to_owned()),
        policy => Some(sizes_itself(policy)),
    }
}

fn sizes_itself(policy: Policy) -> String {
    format!(
        "the scheduler {} sizes its batches itself, up to engine.closed.max_batch (--max-batch)",
        word(policy)
    )
}

pub(super) fn no_full_batch(s: &Scenario) -> Option<String> {
    // The paper's optimal cuts depend on the batch size, under every scheduler.
    let cuts =
        no_bins(s).is_none() && s.bins.boundaries == Boundaries::ExponentialOptimal && !one_bin(s);
    if cuts {
        return None;
    }
    let Some(policy) = s.policy() else {
        return no_bins(s).or_else(|| {
            Some("only boundaries \"exponential-optimal\" of several bins depend on it".to_owned())
        });
    };
    match policy {
        Policy::MultiBin => None,
        Policy::StaticFifo => {
            Some("the scheduler static-fifo takes up to engine.closed.static_batch".to_owned())
        }
        policy => Some(sizes_itself(policy)),
    }
}

pub(super) fn not_dynamic(_: &Scenario, closed: &Closed) -> Option<String> {
    when(
        !matches!(closed.policy, Policy::Dynamic | Policy::MultiBinDynamic),
        format!(
            "the scheduler {} forms batches of a fixed size (--batch)",
            word(closed.policy)
        ),
    )
}

/// Nothing sorts requests into bins.
pub(super) fn no_bins(s: &Scenario) -> Option<String> {
    if s.has_bins() {
        return None;
    }
    Some(match s.policy() {
        None => "this server does not sort requests into bins; engine.continuous.bins (--share-bins) and the router \
                 bin-affinity do"
            .to_owned(),
        Some(policy) => format!("the scheduler {} has no bins", word(policy)),
    })
}

pub(super) fn no_count(s: &Scenario) -> Option<String> {
    let fixed = s.bins.boundaries == Boundaries::Fixed;
    no_bins(s).or_else(|| {
        when(
            fixed,
            "boundaries \"fixed\" bring their own number of bins, by bins.cuts",
        )
    })
}

pub(super) fn no_turns(s: &Scenario) -> Option<String> {
    of_closed_batches(s)
        .or_else(|| no_bins(s))
        .or_else(|| {
            when(
                s.policy() == Some(Policy::MultiBin),
                "the scheduler multi-bin serves full batches in the order in which they filled",
            )
        })
        .or_else(|| when(one_bin(s), ONE_BIN))
}

pub(super) fn no_outputs_sampled(s: &Scenario) -> Option<String> {
    let boundaries = s.bins.boundaries;
    no_bins(s)
        .or_else(|| {
            when(
                boundaries != Boundaries::EqualMassOutputs,
                format!("boundaries \"{}\" do not look at outputs", word(boundaries)),
            )
        })
        .or_else(|| when(one_bin(s), ONE_BIN))
}

pub(super) fn no_sample(s: &Scenario) -> Option<String> {
    let fixed = s.bins.boundaries == Boundaries::Fixed;
    no_bins(s)
        .or_else(|| when(fixed, "boundaries \"fixed\" are not fitted to a sample"))
        .or_else(|| when(one_bin(s), ONE_BIN))
}

pub(super) fn no_cuts(s: &Scenario) -> Option<String> {
    let boundaries = s.bins.boundaries;
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

pub(super) fn none_below_range(s: &Scenario) -> Option<String> {
    let boundaries = s.bins.boundaries;
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

pub(super) fn no_caps(s: &Scenario) -> Option<String> {
    of_closed_batches(s).or_else(|| no_bins(s)).or_else(|| {
        when(
            s.policy() != Some(Policy::MultiBinDynamic),
            "only the scheduler multi-bin-dynamic bounds a bin's batch by memory",
        )
    })
}

pub(super) fn no_memory_bound(s: &Scenario, closed: &Closed) -> Option<String> {
    let off = closed.memory_bound.rule == MemoryRule::Off;
    not_dynamic(s, closed).or_else(|| when(off, "engine.closed.memory_bound.rule is off"))
}

/// Why a setting of one rule of the memory bound has no effect.
fn not_of_rule(s: &Scenario, closed: &Closed, of: MemoryRule) -> Option<String> {
    let rule = closed.memory_bound.rule;
    not_dynamic(s, closed).or_else(|| {
        when(
            rule != of,
            format!(
                "it is of the rule {}, and engine.closed.memory_bound.rule is {}",
                word(of),
                word(rule)
            ),
        )
    })
}

pub(super) fn not_published_bound(s: &Scenario, closed: &Closed) -> Option<String> {
    not_of_rule(s, closed, MemoryRule::Published)
}

pub(super) fn not_exact_bound(s: &Scenario, closed: &Closed) -> Option<String> {
    not_of_rule(s, closed, MemoryRule::Exact)
}

const ONE_GPU: &str = "it counts requests in service on other GPUs, and there is one GPU";

pub(super) fn bound_alone(s: &Scenario, closed: &Closed) -> Option<String> {
    no_memory_bound(s, closed).or_else(|| when(s.fleet.gpus == 1, ONE_GPU))
}

pub(super) fn no_controller(s: &Scenario, closed: &Closed) -> Option<String> {
    let off = closed.controller.variant == Variant::Off;
    not_dynamic(s, closed).or_else(|| when(off, "engine.closed.controller.variant is off"))
}

pub(super) fn not_by_alpha(s: &Scenario, closed: &Closed) -> Option<String> {
    no_controller(s, closed).or_else(|| {
        when(
            closed.controller.variant == Variant::Nov24,
            "the controller nov24 has neither alpha nor delta",
        )
    })
}

pub(super) fn controller_alone(s: &Scenario, closed: &Closed) -> Option<String> {
    no_controller(s, closed).or_else(|| when(s.fleet.gpus == 1, ONE_GPU))
}

pub(super) fn blocks_given(_: &Scenario, server: &Server) -> Option<String> {
    match server.kv.capacity {
        Capacity::Memory => None,
        Capacity::Blocks(_) => {
            Some("engine.continuous.kv.capacity says how many blocks there are".to_owned())
        }
        Capacity::Unlimited => Some(UNLIMITED.to_owned()),
    }
}

const UNLIMITED: &str = "engine.continuous.kv.capacity is unlimited";

pub(super) fn does_not_age(_: &Scenario, server: &Server) -> Option<String> {
    when(
        matches!(server.order, Order::Fcfs | Order::Edf),
        format!(
            "the order {} does not age; sjf and priority do",
            word(server.order)
        ),
    )
}

pub(super) fn no_classes(_: &Scenario, server: &Server) -> Option<String> {
    when(
        !server.order.has_classes(),
        format!(
            "the order {} does not look at classes; edf and priority do",
            word(server.order)
        ),
    )
}

pub(super) fn no_level(server: &Server) -> Option<String> {
    when(
        server.order == Order::Edf,
        format!(
            "the order {} does not look at levels; priority does",
            word(server.order)
        ),
    )
}

pub(super) fn no_deadline(server: &Server) -> Option<String> {
    when(
        server.order == Order::Priority,
        format!(
            "the order {} does not look at deadlines; edf does",
            word(server.order)
        ),
    )
}

pub(super) fn bins_are_mixed(s: &Scenario, server: &Server) -> Option<String> {
    when(
        !server.bins,
        "requests of all bins share a replica (engine.continuous.bins is false)",
    )
    .or_else(|| when(one_bin(s), ONE_BIN))
}

pub(super) fn chunks_are_short(_: &Scenario, server: &Server) -> Option<String> {
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

pub(super) fn unlimited(_: &Scenario, server: &Server) -> Option<String> {
    when(server.kv.capacity == Capacity::Unlimited, UNLIMITED)
}

pub(super) fn nothing_evicted(s: &Scenario, server: &Server) -> Option<String> {
    when(
        server.kv.prefix.reuse == Reuse::Off,
        "the prefix cache is off (engine.continuous.kv.prefix.reuse)",
    )
    .or_else(|| unlimited(s, server))
}

pub(super) fn whole_anyway(s: &Scenario, server: &Server) -> Option<String> {
    match server.rule {
        Rule::Sarathi | Rule::Orca => Some(format!(
            "with the rule {} a request takes the blocks of its whole prompt when it joins",
            word(server.rule)
        )),
        Rule::Vllm => unlimited(s, server),
    }
}

pub(super) fn one_replica(s: &Scenario, server: &Server) -> Option<String> {
    // These two ask for predictions, whose errors are figures of the run.
    when(
        s.replicas() == 1 && !server.router.predicts(),
        "one replica serves all requests",
    )
}
