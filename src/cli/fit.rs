//! `batchscope fit`.

use super::args::FitArgs;
use super::{files, table};
use crate::latency::Latency;
use crate::latency::fit::{self, Fit};
use crate::{Error, Scenario};

pub fn fit(args: FitArgs) -> Result<(), Error> {
    let name = args.grid.display().to_string();
    let grid = files::read_bytes(&args.grid)?;
    let points = fit::read_grid(
        grid.as_slice(),
        if name == "-" { "standard input" } else { &name },
    )?;
    let fit = fit::linear(&points, &name)?;
    // The coefficients are there for whoever wants to see them, also where no scenario takes them.
    if args.json {
        files::print_json(&fit)?;
    } else {
        let text = table::fit(&fit);
        files::print(|output| output.write_all(text.as_bytes()))?;
    }
    can_be_simulated(&fit, name)
}

/// Refuses coefficients outside the ranges of a scenario. A gamma below 0 whose interval reaches 0
/// is 0 within the error of the measurements, and no reason to refuse.
fn can_be_simulated(fit: &Fit, file: String) -> Result<(), Error> {
    let mut model = fit.model;
    if fit.gamma_may_be_zero() {
        model.gamma = 0.0;
    }
    let mut scenario = Scenario::default();
    scenario.closed_mut().latency = Latency::Linear(model);
    match scenario.validate() {
        Err(Error::BadField {
            field,
            value,
            allowed,
        }) => Err(Error::NoFit {
            file,
            problem: format!(
                "{} is {value}, and only a latency model with {allowed} there can be simulated; \
                 measure again, or leave out what is no batch time",
                field.rsplit('.').next().unwrap_or(&field),
            ),
        }),
        other => other,
    }
}
