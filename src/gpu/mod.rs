//! The reader's GPU: real decoding kernels through wgpu, timed, checked against twins on the
//! processor, and made into a fitted latency model. Knows `latency` and nothing of the simulator.
//!
//! Everything that waits for the device is `async`: a browser does not let a thread wait. Natively
//! `pollster` blocks on it.

mod device;
pub mod kernels;
pub mod serve;

pub use device::{Device, Dispatch, Took, adapters};
