//! What a run meets published figures by and nothing else needs: the order of events and of idle
//! GPUs as the original's Python containers give it (docs/MODEL.md, "Events and their order").
//!
//! Off by default: only `workload.ties` other than `fixed` comes here.

mod heap;
mod set;

pub(super) use heap::{Event, PythonHeap};
pub(super) use set::IdleSet;

/// The original's two containers at work.
#[derive(Debug, Clone)]
pub(super) struct PublishedOrder {
    pub events: PythonHeap,
    pub idle: IdleSet,
}
