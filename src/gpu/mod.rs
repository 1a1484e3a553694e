//! The reader's GPU: real decoding kernels through wgpu, timed, checked against twins on the
//! processor, and made into a fitted latency model. Knows `latency` and nothing of the simulator.
//!
//! Everything that waits for the device is `async`: a browser does not let a thread wait. Natively
//! `pollster` blocks on it.

pub mod check;
pub mod decoder;
mod device;
pub mod estimator;
pub mod kernels;
pub mod twin;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "cli")]
pub(crate) use device::missing;
pub use device::{Device, Dispatch, Kernel, Took, adapters};

use crate::error::Error;

/// A wish to stop that whoever works looks at before every submission.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn new() -> Cancel {
        Cancel::default()
    }

    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// `interrupted` once that was asked for.
    pub fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) {
            Err(Error::Interrupted)
        } else {
            Ok(())
        }
    }
}
