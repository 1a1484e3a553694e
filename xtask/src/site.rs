//! Building the page: Rust to wasm, bindings, optimiser, and one folder that any static host can serve.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process,
    time::{Instant, SystemTime},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{
    documents,
    setup::{WASM, WasmToolchain},
    sh::{self, Step},
};

/// The product's crate, which names the files of the bindings.
const CRATE: &str = "batchscope";
/// Marks a folder as a built site: only such a folder is ever replaced.
const MARK: &str = "build.json";
/// SIMD is the one feature that the target's default set lacks and every current browser has. It never
/// changes a float's value: the compiler may neither reorder nor fuse float operations.
const RUSTFLAGS: &str = "-C target-feature=+simd128";
/// What wasm-opt may assume. Nothing here, and no `--fast-math`, lets it change a float's value.
const WASM_OPT: [&str; 9] = [
    "-O3",
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
    "--strip-producers",
];

/// How much work goes into the wasm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effort {
    /// Everything: link-time optimisation and wasm-opt. What people get, what is tested and measured.
    Full,
    /// A quick rebuild for working on the page.
    Dev,
}

/// One of the page's wasm modules: the same crate with other features.
#[derive(Clone, Copy, Debug)]
struct Module {
    /// The folder of its bindings, in the repository and in the site.
    folder: &'static str,
    features: &'static str,
    /// The profile of full effort.
    profile: &'static str,
}

/// The first is loaded when a figure is touched, so its size counts; the others when the studies or the
/// calibration are opened, so their speed does.
const MODULES: [Module; 3] = [
    Module {
        folder: "pkg",
        features: "web",
        profile: "web",
    },
    Module {
        folder: "pkg-studies",
        features: "web,figures",
        profile: "web-fast",
    },
    Module {
        folder: "pkg-gpu",
        features: "web,gpu",
        profile: "web-gpu",
    },
];

/// Where the site goes unless told otherwise.
pub fn default_dir() -> PathBuf {
    sh::root().join("target/site")
}

/// Builds wasm and bindings and assembles the site in `dir`, whole or not at all.
pub fn build(toolchain: &WasmToolchain, effort: Effort, dir: &Path) -> Result<()> {
    refuse_strangers(dir)?;
    bindings(toolchain, effort)?;
    assemble(dir)?;
    println!("   The site is in {}", dir.display());
    Ok(())
}

/// Refuses a folder that holds anything but an earlier site: it is about to be replaced.
fn refuse_strangers(dir: &Path) -> Result<()> {
    if dir.exists() && !dir.join(MARK).is_file() && fs::read_dir(dir)?.next().is_some() {
        bail!(
            "{} is not empty and is not a built site (it has no {MARK}), so it is left alone. \
             Name another folder, or empty that one.",
            dir.display()
        );
    }
    Ok(())
}

/// Brings the folders of [`MODULES`] (wasm and its JavaScript and TypeScript bindings) and `vendor/` up
/// to date.
///
/// All lie in the root, untracked, so that the page's sources and the type checker see the same
/// relative paths as the built site.
pub fn bindings(toolchain: &WasmToolchain, effort: Effort) -> Result<()> {
    for module in MODULES {
        let wasm = compile(toolchain, effort, module)?;
        let pkg = sh::root().join(module.folder);
        let stamp = Stamp::of(&wasm, effort)?;
        if stamp.is_current(&pkg) {
            println!("   {}/ is up to date", module.folder);
        } else {
            generate(&wasm, effort, &pkg, &stamp)?;
        }
    }
    package()?;
    vendor()
}

/// What the figures of the article are made of: folders and files of `www/`.
const FIGURE_PARTS: [&str; 15] = [
    "article",
    "charts/figure.js",
    "charts/palette.js",
    "panels/controls.js",
    "defaults.js",
    "ranges.js",
    "dom.js",
    "format.js",
    "replies.js",
    "messages.d.ts",
    "scenario.js",
    "state.js",
    "style.css",
    "types.d.ts",
    "words.js",
];

/// Where modules find each other in the package, which has other folders than the site.
const MOVED: [(&str, &str); 2] = [
    ("../../pkg/batchscope.js", "../../batchscope.js"),
    ("\"../www/types.js\"", "\"./www/types.js\""),
];

