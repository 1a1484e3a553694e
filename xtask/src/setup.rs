//! What the other commands need on the machine: looked for, announced, installed.
//!
//! Nothing is remembered in stamp files: each part is judged by what is really there, so deleting a
//! folder or changing the toolchain is noticed, and a second run costs well under a second.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::sh::{self, Step, find_program};

/// The target of the browser's build.
pub const WASM: &str = "wasm32-unknown-unknown";
/// Oldest Node.js whose test runner and modules the scripts rely on.
const NODE_MAJOR: u32 = 20;
/// Longest wait for rustup's server. Behind a closed network it does not refuse, it hangs.
const RUSTUP_WAIT: Duration = Duration::from_secs(20);
/// Debian's compiler, which comes with a matching source of the standard library.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_WASM: [&str; 3] = ["rustc-web", "rust-web-src", "lld-19"];
/// What to say when nothing on this machine can install the browser's target.
const WASM_FIX: &str = "Fix: with network access run `rustup target add wasm32-unknown-unknown`; \
    or, on Debian, `sudo apt-get update && sudo apt-get install rustc-web rust-web-src lld-19`. Then rerun.";
const CHROMIUM_FIX: &str = "Fix: install Chromium or Chrome (on Debian: `sudo apt-get install chromium`), \
    or set BATCHSCOPE_CHROMIUM to the path of its program. Then rerun.";

/// Vulkan's loader and Mesa's drivers, among them lavapipe, which makes a GPU of the processor.
const DEBIAN_VULKAN: [&str; 2] = ["libvulkan1", "mesa-vulkan-drivers"];
const VULKAN_FIX: &str = "GPU tests are skipped. To run them, install Vulkan's loader and a driver (on Debian: \
    `sudo apt-get install libvulkan1 mesa-vulkan-drivers`).";

/// What the machine is being prepared for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Need {
    /// Building and serving the page: the wasm target, and the packages that become part of the page.
    Serve,
    /// Checking sources: as `serve`, and the packages of the development tools.
    Check,
    /// Everything: as `check`, a Chromium, and a Vulkan driver.
    Test,
}

/// How this machine compiles for the browser.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WasmToolchain {
    /// The active toolchain has the target's standard library.
    Installed,
    /// It has not, and Debian's compiler builds the standard library from Debian's source.
    Debian {
        /// The linker, which Debian names by its version.
        linker: PathBuf,
    },
}

/// What [`ensure`] found or installed.
pub struct Tools {
    /// How to compile for the browser.
    pub wasm: WasmToolchain,
    /// The browser; `None` only where it was not needed.
    pub chromium: Option<PathBuf>,
}

