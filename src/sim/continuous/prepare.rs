//! What a continuous run asks of its trace and its memory, before it begins.

use super::record::{Fate, Served};
use crate::sched::Boundaries;
use crate::sched::bins::DROPPED;
use crate::sched::continuous::Server;
use crate::sched::continuous::kv::{Capacity, Reuse};
use crate::sched::continuous::router::Router;
use crate::sim::workload::Workload;
use crate::trace::NO_SESSION;
use crate::{Error, Scenario, Trace};

/// What requests can share: hash units, and sessions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shared {
    /// Tokens of a hash unit; 0 where none are shared.
    pub unit_tokens: u32,
    /// How many hash units there are.
    pub units: usize,
    /// How many sessions.
    pub sessions: usize,
}

impl Shared {
    /// Errors: what the server's settings ask of the trace and the trace does not have; more than the replicas'
    /// caches can keep track of.
    pub fn new(trace: &Trace, scenario: &Scenario, server: &Server) -> Result<Shared, Error> {
        let unit_tokens = shared_units(trace, server)?;
        let count = |most: Option<&u32>| most.map_or(0, |most| *most as usize + 1);
        let units = match &trace.prefix {
            Some(prefix) if unit_tokens > 0 => count(prefix.blocks.iter().max()),
            _ => 0,
        };
        let sessions = match (&trace.session, server.kv.prefix.reuse) {
            (Some(sessions), Reuse::Sessions) => {
                count(sessions.iter().filter(|s| **s != NO_SESSION).max())
            }
            _ => 0,
        };
        // Each replica knows of each hash unit and session whether it has it.
        let known = (units + sessions) as u64 * u64::from(scenario.replicas());
        if known > MOST_KNOWN {
            return Err(Error::contradiction(
                "fleet.gpus",
                format!(
                    "{} replicas with a prefix cache over {} hash units and sessions each are {known} entries, and \
                     {MOST_KNOWN} are the most; use fewer replicas, or set kv.prefix.reuse to own",
                    scenario.replicas(),
                    units + sessions
                ),
            ));
        }
        Ok(Shared {
            unit_tokens,
            units,
            sessions,
        })
    }
}

/// Most entries of all prefix caches together: 16 bytes each.
const MOST_KNOWN: u64 = 1 << 27;

/// Refuses more bins than there are requests to fill them.
pub(super) fn enough_for_bins(
    scenario: &Scenario,
    server: &Server,
    requests: u64,
) -> Result<(), Error> {
    let bins = &scenario.bins;
    if server.has_bins() && bins.boundaries != Boundaries::Fixed && u64::from(bins.count) > requests
    {
        return Err(Error::bad_field(
            "bins.count",
            bins.count,
            format!("at most the number of requests to serve, which is {requests}"),
        ));
    }
    Ok(())
}

/// Refuses a class that no request can be in, where the order looks at classes.
pub(super) fn classes_are_there(trace: &Trace, server: &Server) -> Result<(), Error> {
    if !server.order.has_classes() {
        return Ok(());
    }
    let names = trace.log_type.as_ref().map_or(&[][..], |l| &l.names);
    let unknown = server
        .classes
        .iter()
        .position(|class| !names.contains(&class.label));
    let Some((i, class)) = unknown.and_then(|i| Some((i, server.classes.get(i)?))) else {
        return Ok(());
    };
    let there = match names {
        [] => "the trace has no log types".to_owned(),
        _ => format!("its log types are {}", names.join(", ")),
    };
    Err(Error::contradiction(
        format!("engine.continuous.classes[{i}].label"),
        format!(
            "no request of {} is of the class \"{}\": {there}",
            trace.name, class.label
        ),
    ))
}

/// By row of the window, the row of the next request of its session; [`NO_SESSION`] where there is none.
pub(super) fn next_turns(sessions: &[u32]) -> Vec<u32> {
    let most = sessions.iter().filter(|s| **s != NO_SESSION).max();
    let mut next_of = vec![NO_SESSION; most.map_or(0, |most| *most as usize + 1)];
    let mut next_turn = vec![NO_SESSION; sessions.len()];
    for (row, &session) in sessions.iter().enumerate().rev() {
        if session != NO_SESSION {
            // A window has fewer than 2^32 rows.
            next_turn[row] = std::mem::replace(&mut next_of[session as usize], row as u32);
        }
    }
    next_turn
}

