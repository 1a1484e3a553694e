//! How right the simulator is: against theory where theory is exact, and against a real server
//! (docs/VALIDATION.md, written by `batchscope validate`).

pub mod server;
pub mod splitwise;
pub mod theory;
