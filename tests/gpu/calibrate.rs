//! A whole calibration on a software adapter: what it leaves, and what stops it.

use std::env;
use std::hint::black_box;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use batchscope::Error;
use batchscope::gpu::decoder::{Decoder, Row, SLOTS};
use batchscope::gpu::{Cancel, Device, Options, Progress, adapters, calibrate, serve};
use batchscope::latency::architecture::{Architecture, Precision};
use batchscope::latency::calibration::{Calibration, ManyColumns};

/// The fastest adapter of those that play a GPU; `None`, with a message, where there is no driver.
fn device() -> Option<Rc<Device>> {
    let all = pollster::block_on(adapters());
    let number = all
        .iter()
        .position(|a| a.name.contains("llvmpipe"))
        .or(if all.is_empty() { None } else { Some(0) });
    if number.is_none() {
        eprintln!(
            "skipped: no driver for Vulkan, Metal or Direct3D 12 here; Mesa's lavapipe (on Debian: \
             mesa-vulkan-drivers) is one in software"
        );
    }
    number.map(|n| Rc::new(pollster::block_on(Device::open(Some(n))).unwrap()))
}

fn options() -> Options {
    Options {
        architecture: Architecture {
            layers: 6,
            hidden: 64,
            heads: 4,
            kv_heads: 2,
            head_size: 32,
            mlp: 128,
            vocabulary: 512,
            ..Architecture::preset("demo").unwrap()
        },
        precision: Precision::Int4,
        quick: true,
        seed: 3,
        most_bytes: None,
    }
}

/// What a calibration leaves and what it told meanwhile. Where the processor was busy with something else it is refused,
/// in a sentence that says so, and is begun again; a device that never gets on is a failure of the tenth.
fn calibrated(device: &Rc<Device>, options: &Options) -> (Calibration, Vec<Progress>) {
    for attempt in 1.. {
        let mut heard = Vec::new();
        let found = pollster::block_on(calibrate::calibrate(
            device,
            options,
            &Cancel::new(),
            &mut |progress| heard.push(progress),
        ));
        match found {
            Ok(found) => return (found, heard),
            Err(Error::Gpu { problem, .. })
                if attempt < 10 && problem.contains("busy with something else") => {}
            Err(other) => panic!("{other}"),
        }
    }
    unreachable!("the loop has no end")
}

#[test]
fn leaves_a_calibration_that_can_be_read_back() {
    let Some(device) = device() else { return };
    let (found, heard) = calibrated(&device, &options());
    assert_eq!(found.model.layers_resident, 6);
    assert_eq!(
        found.points.len() as u32,
        found.fit.fitted + found.fit.held_out
    );
    assert!(found.fit.held_out >= 2 && !found.checks.is_empty());
    assert!(
        found
            .points
            .iter()
            .all(|p| p.seconds > 0.0 && p.mad_s >= 0.0)
    );
    assert!(found.points.iter().any(|p| p.prefill > 0));
    assert!(found.bandwidth.read.value > 1e7, "{:?}", found.bandwidth);
    for kernel in [
        "gemv-f32",
        "gemv-f16",
        "gemv-int8",
        "gemv-int4",
        "attention",
    ] {
        assert!(
            found.kernels.iter().any(|k| k.name.starts_with(kernel)),
            "{kernel}"
        );
    }
    // Raw samples are kept: at least three rounds of two counts or more.
    assert!(
        found
            .kernels
            .iter()
            .all(|k| k.seconds.n as usize == k.seconds.samples.len())
    );
    assert!(found.kernels.iter().all(|k| k.seconds.n >= 6));
    if device.adapter().software {
        assert!(found.demonstration);
        assert!(found.warnings.iter().any(|w| w.code == "software-adapter"));
    }

    // Steps of both sides of every edge of the kernels, with what they dispatch and read; whole rounds of them.
    let at = |sequences: u32| {
        let mut steps = found.steps.iter();
        steps.find(|s| s.sequences == sequences && s.sampled == sequences)
    };
    for sequences in [1, 2, 4, 5, 8, 9, 16, 17, 32, 33, 64] {
        let step = at(sequences).unwrap_or_else(|| panic!("{sequences} sequences"));
        assert!(step.seconds > step.host_s && step.host_s > 0.0, "{step:?}");
        assert!(step.dispatches > 6 * 6 && step.bytes > 1e4, "{step:?}");
        assert!(step.rounds + step.left_out >= 3, "{step:?}");
    }
    assert!(found.steps.iter().any(|s| s.chunk == 128 && s.before > 0));
    let host = found.host.unwrap();
    assert!(
        host.per_step_s >= 0.0 && host.per_dispatch_s >= 0.0,
        "{host:?}"
    );
    let pace = found.steadiness.unwrap();
    assert!(pace.usual_s > 0.0 && pace.spread >= 0.0, "{pace:?}");
    assert!(found.step_error() >= pace.spread);

    // What was heard on the way is about what it leaves: every point was shown while it was measured.
    let mut sizes: Vec<_> = heard
        .iter()
        .filter_map(|p| p.point)
        .map(|p| (p.sequences, p.context, p.prefill))
        .collect();
    assert!(sizes.len() >= 3 * found.points.len());
    sizes.sort_unstable();
    sizes.dedup();
    let mut left: Vec<_> = found
        .points
        .iter()
        .map(|p| (p.sequences, p.context, p.prefill))
        .collect();
    left.sort_unstable();
    assert_eq!(sizes, left);
    assert_eq!(
        heard.iter().filter(|p| p.check.is_some()).count(),
        found.checks.len()
    );
    assert!(
        heard
            .windows(2)
            .all(|pair| pair[0].done <= pair[1].done + 1e-12)
    );
    assert!(
        heard
            .iter()
            .all(|p| (0.0..=1.0).contains(&p.done) && !p.what.is_empty())
    );

    let json = found.to_json().unwrap();
    assert_eq!(Calibration::from_json(&json, "memory").unwrap(), found);
}