/// Makes sure that everything for `need` is there. Says what it is going to install, and why, before
/// it starts; says nothing but one line per part when all is there.
pub fn ensure(need: Need) -> Result<Tools> {
    check_node()?;
    let wasm = find_wasm();
    let stale = stale_packages(need)?;
    let chromium = find_chromium()?;

    println!(
        "Setting up, to {}:",
        match need {
            Need::Serve => "build and serve the page",
            Need::Check => "check the sources",
            Need::Test => "build, check and test everything",
        }
    );
    match &wasm {
        Some(WasmToolchain::Installed) => println!("  present  {WASM} in the Rust toolchain"),
        Some(WasmToolchain::Debian { linker }) => println!(
            "  present  {WASM} by Debian's {DEBIAN_RUSTC} and {}, which build the standard library from source",
            linker.display()
        ),
        None => println!(
            "  install  {WASM}, to compile the simulator for the browser: by rustup (waiting {} s at most), \
             else Debian's packages {}",
            RUSTUP_WAIT.as_secs(),
            DEBIAN_WASM.join(", ")
        ),
    }
    if stale.is_empty() {
        println!("  present  npm packages, as package-lock.json wants them");
    } else {
        let why = match need {
            Need::Serve => {
                "uplot draws the charts, fflate packs the files of a study, binaryen and esbuild shrink the page"
            }
            Need::Check | Need::Test => {
                "uplot draws the charts, fflate packs the files of a study, binaryen and esbuild shrink the page, typescript checks the page's types, \
                 playwright-core and axe test the page"
            }
        };
        println!(
            "  install  npm packages into node_modules ({why}): {}",
            stale.join(", ")
        );
    }
    match (need, &chromium) {
        (Need::Serve | Need::Check, _) => {}
        (Need::Test, Some(path)) => println!("  present  Chromium at {}", path.display()),
        (Need::Test, None) => {
            println!("  install  Chromium by apt-get, to test the page in a real browser")
        }
    }

    let vulkan = need != Need::Test || has_vulkan();
    if !vulkan {
        println!(
            "  install  Debian's packages {}, to test GPU kernels (in software, where there is no GPU)",
            DEBIAN_VULKAN.join(", ")
        );
    } else if need == Need::Test && cfg!(target_os = "linux") {
        println!("  present  a Vulkan driver");
    }

    let mut apt = Apt::default();
    let wasm = match wasm {
        Some(found) => found,
        None => install_wasm(&mut apt)?,
    };
    if !stale.is_empty() {
        install_packages(need)?;
    }
    let chromium = match (need, chromium) {
        (Need::Serve | Need::Check, found) => found,
        (Need::Test, Some(found)) => Some(found),
        (Need::Test, None) => Some(install_chromium(&mut apt)?),
    };
    if !vulkan && let Err(error) = apt.install("Installing a Vulkan driver", &DEBIAN_VULKAN) {
        // No failure: the tests that need it say so and are skipped.
        println!("   No Vulkan driver: {error:#}. {VULKAN_FIX}");
    }
    Ok(Tools { wasm, chromium })
}

// ---- Node.js and its packages ------------------------------------------------------------------

fn check_node() -> Result<()> {
    let fix = format!("Install Node.js {NODE_MAJOR} or newer, with npm, and rerun.");
    let version = Step::new("asking Node.js for its version", "node")
        .args(["--version"])
        .read()
        .context(fix.clone())?;
    let major = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|text| text.parse::<u32>().ok());
    match major {
        Some(major) if major >= NODE_MAJOR => Ok(()),
        _ => bail!("Node.js {version} is too old. {fix}"),
    }
}

/// The packages that `need` wants and `node_modules` lacks or has in another version.
fn stale_packages(need: Need) -> Result<Vec<String>> {
    let root = sh::root();
    let path = root.join("package-lock.json");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let lock: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is not valid JSON", path.display()))?;
    Ok(wanted_packages(&lock, need)
        .filter(|(folder, version)| {
            installed_version(&root.join(folder)).as_deref() != Some(*version)
        })
        .map(|(folder, _)| folder.trim_start_matches("node_modules/").to_owned())
        .collect())
}

