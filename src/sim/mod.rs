//! The clock: which event is next, and what it does to the fleet.
//!
//! A [`Run`] advances in slices, so that a worker can show progress and drop a run that nobody
//! waits for any more; at the end it leaves a [`Record`]. [`crate::simulate`] is the whole.

mod closed;
mod due;
mod fleet;
mod python_heap;
mod record;
mod users;
mod workload;

pub use closed::Run;
pub(crate) use workload::rows;

pub use record::{Arrivals, BatchRow, Batches, Prediction, Record, Requests, WorkloadReport};
