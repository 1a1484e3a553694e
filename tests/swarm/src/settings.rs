//! Random scenarios: every setting of the [schema](crate::schema), most of them in range.
//!
//! A setting without a rule here gets values from its type and its default, so that it is covered on the
//! day it appears; a test fails where such values are never accepted.

use std::borrow::Cow;
use std::sync::OnceLock;

use batchscope::Scenario;
use batchscope::sched::continuous::Server;
use serde_json::{Map, Value, json};

use crate::rng::Rng;
use crate::schema::{Shape, join};

/// How a number or a text is drawn: from a range, with values that come often.
enum Rule {
    Whole(u64, u64, &'static [u64]),
    Real(f64, f64, &'static [f64]),
    Text(&'static [&'static str]),
}

use Rule::{Real, Text, Whole};

/// Ranges lie inside those of `scenario::check`, and are chosen so that small traces meet the limits.
fn rule(path: &str) -> Option<Rule> {
    Some(match &*of_steps(path) {
        "version" => Whole(2, 2, &[]),
        "seed" => Whole(0, u32::MAX as u64, &[0, 1, 42, u32::MAX as u64]),
        "trace.file.name" => Text(&["swarm", "a trace", "t.csv", "Spur \u{fc}ber.jsonl"]),
        "trace.file.hash_tokens" => Whole(1, 600, &[1, 16, 16, 64, 512]),
        "trace.synthetic.requests" => Whole(1, 150, &[1, 2, 20, 100]),
        "trace.synthetic.shape.custom.failed_share" => Real(0.0, 1.0, &[0.0, 0.0, 0.1, 1.0]),
        "trace.synthetic.shape.custom.arrivals.poisson.rate"
        | "trace.synthetic.shape.custom.arrivals.gamma.rate"
        | "trace.synthetic.shape.custom.arrivals.diurnal.mean_rate"
        | "trace.synthetic.shape.custom.arrivals.on-off.on_rate" => Real(1e-3, 1e3, &[1.0, 10.0]),
        "trace.synthetic.shape.custom.arrivals.on-off.off_rate" => Real(0.0, 10.0, &[0.0]),
        "trace.synthetic.shape.custom.arrivals.on-off.mean_on_s" => Real(0.5, 100.0, &[1.0, 60.0]),
        "trace.synthetic.shape.custom.arrivals.on-off.mean_off_s" => Real(0.0, 100.0, &[0.0]),
        "trace.synthetic.shape.custom.arrivals.gamma.cv" => Real(0.01, 20.0, &[1.0, 5.0]),
        "trace.synthetic.shape.custom.arrivals.diurnal.peak_to_valley" => Real(1.0, 20.0, &[1.0]),
        "trace.synthetic.shape.custom.arrivals.diurnal.period_s" => Real(10.0, 1e5, &[86400.0]),
        "trace.synthetic.shape.custom.arrivals.diurnal.peak_at_s" => Real(0.0, 10.0, &[0.0]),
        "trace.synthetic.shape.custom.prompt.lognormal.median"
        | "trace.synthetic.shape.custom.output.lognormal.median"
        | "trace.synthetic.shape.custom.prompt.gamma.mean"
        | "trace.synthetic.shape.custom.output.gamma.mean" => Real(1.0, 400.0, &[1.0, 64.0]),
        "trace.synthetic.shape.custom.prompt.lognormal.sigma"
        | "trace.synthetic.shape.custom.output.lognormal.sigma" => Real(0.0, 1.5, &[0.0, 1.0]),
        "trace.synthetic.shape.custom.prompt.gamma.cv"
        | "trace.synthetic.shape.custom.output.gamma.cv" => Real(0.01, 3.0, &[1.0]),
        "trace.synthetic.shape.custom.prompt.zipf.theta"
        | "trace.synthetic.shape.custom.output.zipf.theta" => Real(0.0, 10.0, &[0.0, 1.0]),
        "trace.synthetic.shape.custom.prompt.zipf.max"
        | "trace.synthetic.shape.custom.output.zipf.max"
        | "trace.synthetic.shape.custom.prompt.fixed.tokens"
        | "trace.synthetic.shape.custom.output.fixed.tokens"
        | "trace.synthetic.shape.custom.prompt.empirical.values[]"
        | "trace.synthetic.shape.custom.output.empirical.values[]" => Whole(1, 600, &[1, 64, 500]),
        "trace.synthetic.shape.custom.prompt.uniform.min"
        | "trace.synthetic.shape.custom.output.uniform.min" => Whole(1, 100, &[1]),
        "trace.synthetic.shape.custom.prompt.uniform.max"
        | "trace.synthetic.shape.custom.output.uniform.max" => Whole(100, 600, &[100]),
        "trace.synthetic.shape.custom.prompt.empirical.weights[]"
        | "trace.synthetic.shape.custom.output.empirical.weights[]" => Real(0.0, 10.0, &[1.0]),
        "workload.window_start_s" => Real(0.0, 60.0, &[0.0, 1.0]),
        "workload.window_end_s" => Real(1.0, 400.0, &[2.0, 100.0]),
        "workload.limit" => Whole(1, 150, &[1, 2, 20]),
        "workload.time_scale" => Real(0.01, 100.0, &[1.0, 1.0, 2.0, 200.0]),
        "workload.rate_per_s" => Real(0.01, 1e3, &[1.0]),
        "workload.closed_loop.users" => Whole(1, 12, &[1, 2, 40]),
        "workload.closed_loop.requests_per_user" => Whole(1, 6, &[1, 2, 15]),
        "workload.closed_loop.think_min_s" => Real(0.0, 3.0, &[0.0, 0.0, 1.0]),
        "workload.closed_loop.think_max_s" => Real(0.0, 20.0, &[0.0, 1.0, 3.0]),
        "predictor.sigma" => Real(0.0, 5.0, &[0.0, 0.1, 1.0]),
        "predictor.bin_error" => Real(0.0, 0.5, &[0.0, 0.1, 0.5]),
        "predictor.exponent" => Real(0.0, 4.0, &[0.0, 0.7, 1.0]),
        "predictor.scale" => Real(1e-3, 1e3, &[1.0, 1.5]),
        "predictor.max_tokens" => Whole(1, 100_000, &[1, 4096]),
        "engine.closed.static_batch" | "bins.full_batch" => Whole(1, 12, &[1, 8, 4096]),
        "engine.closed.max_batch" => Whole(1, 24, &[1, 128, 4096]),
        "bins.count" => Whole(1, 9, &[1, 2, 64]),
        "bins.sample_rows" => Whole(1, 200, &[1, 20_000, u32::MAX as u64]),
        "bins.sample_size" => Whole(1, 100, &[1, 10_000, u32::MAX as u64]),
        "bins.cuts[]" => Whole(1, 2000, &[1, 64, 256]),
        "bins.last_upper" => Whole(2, 10_000, &[2, 10_000]),
        "engine.closed.memory_bound.reserve" => Real(0.0, 0.99, &[0.0, 0.1]),
        "engine.closed.memory_bound.overflow_probability" => Real(1e-9, 0.5, &[0.05, 0.5]),
        "engine.closed.memory_bound.smoothing" | "engine.closed.controller.smoothing" => {
            Real(0.0, 1.0, &[0.0, 0.2, 1.0])
        }
        "engine.closed.memory_bound.initial_prompt_tokens"
        | "engine.closed.memory_bound.initial_output_tokens"
        | "engine.closed.memory_bound.initial_sd_tokens" => Real(0.0, 3000.0, &[0.0, 300.0, 1e7]),
        "engine.closed.controller.target_s" => Real(1e-3, 10.0, &[0.005, 1.0]),
        "engine.closed.controller.epsilon_s" => Real(0.0, 0.5, &[0.0, 0.005]),
        "engine.closed.controller.alpha" | "engine.closed.controller.delta" => {
            Whole(0, 40, &[0, 2, 4096])
        }
        "engine.closed.controller.initial_batch" => Real(1.0, 200.0, &[1.0, 64.0, 4096.0]),
        "engine.closed.controller.warmup_batches" => Whole(0, 6, &[0, 3, u32::MAX as u64]),
        "fleet.gpus" => Whole(1, 9, &[1, 1, 2, 4, 64]),
        "engine.closed.latency.linear.alpha_s" => Real(0.0, 0.5, &[0.0, 0.06, 1.0]),
        "engine.closed.latency.linear.beta_s_per_token" => Real(0.0, 0.01, &[0.0, 0.0057]),
        "engine.closed.latency.linear.gamma" => Real(0.0, 2.0, &[0.0, 0.3]),
        "engine.closed.latency.linear.growth" => Real(0.0, 0.1, &[0.0]),
        "engine.closed.latency.linear.floor_s" => Real(1e-6, 1.0, &[0.001, 1e-9]),
        "engine.closed.memory.capacity_gb" | "engine.continuous.memory.capacity_gb" => {
            Real(1.0, 90.0, &[12.0, 80.0, 17.5])
        }
        "engine.closed.memory.model_gb" | "engine.continuous.memory.model_gb" => {
            Real(0.0, 20.0, &[0.0, 4.0, 16.0])
        }
        "engine.closed.memory.kv_gb_per_token" | "engine.continuous.memory.kv_gb_per_token" => {
            Real(1e-6, 0.1, &[1.875e-4, 1.0 / 64.0, 0.000131072])
        }
        "engine.closed.memory.margin_gb" | "engine.continuous.memory.margin_gb" => {
            Real(0.0, 2.0, &[0.0, 1.0])
        }
        "sla.token_ms" => Real(1.0, 20_000.0, &[30.0]),
        "sla.request_s" => Real(0.1, 100.0, &[20.0]),
        "sla.ttft_s" => Real(0.01, 100.0, &[0.1, 1.0]),
        "engine.continuous.ageing_per_s" => Real(0.0, 100.0, &[0.0, 1.0]),
        "engine.continuous.classes[].label" => {
            Text(&["chat", "api", "Conversation log", "API log"])
        }
        "engine.continuous.classes[].level" => Real(-5.0, 5.0, &[0.0, 1.0, -1e6]),
        "engine.continuous.classes[].deadline_s" => Real(0.0, 60.0, &[0.0, 1.0]),
        "engine.continuous.bin_patience_s" => Real(0.0, 10.0, &[0.0, 2.0]),
        "engine.continuous.max_sequences" => Whole(1, 16, &[1, 2, 256]),
        "engine.continuous.max_batched_tokens" => Whole(1, 512, &[16, 2048, 1 << 24]),
        "engine.continuous.long_prefill_token_threshold" => Whole(0, 200, &[0, 1, 16]),
        "engine.continuous.kv.block_tokens" => Whole(1, 64, &[1, 2, 16, 16, 4096]),
        "engine.continuous.kv.capacity.blocks" => Whole(2, 300, &[40, 100, 1 << 30]),
        "engine.continuous.kv.watermark" => Real(0.0, 0.5, &[0.0, 0.01]),
        "engine.continuous.kv.preemption.swap.gb_per_s" => Real(1e-3, 100.0, &[0.5, 20.0]),
        "engine.continuous.kv.prefix.eviction_s" => Real(0.0, 0.01, &[0.0, 1e-4]),
        "engine.continuous.speculative.draft_tokens" => Whole(1, 6, &[1, 3]),
        "engine.continuous.speculative.acceptance[]" => Real(0.0, 1.0, &[0.0, 0.8, 1.0]),
        "engine.continuous.speculative.draft_s"
        | "engine.continuous.speculative.draft_s_per_sequence" => Real(0.0, 0.01, &[0.0, 1e-6]),
        "engine.continuous.admission.max_waiting" => Whole(0, 20, &[0, 1, u32::MAX as u64]),
        "engine.continuous.admission.timeout_s" => Real(0.0, 20.0, &[0.0, 0.5, 1e7]),
        "engine.continuous.tensor_parallel" => Whole(1, 4, &[1, 1, 2]),
        "engine.continuous.latency.linear.c0_s" => Real(1e-4, 0.5, &[0.0045, 0.0]),
        "engine.continuous.latency.linear.c1_s_per_sequence" => Real(1e-9, 0.01, &[4e-5]),
        "engine.continuous.latency.linear.c2_s_per_context_token"
        | "engine.continuous.latency.linear.c3_s_per_prefill_token"
        | "engine.continuous.latency.linear.c4_s_per_prefill_pair" => Real(0.0, 1e-4, &[0.0, 4e-8]),
        "engine.continuous.latency.linear.compute.d0_s" => Real(0.0, 0.1, &[0.0]),
        "engine.continuous.latency.linear.compute.d1_s_per_token" => Real(0.0, 1e-3, &[1.5e-5]),
        "engine.continuous.latency.table.sequences[]" => Whole(0, 64, &[0, 1, 8]),
        "engine.continuous.latency.table.context[]" => Whole(0, 50_000, &[0, 100]),
        "engine.continuous.latency.table.prefill[]" => Whole(0, 512, &[0, 0, 16]),
        "engine.continuous.latency.table.time_ms[]" => Real(1e-3, 100.0, &[5.0]),
        "engine.continuous.latency.profile.layers" => Whole(1, 64, &[1, 32]),
        "engine.continuous.latency.profile.attention.prefill_chunk[]" => Whole(0, 512, &[0, 16]),
        "engine.continuous.latency.profile.attention.kv_prefill[]"
        | "engine.continuous.latency.profile.attention.kv_decode[]" => Whole(0, 8192, &[0, 128]),
        "engine.continuous.latency.profile.attention.n_decode[]"
        | "engine.continuous.latency.profile.skew.n_decode[]" => Whole(0, 64, &[0, 1, 8]),
        "engine.continuous.latency.profile.skew.prefill_chunk[]" => Whole(0, 64, &[0]),
        "engine.continuous.latency.profile.attention.time_us[]"
        | "engine.continuous.latency.profile.dense.*.time_us[]"
        | "engine.continuous.latency.profile.per_sequence.*.time_us[]"
        | "engine.continuous.latency.profile.skew.mean_us[]"
        | "engine.continuous.latency.profile.skew.longest_us[]"
        | "engine.continuous.latency.profile.skew.skewed_us[]" => Real(1e-2, 1e4, &[10.0]),
        "engine.continuous.latency.profile.dense.*.count[]"
        | "engine.continuous.latency.profile.per_sequence.*.count[]" => Whole(1, 4096, &[1, 16]),
        "engine.continuous.latency.profile.captured[]" => Whole(1, 64, &[1, 8]),
        "engine.continuous.latency.modelled.experts.count" => Whole(8, 300, &[8, 128]),
        "engine.continuous.latency.modelled.experts.active"
        | "engine.continuous.latency.modelled.experts.groups" => Whole(1, 8, &[1, 8]),
        "engine.continuous.latency.modelled.experts.independent" => Real(0.01, 1.0, &[0.3, 1.0]),
        "engine.continuous.latency.modelled.windows[].tokens" => Whole(1, 600, &[1, 128]),
        "engine.continuous.latency.modelled.spread.low" => Real(0.1, 1.0, &[1.0]),
        "engine.continuous.latency.modelled.spread.high" => Real(1.0, 9.0, &[1.0]),
        "engine.continuous.latency.modelled.step_s" => Real(1e-4, 0.1, &[0.001]),
        path if path.starts_with("engine.continuous.latency.modelled.") && path.ends_with("_s") => {
            Real(0.0, 1e-3, &[0.0, 1e-6])
        }
        "engine.continuous.ceiling.weight_bytes" => Real(0.0, 1e12, &[0.0, 1.6e10]),
        "engine.continuous.ceiling.token_bytes" => Real(0.0, 1e6, &[131072.0]),
        "engine.continuous.ceiling.token_flops" => Real(0.0, 1e12, &[1.6e10]),
        "engine.continuous.ceiling.pair_flops" => Real(0.0, 1e8, &[524288.0]),
        "engine.continuous.ceiling.peak_flops" => Real(1e9, 1e16, &[9.89e14]),
        "engine.continuous.ceiling.bandwidth_bytes_per_s" => Real(1e9, 1e14, &[3.35e12]),
        "engine.continuous.warmup.share" => Real(0.0, 0.5, &[0.0, 0.1, 0.5]),
        _ => return None,
    })
}

/// Closed batches in steps have the settings of a server's steps.
fn of_steps(path: &str) -> Cow<'_, str> {
    match path.strip_prefix("engine.closed.latency.steps") {
        Some(rest) => Cow::Owned(format!("engine.continuous.latency{rest}")),
        None => Cow::Borrowed(path),
    }
}

