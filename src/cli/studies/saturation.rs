//! `batchscope study saturation`.

use std::path::PathBuf;

use clap::Args;

use super::{Common, server, set};
use crate::Error;
use crate::cli::args::{count, number, think};
use crate::cli::files;
use crate::scenario::MAX_BATCH;
use crate::study::Study;
use crate::study::saturation::{Measured, Saturation, points};

#[derive(Args)]
pub struct SaturationArgs {
    #[command(flatten)]
    common: Common,
    /// Measured levels (CSV or JSON: users, tok_s, and more) instead of running; "-" for standard
    /// input.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "users", "requests_per_user", "think", "prompt", "output", "server", "seed",
        "replications", "from_outcomes", "emit_scenarios",
    ])]
    points: Option<PathBuf>,
    /// Levels of load, at least two [default: 10,50,100].
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', allow_hyphen_values = true, value_parser = count(1, 1_000_000))]
    users: Option<Vec<u32>>,
    /// Requests of each user, one after another [default: 5].
    #[arg(long, value_name = "R", value_parser = count(1, 10_000_000))]
    requests_per_user: Option<u32>,
    /// Shortest and longest pause between an answer and the next request, s; one number stands for
    /// both [default: 0.5,2].
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
    /// Peak of the accelerator, FLOP/s [default: 149.7e12, an A40].
    #[arg(long, value_name = "FLOPS", value_parser = number(1e6, 1e24))]
    peak_flops: Option<f64>,
    /// Memory bandwidth of the accelerator, bytes/s [default: 696e9, an A40].
    #[arg(long, value_name = "B_PER_S", value_parser = number(1e3, 1e21))]
    bandwidth: Option<f64>,
    /// Parameters of the model [default: 8e9].
    #[arg(long, value_name = "N", value_parser = number(1.0, 1e18))]
    params: Option<f64>,
    /// Bytes of one parameter [default: 2].
    #[arg(long, value_name = "B", value_parser = number(0.01, 16.0))]
    bytes_per_param: Option<f64>,
    /// Largest batch of the server [default: 256].
    #[arg(long, value_name = "B", conflicts_with = "server", value_parser = count(1, MAX_BATCH))]
    max_batch: Option<u32>,
}

impl SaturationArgs {
    pub fn study(self) -> Result<(Study, Common), Error> {
        let mut study = Saturation::default();
        set(&mut study.users, self.users);
        set(&mut study.requests_per_user, self.requests_per_user);
        if let Some([least, most]) = self.think {
            (study.think_min_s, study.think_max_s) = (least, most);
        }
        set(&mut study.prompt_tokens, self.prompt);
        set(&mut study.output_tokens, self.output);
        if self.peak_flops.is_some() || self.bandwidth.is_some() {
            study.hardware.name = "the accelerator".to_owned();
            study.hardware.source = "given".to_owned();
        }
        set(&mut study.hardware.peak_flops, self.peak_flops);
        set(&mut study.hardware.bandwidth_bytes_per_s, self.bandwidth);
        set(&mut study.model.params, self.params);
        set(&mut study.model.bytes_per_param, self.bytes_per_param);
        study.server = match &self.server {
            Some(path) => server(path)?,
            None => Saturation::server(&study.hardware, study.model),
        };
        set(&mut study.server.scheduler.max_batch, self.max_batch);
        if let Some(path) = &self.points {
            let source = match path.to_str() {
                Some("-") => "standard input".to_owned(),
                _ => path.display().to_string(),
            };
            let levels = points::read(files::read_text(path)?.as_bytes(), &source)?;
            study.measured = Some(Measured { source, levels });
        }
        Ok((Study::Saturation(study), self.common))
    }
}
