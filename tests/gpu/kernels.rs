//! Every kernel's text is valid, and on every adapter here (software ones too) every kernel computes
//! what its twin does, in every flavour.

use std::rc::Rc;

use crate::support::gpu::{agree, devices};
use batchscope::gpu::Cancel;
use batchscope::gpu::check::{self, Effort, Part};
use batchscope::gpu::kernels::{self, Flavour};
use batchscope::latency::architecture::Precision;

#[test]
fn every_variant_is_valid() {
    let mut names = std::collections::BTreeSet::new();
    for flavour in Flavour::ALL {
        for source in kernels::all(flavour) {
            if !names.insert((source.name.clone(), source.wgsl.clone())) {
                continue;
            }
            let module = naga::front::wgsl::parse_str(&source.wgsl)
                .unwrap_or_else(|e| panic!("{}: {}", source.name, e.emit_to_string(&source.wgsl)));
            let capabilities = naga::valid::Capabilities::SHADER_FLOAT16
                | naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32
                | naga::valid::Capabilities::SUBGROUP;
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
                .validate(&module)
                .unwrap_or_else(|e| panic!("{}: {}", source.name, e.emit_to_string(&source.wgsl)));
            let bound = module
                .global_variables
                .iter()
                .filter(|(_, variable)| variable.binding.is_some())
                .count();
            assert_eq!(bound, source.bindings.len(), "{}", source.name);
            assert!(
                module.entry_points.iter().any(|e| e.name == source.entry),
                "{}",
                source.name
            );
        }
    }
    // One name, one text: pipelines are kept by name.
    let unique: std::collections::BTreeSet<_> = names.iter().map(|(name, _)| name).collect();
    let flavours_of_a_text = names.len() - unique.len();
    assert_eq!(flavours_of_a_text, 0, "a name stands for several texts");
}

#[test]
fn fill() {
    agree(Part::Fill);
}

#[test]
fn read() {
    agree(Part::Read);
}

#[test]
fn embed() {
    for precision in Precision::ALL {
        agree(Part::Embed(precision));
    }
}

#[test]
fn gemv_f32() {
    agree(Part::Gemv(Precision::F32));
}

#[test]
fn gemv_f16() {
    agree(Part::Gemv(Precision::F16));
}

#[test]
fn gemv_int8() {
    agree(Part::Gemv(Precision::Int8));
}

#[test]
fn gemv_int4() {
    agree(Part::Gemv(Precision::Int4));
}

#[test]
fn gemm() {
    for precision in Precision::ALL {
        agree(Part::Gemm(precision));
    }
}

#[test]
fn rope_append() {
    agree(Part::RopeAppend);
}

#[test]
fn attention() {
    agree(Part::Attention);
}

#[test]
fn sample() {
    agree(Part::Sample);
}

/// What `batchscope adapters --check` and the page do: all of it, in the order of the parts.
#[test]
fn a_quick_check_has_every_kernel() {
    // Of an adapter's flavours the last: all that it can.
    for device in devices().into_iter().rev().take(1) {
        let (device, cancel) = (Rc::new(device), Cancel::new());
        let checking = check::kernels(&device, 42, Effort::Quick, &cancel);
        let checked = pollster::block_on(checking).unwrap();
        let names: Vec<String> = checked.into_iter().map(|c| c.kernel).collect();
        let all = Part::all(Effort::Quick)
            .into_iter()
            .map(Part::name)
            .collect::<Vec<_>>();
        assert_eq!(names, all);
    }
}

#[test]
fn a_check_that_is_not_wanted_any_more_ends() {
    for device in devices().into_iter().take(1) {
        let (device, cancel) = (Rc::new(device), Cancel::new());
        cancel.cancel();
        let checking = check::kernels(&device, 42, Effort::Full, &cancel);
        let ended = pollster::block_on(checking).err();
        assert_eq!(ended, Some(batchscope::Error::Interrupted));
    }
}