/// The names of a map, and whether the first so many are always there.
fn names(path: &str) -> (&'static [&'static str], usize) {
    match &*of_steps(path) {
        "engine.continuous.latency.profile.dense" => (
            &[
                "qkv_proj",
                "o_proj",
                "gate_up_proj",
                "down_proj",
                "layernorm",
                "embedding",
                "other",
            ],
            4,
        ),
        "engine.continuous.latency.profile.per_sequence" => (&["lm_head", "sampler"], 1),
        _ => (&["a", "b"], 0),
    }
}

/// Fewest and most entries of a list.
fn entries(path: &str) -> (u64, u64) {
    match &*of_steps(path) {
        "bins.cuts" => (0, 6),
        "engine.continuous.classes" => (0, 3),
        "engine.continuous.speculative.acceptance" => (1, 3),
        "engine.continuous.latency.table" => (3, 9),
        "engine.continuous.latency.profile.attention" => (3, 10),
        "engine.continuous.latency.profile.captured" => (0, 4),
        _ => (1, 5),
    }
}

/// How much more often an alternative comes than the others.
fn weight(path: &str, alternative: &str) -> f64 {
    match (&*of_steps(path), alternative) {
        ("engine", "continuous") => 2.0,
        ("engine.closed.latency", "linear") => 2.0,
        ("trace", "file") => 3.0,
        // Whole weeks by the hour: their arrivals lie too far apart to queue.
        ("trace.synthetic.shape", "custom") => 3.0,
        ("engine.continuous.latency", "linear") => 3.0,
        ("engine.continuous.kv.capacity", "blocks") => 3.0,
        ("workload.failed", "drop") | ("workload.ties", "fixed") => 2.0,
        ("trace.file.format", "null" | "jsonl") => 4.0,
        ("trace.file.hash_tokens" | "trace.file.time_unit", "null") => 6.0,
        ("workload.closed_loop", "null") => 3.0,
        ("workload.window_start_s" | "workload.window_end_s" | "workload.limit", "null") => 4.0,
        ("workload.rate_per_s", "null") => 4.0,
        (_, "null") => 1.5,
        _ => 1.0,
    }
}

