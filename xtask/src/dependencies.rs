//! Licences and security advisories of everything in `Cargo.lock`, without a network.
//!
//! Advisories come from `advisories.jsonl`, a snapshot of the whole RustSec database: its first line says from
//! when, each other line is an advisory. `cargo xtask advisories --database DIR` renews it from a checkout of
//! <https://github.com/rustsec/advisory-db>.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::sh;

const SNAPSHOT: &str = "xtask/advisories.jsonl";

/// Licences that a part of the product may have: all permissive, all compatible with MIT OR Apache-2.0.
const ALLOWED: [&str; 10] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Zlib",
];

/// Advisories that do not concern this project, each with its reason.
const ACCEPTED: [(&str, &str); 0] = [];

/// What `cargo metadata` says.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: Version,
    license: Option<String>,
    /// Absent for a package of this repository.
    source: Option<String>,
}

/// Of which state of the database a snapshot is.
#[derive(Serialize, Deserialize)]
struct State {
    database: String,
    commit: String,
    date: String,
}

#[derive(Serialize, Deserialize)]
struct Advisory {
    id: String,
    package: String,
    title: String,
    /// What is no vulnerability: "unmaintained", "unsound" or "notice".
    #[serde(skip_serializing_if = "Option::is_none", default)]
    informational: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    patched: Vec<VersionReq>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    unaffected: Vec<VersionReq>,
}

impl Advisory {
    fn concerns(&self, package: &Package) -> bool {
        let fine = self.patched.iter().chain(&self.unaffected);
        self.package == package.name
            && !fine
                .into_iter()
                .any(|range| range.matches(&package.version))
    }
}

/// Names every dependency with a licence that is not allowed or an advisory that concerns its version.
pub fn check() -> Result<()> {
    println!("== Licences and advisories of the dependencies");
    let text = fs::read_to_string(sh::root().join(SNAPSHOT)).context(SNAPSHOT)?;
    let (state, lines) = text.split_once('\n').context(SNAPSHOT)?;
    let state: State = serde_json::from_str(state).context(SNAPSHOT)?;
    let advisories = lines
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<Vec<Advisory>, _>>()
        .context(SNAPSHOT)?;
    let packages = packages()?;
    let wrong = findings(&packages, &advisories);
    if wrong.is_empty() {
        println!(
            "   {} packages, {} advisories as of {}",
            packages.len(),
            advisories.len(),
            state.date
        );
        return Ok(());
    }
    bail!("{}", wrong.join("\n   "))
}

fn packages() -> Result<Vec<Package>> {
    let output = Command::new(sh::cargo())
        .current_dir(sh::root())
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let outside = metadata.packages.into_iter();
    Ok(outside.filter(|package| package.source.is_some()).collect())
}

fn findings(packages: &[Package], advisories: &[Advisory]) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in packages {
        let Package { name, version, .. } = package;
        let license = package.license.as_deref().unwrap_or("none");
        if !allowed(license) {
            wrong.push(format!(
                "{name} {version}: the licence {license} is not among those allowed ({})",
                ALLOWED.join(", ")
            ));
        }
        let concerning = advisories.iter().filter(|a| a.concerns(package));
        for advisory in concerning {
            if !ACCEPTED.iter().any(|(id, _)| *id == advisory.id) {
                let kind = advisory.informational.as_deref();
                wrong.push(format!(
                    "{name} {version}: {} ({}): {}",
                    advisory.id,
                    kind.unwrap_or("vulnerability"),
                    advisory.title
                ));
            }
        }
    }
    wrong
}

/// Whether an SPDX expression leaves a choice of licences that are all allowed. "/" is how old packages say OR.
fn allowed(expression: &str) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest) && rest.is_empty()
}

fn any_of(words: &mut &[&str]) -> bool {
    let mut fine = all_of(words);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        // Both sides are read, whatever the first one says.
        fine |= all_of(words);
    }
    fine
}

fn all_of(words: &mut &[&str]) -> bool {
    let mut fine = one(words);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        fine &= one(words);
    }
    fine
}

fn one(words: &mut &[&str]) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let fine = any_of(words);
            let closed = words.first() == Some(&")");
            *words = words.get(1..).unwrap_or_default();
            fine && closed
        }
        [license, "WITH", exception, rest @ ..] => {
            *words = rest;
            ALLOWED.contains(&format!("{license} WITH {exception}").as_str())
        }
        [license, rest @ ..] => {
            *words = rest;
            ALLOWED.contains(license)
        }
        [] => false,
    }
}

/// The beginning of an advisory's file.
#[derive(Deserialize)]
struct Document {
    advisory: Head,
    #[serde(default)]
    versions: Versions,
}

