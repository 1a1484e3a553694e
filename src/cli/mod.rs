//! The command line: arguments in, tables, JSON and whole files out. No logic of the simulator's.

#[cfg(feature = "gpu")]
mod adapters;
mod args;
#[cfg(feature = "gpu")]
mod calibrate;
mod calibrated;
mod capacity;
mod commands;
mod compare;
mod files;
mod fit;
mod interrupt;
mod journal;
mod latency;
mod levels;
mod load_tests;
mod manifest;
mod models;
mod pool;
mod replay;
mod reproduce;
mod roofline;
mod run;
mod studies;
mod study;
mod sweep;
mod table;
mod trace;
mod traces;
mod usage;
mod validate;

use std::io::Write;
use std::process::ExitCode;

use crate::Error;
use crate::scenario::describe;
use args::{ScenarioCommand, TraceCommand};
use commands::Command;

/// Exit codes, part of the contract (README, "Exit codes").
const MISMATCH: u8 = 1;
const BAD_SETTING: u8 = 2;
const BAD_DATA: u8 = 3;
const BAD_FILE: u8 = 4;
#[cfg(feature = "gpu")]
const NO_GPU: u8 = 5;
const INTERRUPTED: u8 = 130;

/// Runs the command line and gives the process's exit code.
pub fn main() -> ExitCode {
    interrupt::watch(|say| {
        // From here on no file is begun, and none that was is left.
        let _none_begins = files::discard_unfinished();
        say();
    });
    let args = match usage::parse() {
        Ok(args) => args,
        Err(help) if usage::is_help(&help) => {
            // A reader that closed the pipe has what it wanted.
            let _ = help.print();
            return ExitCode::from(if help.use_stderr() { BAD_SETTING } else { 0 });
        }
        Err(wrong) => return fail(&usage::refusal(&wrong)),
    };
    let result = match args.command {
        Command::Run(args) => run::run(*args),
        Command::Trace(TraceCommand::Stats(args)) => trace::stats(args),
        Command::Trace(TraceCommand::Generate(args)) => trace::generate(args),
        Command::Capacity(args) => capacity::capacity(*args),
        Command::Study(args) => study::study(*args),
        Command::Reproduce(args) => reproduce::reproduce(args),
        Command::Compare(args) => compare::compare(args),
        Command::Sweep(args) => sweep::sweep(args),
        Command::Fit(args) => fit::fit(args),
        #[cfg(feature = "gpu")]
        Command::Adapters(args) => adapters::adapters(args),
        #[cfg(feature = "gpu")]
        Command::Calibrate(args) => calibrate::calibrate(args),
        Command::Models(args) => models::models(args),
        Command::Roofline(args) => roofline::roofline(&args),
        Command::Scenario(command) => scenario(&command),
        Command::Serve { words } => Err(levels::instead_of_serve(&words)),
        Command::Latency(args) => latency::latency(args),
        Command::Validate(args) => validate::validate(*args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that closed the pipe has what it wanted.
        Err(Error::File { action, .. }) if action == files::CLOSED_PIPE => ExitCode::SUCCESS,
        Err(error) => {
            if !interrupt::requested() {
                return fail(&error);
            }
            // Whatever failed failed because of it.
            interrupt::say_so();
            ExitCode::from(INTERRUPTED)
        }
    }
}

/// What a scenario's settings are.
fn scenario(command: &ScenarioCommand) -> Result<(), Error> {
    match command {
        ScenarioCommand::Schema => files::print_json(describe::schema()),
        ScenarioCommand::Explain { path } => {
            let text = describe::explain(path)?.text();
            files::print(|output| output.write_all(text.as_bytes()))
        }
        ScenarioCommand::Settings => {
            files::print(|output| output.write_all(describe::page().as_bytes()))
        }
    }
}

/// Says what went wrong, and gives its exit code.
fn fail(error: &Error) -> ExitCode {
    // Nobody is left to tell where standard error is gone; the exit code still says it.
    let _ = writeln!(std::io::stderr(), "batchscope: {error} [{}]", error.code());
    ExitCode::from(match error {
        Error::Mismatch { .. } => MISMATCH,
        Error::BadArgument { .. }
        | Error::BadField { .. }
        | Error::BadScenario { .. }
        | Error::Contradiction { .. } => BAD_SETTING,
        Error::BadCell { .. }
        | Error::BadRow { .. }
        | Error::MissingColumn { .. }
        | Error::UnknownFormat { .. }
        | Error::EmptyTrace { .. }
        | Error::Truncated { .. }
        | Error::BadCalibration { .. }
        | Error::NoFit { .. }
        | Error::TooLarge { .. }
        | Error::FailedLines { .. } => BAD_DATA,
        #[cfg(feature = "gpu")]
        Error::Gpu { .. } => NO_GPU,
        Error::File { .. } => BAD_FILE,
        Error::Interrupted | Error::InterruptedStudy { .. } => INTERRUPTED,
    })
}