/// The schema and the defaults, made once.
struct Known {
    shape: Shape,
    defaults: Value,
}

fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let mut defaults = json!(Scenario::default());
        defaults["trace"]["synthetic"]["requests"] = json!(60);
        // Defaults of both engines, and of both latencies of closed batches: what is chosen takes its own.
        defaults["engine"]["continuous"] = json!(Server::default());
        defaults["engine"]["closed"]["latency"]["steps"] = json!(Server::default().latency);
        Known {
            shape: Shape::scenario(),
            defaults,
        }
    })
}

/// What the rows of a trace have.
#[derive(Debug, Clone, Copy)]
pub struct Has {
    pub requests: u64,
    pub sessions: bool,
    pub classes: bool,
    pub hashes: bool,
}

/// A random scenario as JSON for such a trace; most are in range.
pub fn scenario(has: Has, rng: &mut Rng) -> Value {
    // Few settings away from their defaults, many, or all.
    let moved = *rng.pick(&[0.15, 0.5, 0.9, 1.0]);
    let known = known();
    let mut made = draw(&known.shape, "", Some(&known.defaults), moved, rng);
    if rng.chance(0.95) {
        mend(&mut made, has, rng);
    }
    if rng.chance(0.04) {
        let places = leaves(&made);
        if !places.is_empty() {
            let place = rng.pick(&places).clone();
            if let Some(value) = made.pointer_mut(&place) {
                *value = wild(rng);
            }
        }
    }
    made
}