/// Folder and version of each package in the lock file that must be there on every platform.
fn wanted_packages(lock: &Value, need: Need) -> impl Iterator<Item = (&str, &str)> {
    let is = |package: &Value, flag: &str| package[flag].as_bool() == Some(true);
    lock["packages"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(move |(folder, package)| {
            let skip = is(package, "optional") || (need == Need::Serve && is(package, "dev"));
            folder.starts_with("node_modules/") && !skip
        })
        .filter_map(|(folder, package)| Some((folder.as_str(), package["version"].as_str()?)))
}

fn installed_version(folder: &Path) -> Option<String> {
    // A package that cannot be read counts as absent: `npm ci` then puts it right.
    let text = fs::read_to_string(folder.join("package.json")).ok()?;
    let package: Value = serde_json::from_str(&text).ok()?;
    package["version"].as_str().map(str::to_owned)
}

fn install_packages(need: Need) -> Result<()> {
    let omit: &[&str] = if need == Need::Serve {
        &["--omit=dev"]
    } else {
        &[]
    };
    Step::new("Installing npm packages", sh::npm())
        .args(["ci"])
        .args(omit)
        .run()?;
    let missing = stale_packages(need)?;
    if !missing.is_empty() {
        bail!(
            "`npm ci` ended well, yet these packages are missing: {}. Delete node_modules and rerun.",
            missing.join(", ")
        );
    }
    Ok(())
}

// ---- The browser's target ----------------------------------------------------------------------

/// The way that works right now, if there is one. The toolchain's own target comes first: it is what
/// everybody with a network has, and needs no standard library built.
fn find_wasm() -> Option<WasmToolchain> {
    if has_target() {
        return Some(WasmToolchain::Installed);
    }
    let linker = ["wasm-ld-19", "wasm-ld-20", "wasm-ld-21", "wasm-ld"]
        .iter()
        .find_map(|name| find_program(name))?;
    (debian_rustc_is_new_enough() && has_std_source()).then_some(WasmToolchain::Debian { linker })
}

/// Whether the active toolchain has a compiled `core` for the target (asking rustup would not cover
/// toolchains that a distribution installed).
fn has_target() -> bool {
    let folder = Step::new("asking rustc for the target's folder", "rustc")
        .args(["--print", "target-libdir", "--target", WASM])
        .read();
    let Ok(folder) = folder else { return false };
    let Ok(files) = fs::read_dir(folder) else {
        return false;
    };
    files
        .flatten()
        .any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
}

fn debian_rustc_is_new_enough() -> bool {
    let version = Step::new("asking Debian's rustc for its version", DEBIAN_RUSTC)
        .args(["--version"])
        .read();
    version.is_ok_and(|text| at_least(&text, env!("CARGO_PKG_RUST_VERSION")))
}

fn has_std_source() -> bool {
    let sysroot = Step::new("asking Debian's rustc for its folder", DEBIAN_RUSTC)
        .args(["--print", "sysroot"])
        .read();
    sysroot.is_ok_and(|folder| {
        Path::new(&folder)
            .join("lib/rustlib/src/rust/library/std/Cargo.toml")
            .is_file()
    })
}

/// Whether the output of `rustc --version` names at least the version `wanted` ("1.88").
fn at_least(output: &str, wanted: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        text.split('.')
            .map_while(|part| part.parse().ok())
            .take(2)
            .collect()
    };
    let Some(version) = output.split_whitespace().nth(1) else {
        return false;
    };
    let (have, want) = (numbers(version), numbers(wanted));
    have.len() == 2 && have >= want
}

fn install_wasm(apt: &mut Apt) -> Result<WasmToolchain> {
    let mut tried = Vec::new();
    if find_program("rustup").is_some() {
        let result = Step::new("Adding the wasm target to the Rust toolchain", "rustup")
            .args(["target", "add", WASM])
            // A refused download is an ordinary case here, not a crash to be traced.
            .passing_env("RUST_BACKTRACE", "0")
            .run_within(RUSTUP_WAIT);
        match result {
            Ok(()) if has_target() => {
                println!("   The wasm target came from rustup.");
                return Ok(WasmToolchain::Installed);
            }
            Ok(()) => tried.push("rustup ended well but the target is not there".to_owned()),
            Err(error) => tried.push(error.to_string()),
        }
    } else {
        tried.push("there is no rustup".to_owned());
    }
    println!("   Not by rustup: {}.", tried[0]);
    if let Err(error) = apt.install("Installing Debian's wasm compiler", &DEBIAN_WASM) {
        tried.push(error.to_string());
        bail!(
            "The target {WASM} could not be installed:\n- {}\n{WASM_FIX}",
            tried.join("\n- ")
        );
    }
    match find_wasm() {
        Some(found) => {
            println!(
                "   The wasm target comes from Debian's packages; the first build compiles the standard library too."
            );
            Ok(found)
        }
        None => bail!(
            "Debian's packages {} are installed but do not serve: the compiler must be Rust {} or newer, \
             with the source of its standard library. {WASM_FIX}",
            DEBIAN_WASM.join(", "),
            env!("CARGO_PKG_RUST_VERSION")
        ),
    }
}

