//! `batchscope fit`.

use std::fs::File;

use super::args::FitArgs;
use super::{files, table};
use crate::Error;
use crate::latency::fit;

pub fn fit(args: FitArgs) -> Result<(), Error> {
    let name = args.grid.display().to_string();
    let points = if name == "-" {
        fit::read_grid(std::io::stdin().lock(), "standard input")?
    } else {
        let file = File::open(&args.grid).map_err(|e| files::problem("open", &args.grid, &e))?;
        fit::read_grid(file, &name)?
    };
    let fit = fit::linear(&points, &name)?;
    if args.json {
        files::print_json(&fit)
    } else {
        let text = table::fit(&fit);
        files::print(|output| output.write_all(text.as_bytes()))
    }
}