fn draw(shape: &Shape, path: &str, default: Option<&Value>, moved: f64, rng: &mut Rng) -> Value {
    // Within a group each setting moves or stays by itself.
    if let (Shape::Number | Shape::Text | Shape::Bool | Shape::List(_), Some(default)) =
        (shape, default)
        && !rng.chance(moved)
    {
        return default.clone();
    }
    match shape {
        Shape::Number => number(path, default, rng),
        Shape::Text => match rule(path) {
            Some(Text(words)) => json!(rng.pick(words)),
            _ => json!(rng.pick(&["a", "b", ""])),
        },
        Shape::Bool => json!(rng.chance(0.5)),
        Shape::Null => Value::Null,
        Shape::Word(word) => json!(word),
        Shape::Object(fields) => {
            // Lists side by side are columns of one table.
            let columns = fields
                .iter()
                .filter(|(_, f)| matches!(f, Shape::List(_)))
                .count();
            let (low, high) = entries(path);
            let rows = (columns > 1).then(|| rng.between(low, high) as usize);
            let mut object = Map::new();
            for (name, field) in fields {
                let path = join(path, name);
                let default = default.and_then(|d| d.get(name));
                let value = match (field, rows) {
                    (Shape::List(of), Some(rows)) => list(of, &path, rows, moved, rng),
                    _ => draw(field, &path, default, moved, rng),
                };
                object.insert(name.clone(), value);
            }
            Value::Object(object)
        }
        Shape::Map(of) => {
            let (names, needed) = names(path);
            let mut object = Map::new();
            for (i, name) in names.iter().enumerate() {
                if i < needed || rng.chance(0.3) {
                    object.insert(
                        (*name).to_owned(),
                        draw(of, &join(path, "*"), None, moved, rng),
                    );
                }
            }
            Value::Object(object)
        }
        Shape::List(of) => {
            let (low, high) = entries(path);
            let rows = rng.between(low, high) as usize;
            list(of, path, rows, moved, rng)
        }
        Shape::Tuple(all) => {
            let path = format!("{path}[]");
            all.iter()
                .map(|of| draw(of, &path, None, moved, rng))
                .collect()
        }
        Shape::OneOf(all) => {
            let of_default = default.and_then(|d| shape.chosen(d));
            let chosen = match of_default {
                Some(chosen) if !rng.chance(moved) && path != "engine" => chosen,
                _ => by_weight(all, path, rng),
            };
            let default = default
                .filter(|d| of_default == Some(chosen) || d.get(chosen.alternative()).is_some());
            draw(chosen, path, default, moved, rng)
        }
    }
}

