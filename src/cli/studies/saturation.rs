//! `batchscope study saturation`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Common, server, set};
use crate::Error;
use crate::cli::args::{card, count, number, think};
use crate::cli::files;
use crate::experiment::saturation::ceilings::{Hardware, ModelSize};
use crate::experiment::saturation::load_tests;
use crate::experiment::saturation::points::{self, Level};
use crate::latency::hardware::{self, Card};
use crate::published::Study;
use crate::published::saturation::{Measured, Saturation};
use crate::results;
use crate::scenario::{Engine, MAX_BATCH, no_effect};
use crate::words::counted;

#[derive(Args)]
pub struct SaturationArgs {
    #[command(flatten)]
    common: Common,
    /// Measured levels instead of running: CSV or JSON (users, tok_s, and more), or result files of load tests as
    /// `validate --results` reads them, one or several; "-" for standard input.
    ///
    /// What is not given of their server (--hardware or --peak-flops and --bandwidth, --params,
    /// --bytes-per-param, --max-batch, --think) is not known, and nothing is said that needs it.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "users", "requests_per_user", "prompt", "output", "server", "seed",
        "replications", "from_outcomes", "emit_scenarios",
    ])]
    points: Vec<PathBuf>,
    /// The points are of the published benchmark's server: an A40, 8e9 parameters of 2 bytes, at most
    /// 256 requests at once, think times of 0.5 to 2 s.
    #[arg(long, requires = "points", conflicts_with_all = [
        "hardware", "peak_flops", "bandwidth", "params", "bytes_per_param", "max_batch", "think",
    ])]
    published: bool,
    /// Levels of load, at least two [default: 10,50,100].
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', allow_hyphen_values = true, value_parser = count(1, 1_000_000))]
    users: Option<Vec<u32>>,
    /// Requests of each user, one after another [default: 5].
    #[arg(long, value_name = "R", value_parser = count(1, 10_000_000))]
    requests_per_user: Option<u32>,
    /// Shortest and longest pause between an answer and the next request, s; one number stands for
    /// both [default: 0.5,2; of points: not given].
    #[arg(long, value_name = "MIN,MAX", num_args = 1, allow_hyphen_values = true, value_parser = think)]
    think: Option<[f64; 2]>,
    /// Prompt tokens of each request [default: 12].
    #[arg(long, value_name = "N", value_parser = count(0, u32::MAX))]
    prompt: Option<u32>,
    /// Output tokens of each request [default: 128].
    #[arg(long, value_name = "N", value_parser = count(0, u32::MAX))]
    output: Option<u32>,
    /// Scenario whose predictor, scheduler, fleet, latency model, memory and SLA are the server;
    /// default: an A40 whose every step reads the weights of an 8-billion-parameter model once.
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Data sheet of the accelerator [default: a40; of points or with --server: not given].
    #[arg(long, value_name = "NAME", conflicts_with_all = ["peak_flops", "bandwidth"], value_parser = card)]
    hardware: Option<Card>,
    /// Peak of the accelerator, FLOP/s [default: 149.7e12, an A40; of points or with --server: not
    /// given].
    #[arg(long, value_name = "FLOPS", value_parser = number(1e6, 1e24))]
    peak_flops: Option<f64>,
    /// Memory bandwidth of the accelerator, bytes/s [default: 696e9, an A40; of points or with
    /// --server: not given].
    #[arg(long, value_name = "B_PER_S", value_parser = number(1e3, 1e21))]
    bandwidth: Option<f64>,
    /// Parameters of the model [default: 8e9; of points or with --server: not given].
    #[arg(long, value_name = "N", value_parser = number(1.0, 1e18))]
    params: Option<f64>,
    /// Bytes of one parameter [default: 2; of points or with --server: not given].
    #[arg(long, value_name = "B", value_parser = number(0.01, 16.0))]
    bytes_per_param: Option<f64>,
    /// Largest batch of the server [default: 256; of points: not given].
    #[arg(long, value_name = "B", conflicts_with = "server", value_parser = count(1, MAX_BATCH))]
    max_batch: Option<u32>,
}

