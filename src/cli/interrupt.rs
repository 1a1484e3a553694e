//! Ctrl-C: the run stops at its next slice, and no half-written file stays.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::Error;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Listens for Ctrl-C and termination from now on. The first asks the run to stop; a second ends
/// the process at once.
pub fn watch() {
    let listening = ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(super::INTERRUPTED));
        }
    });
    if let Err(problem) = listening {
        // The default, ending at once, leaves whole files too: they are renamed into place.
        eprintln!("batchscope: cannot listen for Ctrl-C ({problem}); it will end the run at once");
    }
}

pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// [`Error::Interrupted`] once the person has asked to stop.
pub fn check() -> Result<(), Error> {
    if requested() {
        Err(Error::Interrupted)
    } else {
        Ok(())
    }
}

/// A wish to stop that comes true with Ctrl-C, for work that waits for a GPU.
#[cfg(feature = "gpu")]
pub fn cancel() -> crate::gpu::Cancel {
    /// Well below what a person notices.
    const LOOK: std::time::Duration = std::time::Duration::from_millis(20);
    let cancel = crate::gpu::Cancel::new();
    let wish = cancel.clone();
    std::thread::spawn(move || {
        while !requested() {
            std::thread::sleep(LOOK);
        }
        wish.cancel();
    });
    cancel
}
