//! The studies' part of the bench table (`cargo xtask bench`): the program itself, from start to
//! written files, on the generated trace at the published sizes.
//!
//! `cargo bench --bench studies -- [--json FILE]`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

/// The best of this many runs: the others shared the machine.
const RUNS: usize = 3;

/// Seconds that the authors of the three-step study expected it to take, at the least.
const PUBLISHED_THREE_STEP_S: f64 = 20.0 * 60.0;

struct Ran {
    wall_s: f64,
    /// Highest resident memory, bytes; `None` where the system does not say.
    peak_bytes: Option<f64>,
}

/// One run of `batchscope study ...` into an empty folder.
fn study(args: &[&str]) -> Ran {
    let folder = TempDir::new().expect("a temporary folder");
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_batchscope"))
        .arg("study")
        .args(args)
        .arg("--out")
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak_bytes = None;
    let ended = loop {
        if let Some(ended) = child.try_wait().expect("the program can be waited for") {
            break ended;
        }
        peak_bytes = high_water(Path::new(&status)).or(peak_bytes);
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(ended.success(), "{args:?}: {ended}");
    Ran {
        wall_s: started.elapsed().as_secs_f64(),
        peak_bytes,
    }
}

/// `VmHWM` of a process: the most memory that it ever held, so the last reading is the peak.
fn high_water(status: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024.0)
}

fn best(args: &[&str]) -> Ran {
    let runs = (0..RUNS).map(|_| study(args));
    runs.min_by(|a, b| a.wall_s.total_cmp(&b.wall_s))
        .expect("at least one run")
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let json = args
        .iter()
        .position(|a| a == "--json")
        .and_then(|i| args.get(i + 1));

    let three = best(&["three-step"]);
    let two = best(&["two-step"]);
    let gib = two.peak_bytes.map(|bytes| bytes / f64::from(1 << 30));
    let rows = json!([
        {
            "id": "three_step_native",
            "what": "three-step, 34 runs of 19.6 M requests (30 and 15.6 M differ), all files and figures, native",
            "measured": three.wall_s, "unit": "s", "bar": 4.0, "sense": "<=",
        },
        {
            "id": "three_step_published",
            "what": "the same against the published 20 to 30 min, times faster than 20 min",
            "measured": PUBLISHED_THREE_STEP_S / three.wall_s, "unit": "x",
        },
        {
            "id": "two_step_native",
            "what": "two-step, 192 points of 53.3 M requests and 16 of 4.4 M, all files and figures, native",
            "measured": two.wall_s, "unit": "s", "bar": 12.0, "sense": "<=",
        },
        {
            "id": "two_step_memory",
            "what": "highest memory of the same",
            "measured": gib, "unit": "GiB", "bar": 1.0, "sense": "<=",
        },
    ]);
    let text = format!("{rows:#}\n");
    match json {
        Some(path) => std::fs::write(path, text).expect("the rows can be written"),
        None => print!("{text}"),
    }
}
