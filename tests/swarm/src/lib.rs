//! The swarm: random scenarios, traces and files, judged by named invariants (docs/RELIABILITY.md).

pub mod case;
pub mod invariants;
pub mod rng;
pub mod rows;
pub mod schema;
pub mod settings;
pub mod ways;