fn by_weight<'a>(all: &'a [Shape], path: &str, rng: &mut Rng) -> &'a Shape {
    let weights: Vec<f64> = all.iter().map(|s| weight(path, &s.alternative())).collect();
    let mut left = rng.unit() * weights.iter().sum::<f64>();
    for (shape, weight) in all.iter().zip(&weights) {
        left -= weight;
        if left < 0.0 {
            return shape;
        }
    }
    &all[all.len() - 1]
}

fn list(of: &Shape, path: &str, rows: usize, moved: f64, rng: &mut Rng) -> Value {
    let path = format!("{path}[]");
    (0..rows)
        .map(|_| draw(of, &path, None, moved, rng))
        .collect()
}

fn number(path: &str, default: Option<&Value>, rng: &mut Rng) -> Value {
    match rule(path) {
        Some(Whole(low, high, often)) => {
            if !often.is_empty() && rng.chance(0.4) {
                json!(rng.pick(often))
            } else {
                json!(rng.between(low, high))
            }
        }
        Some(Real(low, high, often)) => {
            if !often.is_empty() && rng.chance(0.4) {
                json!(rng.pick(often))
            } else {
                json!(rng.float(low, high))
            }
        }
        _ => {
            // A setting that nothing is known of here.
            let factor = *rng.pick(&[0u32, 1, 2, 3]);
            match default {
                Some(d) if d.is_u64() => json!(d.as_u64().unwrap_or(1) * u64::from(factor)),
                Some(d) if d.is_f64() => {
                    let more = if d.as_f64() == Some(0.0) { 0.5 } else { 0.0 };
                    json!((d.as_f64().unwrap_or(1.0) + more) * f64::from(factor) / 2.0)
                }
                _ => json!(factor),
            }
        }
    }
}