/// The kernels of a step of so many sequences, each with a prompt token, and their workgroups.
fn kernels(decoder: &mut Decoder, sequences: u32) -> Vec<(String, [u32; 3])> {
    let row = |slot| Row {
        slot,
        position: 0,
        token: Some(slot),
        sample: true,
    };
    for slot in 0..sequences {
        assert!(decoder.reserve(slot, 1));
    }
    let rows: Vec<Row> = (0..sequences).map(row).collect();
    decoder.dispatches(&rows).unwrap()
}

#[test]
fn a_new_device_runs_the_kernels_that_were_timed() {
    let Some(measured) = device() else { return };
    let options = options();
    let (found, _) = calibrated(&measured, &options);
    // The device keeps the kernels that it was calibrated with.
    let config = calibrate::config(&options);
    let mut timed = pollster::block_on(Decoder::new(measured, config)).unwrap();
    // 64 prompt and 32 output tokens in each slot.
    let pool_tokens = SLOTS * 96;
    // Through the file, on a device that was opened for it.
    let serving = |file: &str| {
        let calibration = Calibration::from_json(file, "cal.json").unwrap();
        let decoder = serve::decoder(device().unwrap(), &calibration, "cal.json", pool_tokens);
        pollster::block_on(decoder).unwrap()
    };
    let mut new = serving(&found.to_json().unwrap());
    let sizes = [1, 2, 4, 8, 9, 16, 17, 32, 33, SLOTS];
    for sequences in sizes {
        let names = kernels(&mut timed, sequences);
        assert!(names.len() > 10, "{names:?}");
        assert_eq!(kernels(&mut new, sequences), names, "{sequences} sequences");
    }
    // It is the file that decides: with the other kernel named, the other one runs, at that size alone.
    for (size, most) in [16, 32, SLOTS].into_iter().enumerate() {
        let mut other = found.clone();
        let choice = &mut other.many_columns.as_mut().unwrap()[size];
        *choice = match choice {
            ManyColumns::Tiles => ManyColumns::Eights,
            ManyColumns::Eights => ManyColumns::Tiles,
        };
        let mut other = serving(&other.to_json().unwrap());
        for sequences in sizes {
            let same = kernels(&mut other, sequences) == kernels(&mut timed, sequences);
            let of_that_size = sequences > most / 2 && sequences <= most;
            assert_eq!(same, !of_that_size, "{sequences} sequences, {most} columns");
        }
    }
}

/// How long a calibration goes on after it is asked to stop in this stage.
fn stops_after(device: &Rc<Device>, stage: &str) -> Duration {
    let cancel = Cancel::new();
    let mut asked: Option<Instant> = None;
    let ended = pollster::block_on(calibrate::calibrate(
        device,
        &options(),
        &cancel,
        &mut |progress| {
            if progress.stage == stage && asked.is_none() {
                cancel.cancel();
                asked = Some(Instant::now());
            }
        },
    ));
    assert_eq!(ended.unwrap_err(), Error::Interrupted);
    asked.unwrap().elapsed()
}

