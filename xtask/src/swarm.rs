//! `cargo xtask swarm`: builds the swarm (`tests/swarm`) and what it compares with, and runs it.

use anyhow::Result;

use crate::{
    setup::{self, Need},
    sh::{self, Step},
    site::{self, Effort},
};

/// Given by those who want nothing of the browser's module to be built.
const NATIVE: &str = "--native";
/// Given by those who replay a case whose native and browser's runs differ.
const WASM: &str = "--wasm";

/// Runs the swarm with these arguments; false where it found a fault.
pub fn swarm(args: &[String]) -> Result<bool> {
    // One case, or a look at the options, needs no module unless it is asked for.
    let given = |names: &[&str]| {
        let is = |arg: &String| names.contains(&arg.split('=').next().unwrap_or(arg));
        args.iter().any(is)
    };
    let wasm = given(&[WASM]) || !given(&[NATIVE, "--case", "--help", "-h"]);
    if wasm {
        let tools = setup::ensure(Need::Serve)?;
        site::bindings(&tools.wasm, Effort::Full)?;
    }
    let own = |arg: &&String| ![NATIVE, WASM].contains(&arg.as_str());
    run(args.iter().filter(own), wasm)
}

/// A minute of the swarm; the browser's module is there already.
pub fn minute() -> Result<bool> {
    run(["--seconds", "60", "--table"], true)
}

fn run<S: AsRef<str>>(args: impl IntoIterator<Item = S>, wasm: bool) -> Result<bool> {
    Step::new("Building the swarm", sh::cargo())
        .args(["build", "--profile", "swarm", "--package", "swarm"])
        .run()?;
    let mut step = Step::new("The swarm", sh::cargo()).args([
        "run",
        "--quiet",
        "--profile",
        "swarm",
        "--package",
        "swarm",
        "--",
    ]);
    step = step.args(args.into_iter().map(|arg| arg.as_ref().to_owned()));
    if wasm {
        step = step.args([WASM]);
    }
    Ok(step.watch()?.status.success())
}