/// Pointers to everything that is no object and no list.
pub fn leaves(value: &Value) -> Vec<String> {
    fn collect(value: &Value, at: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    collect(
                        value,
                        &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")),
                        found,
                    );
                }
            }
            Value::Array(list) => {
                for (i, value) in list.iter().enumerate() {
                    collect(value, &format!("{at}/{i}"), found);
                }
            }
            _ => found.push(at.to_owned()),
        }
    }
    let mut found = Vec::new();
    collect(value, "", &mut found);
    found
}

/// A value that few settings allow.
pub fn wild(rng: &mut Rng) -> Value {
    let numbers = [
        json!(-1),
        json!(0),
        json!(1),
        json!(-0.0),
        json!(1e300),
        json!(1e-320),
        json!(-1e300),
        json!(0.1),
        json!(4294967295u32),
        json!(4294967296u64),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(2147483648u32),
        json!(1e9),
        json!(1e-9),
        json!(4096),
        json!(4097),
        json!(65536),
    ];
    let others = [
        Value::Null,
        json!(true),
        json!(""),
        json!("NaN"),
        json!("1"),
        json!([]),
        json!({}),
        json!([1, 2]),
        json!("\u{0}\u{202e}\u{1f600}"),
        json!("closed"),
        json!("unlimited"),
    ];
    if rng.chance(0.7) {
        rng.pick(&numbers).clone()
    } else {
        rng.pick(&others).clone()
    }
}

