//! The swarm: random scenarios, traces and files against the simulator, its searches and its readers, judged
//! by named invariants (docs/RELIABILITY.md).
//!
//! It knows the product's public nouns: `Trace`, `Scenario`, `simulate`, `Outcome`, the readers and the
//! searches. How an engine is driven is in [`ways`] alone, and its faults in [`twins`].

mod case;
pub mod harness;
pub mod invariants;
pub mod memory;
mod mutate;
mod readers;
mod rng;
mod rows;
pub mod schema;
pub mod searches;
mod settings;
mod shrink;
pub mod targets;
pub mod twins;
pub mod wasm;
pub mod ways;

pub use case::Case;
pub use rng::Rng;
