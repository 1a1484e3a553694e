//! `batchscope serve`: users against a server with continuous joining, predicted from a calibration.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::args::{count, number, think};
use super::manifest::Manifest;
use super::{files, interrupt, table};
use crate::Error;
use crate::latency::calibration::{Calibration, KIND, VERSION};
use crate::sched::joining::{Limits, Load, MAX_ROWS, MAX_SEQUENCES, Record};
use crate::study::document::{Content, File};
use crate::study::saturation::ceilings::Hardware;
use crate::study::serving::{self, Comparison, Stack};

/// As in the list of a folder's files.
const NAME: &str = "serve";

#[derive(Parser)]
pub struct ServeArgs {
    /// Calibration of a GPU and model, as `batchscope calibrate` writes it ("-" for standard input).
    #[arg(long, value_name = "FILE")]
    latency: PathBuf,
    /// Levels of load: users who each keep one request under way.
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', default_value = "1,2,4,8", allow_hyphen_values = true, value_parser = count(1, MAX_SEQUENCES))]
    users: Vec<u32>,
    /// Requests of each user, one after another [default: 4].
    #[arg(long, value_name = "R", value_parser = count(1, 1_000_000))]
    requests_per_user: Option<u32>,
    /// Prompt tokens of each request [default: 64].
    #[arg(long, value_name = "N", value_parser = count(1, 131_072))]
    prompt: Option<u32>,
    /// Output tokens of each request [default: 32].
    #[arg(long, value_name = "N", value_parser = count(1, 131_072))]
    output: Option<u32>,
    /// Shortest and longest pause between an answer and the next request, s; one number stands for
    /// both [default: 0].
    #[arg(long, value_name = "MIN,MAX", num_args = 1, allow_hyphen_values = true, value_parser = think)]
    think: Option<[f64; 2]>,
    /// Of the think times [default: 42].
    #[arg(long, value_name = "N", value_parser = count(0, u32::MAX))]
    seed: Option<u32>,
    /// Sequences that the server works on at once [default: 64].
    #[arg(long, value_name = "N", value_parser = count(1, MAX_SEQUENCES))]
    sequences: Option<u32>,
    /// Tokens of a step, decoded and of prompts [default: 128].
    #[arg(long, value_name = "N", value_parser = count(1, MAX_ROWS))]
    rows: Option<u32>,
    /// Tokens of a step that may be of prompts [default: 64].
    #[arg(long, value_name = "N", value_parser = count(1, MAX_ROWS))]
    prefill_rows: Option<u32>,
    /// Blocks of the KV cache; default: enough for every sequence.
    #[arg(long, value_name = "N", value_parser = count(1, u32::MAX))]
    kv_blocks: Option<u32>,
    /// Tokens of a block [default: 16].
    #[arg(long, value_name = "N", value_parser = count(1, 131_072))]
    block_tokens: Option<u32>,
    /// Peak of the GPU by its data sheet, FLOP/s, for MFU and ceilings.
    #[arg(long, value_name = "FLOPS", value_parser = number(1e6, 1e24))]
    peak_flops: Option<f64>,
    /// Print every figure as JSON.
    #[arg(long)]
    json: bool,
    /// Folder for tables, reports and figures, those of the study saturation among them.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl ServeArgs {
    fn load(&self) -> Load {
        let (load, limits) = (Load::default(), Limits::default());
        let [think_min_s, think_max_s] = self.think.unwrap_or([0.0, 0.0]);
        Load {
            users: load.users,
            requests_per_user: self.requests_per_user.unwrap_or(load.requests_per_user),
            prompt_tokens: self.prompt.unwrap_or(load.prompt_tokens),
            output_tokens: self.output.unwrap_or(load.output_tokens),
            think_min_s,
            think_max_s,
            seed: self.seed.unwrap_or(load.seed),
            limits: Limits {
                sequences: self.sequences.unwrap_or(limits.sequences),
                rows: self.rows.unwrap_or(limits.rows),
                prefill_rows: self.prefill_rows.unwrap_or(limits.prefill_rows),
                kv_blocks: self.kv_blocks,
                block_tokens: self.block_tokens.unwrap_or(limits.block_tokens),
            },
        }
    }
}

pub fn serve(args: ServeArgs) -> Result<(), Error> {
    let loads = serving::levels(&args.users, &args.load())?;
    let calibration = calibration(&args.latency)?;
    let mut stack = Stack::from(&calibration);
    stack.hardware = args.peak_flops.map(|peak_flops| Hardware {
        name: stack.gpu.clone(),
        peak_flops,
        bandwidth_bytes_per_s: stack.read_bytes_per_s,
        source: "peak as given, bandwidth as measured".to_owned(),
    });
    // A folder that is refused is refused before anything runs.
    if let Some(folder) = &args.out {
        Manifest::read(folder, NAME)?;
    }
    let measured: Vec<Option<Record>> = loads.iter().map(|_| None).collect();
    let mut levels = Vec::with_capacity(loads.len());
    for (load, measured) in loads.iter().zip(&measured) {
        levels.push(Comparison::of(load, &stack.model, measured.as_ref())?);
        interrupt::check()?;
    }
    let documents = serving::files(&stack, &levels)?;
    let written = match &args.out {
        Some(folder) => Some((folder.as_path(), write_all(folder, &documents)?)),
        None => None,
    };
    print(&documents, args.json, written)
}

/// Reads a calibration.
fn calibration(path: &Path) -> Result<Calibration, Error> {
    let text = files::read_text(path)?;
    let file = path.display().to_string();
    let refused = |field: &str, problem: String| Error::BadScenario {
        file: file.clone(),
        line: 0,
        column: 0,
        field: field.to_owned(),
        problem,
    };
    let mut reader = serde_json::Deserializer::from_str(&text);
    let found: Calibration = serde_path_to_error::deserialize(&mut reader)
        .map_err(|e| refused(&e.path().to_string(), e.inner().to_string()))?;
    if found.kind != KIND || found.version != VERSION {
        return Err(refused(
            "version",
            format!(
                "{} of version {}; read is {KIND} of version {VERSION}",
                found.kind, found.version
            ),
        ));
    }
    Ok(found)
}

/// How many files the folder holds then.
fn write_all(folder: &Path, documents: &[File]) -> Result<u64, Error> {
    fs::create_dir_all(folder).map_err(|e| files::problem("create", folder, &e))?;
    Manifest::read(folder, NAME)?.write_all(folder, documents, None)
}

/// The report or the JSON document, and where the rest is.
fn print(documents: &[File], json: bool, written: Option<(&Path, u64)>) -> Result<(), Error> {
    files::print(|output| {
        for document in documents {
            match &document.content {
                Content::Text(text) if !json => {
                    output.write_all(text.as_bytes())?;
                    break;
                }
                Content::Json(value) if json => {
                    writeln!(output, "{value:#}")?;
                    break;
                }
                _ => {}
            }
        }
        match written {
            // Whoever asked for JSON reads nothing else.
            Some((folder, files)) if !json => {
                let files = table::counted(files, "file");
                writeln!(output, "\n{files} in {}", folder.display())
            }
            _ => Ok(()),
        }
    })
}