// ---- Chromium ----------------------------------------------------------------------------------

/// The browser for the tests: the one that `BATCHSCOPE_CHROMIUM` names, else one found on the machine.
fn find_chromium() -> Result<Option<PathBuf>> {
    if let Some(named) = env::var_os("BATCHSCOPE_CHROMIUM") {
        let named = PathBuf::from(named);
        if chromium_version(&named).is_none() {
            bail!(
                "BATCHSCOPE_CHROMIUM is {}, which does not answer `--version`. Correct it or unset it.",
                named.display()
            );
        }
        return Ok(Some(named));
    }
    let on_path = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ];
    let elsewhere = [
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
    ];
    Ok(on_path
        .iter()
        .filter_map(|name| find_program(name))
        .chain(
            elsewhere
                .iter()
                .map(PathBuf::from)
                .filter(|path| path.is_file()),
        )
        // Some distributions install a stub under the browser's name that only asks to install it.
        .find(|path| chromium_version(path).is_some()))
}

/// What the browser calls itself ("Chromium 150.0…"), or `None` when it does not start.
pub fn chromium_version(path: &Path) -> Option<String> {
    Step::new("asking the browser for its version", path)
        .args(["--version"])
        .read()
        .ok()
        .and_then(|text| text.lines().last().map(|line| line.trim().to_owned()))
}

fn install_chromium(apt: &mut Apt) -> Result<PathBuf> {
    apt.install("Installing Chromium", &["chromium"])
        .context(CHROMIUM_FIX)?;
    match find_chromium()? {
        Some(found) => Ok(found),
        None => bail!(
            "apt-get installed Chromium, yet it is not on PATH or does not start. {CHROMIUM_FIX}"
        ),
    }
}

// ---- Vulkan ------------------------------------------------------------------------------------

/// Whether GPU tests find a driver, as far as can be seen without starting one. Systems other than
/// Linux have an interface of their own for GPUs.
fn has_vulkan() -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    let named = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES"];
    let has_driver = named.iter().any(|name| env::var_os(name).is_some())
        || ["/etc", "/usr/share", "/usr/local/share"]
            .iter()
            .any(|folder| holds(&Path::new(folder).join("vulkan/icd.d"), ".json"));
    has_driver && has_vulkan_loader()
}

fn has_vulkan_loader() -> bool {
    const LOADER: &str = "libvulkan.so.1";
    // Where the linker's list cannot be asked (ldconfig is not everywhere, or not on everybody's PATH)
    // the usual folders are looked into.
    let listed = ["ldconfig", "/sbin/ldconfig"].iter().any(|program| {
        Step::new("asking for the installed libraries", program)
            .args(["-p"])
            .read()
            .is_ok_and(|list| list.contains(LOADER))
    });
    listed
        || ["/usr/lib", "/usr/lib64", "/usr/local/lib"]
            .iter()
            .any(|folder| holds(Path::new(folder), LOADER))
}

/// Whether a folder has a file whose name ends so.
fn holds(folder: &Path, end: &str) -> bool {
    fs::read_dir(folder).is_ok_and(|files| {
        files
            .flatten()
            .any(|file| file.file_name().to_string_lossy().ends_with(end))
    })
}

/// The description of the Vulkan driver in software, SwiftShader, that browsers of Chromium's family
/// bring along.
pub fn browser_driver(chromium: &Path) -> Option<PathBuf> {
    // What is on PATH may be a link, or a script that starts the browser in a folder of its own.
    let program = chromium.canonicalize().ok()?;
    let beside = program.parent()?;
    let name = program.file_name()?;
    [beside.to_owned(), beside.join("../lib").join(name)]
        .iter()
        .map(|folder| folder.join("vk_swiftshader_icd.json"))
        .find_map(|file| file.canonicalize().ok())
}