#[derive(Deserialize)]
struct Head {
    id: String,
    package: String,
    informational: Option<String>,
    withdrawn: Option<String>,
}

#[derive(Default, Deserialize)]
struct Versions {
    #[serde(default)]
    patched: Vec<VersionReq>,
    #[serde(default)]
    unaffected: Vec<VersionReq>,
}

/// Writes the snapshot anew from a checkout of the database.
pub fn renew(database: &Path) -> Result<()> {
    let git = |format: &str| -> Result<String> {
        let output = Command::new("git")
            .arg("-C")
            .arg(database)
            .args(["log", "-1", &format!("--format={format}")])
            .output()
            .context("git log")?;
        if !output.status.success() {
            bail!("{} is not a git checkout", database.display());
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let state = State {
        database: "https://github.com/rustsec/advisory-db".to_owned(),
        commit: git("%H")?,
        date: git("%cs")?,
    };
    let mut advisories = Vec::new();
    for folder in fs::read_dir(database.join("crates")).context("no folder \"crates\"")? {
        for file in fs::read_dir(folder?.path())? {
            let path = file?.path();
            let text = fs::read_to_string(&path)?;
            advisories.extend(read(&text).with_context(|| path.display().to_string())?);
        }
    }
    advisories.sort_by(|a, b| a.id.cmp(&b.id));
    let mut text = serde_json::to_string(&state)? + "\n";
    for advisory in &advisories {
        text += &serde_json::to_string(advisory)?;
        text.push('\n');
    }
    fs::write(sh::root().join(SNAPSHOT), text).context(SNAPSHOT)?;
    println!(
        "{} advisories in {SNAPSHOT}, as of {}",
        advisories.len(),
        state.date
    );
    Ok(())
}

/// An advisory from its Markdown with TOML in front; none where it was withdrawn.
fn read(text: &str) -> Result<Option<Advisory>> {
    let (head, body) = text
        .strip_prefix("```toml\n")
        .and_then(|text| text.split_once("\n```"))
        .context("it does not begin with TOML")?;
    let document: Document = toml::from_str(head)?;
    let Head {
        id,
        package,
        informational,
        withdrawn,
    } = document.advisory;
    let title = body.lines().find_map(|line| line.strip_prefix("# "));
    Ok(withdrawn.is_none().then(|| Advisory {
        id,
        package,
        title: title.unwrap_or_default().trim().to_owned(),
        informational,
        patched: document.versions.patched,
        unaffected: document.versions.unaffected,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_leave_a_choice_that_is_allowed() {
        for fine in [
            "MIT",
            "MIT/GPL-3.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
            "MIT OR Apache-2.0 OR LGPL-2.1-or-later",
        ] {
            assert!(allowed(fine), "{fine}");
        }
        for wrong in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR GPL-3.0) AND GPL-3.0",
            "GPL-2.0 WITH LLVM-exception",
            "(MIT",
            "MIT MIT",
        ] {
            assert!(!allowed(wrong), "{wrong}");
        }
    }

    #[test]
    fn an_advisory_concerns_the_versions_without_a_patch() -> Result<()> {
        let text = "```toml\n[advisory]\nid = \"RUSTSEC-2026-0192\"\npackage = \"ttf-parser\"\n\
                    informational = \"unmaintained\"\n\n[versions]\npatched = [\">= 2.0.1\"]\n\
                    unaffected = [\"< 0.3\"]\n```\n\n# `ttf-parser` is unmaintained\n";
        let advisory = read(text)?.context("not withdrawn")?;
        let package = |version: &str| -> Result<Package> {
            Ok(Package {
                name: "ttf-parser".to_owned(),
                version: version.parse()?,
                license: Some("MIT".to_owned()),
                source: Some("registry".to_owned()),
            })
        };
        for (version, concerned) in [("0.2.9", false), ("0.25.1", true), ("2.0.1", false)] {
            assert_eq!(
                advisory.concerns(&package(version)?),
                concerned,
                "{version}"
            );
        }
        let advisories = [advisory];
        let mut packages = [package("0.25.1")?];
        assert_eq!(
            findings(&packages, &advisories),
            ["ttf-parser 0.25.1: RUSTSEC-2026-0192 (unmaintained): `ttf-parser` is unmaintained"]
        );
        packages[0].license = Some("GPL-3.0".to_owned());
        assert_eq!(findings(&packages, &advisories).len(), 2);
        packages[0].version = "2.0.1".parse()?;
        assert_eq!(findings(&packages, &advisories).len(), 1);
        let withdrawn = text.replace("[versions]", "withdrawn = \"2026-07-01\"\n[versions]");
        assert!(read(&withdrawn)?.is_none());
        Ok(())
    }
}