fn at<'a>(value: &'a mut Value, pointer: &str) -> Option<&'a mut Value> {
    value.pointer_mut(pointer).filter(|value| !value.is_null())
}

fn is(value: &Value, pointer: &str, word: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_str) == Some(word)
}

fn float(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer).and_then(Value::as_f64)
}

/// Settles what settings say about each other, where a contradiction would be refused.
fn mend(made: &mut Value, mut has: Has, rng: &mut Rng) {
    if let Some(made_here) = made.pointer("/trace/synthetic") {
        let labels = made_here["shape"].is_string();
        let requests = made_here["requests"].as_u64().unwrap_or(0);
        has = Has {
            requests: requests * 8 / 10,
            sessions: false,
            classes: labels,
            hashes: false,
        };
    } else {
        let format = made
            .pointer("/trace/file/format")
            .and_then(Value::as_str)
            .unwrap_or("jsonl");
        has.sessions &= matches!(format, "jsonl" | "csv" | "burstgpt" | "bailian");
        has.classes &= matches!(format, "jsonl" | "csv" | "burstgpt" | "bailian");
        has.hashes = matches!(format, "mooncake" | "bailian") || has.hashes && format == "jsonl";
    }
    let continuous = made.pointer("/engine/continuous").is_some();
    if at(made, "/workload/closed_loop").is_some() {
        if let Some(limit) = made["workload"]["limit"].as_u64() {
            has.requests = has.requests.min(limit * 8 / 10);
        }
        let users = &mut made["workload"]["closed_loop"];
        let (most, each) = (
            has.requests.max(1),
            users["requests_per_user"].as_u64().unwrap_or(1),
        );
        let all = users["users"].as_u64().unwrap_or(1).saturating_mul(each);
        if all > most {
            users["requests_per_user"] = json!(each.min(most));
            users["users"] = json!(most / each.min(most).max(1));
        }
        let loosen = json!({ "window_start_s": null, "window_end_s": null, "rate_per_s": null,
            "time_scale": 1.0, "ties": "fixed" });
        put_all(made, "/workload", &loosen);
        let (low, high) = (
            "/workload/closed_loop/think_min_s",
            "/workload/closed_loop/think_max_s",
        );
        if let (Some(least), Some(most)) = (float(made, low), float(made, high))
            && most < least
        {
            made["workload"]["closed_loop"]["think_max_s"] = json!(least);
        }
    }
    if let (Some(start), Some(end)) = (
        float(made, "/workload/window_start_s"),
        float(made, "/workload/window_end_s"),
    ) && end <= start
    {
        made["workload"]["window_end_s"] = json!(start + end);
    }
    if let Some(cuts) = at(made, "/bins/cuts") {
        sort(cuts);
    }
    for lengths in ["prompt", "output"] {
        let place = format!("/trace/synthetic/shape/custom/{lengths}/empirical/weights");
        if let Some(Value::Array(weights)) = at(made, &place)
            && let Some(first) = weights.first_mut()
        {
            *first = json!(1.0);
        }
    }
    // Hashes come with their prompts in three of the formats, and calendar times have no unit.
    if ["burstgpt", "azure", "csv"]
        .iter()
        .any(|format| is(made, "/trace/file/format", format))
    {
        made["trace"]["file"]["hash_tokens"] = Value::Null;
    }
    if is(made, "/trace/file/format", "azure") {
        made["trace"]["file"]["time_unit"] = Value::Null;
    }
    let gpus = match continuous {
        true => float(made, "/engine/continuous/tensor_parallel").unwrap_or(1.0),
        false => 1.0,
    };
    let engine = if continuous { "continuous" } else { "closed" };
    if let Some(memory) = at(made, &format!("/engine/{engine}/memory")) {
        let gb = |name: &str| memory[name].as_f64().unwrap_or(0.0);
        let (model, margin, capacity) = (gb("model_gb"), gb("margin_gb"), gb("capacity_gb"));
        if gpus * capacity <= model + gpus * margin + 1.0 {
            memory["capacity_gb"] = json!(model / gpus + margin + 1.0 + rng.float(0.1, 60.0));
        }
    }
    if continuous {
        mend_server(made, has, rng);
    } else if let Some(steps) = at(made, "/engine/closed/latency/steps") {
        mend_steps(steps);
    }
}

