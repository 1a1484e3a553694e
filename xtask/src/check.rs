//! Everything that can be judged without running the product: format, lints, types, dependencies.

use anyhow::{Result, bail};

use crate::{
    dependencies, imports,
    setup::{Tools, WASM, WasmToolchain},
    sh::{self, Step},
    site::{self, Effort},
};

/// Runs every check, also after one has failed, and then names all that failed.
pub fn check(tools: &Tools) -> Result<()> {
    let mut failed = Vec::new();
    let mut note = |result: Result<()>| {
        if let Err(error) = result {
            println!("   {error:#}");
            failed.push(error);
        }
    };

    note(
        Step::new("Format", sh::cargo())
            .args(["fmt", "--all", "--check"])
            .run(),
    );
    let clippy = |name: &str, args: &[&str]| {
        Step::new(name, sh::cargo())
            // Nothing of a lint run is executed: the profile that optimises nothing is the fastest.
            .args(["clippy", "--profile", "tool"])
            .args(args)
            .args(["--", "-D", "warnings"])
    };
    note(
        clippy(
            "Lints: the product",
            &[
                "--package",
                "batchscope",
                "--features",
                "cli,ts,web,gpu",
                "--all-targets",
            ],
        )
        .run(),
    );
    note(clippy("Lints: the swarm", &["--package", "swarm", "--all-targets"]).run());
    note(
        clippy(
            "Lints: the helper",
            &["--package", "xtask", "--all-targets"],
        )
        .run(),
    );
    for features in ["web", "web,gpu"] {
        let web = [
            "--package",
            "batchscope",
            "--lib",
            "--no-default-features",
            "--features",
            features,
        ];
        note(match tools.wasm {
            WasmToolchain::Installed => clippy(
                &format!("Lints: the product in the browser ({features})"),
                &[&web[..], &["--target", WASM]].concat(),
            )
            .run(),
            // Debian's compiler comes without clippy. The bindings compile natively too, which shows
            // all but code that is for wasm only.
            WasmToolchain::Debian { .. } => clippy(
                &format!("Lints: the product's browser part ({features}), compiled natively"),
                &web,
            )
            .run(),
        });
    }
    // The page's types include those of the generated bindings.
    match site::bindings(&tools.wasm, Effort::Full) {
        Ok(()) => note(
            Step::new("Types of the page and its tests", "node")
                .args(["node_modules/typescript/bin/tsc", "-p", "tsconfig.json"])
                .run(),
        ),
        Err(error) => note(Err(error)),
    }

    note(imports::check(&sh::root()));
    note(dependencies::check());

    if failed.is_empty() {
        println!("All checks passed.");
        return Ok(());
    }
    bail!(
        "{} of the checks failed; each is explained above.",
        failed.len()
    )
}
