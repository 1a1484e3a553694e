//! The reader's GPU: real decoding kernels through wgpu, timed, checked against twins on the
//! processor, and made into a fitted latency model. Knows `latency`, of `sched` only who joins a step,
//! and nothing of the simulator.
//!
//! Everything that waits for the device is `async`: a browser does not let a thread wait. Natively
//! `pollster` blocks on it.

pub mod calibrate;
pub mod check;
pub mod decoder;
mod device;
pub mod estimator;
pub mod kernels;
mod measure;
pub mod pace;
pub mod serve;
pub mod twin;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use calibrate::{Listener, Options, Plan, Progress};
#[cfg(feature = "cli")]
pub(crate) use device::missing;
pub use device::{Device, Dispatch, Kernel, Took, adapters};

use crate::error::Error;
use crate::latency::calibration::{Adapter, Calibration};

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

/// An opened device, and what can be done with it.
pub struct Gpu {
    device: Rc<Device>,
}

impl Gpu {
    /// Opens an adapter, by its place among [`adapters`]; the first where none is named. A browser has
    /// one at most.
    ///
    /// Errors: `no-adapter`, `gpu-refused`.
    pub async fn open(number: Option<usize>) -> Result<Gpu, Error> {
        Ok(Gpu {
            device: Rc::new(Device::open(number).await?),
        })
    }

    /// The same in a browser, which names an adapter in its own way and has a name itself.
    ///
    /// Errors: as [`Gpu::open`].
    pub async fn open_in(name: String, user_agent: String, subgroups: bool) -> Result<Gpu, Error> {
        let mut device = Device::open(None).await?;
        device.seen_by(name, user_agent, subgroups);
        Ok(Gpu {
            device: Rc::new(device),
        })
    }

    pub fn adapter(&self) -> &Adapter {
        self.device.adapter()
    }

    pub fn device(&self) -> &Rc<Device> {
        &self.device
    }

    /// What a calibration would do.
    pub fn plan(&self, options: &Options) -> Plan {
        calibrate::plan(&self.device, options)
    }

    /// Measures, fits and checks.
    ///
    /// Errors: as [`calibrate::calibrate`].
    pub async fn calibrate(
        &self,
        options: &Options,
        cancel: &Cancel,
        listener: Listener<'_>,
    ) -> Result<Calibration, Error> {
        calibrate::calibrate(&self.device, options, cancel, listener).await
    }

    /// Every kernel against its twin on this device.
    ///
    /// Errors: as [`check::kernels`].
    pub async fn self_check(
        &self,
        seed: u32,
        effort: check::Effort,
        cancel: &Cancel,
    ) -> Result<Vec<check::Checked>, Error> {
        check::kernels(&self.device, seed, effort, cancel).await
    }

    /// Ends the device and frees its memory.
    pub fn destroy(&self) {
        self.device.destroy();
    }
}
