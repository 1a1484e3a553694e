//! `cargo xtask`: every command that a reader, a developer or CI runs.
//!
//! Each module is one command; [`sh`] runs programs for all of them. Nothing here knows what the
//! product does: it knows how to build it, serve it, test it and measure it.

mod bench;
mod check;
mod dependencies;
mod documents;
mod imports;
mod mutants;
mod serve;
mod setup;
mod sh;
mod site;
mod swarm;
mod test;

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    process::{self, ExitCode},
};

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};

use crate::{serve::Site, setup::Need, site::Effort};

/// Set up, build, serve, test, check and measure Batchscope.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what building, serving and testing need; says what and why first
    Setup {
        /// What to prepare for; `serve` needs the least
        #[arg(long = "for", value_name = "WHAT", default_value = "test")]
        need: Need,
    },
    /// Build the page into a folder that any static host can serve
    Build {
        /// Where to put the site: written whole or not at all [default: target/site]
        #[arg(long, value_name = "DIR")]
        dist: Option<PathBuf>,
        /// Skip the slow optimisations: for working on the page
        #[arg(long)]
        dev: bool,
    },
    /// Build the page and serve it on this machine
    Serve {
        /// Port to listen on; 0 takes any free one
        #[arg(long, default_value_t = 8080)]
        port: u16,
        /// Address to listen on; 0.0.0.0 lets other machines in
        #[arg(long, default_value = "127.0.0.1")]
        host: String,
        /// Open the page in your browser
        #[arg(long)]
        open: bool,
        /// Serve the site as it was built last
        #[arg(long)]
        no_build: bool,
        /// Skip the slow optimisations: for working on the page
        #[arg(long, conflicts_with = "no_build")]
        dev: bool,
    },
    /// Run every test: Rust, Node.js and a real browser
    Test,
    /// Check format, lints, types, and the dependencies' licences and advisories
    Check,
    /// Take over the advisories of our dependencies from a checkout of the RustSec database
    Advisories {
        /// A checkout of https://github.com/rustsec/advisory-db
        #[arg(long, value_name = "DIR")]
        database: PathBuf,
    },
    /// Run random scenarios, traces and files against the simulator and its readers
    ///
    /// Compares with the browser's module too; `--native` leaves that out. All other arguments go to the
    /// swarm: `--seconds S`, `--seed N`, `--case K` to replay one, `--target NAME`, `--table`.
    #[command(disable_help_flag = true)]
    Swarm {
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARGUMENTS"
        )]
        args: Vec<String>,
    },
    /// Break the engines in a sample of places, one at a time, and say which breaks no test notices
    Mutants {
        /// About how many places, of all that cargo-mutants finds in sim, sched and metrics
        #[arg(long, default_value_t = 200)]
        sample: usize,
        /// Where the sample begins
        #[arg(long, default_value_t = 1)]
        seed: usize,
        /// How many are built and judged at a time; each has a build folder of its own
        #[arg(long, default_value_t = 1)]
        jobs: usize,
    },
    /// Measure, natively and in the browser; writes docs/BENCH.md
    Bench,
}

fn main() -> ExitCode {
    let args = Args::try_parse().unwrap_or_else(|error| {
        if error.kind() == ErrorKind::InvalidSubcommand {
            // Whoever mistypes a command wants to see which there are.
            eprintln!("{error}\n{}", Args::command().render_help());
            process::exit(2);
        }
        error.exit()
    });
    match run(args.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Anyhow's own report would add a backtrace where RUST_BACKTRACE is set: of no use to a
            // person who has a port to change or a package to install.
            eprintln!("\nError: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Runs one command; false when it did its work and the result is bad.
fn run(command: Command) -> Result<bool> {
    match command {
        Command::Setup { need } => {
            setup::ensure(need)?;
            println!("All is set up.");
        }
        Command::Build { dist, dev } => {
            let dir = match dist {
                // Relative to where the person is, not to the repository.
                Some(dir) => env::current_dir()
                    .context("asking for the current folder")?
                    .join(dir),
                None => site::default_dir(),
            };
            let tools = setup::ensure(Need::Serve)?;
            site::build(&tools.wasm, effort(dev), &dir)?;
        }
        Command::Serve {
            port,
            host,
            open,
            no_build,
            dev,
        } => {
            let dir = site::default_dir();
            let listener = serve::take_port(&host, port)?;
            if !no_build {
                let tools = setup::ensure(Need::Serve)?;
                site::build(&tools.wasm, effort(dev), &dir)?;
            }
            let site = Site::new(&dir, listener)?;
            println!("\nBatchscope is at {}\nPress Ctrl+C to stop.", site.url());
            // Whoever waits for the address may read it through a pipe.
            io::stdout().flush().context("printing the address")?;
            if open && let Err(error) = serve::open(site.url()) {
                println!("{error:#}");
            }
            site.run();
        }
        Command::Test => {
            let tally = test::test();
            println!("{tally}");
            return Ok(tally.is_good());
        }
        Command::Check => check::check(&setup::ensure(Need::Check)?)?,
        Command::Advisories { database } => {
            let here = env::current_dir().context("asking for the current folder")?;
            dependencies::renew(&here.join(database))?;
        }
        Command::Swarm { args } => return swarm::swarm(&args),
        Command::Mutants { sample, seed, jobs } => return mutants::mutants(seed, sample, jobs),
        Command::Bench => return bench::bench(),
    }
    Ok(true)
}

fn effort(dev: bool) -> Effort {
    if dev { Effort::Dev } else { Effort::Full }
}