// ---- Debian's packages -------------------------------------------------------------------------

/// Installs Debian packages, refreshing the lists once per run.
#[derive(Default)]
struct Apt {
    refreshed: bool,
}

impl Apt {
    fn install(&mut self, name: &str, packages: &[&str]) -> Result<()> {
        if find_program("apt-get").is_none() {
            bail!(
                "there is no apt-get here to install {}",
                packages.join(", ")
            );
        }
        let user = Step::new("asking who runs this", "id")
            .args(["-u"])
            .read()?;
        if user != "0" {
            bail!(
                "installing {0} needs root: run `sudo apt-get update && sudo apt-get install {0}`",
                packages.join(" ")
            );
        }
        // Another apt-get may be at work on a machine that has just started: wait for it.
        let apt = |name: &str| {
            Step::new(name, "apt-get")
                .args(["-o", "DPkg::Lock::Timeout=120", "-q"])
                .env("DEBIAN_FRONTEND", "noninteractive")
        };
        if !self.refreshed {
            apt("Refreshing Debian's package lists")
                .args(["update"])
                .run()?;
            self.refreshed = true;
        }
        apt(name)
            .args(["install", "-y", "--no-install-recommends"])
            .args(packages)
            .run()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(at_least(
            "rustc 1.96.0 (abc 2026-01-01) (built from a source tarball)",
            "1.88"
        ));
        assert!(at_least("rustc 1.88.0", "1.88"));
        assert!(at_least("rustc 1.100.0", "1.88"));
        assert!(!at_least("rustc 1.85.0 (4d91de4e4 2025-02-17)", "1.88"));
        assert!(!at_least("rustc", "1.88"));
        assert!(!at_least("rustc nonsense", "1.88"));
    }

    #[test]
    fn a_reader_does_not_need_the_development_packages() {
        let lock = serde_json::json!({"packages": {
            "": {"name": "batchscope"},
            "node_modules/uplot": {"version": "1.0.0"},
            "node_modules/tool": {"version": "2.0.0", "dev": true},
            "node_modules/tool-for-mars": {"version": "2.0.0", "dev": true, "optional": true},
        }});
        let names = |need| {
            wanted_packages(&lock, need)
                .map(|(folder, _)| folder)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(Need::Serve), ["node_modules/uplot"]);
        assert_eq!(
            names(Need::Test),
            ["node_modules/tool", "node_modules/uplot"]
        );
    }

    #[cfg(unix)]
    #[test]
    fn the_browsers_driver_is_found_beside_it() -> Result<()> {
        let root = sh::root().join("target/xtask/driver-test");
        let (bin, lib) = (root.join("bin"), root.join("lib/chromium"));
        for folder in [&bin, &lib] {
            fs::create_dir_all(folder)?;
        }
        let (script, browser) = (bin.join("chromium"), lib.join("chromium"));
        for program in [&script, &browser] {
            fs::write(program, "")?;
        }
        assert_eq!(browser_driver(&script), None);
        let driver = lib.join("vk_swiftshader_icd.json");
        fs::write(&driver, "{}")?;
        let driver = Some(driver.canonicalize()?);
        assert_eq!(browser_driver(&script), driver);
        assert_eq!(browser_driver(&browser), driver);
        assert_eq!(browser_driver(&root.join("absent")), None);
        fs::remove_dir_all(&root)?;
        Ok(())
    }

    #[test]
    fn the_committed_lock_file_holds_no_download_address() -> Result<()> {
        let text = fs::read_to_string(sh::root().join("package-lock.json"))?;
        assert!(!text.contains("\"resolved\""));
        Ok(())
    }
}