/// Tokens of a hash unit, 0 where nothing is shared by hashes; refuses what the trace cannot give.
fn shared_units(trace: &Trace, server: &Server) -> Result<u32, Error> {
    let contradiction = |what: &str, why: String| {
        Err(Error::contradiction(
            format!("engine.continuous.{what}"),
            why,
        ))
    };
    let by_prefix = server.router == Router::PrefixAffinity;
    if by_prefix && server.kv.prefix.reuse != Reuse::Hashes {
        return contradiction(
            "router",
            "prefix-affinity needs kv.prefix.reuse to be hashes".to_owned(),
        );
    }
    let no_sessions = trace.session.is_none();
    if no_sessions && server.router == Router::SessionSticky {
        return contradiction(
            "router",
            format!("{} has no sessions; choose another router", trace.name),
        );
    }
    match server.kv.prefix.reuse {
        Reuse::Off | Reuse::Own => Ok(0),
        Reuse::Sessions if no_sessions => contradiction(
            "kv.prefix.reuse",
            format!("{} has no sessions; set it to off or own", trace.name),
        ),
        Reuse::Sessions => Ok(0),
        Reuse::Hashes => match &trace.prefix {
            None => contradiction(
                "kv.prefix.reuse",
                format!("{} has no prefix hashes; set it to off or own", trace.name),
            ),
            Some(prefix) if prefix.tokens_per_block == 0 => contradiction(
                "kv.prefix.reuse",
                format!(
                    "{} has hash_ids and does not say how many tokens each stands for; name it with \
                     --hash-tokens (trace.file.hash_tokens)",
                    trace.name
                ),
            ),
            Some(prefix) => Ok(prefix.tokens_per_block),
        },
    }
}

/// Blocks of a replica that requests can use; `None` without a limit.
pub(super) fn blocks(server: &Server) -> Result<Option<u64>, Error> {
    let memory = &server.memory;
    let null = u64::from(server.kv.null_block);
    match server.kv.capacity {
        Capacity::Unlimited => Ok(None),
        // `validate` leaves at least one.
        Capacity::Blocks(blocks) => Ok(Some(u64::from(blocks) - null)),
        Capacity::Memory => {
            let gpus = f64::from(server.tensor_parallel);
            let free_gb = gpus * (memory.capacity_gb - memory.margin_gb) - memory.model_gb;
            let block_gb = memory.kv_gb_per_token * f64::from(server.kv.block_tokens);
            let blocks = libm::floor(free_gb / block_gb);
            if blocks < 1.0 + null as f64 {
                return Err(Error::bad_field(
                    "engine.continuous.memory.capacity_gb",
                    memory.capacity_gb,
                    format!(
                        "enough for one block of {} tokens, which is {block_gb} GB, beside the \
                         model's {} GB and a margin of {} GB",
                        server.kv.block_tokens, memory.model_gb, memory.margin_gb
                    ),
                ));
            }
            Ok(Some(blocks as u64 - null))
        }
    }
}

/// Finds the requests that can never fit into the cache.
pub(super) fn turn_away_too_long(
    trace: &Trace,
    server: &Server,
    workload: &Workload,
    blocks: u64,
    served: &mut Served,
) -> Result<(), Error> {
    let block = u64::from(server.kv.block_tokens);
    let lengths = trace.prompt[workload.rows.clone()]
        .iter()
        .zip(&trace.output[workload.rows.clone()]);
    let mut worst: Option<(u64, usize)> = None;
    for (row, ((&prompt, &output), &bin)) in lengths.zip(&workload.bin_of).enumerate() {
        let tokens = u64::from(prompt.max(1)) + u64::from(output.max(1)) - 1;
        let need = tokens.div_ceil(block);
        if bin != DROPPED && need > blocks {
            served.fate[row] = Fate::TooLong;
            if worst.is_none_or(|(most, _)| need > most) {
                worst = Some((need, row));
            }
        }
    }
    match worst {
        Some((need, row)) if !server.admission.reject_too_long => {
            let row = workload.rows.start + row;
            let field = match server.kv.capacity {
                Capacity::Blocks(_) => "engine.continuous.kv.capacity.blocks",
                _ => "engine.continuous.memory.capacity_gb",
            };
            Err(Error::bad_field(
                field,
                format!(
                    "a cache of {} blocks of {block} tokens",
                    blocks + u64::from(server.kv.null_block)
                ),
                format!(
                    "at least {} blocks, which request {} of {} needs ({} prompt and {} output \
                     tokens); or set engine.continuous.admission.reject_too_long",
                    need + u64::from(server.kv.null_block),
                    row + 1,
                    trace.name,
                    trace.prompt[row],
                    trace.output[row]
                ),
            ))
        }
        _ => Ok(()),
    }
}
