//! `batchscope models`: the catalogue, and what is read from a config.json.

use serde::Serialize;

use super::args::{ModelsArgs, model_of};
use super::files;
use super::table::{new_table, short};
use crate::Error;
use crate::latency::model::Model;

/// A model's main numbers.
#[derive(Serialize)]
struct Row {
    name: String,
    parameters: u64,
    /// That one token uses.
    active_parameters: u64,
    /// As published, where it is known.
    published: Option<f64>,
    /// How weights are stored.
    precision: String,
    weight_gb: f64,
    /// Of one token, in layers that attend to the whole context.
    kv_bytes_per_token: f64,
    /// In layers with a window, while it fills: its length, and bytes of one token.
    windows: Vec<(u32, f64)>,
    /// Of one sequence, whatever its length.
    state_bytes: u64,
    /// Arithmetic of one token outside attention.
    token_gflop: f64,
    source: String,
}

impl From<Model> for Row {
    fn from(model: Model) -> Row {
        let value = model.kv_bits() / 8.0;
        let windows = model.window_values().into_iter();
        Row {
            parameters: model.parameters(),
            active_parameters: model.active_parameters(),
            published: model.published,
            precision: model.quantisation.name.clone(),
            weight_gb: model.weight_bytes() / 1e9,
            kv_bytes_per_token: model.kv_values() as f64 * value,
            windows: windows
                .map(|(tokens, values)| (tokens, values as f64 * value))
                .collect(),
            state_bytes: model.state_bytes(),
            token_gflop: model.token_flops() / 1e9,
            name: model.name,
            source: model.source,
        }
    }
}

pub fn models(args: ModelsArgs) -> Result<(), Error> {
    let rows: Vec<Row> = match args.model {
        Some(name) => vec![model_of(&name)?.into()],
        None => Model::names()
            .filter_map(Model::named)
            .map(Row::from)
            .collect(),
    };
    if args.json {
        return files::print_json(&rows);
    }
    let mut table = new_table(&[
        "model",
        "parameters (1e9)",
        "a token uses",
        "stored as",
        "weights (GB)",
        "KV of a token (kB)",
        "more within windows",
        "state (MB)",
        "GFLOP a token",
    ]);
    for row in &rows {
        let windows: Vec<String> = row
            .windows
            .iter()
            .map(|(tokens, bytes)| format!("{} up to {tokens} tokens", short(bytes / 1e3)))
            .collect();
        table.add_row([
            row.name.clone(),
            short(row.parameters as f64 / 1e9),
            short(row.active_parameters as f64 / 1e9),
            row.precision.clone(),
            short(row.weight_gb),
            short(row.kv_bytes_per_token / 1e3),
            windows.join(", "),
            short(row.state_bytes as f64 / 1e6),
            short(row.token_gflop),
        ]);
    }
    let text = format!("{table}\n");
    files::print(|output| output.write_all(text.as_bytes()))
}
