//! The reader's GPU: real decoding kernels through wgpu, timed, checked against twins on the
//! processor, and made into a fitted latency model. Knows `latency`, of `sched` only who joins a step, and nothing of the
//! simulator.
//!
//! Everything that waits for the device is `async`: a browser does not let a thread wait. Natively
//! `pollster` blocks on it.

pub mod decoder;
mod device;
pub mod estimator;
pub mod kernels;
pub mod serve;
pub mod twin;

pub use device::{Device, Dispatch, Kernel, Took, adapters};
