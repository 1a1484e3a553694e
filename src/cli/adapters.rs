//! `batchscope adapters`.

use std::rc::Rc;

use pollster::block_on;
use serde::Serialize;

use super::args::AdaptersArgs;
use super::{files, interrupt, table};
use crate::Error;
use crate::error::ErrorReport;
use crate::gpu::check::{self, Checked, Effort, Part};
use crate::gpu::kernels::Flavour;
use crate::gpu::{Cancel, Device, missing};
use crate::latency::calibration::Adapter;

/// An adapter in the form of `--json`.
#[derive(Serialize)]
struct Listed {
    number: usize,
    adapter: Adapter,
    /// With `--check`: every kernel, or what went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Vec<Checked>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorReport>,
}

pub fn adapters(args: AdaptersArgs) -> Result<(), Error> {
    let all = block_on(crate::gpu::adapters());
    let count = all.len();
    let mut list: Vec<(usize, Adapter)> = all.into_iter().enumerate().collect();
    if let Some(number) = args.adapter {
        list.retain(|(n, _)| *n == number);
    }
    if list.is_empty() {
        return Err(missing(args.adapter, count));
    }
    let text = |text: String| files::print(|output| output.write_all(text.as_bytes()));
    if !args.json {
        text(table::adapters(&list))?;
    }
    let cancel = interrupt::cancel();
    let mut listed = Vec::new();
    let mut first_error = None;
    for (number, adapter) in list {
        let checked = args.check.then(|| checked(number, &args, &cancel));
        if !args.json {
            match &checked {
                Some(Ok(checked)) => text(format!(
                    "\n{number}: every kernel computes what it should\n{}",
                    table::checked(checked)
                ))?,
                Some(Err(error)) if args.adapter.is_none() => {
                    text(format!("\n{number}: {error}\n"))?
                }
                // The only one: its error is the command's.
                Some(Err(_)) | None => {}
            }
        }
        let (check, error) = match checked {
            Some(Ok(checked)) => (Some(checked), None),
            // Whoever stopped it wants to see no other.
            Some(Err(Error::Interrupted)) => return Err(Error::Interrupted),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        listed.push(Listed {
            number,
            adapter,
            check,
            error: error.as_ref().map(Error::report),
        });
        first_error = first_error.or(error);
    }
    if args.json {
        files::print_json(&listed)?;
    }
    first_error.map_or(Ok(()), Err)
}

/// Checks an adapter with the kernels that it would use, or with all that it can.
fn checked(number: usize, args: &AdaptersArgs, cancel: &Cancel) -> Result<Vec<Checked>, Error> {
    if !args.full {
        let device = Rc::new(block_on(Device::open(Some(number)))?);
        return block_on(check::kernels(&device, args.seed, Effort::Quick, cancel));
    }
    let mut all: Vec<Checked> = Vec::new();
    for flavour in Flavour::ALL {
        let mut device = block_on(Device::open(Some(number)))?;
        device.restrict(flavour);
        if device.flavour() != flavour {
            continue;
        }
        let device = Rc::new(device);
        for part in Part::all(Effort::Full) {
            if !part.is_new_with(flavour) {
                continue;
            }
            let one = block_on(check::part(&device, part, args.seed, Effort::Full, cancel))?;
            match all.iter_mut().find(|sum| sum.kernel == one.kernel) {
                Some(sum) => {
                    sum.cases += one.cases;
                    sum.worst_error = sum.worst_error.max(one.worst_error);
                }
                None => all.push(one),
            }
        }
    }
    Ok(all)
}