/// Makes `pkg/` a package for npm: the simulator, and the element that puts a figure into any page. The site
/// takes nothing of what is added here.
fn package() -> Result<()> {
    let root = sh::root();
    let pkg = root.join("pkg");
    let www = Replacement::of(&pkg.join("www"))?;
    for part in FIGURE_PARTS {
        let (from, to) = (root.join("www").join(part), www.path().join(part));
        if from.is_dir() {
            copy_tree(&from, &to, |_| true)?;
        } else {
            let folder = to.parent().context("a part of www has no folder")?;
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
            copy(&from, &to)?;
        }
    }
    moved(&www.path().join("article/worker.js"))?;
    moved(&www.path().join("article/sim.js"))?;
    www.commit()?;
    moved(&pkg.join(format!("{CRATE}.d.ts")))?;
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        copy(&root.join(name), &pkg.join(name))?;
    }
    let sources = root.join("xtask/package");
    for name in ["README.md", "figure.js", "figure.d.ts"] {
        copy(&sources.join(name), &pkg.join(name))?;
    }
    let manifest = fs::read_to_string(sources.join("package.json"))
        .context("reading xtask/package/package.json")?;
    let mut manifest: Value =
        serde_json::from_str(&manifest).context("xtask/package/package.json is not JSON")?;
    manifest["version"] = version_info()?["version"].clone();
    let text = serde_json::to_string_pretty(&manifest)? + "\n";
    fs::write(pkg.join("package.json"), text).context("writing pkg/package.json")
}

