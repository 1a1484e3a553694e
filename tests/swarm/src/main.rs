//! `cargo xtask swarm`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Parser;
use swarm::harness::{self, Options, judge, replay_line};
use swarm::memory::Counting;
use swarm::targets::{Input, Target};
use swarm::wasm::differs;

#[global_allocator]
static MEMORY: Counting = Counting;

/// Random scenarios, traces and files against the simulator and its readers.
#[derive(Parser)]
#[command(bin_name = "cargo xtask swarm")]
struct Args {
    /// How long to run
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seed of every case
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Replay one case and say what becomes of it
    #[arg(long)]
    case: Option<u64>,
    /// Begin with this case
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Stop after so many cases
    #[arg(long)]
    cases: Option<u64>,
    /// Run these targets alone; may be given several times
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// Threads [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
    /// Compare one in twenty simulated cases, or that of --case, with the browser's module (Node.js; pkg-studies must be built)
    #[arg(long)]
    wasm: bool,
    /// A case that takes longer than this has failed, s
    #[arg(long, default_value_t = harness::LONGEST.as_secs_f64())]
    longest: f64,
    /// End at the first failure, without making it smaller
    #[arg(long)]
    fail_fast: bool,
    /// With --case: print the input first
    #[arg(long, requires = "case")]
    show: bool,
    /// Print the table for docs/RELIABILITY.md
    #[arg(long)]
    table: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(case) = args.case {
        return replay(args.seed, case, args.show, args.wasm);
    }
    let mut targets = Vec::new();
    for name in &args.target {
        let Some(target) = Target::named(name) else {
            let known: Vec<_> = Target::all().map(Target::name).collect();
            eprintln!(
                "--target: \"{name}\" is not known; known are {}",
                known.join(", ")
            );
            return ExitCode::from(2);
        };
        targets.push(target);
    }
    let report = harness::swarm(&Options {
        seed: args.seed,
        from: args.from,
        seconds: args.seconds,
        cases: args.cases,
        targets,
        threads: args
            .threads
            .unwrap_or_else(|| available_parallelism().map_or(1, |n| n.get())),
        wasm: args.wasm,
        keep: Some(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"))),
        longest: Duration::from_secs_f64(args.longest.clamp(0.0, 1e9)),
        fail_fast: args.fail_fast,
    });
    let inputs: u64 = report.by_target.values().map(|tally| tally.inputs).sum();
    if args.table {
        print!("{}", report.table());
    }
    println!(
        "{inputs} inputs in {:.0} s, {} failed",
        report.elapsed.as_secs_f64(),
        report.failures
    );
    if report.failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Says what becomes of one case.
fn replay(seed: u64, case: u64, show: bool, wasm: bool) -> ExitCode {
    let target = Target::of(seed, case);
    let input = target.make(seed, case);
    println!("{}: {}", replay_line(seed, case, ""), target.name());
    if show {
        println!("{:#}", input.to_json());
    }
    let mut judged = judge(target, &input);
    if let (true, Ok(true), Input::Case(case)) = (wasm, &judged, &input)
        && let Some(broken) = differs(case)
    {
        judged = Err(broken);
    }
    match judged {
        Ok(true) => println!("accepted and sound"),
        Ok(false) => println!(
            "refused: {}",
            target.judge(&input).map_or_else(
                |b| b.detail,
                |r| r.map_or_else(|e| e.to_string(), |()| String::new())
            )
        ),
        Err(broken) => {
            println!(
                "FAILED {}: {}\n{:#}",
                broken.name,
                broken.detail,
                input.to_json()
            );
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
