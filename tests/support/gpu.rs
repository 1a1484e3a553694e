//! Adapters for tests.
use std::rc::Rc;

use batchscope::gpu::check::{self, Effort, Part};
use batchscope::gpu::kernels::Flavour;
use batchscope::gpu::{Cancel, Device, adapters};

/// Every device here, once for each way in which it can be used. None, with a message, where there is
/// no driver.
pub fn devices() -> Vec<Device> {
    let count = pollster::block_on(adapters()).len();
    if count == 0 {
        eprintln!(
            "skipped: no driver for Vulkan, Metal or Direct3D 12 here; Mesa's lavapipe (on Debian: \
             mesa-vulkan-drivers) is one in software"
        );
    }
    let mut devices = Vec::new();
    for number in 0..count {
        for flavour in Flavour::ALL {
            let mut device = pollster::block_on(Device::open(Some(number))).unwrap();
            device.restrict(flavour);
            if device.flavour() == flavour {
                eprintln!("{} {flavour:?}", device.adapter().name);
                devices.push(device);
            }
        }
    }
    devices
}

/// Every case of a kernel has to agree with the twin on every device, in every flavour that has a kernel
/// of its own for it.
pub fn agree(part: Part) {
    for device in devices() {
        if part.is_new_with(device.flavour()) {
            agrees(device, part);
        }
    }
}

/// The same on one device.
pub fn agrees(device: Device, part: Part) {
    let what = format!("{} {:?}", device.adapter().name, device.flavour());
    let (device, cancel) = (Rc::new(device), Cancel::new());
    let checking = check::part(&device, part, 7, Effort::Full, &cancel);
    let checked = pollster::block_on(checking).unwrap_or_else(|e| panic!("{what}: {e}"));
    eprintln!("{what}: {checked:?}");
    assert!(checked.cases > 0 && checked.worst_error <= checked.tolerance);
}