/// Rewrites where a module of the package finds the others; done twice, it changes nothing more.
fn moved(file: &Path) -> Result<()> {
    let reading = || format!("reading {}", file.display());
    let mut text = fs::read_to_string(file).with_context(reading)?;
    for (from, to) in MOVED {
        text = text.replace(from, to);
    }
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

/// Compiles the product for the browser; the result is the wasm before bindings.
fn compile(toolchain: &WasmToolchain, effort: Effort, module: Module) -> Result<PathBuf> {
    let target = sh::root().join("target").join(match toolchain {
        WasmToolchain::Installed => "wasm",
        // A compiler of another version: sharing a folder would make each rebuild the other's work.
        WasmToolchain::Debian { .. } => "wasm-std",
    });
    let profile = match effort {
        Effort::Full => module.profile,
        Effort::Dev => "web-dev",
    };
    let name = format!("Compiling {}/ for the browser", module.folder);
    let mut step = Step::new(&name, sh::cargo())
        .args([
            "build",
            "--package",
            CRATE,
            "--lib",
            "--no-default-features",
            "--features",
            module.features,
        ])
        .args(["--profile", profile, "--target", WASM, "--target-dir"])
        .args([&target])
        // Flags that a person set for native builds would replace ours, and mean nothing to wasm.
        .without_env("RUSTFLAGS")
        .without_env("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", RUSTFLAGS);
    if let WasmToolchain::Debian { linker } = toolchain {
        step = step
            .args(["-Z", "build-std=std,panic_abort"])
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
            // Building the standard library is unstable; Debian's stable compiler allows it when told so.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTC", "/usr/bin/rustc");
    }
    step.run()?;
    Ok(target
        .join(WASM)
        .join(profile)
        .join(format!("{CRATE}.wasm")))
}

/// Writes `pkg/`: bindings, then the optimiser, in a folder that stays (so that a failed step can be
/// rerun by hand), then `pkg/` in one step.
fn generate(wasm: &Path, effort: Effort, pkg: &Path, stamp: &Stamp) -> Result<()> {
    let begun = Instant::now();
    println!("== Generating the bindings");
    let work = sh::root().join("target/xtask/bindings");
    empty(&work)?;
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(wasm)
        .out_name(CRATE)
        .web(true)
        .and_then(|bindgen| {
            bindgen
                .typescript(true)
                // The page calls `init()` with no argument: the bindings must know the wasm's name.
                .omit_default_module_path(false)
                .generate(&work)
        })
        // A wrapped dependency's error type: keep its whole chain as text.
        .map_err(|error| {
            anyhow::anyhow!("wasm-bindgen could not read {}: {error:#}", wasm.display())
        })?;
    println!("   {:.1} s", begun.elapsed().as_secs_f64());
    if effort == Effort::Full {
        optimise(&work.join(format!("{CRATE}_bg.wasm")))?;
    }
    let fresh = Replacement::of(pkg)?;
    copy_tree(&work, fresh.path(), |_| true)?;
    stamp.write(fresh.path())?;
    fresh.commit()
}

fn optimise(wasm: &Path) -> Result<()> {
    let begun = Instant::now();
    let before = fs::metadata(wasm)?.len();
    let output = wasm.with_extension("opt");
    let tool = sh::root().join("node_modules/binaryen/bin/wasm-opt");
    Step::new("Optimising the wasm", "node")
        .args([&tool, wasm])
        .args(WASM_OPT)
        .args(["-o".as_ref(), output.as_os_str()])
        .run()?;
    let after = fs::metadata(&output)
        .with_context(|| format!("wasm-opt ended well but did not write {}", output.display()))?
        .len();
    fs::rename(&output, wasm)?;
    println!(
        "   {} KiB to {} KiB in {:.1} s",
        before / 1024,
        after / 1024,
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Copies the page's libraries out of `node_modules`.
fn vendor() -> Result<()> {
    let root = sh::root();
    let from = root.join("node_modules/uplot");
    let fresh = Replacement::of(&root.join("vendor"))?;
    let to = fresh.path();
    // The package's own module is not minified; its minified script becomes one by a single line.
    let script = from.join("dist/uPlot.iife.min.js");
    let text =
        fs::read_to_string(&script).with_context(|| format!("reading {}", script.display()))?;
    if !text.contains("var uPlot=") {
        bail!(
            "{} no longer says `var uPlot=`: adapt this step to the new version",
            script.display()
        );
    }
    fs::write(
        to.join("uPlot.esm.js"),
        format!("{text}\nexport default uPlot;\n"),
    )?;
    copy(&from.join("LICENSE"), &to.join("uPlot.LICENSE"))?;
    // The type checker looks for declarations beside the module, under the module's name. The
    // package's own describe the CommonJS file, whose export has another form.
    let types = from.join("dist/uPlot.d.ts");
    let text =
        fs::read_to_string(&types).with_context(|| format!("reading {}", types.display()))?;
    let module = text.replace("export = uPlot;", "export default uPlot;");
    if module == text {
        bail!(
            "{} no longer says `export = uPlot;`: adapt this step to the new version",
            types.display()
        );
    }
    fs::write(to.join("uPlot.esm.d.ts"), module).context("writing the types of uPlot")?;
    let from = root.join("node_modules/fflate");
    let to = to.join("fflate");
    empty(&to)?;
    copy(&from.join("esm/browser.js"), &to.join("fflate.js"))?;
    copy(&from.join("esm/browser.d.ts"), &to.join("fflate.d.ts"))?;
    copy(&from.join("LICENSE"), &to.join("LICENSE"))?;
    fresh.commit()
}

/// Puts the site together in `dir` from the sources, `pkg/` and `vendor/`.
fn assemble(dir: &Path) -> Result<()> {
    let root = sh::root();
    let fresh = Replacement::of(dir)?;
    let site = fresh.path();
    copy(&root.join("index.html"), &site.join("index.html"))?;
    // In the root, because it answers for everything below its own place.
    copy(&root.join("sw.js"), &site.join("sw.js"))?;
    let served = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with('.') && !name.ends_with(".d.ts")
    };
    copy_tree(&root.join("www"), &site.join("www"), served)?;
    minify(&site.join("www"), Names::Kept)?;
    for module in MODULES {
        // Of the package for npm, the page has no use.
        let folder = site.join(module.folder);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        for name in [format!("{CRATE}.js"), format!("{CRATE}_bg.wasm")] {
            copy(&root.join(module.folder).join(&name), &folder.join(&name))?;
        }
        minify(&site.join(module.folder), Names::Shortened)?;
    }
    copy_tree(&root.join("vendor"), &site.join("vendor"), served)?;
    // What loads fflate loads nothing else of it: minified, it is a third.
    minify(&site.join("vendor/fflate"), Names::Kept)?;
    documents::write(site)?;
    let mut info = version_info()?;
    let files = Step::new("listing the page's files", "node")
        .args([root.join("xtask/sizes.mjs")])
        .args([site])
        .args(["--list"])
        .read()?;
    // What works without a network after the first visit.
    info["files"] = serde_json::from_str(&files).context("the list of files is not JSON")?;
    fs::write(site.join(MARK), serde_json::to_string_pretty(&info)? + "\n")?;
    Step::new("Measuring the page", "node")
        .args([root.join("xtask/sizes.mjs")])
        .args([site])
        .run()?;
    fresh.commit()
}

/// What becomes of names inside a module; those that it exports always stay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// So that an error a reader reports can be understood.
    Kept,
    /// Of generated code, which nobody reads.
    Shortened,
}

/// Takes comments and spaces out of a folder's modules and styles.
fn minify(folder: &Path, names: Names) -> Result<()> {
    Step::new("Minifying the page", "node")
        .args([sh::root().join("xtask/minify.mjs")])
        .args([folder])
        .args((names == Names::Shortened).then_some("--short-names"))
        .run()
}

/// What the page shows in its footer: the version, and the commit where git knows it.
fn version_info() -> Result<Value> {
    let metadata = Step::new("asking cargo for the version", sh::cargo())
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .read()?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
    let version = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == CRATE)
        .map(|package| package["version"].clone())
        .with_context(|| format!("cargo metadata names no package {CRATE}"))?;
    // A source archive has no git, and a build of one is as good: null says "not known".
    let git = |args: &[&str]| Step::new("asking git", "git").args(args).read().ok();
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    let modified =
        git(&["status", "--porcelain", "--untracked-files=no"]).map(|text| !text.is_empty());
    Ok(json!({ "name": CRATE, "version": version, "commit": commit, "modified": modified }))
}

