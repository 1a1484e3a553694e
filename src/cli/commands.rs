//! The commands.

use clap::{Parser, Subcommand};

#[cfg(feature = "gpu")]
use super::args::{AdaptersArgs, CalibrateArgs};
use super::args::{
    CapacityArgs, CompareArgs, FitArgs, LatencyCommand, ModelsArgs, ReproduceArgs, RooflineArgs,
    RunArgs, ScenarioCommand, SweepArgs, TraceCommand, ValidateArgs,
};
use super::studies::StudyCommand;

#[derive(Parser)]
#[command(
    version,
    about = "Replay LLM-serving requests through batching schedulers and see what a GPU fleet can promise.",
    after_help = "Exit codes: 0 done, 1 a published figure was not met, 2 a setting is wrong, 3 the data is wrong, 4 a file cannot be read or written, 5 no GPU that works, 130 interrupted.",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Replay a trace under a scenario and print what happened.
    Run(Box<RunArgs>),
    /// Look at traces, or make them.
    #[command(subcommand)]
    Trace(TraceCommand),
    /// Search the highest rate at which an SLA attainment holds, or the fewest GPUs for a rate.
    Capacity(Box<CapacityArgs>),
    /// Run a published study: many runs, its tables, report and figures.
    #[command(subcommand)]
    Study(Box<StudyCommand>),
    /// Check published figures against the file they were computed from.
    Reproduce(ReproduceArgs),
    /// Run two scenarios on the same seeds and say how their figures differ, with intervals.
    Compare(CompareArgs),
    /// Run one scenario per line of standard input; print one outcome per line, in order.
    Sweep(SweepArgs),
    /// What a scenario's settings are: schema, meaning, list.
    #[command(subcommand)]
    Scenario(ScenarioCommand),
    /// Make the latency of a step out of measurements or data sheets, for `--step-latency`.
    #[command(subcommand)]
    Latency(LatencyCommand),
    /// Hold the simulator against theory, and against a run of a real server.
    Validate(Box<ValidateArgs>),
    /// Fit the closed-batch latency model to a grid of measured batch times.
    Fit(FitArgs),
    /// List this machine's GPUs, and check what they compute.
    #[cfg(feature = "gpu")]
    Adapters(AdaptersArgs),
    /// Measure this machine's GPU with a real decoder, and prove by serving users how well that predicts it.
    #[cfg(feature = "gpu")]
    Calibrate(CalibrateArgs),
    /// List the models that `--model` knows, with their weights, keys and values, and arithmetic.
    Models(ModelsArgs),
    /// Print the step times that data sheets allow a model at best.
    Roofline(Box<RooflineArgs>),
    /// Says what to type instead: `run --users`.
    #[command(hide = true, disable_help_flag = true)]
    Serve {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