fn mend_server(made: &mut Value, has: Has, rng: &mut Rng) {
    if let Some(count) = made["bins"]["count"].as_u64()
        && count > has.requests / 2
    {
        made["bins"]["count"] = json!((has.requests / 2).clamp(1, count.max(1)));
    }
    put_all(made, "/workload", &json!({ "failed": "drop" }));
    if is(made, "/workload/ties", "published-heap") {
        made["workload"]["ties"] = json!("fixed");
    }
    let group = made["engine"]["continuous"]["tensor_parallel"]
        .as_u64()
        .unwrap_or(1);
    if let Some(gpus) = made["fleet"]["gpus"].as_u64() {
        made["fleet"]["gpus"] = json!(gpus.div_ceil(group.max(1)) * group);
    }
    let server = &mut made["engine"]["continuous"];
    let draft = server["speculative"]["draft_tokens"].as_u64().unwrap_or(0);
    let least = server["max_sequences"].as_u64().unwrap_or(1) * (1 + draft);
    if server["max_batched_tokens"]
        .as_u64()
        .is_some_and(|most| most < least)
    {
        server["max_batched_tokens"] = json!(least + rng.between(0, 64));
    }
    // A cache that is too small for a request refuses the whole run unless requests are turned away.
    if rng.chance(0.9) {
        server["admission"]["reject_too_long"] = json!(true);
    }
    if server["router"] == "prefix-affinity" {
        server["kv"]["prefix"]["reuse"] = json!("hashes");
    }
    let reuse = server["kv"]["prefix"]["reuse"].as_str();
    if reuse == Some("hashes") && !has.hashes || reuse == Some("sessions") && !has.sessions {
        server["kv"]["prefix"]["reuse"] = json!(rng.pick(&["off", "own"]));
        if server["router"] == "prefix-affinity" {
            server["router"] = json!("least-work");
        }
    }
    if server["router"] == "session-sticky" && !has.sessions {
        server["router"] = json!("power-of-two");
    }
    let named = ["chat", "api"];
    if let Some(Value::Array(classes)) = server.get_mut("classes") {
        if !has.classes {
            classes.clear();
        }
        for class in classes {
            class["label"] = json!(rng.pick(&named));
        }
    }
    mend_steps(&mut server["latency"]);
}

fn mend_steps(latency: &mut Value) {
    // Two steps that only decode, and one that only reads a prompt.
    for (at, chunk, decode) in [
        ("table", "prefill", "sequences"),
        ("profile", "prefill_chunk", "n_decode"),
    ] {
        let place = match at {
            "table" => "/table",
            _ => "/profile/attention",
        };
        let Some(table) = latency.pointer_mut(place) else {
            continue;
        };
        for (row, prefill, sequences) in [(0, 0, 1), (1, 0, 8), (2, 16, 0)] {
            for (column, count) in [(chunk, prefill), (decode, sequences)] {
                if let Some(cell) = table.get_mut(column).and_then(|column| column.get_mut(row)) {
                    *cell = json!(count);
                }
            }
        }
    }
    if let Some(captured) = at(latency, "/profile/captured") {
        sort(captured);
    }
}

fn put_all(made: &mut Value, pointer: &str, values: &Value) {
    if let Some(Value::Object(object)) = made.pointer_mut(pointer) {
        for (name, value) in values.as_object().into_iter().flatten() {
            if object.contains_key(name) {
                object.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Ascending, each once.
fn sort(list: &mut Value) {
    if let Value::Array(list) = list {
        list.sort_by_key(|value| value.as_u64());
        list.dedup();
    }
}