// ---- Files -------------------------------------------------------------------------------------

/// A folder that is written beside its final place and then takes that place in one step; dropped
/// before [`commit`](Self::commit), it leaves nothing behind.
struct Replacement {
    fresh: PathBuf,
    place: PathBuf,
}

impl Replacement {
    fn of(place: &Path) -> Result<Self> {
        let place = env::current_dir()?.join(place);
        let name = place
            .file_name()
            .with_context(|| format!("{} is not a folder that can be written", place.display()))?;
        let fresh = place.with_file_name(beside(name, "new"));
        empty(&fresh)?;
        Ok(Self { fresh, place })
    }

    fn path(&self) -> &Path {
        &self.fresh
    }

    fn commit(self) -> Result<()> {
        let moving = || format!("putting {} in place", self.place.display());
        if self.place.exists() {
            // A folder with files in it cannot be renamed over: step aside, swap, then delete.
            let old = self
                .place
                .with_file_name(beside(self.place.file_name().unwrap_or_default(), "old"));
            fs::rename(&self.place, &old).with_context(moving)?;
            if let Err(error) = fs::rename(&self.fresh, &self.place) {
                fs::rename(&old, &self.place).with_context(moving)?;
                return Err(error).with_context(moving);
            }
            fs::remove_dir_all(&old).with_context(|| format!("removing {}", old.display()))
        } else {
            fs::rename(&self.fresh, &self.place).with_context(moving)
        }
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // After a commit there is nothing to remove; after a failure there is already an error to show.
        let _ = fs::remove_dir_all(&self.fresh);
    }
}

fn beside(name: &std::ffi::OsStr, what: &str) -> OsString {
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{what}-{}.tmp", process::id()));
    hidden
}

/// Makes `dir` an empty folder, whatever was there.
fn empty(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("copying {} to {}", from.display(), to.display()))
}

