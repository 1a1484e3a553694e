//! The command line; everything is in `batchscope::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    batchscope::cli::main()
}
