//! How right the simulator is: against theory where theory is exact, and against real servers
//! (docs/VALIDATION.md, written by `batchscope validate`).

#[cfg(feature = "cli")]
pub mod load_test;
pub mod server;
pub mod splitwise;
pub mod theory;