/// Copies the files under `from` that `wanted` accepts, in their folders.
fn copy_tree(from: &Path, to: &Path, wanted: impl Copy + Fn(&Path) -> bool) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    let entries = fs::read_dir(from).with_context(|| format!("reading {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target, wanted)?;
        } else if wanted(&entry.path()) {
            copy(&entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Which wasm `pkg/` was made from, so that an unchanged one is not optimised again.
#[derive(PartialEq, Eq)]
struct Stamp(String);

impl Stamp {
    const FILE: &str = ".made-from";

    fn of(wasm: &Path, effort: Effort) -> Result<Self> {
        let file = fs::metadata(wasm)
            .with_context(|| format!("cargo ended well but did not write {}", wasm.display()))?;
        let age = file.modified()?.duration_since(SystemTime::UNIX_EPOCH)?;
        Ok(Self(format!(
            "{} {} {} {effort:?} {}",
            wasm.display(),
            file.len(),
            age.as_nanos(),
            WASM_OPT.join(" ")
        )))
    }

    fn is_current(&self, pkg: &Path) -> bool {
        let written = fs::read_to_string(pkg.join(Self::FILE));
        written.is_ok_and(|text| text == self.0)
            && [".js", ".d.ts", "_bg.wasm"]
                .iter()
                .all(|end| pkg.join(format!("{CRATE}{end}")).is_file())
    }

    fn write(&self, pkg: &Path) -> Result<()> {
        fs::write(pkg.join(Self::FILE), &self.0).context("writing pkg's stamp")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty folder of this test's own, removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Result<Self> {
            let path = env::temp_dir().join(format!("batchscope-xtask-{name}-{}", process::id()));
            fs::create_dir_all(&path)?;
            Ok(Self(path))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn names(dir: &Path) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    #[test]
    fn a_replacement_is_whole_or_absent() -> Result<()> {
        let scratch = Scratch::new("replace")?;
        let place = scratch.0.join("site");

        let abandoned = Replacement::of(&place)?;
        fs::write(abandoned.path().join("half"), "")?;
        drop(abandoned);
        assert!(names(&scratch.0)?.is_empty());

        for content in ["first", "second"] {
            let fresh = Replacement::of(&place)?;
            fs::write(fresh.path().join(content), "")?;
            fresh.commit()?;
            assert_eq!(names(&place)?, [content]);
            assert_eq!(names(&scratch.0)?, ["site"]);
        }
        Ok(())
    }

    #[test]
    fn a_strangers_folder_is_left_alone() -> Result<()> {
        let scratch = Scratch::new("stranger")?;
        fs::write(scratch.0.join("thesis.txt"), "years of work")?;
        let text = refuse_strangers(&scratch.0).map_or_else(|e| e.to_string(), |()| String::new());
        assert!(text.contains("left alone"), "{text}");
        assert_eq!(names(&scratch.0)?, ["thesis.txt"]);
        Ok(())
    }

    #[test]
    fn trees_are_copied_without_what_is_not_wanted() -> Result<()> {
        let scratch = Scratch::new("tree")?;
        let (from, to) = (scratch.0.join("from"), scratch.0.join("to"));
        fs::create_dir_all(from.join("deep"))?;
        fs::write(from.join("a.js"), "")?;
        fs::write(from.join("deep/b.js"), "")?;
        fs::write(from.join("deep/b.d.ts"), "")?;
        copy_tree(&from, &to, |path| {
            !path.to_string_lossy().ends_with(".d.ts")
        })?;
        assert_eq!(names(&to)?, ["a.js", "deep"]);
        assert_eq!(names(&to.join("deep"))?, ["b.js"]);
        Ok(())
    }

    #[test]
    fn a_stamp_holds_only_while_the_files_are_there() -> Result<()> {
        let scratch = Scratch::new("stamp")?;
        let wasm = scratch.0.join("in.wasm");
        fs::write(&wasm, "wasm")?;
        let stamp = Stamp::of(&wasm, Effort::Full)?;
        assert!(!stamp.is_current(&scratch.0));
        stamp.write(&scratch.0)?;
        assert!(!stamp.is_current(&scratch.0), "the outputs are missing");
        for end in [".js", ".d.ts", "_bg.wasm"] {
            fs::write(scratch.0.join(format!("{CRATE}{end}")), "")?;
        }
        assert!(stamp.is_current(&scratch.0));
        assert!(!Stamp::of(&wasm, Effort::Dev)?.is_current(&scratch.0));
        Ok(())
    }
}