/// A machine that is busy with other work may be late once; to three tries it is not.
#[test]
fn stops_within_300_ms_of_being_asked_to() {
    let Some(device) = device() else { return };
    // In each stage that is reached soon enough.
    for stage in ["verify", "build", "read", "kernels"] {
        let mut tries = Vec::new();
        while tries.iter().all(|took| *took >= Duration::from_millis(300)) {
            assert!(tries.len() < 3, "{stage}: {tries:?}");
            tries.push(stops_after(&device, stage));
        }
    }
    // And it can be used again.
    assert_eq!(Cancel::new().check(), Ok(()));
}

/// Set in a process that keeps every core busy until its parent ends it.
const BUSY: &str = "BATCHSCOPE_TEST_BUSY";

/// The second process of the test below. Run by itself it does nothing.
#[test]
#[ignore = "the second process of another test"]
fn keeps_every_core_busy() {
    if env::var_os(BUSY).is_none() {
        return;
    }
    // Its input ends with its parent, however that ends.
    thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let end = Instant::now() + Duration::from_secs(600);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..2 * cores {
            scope.spawn(|| {
                while Instant::now() < end {
                    (0..1_000_000u32).for_each(|i| {
                        black_box(i);
                    });
                }
            });
        }
    });
}

/// That process, ended when this is dropped.
struct Busy(Child);

impl Busy {
    fn start() -> Busy {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "calibrate::keeps_every_core_busy"]);
        command
            .env(BUSY, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Busy(command.spawn().unwrap())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that takes the processor half way through is in the warnings and in the stated error.
#[test]
#[ignore = "takes five minutes and both cores; docs/GPU.md has the command"]
fn a_second_process_half_way_through_is_in_the_stated_error() {
    let Some(device) = device() else { return };
    // A real GPU has its own clock.
    if !device.adapter().software {
        return;
    }
    let options = options();
    let mut busy = None;
    let mut listen = |progress: Progress| {
        if busy.is_none() && progress.stage == "points" && progress.done > HALF_WAY {
            busy = Some(Busy::start());
        }
    };
    let disturbed = pollster::block_on(calibrate::calibrate(
        &device,
        &options,
        &Cancel::new(),
        &mut listen,
    ));
    assert!(busy.is_some());
    drop(busy);
    let disturbed = disturbed.unwrap();
    let pace = disturbed.steadiness.unwrap();
    let drift = disturbed.drift.unwrap();
    let warning = disturbed.warnings.iter().find(|w| w.code == "drift");
    let (quiet, _) = calibrated(&device, &options);
    let mut changes: Vec<f64> = disturbed
        .steps
        .iter()
        .zip(&quiet.steps)
        .map(|(then, now)| (then.seconds / now.seconds - 1.0).abs())
        .collect();
    changes.sort_by(f64::total_cmp);
    let change = changes[changes.len() / 2];
    let stated = disturbed.step_error();
    let all = format!(
        "{pace:?}, drift {drift}, stated {stated}, half of the steps changed by {change} or more; quiet: {:?} {:?}",
        quiet.steadiness, quiet.drift
    );
    eprintln!("{all}");
    assert!(warning.is_some(), "{all}");
    assert!(stated >= drift.abs().max(pace.spread), "{all}");
    assert!(change <= stated, "{all}");
}

/// Of a calibration's progress: the steps are from 0.3 on, and are measured from 0.44 on.
const HALF_WAY: f64 = 0.72;

#[test]
fn a_device_that_is_lost_in_the_middle_is_an_error() {
    let Some(device) = device() else { return };
    let lost = device.clone();
    let ended = pollster::block_on(calibrate::calibrate(
        &device,
        &options(),
        &Cancel::new(),
        &mut |progress| {
            if progress.stage == "kernels" {
                lost.destroy();
            }
        },
    ));
    assert!(matches!(ended, Err(Error::Gpu { .. })), "{ended:?}");
}

#[test]
fn fewer_layers_are_extrapolated_and_said_so() {
    let Some(device) = device() else { return };
    let all = options();
    let some = Options {
        most_bytes: Some(4 * calibrate::config(&all).layer_bytes()),
        ..all
    };
    let (found, _) = calibrated(&device, &some);
    assert_eq!(found.model.layers_resident, 4);
    assert!(found.warnings.iter().any(|w| w.code == "fewer-layers"));
    assert!(
        found
            .layers
            .is_some_and(|l| l.extrapolated && l.counts.len() == 3)
    );
}