/// The levels of the files and whose they are; `None` where no file is named.
fn levels(paths: &[PathBuf]) -> Result<Option<(String, Vec<Level>)>, Error> {
    let Some(first) = paths.first() else {
        return Ok(None);
    };
    let name = |path: &Path| match path.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => path.display().to_string(),
    };
    let text = files::read_result(first)?;
    let mut source = name(first);
    if !results::is_result(&text, &source) {
        if paths.len() > 1 {
            return Err(Error::bad_argument(
                "--points",
                format!(
                    "{source} is a table of levels; several files have to be results of load tests"
                ),
            ));
        }
        let found = points::read(text.as_bytes(), &source)?;
        return Ok(Some((source, found)));
    }
    let mut benchmarks = results::read(&text, &source)?;
    for path in &paths[1..] {
        benchmarks.extend(results::read(&files::read_result(path)?, &name(path))?);
    }
    if paths.len() > 1 {
        source = format!(
            "{source} and {}",
            counted(paths.len() as u64 - 1, "other file")
        );
    }
    let found = load_tests::levels(&benchmarks, &source)?;
    if load_tests::has_open_loop(&benchmarks) {
        source += ", users of an open loop by Little's law";
    }
    Ok(Some((source, found)))
}

impl SaturationArgs {
    pub fn study(self) -> Result<(Study, Common), Error> {
        let mut study = Saturation::default();
        set(&mut study.users, self.users.clone());
        set(&mut study.requests_per_user, self.requests_per_user);
        if let Some([least, most]) = self.think {
            (study.think_min_s, study.think_max_s) = (least, most);
        }
        set(&mut study.prompt_tokens, self.prompt);
        set(&mut study.output_tokens, self.output);
        match &self.server {
            // Nothing is known of it but what its scenario and these flags say.
            Some(path) => {
                study.server = server(path)?;
                study.hardware = self.given_hardware();
                study.model = self.given_model()?;
            }
            None => self.put_on(&mut study),
        }
        match &mut study.server.engine {
            Engine::Closed(closed) => set(&mut closed.max_batch, self.max_batch),
            Engine::Continuous(_) if self.max_batch.is_some() => {
                return Err(no_effect(
                    "--max-batch",
                    "the server has continuous batching; its scenario says engine.continuous.max_sequences",
                ));
            }
            Engine::Continuous(_) => {}
        }
        if let Some((source, levels)) = levels(&self.points)? {
            study.measured = Some(if self.published {
                Measured::as_published(&source, levels)
            } else {
                Measured {
                    source,
                    levels,
                    hardware: self.given_hardware(),
                    model: self.given_model()?,
                    max_batch: self.max_batch,
                    think_time_s: self.think.map(|[least, most]| (least + most) / 2.0),
                }
            });
        }
        Ok((Study::Saturation(study), self.common))
    }

    /// What the flags say of an accelerator, and no more.
    fn given_hardware(&self) -> Option<Hardware> {
        if let Some(card) = &self.hardware {
            return Some(card.hardware.clone().into());
        }
        (self.peak_flops.is_some() || self.bandwidth.is_some()).then(|| Hardware {
            name: "the accelerator".to_owned(),
            peak_flops: self.peak_flops,
            bandwidth_bytes_per_s: self.bandwidth,
            source: "as given".to_owned(),
        })
    }

    /// What the flags say of a model, and no more.
    fn given_model(&self) -> Result<Option<ModelSize>, Error> {
        match (self.params, self.bytes_per_param) {
            (Some(params), bytes_per_param) => Ok(Some(ModelSize {
                params,
                bytes_per_param,
            })),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Error::contradiction(
                "--bytes-per-param",
                "without --params it says nothing of a model; give both",
            )),
        }
    }

    /// The study's own server with what the flags change in it.
    fn put_on(&self, study: &mut Saturation) {
        let mut sheet = match &self.hardware {
            Some(card) => card.hardware.clone(),
            None => hardware::Hardware::a40(),
        };
        set(&mut sheet.peak_flops, self.peak_flops);
        set(&mut sheet.bandwidth_bytes_per_s, self.bandwidth);
        let params = self.params.unwrap_or(8e9);
        let bytes_per_param = self.bytes_per_param.unwrap_or(2.0);
        study.server = Saturation::server(sheet.bandwidth_bytes_per_s, params * bytes_per_param);
        study.hardware = Some(sheet.into());
        study.model = Some(ModelSize {
            params,
            bytes_per_param: Some(bytes_per_param),
        });
    }
}
