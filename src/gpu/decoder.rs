//! A real decoder with random weights: embeddings, layers with a paged KV cache, the LM head and
//! sampling, for sequences of different lengths that join and leave at every step.
//!
//! A step takes rows. A row is a token of a sequence: the last one sampled, which is decoded, or one of
//! its prompt, which is processed besides; each attends to what its sequence's slot holds before it.

use std::cell::RefCell;
use std::rc::Rc;

use web_time::Instant;

use super::Cancel;
use super::device::{Device, Dispatch, Kernel, gpu_error};
use super::kernels::{
    BLOCK, SAMPLED, SPLIT, attention, embed, fill,
    gemv::{self, Around, End, Variant},
    rope_append, sample, spread, weights,
};
use crate::error::Error;
use crate::latency::architecture::{Architecture, Precision};

/// Sequences that are in the cache at the same time.
pub const SLOTS: u32 = 64;
/// Rows of a step.
pub const MOST_ROWS: u32 = 128;

/// What to build.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub architecture: Architecture,
    pub precision: Precision,
    /// Tokens that the cache holds, of all sequences together.
    pub pool_tokens: u32,
    /// Seed of the weights.
    pub seed: u32,
    /// 0 takes the greatest logit.
    pub temperature: f32,
    /// Bytes of weights and cache after which no further layer is tried; `None`: the device says.
    pub most_bytes: Option<u64>,
}

impl Config {
    /// Bytes of one layer: weights and cache.
    pub fn layer_bytes(&self) -> u64 {
        let a = &self.architecture;
        let weights: u64 = self
            .matrices()
            .iter()
            .map(|&(_, rows, width)| matrix_bytes(self.precision, rows, width))
            .sum();
        weights + u64::from(self.pool_tokens) * a.kv_values() * 2
    }

    /// Bytes of everything, if all layers fit.
    pub fn bytes(&self) -> u64 {
        let a = &self.architecture;
        u64::from(a.layers) * self.layer_bytes()
            + matrix_bytes(self.precision, a.vocabulary, a.hidden)
            + self.scratch_bytes()
    }

    /// Bytes of a step's intermediate results.
    fn scratch_bytes(&self) -> u64 {
        let a = &self.architecture;
        let row = a.hidden + a.qkv() + 2 * a.heads * a.head_size + a.mlp;
        let partial = self.most_items() * a.heads * (a.head_size + 2);
        let logits = u64::from(SLOTS) * u64::from(a.vocabulary);
        let turns = (self.pool_tokens + 2) * a.head_size;
        4 * (u64::from(MOST_ROWS * row) + u64::from(partial) + logits + u64::from(turns))
    }

    /// Parts of contexts that a step attends to at most: the whole cache once, a rest for each row,
    /// and prompts of up to eight parts.
    fn most_items(&self) -> u32 {
        self.pool_tokens / SPLIT + 9 * MOST_ROWS
    }

    /// Seed offset, rows and width of a layer's matrices: QKV, output, gate and up, down.
    fn matrices(&self) -> [(u32, u32, u32); 4] {
        let a = &self.architecture;
        [
            (0, a.qkv(), a.hidden),
            (1, a.hidden, a.heads * a.head_size),
            (2, 2 * a.mlp, a.hidden),
            (3, a.hidden, a.mlp),
        ]
    }

    /// The seed of a layer's matrix; the LM head counts as a layer behind the last possible.
    pub fn matrix_seed(&self, layer: u32, matrix: u32) -> u32 {
        fill::hash(self.seed ^ fill::hash(layer * 4 + matrix))
    }

    /// Gains of the norms of queries, then of keys: between a half and one and a half, the same in every layer.
    pub fn head_gains(&self) -> Vec<f32> {
        let stream = fill::hash(self.seed ^ 2);
        (0..2 * self.architecture.head_size)
            .map(|i| 0.5 + (fill::hash(i ^ stream) >> 8) as f32 / 16_777_216.0)
            .collect()
    }
}

/// The LM head's place among the layers, for [`Config::matrix_seed`].
pub const HEAD_LAYER: u32 = 1 << 20;

fn matrix_bytes(precision: Precision, rows: u32, width: u32) -> u64 {
    let vectors = u64::from(weights::vectors(precision, width));
    let scales = if weights::has_scales(precision) {
        u64::from(rows) * u64::from(width.div_ceil(weights::QUANTUM)) * 2
    } else {
        0
    };
    u64::from(rows) * vectors * 16 + scales
}

/// One token of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Whose: below [`SLOTS`].
    pub slot: u32,
    /// Its place in the sequence, from 0.
    pub position: u32,
    /// `None`: the one that the slot sampled last.
    pub token: Option<u32>,
    /// Whether the next token is drawn after it.
    pub sample: bool,
}

/// A step that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Stepped {
    /// Those that were drawn, in the order of their rows.
    pub tokens: Vec<u32>,
    /// From laying the rows out to the tokens, s: all that a server waits for.
    pub took_s: f64,
    /// Of it until the work was submitted, s.
    pub host_s: f64,
    pub dispatches: u32,
}

/// A decoder on a device.
pub struct Decoder {
    device: Rc<Device>,
    config: Config,
    shared: Shared,
    layers: Vec<Layer>,
    head: Product,
    embeds: Vec<Dispatch>,
    cache: Cache,
    /// Rows and sampled rows of the step that is laid out.
    laid: Laid,
}

#[derive(Debug, Clone, Copy, Default)]
struct Laid {
    rows: u32,
    items: u32,
    sampled: u32,
    /// Whether every row is of another sequence, so that none sees what another appends.
    apart: bool,
}

/// Buffers of a step, used by every layer in turn.
struct Shared {
    rows: wgpu::Buffer,
    items: wgpu::Buffer,
    tables: wgpu::Buffer,
    list: wgpu::Buffer,
    row_count: wgpu::Buffer,
    sampled_count: wgpu::Buffer,
    sampled: wgpu::Buffer,
    drawn: wgpu::Buffer,
    x: wgpu::Buffer,
    qkv: wgpu::Buffer,
    queries: wgpu::Buffer,
    partial: wgpu::Buffer,
    attended: wgpu::Buffer,
    gated: wgpu::Buffer,
    logits: wgpu::Buffer,
    turns: wgpu::Buffer,
    heads: wgpu::Buffer,
    combine: Dispatch,
    sample_parts: Dispatch,
    sample_best: Dispatch,
}

struct Layer {
    qkv: Product,
    rope: Dispatch,
    split: Dispatch,
    /// The two in one, where every row is of another sequence.
    decode: Dispatch,
    output: Product,
    gate_up: Product,
    down: Product,
    buffers: [wgpu::Buffer; 2],
}

impl Layer {
    fn destroy(&self) {
        for product in [&self.qkv, &self.output, &self.gate_up, &self.down] {
            product.destroy();
        }
        self.buffers.iter().for_each(wgpu::Buffer::destroy);
    }
}

/// A matrix times columns, in as many buffers as the device's bindings ask for.
pub(super) struct Product {
    device: Rc<Device>,
    precision: Precision,
    width: u32,
    chunks: Vec<Chunk>,
    /// Compiled when first needed.
    kernels: RefCell<Vec<(Variant, Kernel)>>,
}

struct Chunk {
    first: u32,
    rows: u32,
    weights: wgpu::Buffer,
    scales: wgpu::Buffer,
    bound: Dispatch,
}

/// What a product reads besides its matrix, and writes.
#[derive(Clone, Copy)]
pub(super) struct Sides<'a> {
    pub x: &'a wgpu::Buffer,
    pub y: &'a wgpu::Buffer,
    /// How many columns there are.
    pub count: &'a wgpu::Buffer,
    /// Where [`Around::gather`] asks for it.
    pub list: &'a wgpu::Buffer,
    pub around: Around,
}

impl Product {
    /// A random matrix; `None` where the memory does not hold it.
    pub(super) async fn new(
        device: &Rc<Device>,
        precision: Precision,
        [rows, width]: [u32; 2],
        seed: u32,
        sides: Sides<'_>,
    ) -> Result<Option<Product>, Error> {
        let vectors = weights::vectors(precision, width);
        let row_bytes = u64::from(vectors) * 16;
        // An even number of rows, so that a chunk's scales begin with a word.
        let most = (device.adapter().max_binding_bytes.min(MOST_CHUNK) / row_bytes / 2 * 2)
            .clamp(1, u64::from(rows)) as u32;
        let scale = fill::scale(precision, width);
        let mut chunks = Vec::new();
        let mut first = 0;
        while first < rows {
            let height = most.min(rows - first);
            let words = height * vectors * 4;
            let scale_words = weights::scale_words(precision, height, width);
            let buffers = (
                device.try_storage(u64::from(words) * 4).await?,
                device.try_storage(u64::from(scale_words) * 4).await?,
            );
            let (Some(weights), Some(scales)) = buffers else {
                chunks.iter().for_each(Chunk::destroy);
                return Ok(None);
            };
            let fill_one = |kind, buffer: &wgpu::Buffer, words: u32, seed, width, stride, from| {
                let [x, y] = spread(words.div_ceil(fill::WORKGROUP));
                device.dispatch(
                    &fill::source(device.flavour(), kind),
                    &[
                        buffer,
                        &device.uniform(&fill::shape(words, seed, scale, width, stride, from)),
                    ],
                    [x, y, 1],
                )
            };
            let mut fills = vec![fill_one(
                fill::Kind::Weights(precision),
                &weights,
                words,
                seed,
                width,
                vectors * 4,
                first * vectors * 4,
            )];
            if scale_words > 0 {
                fills.push(fill_one(
                    fill::Kind::Scales,
                    &scales,
                    scale_words,
                    fill::hash(seed),
                    u32::MAX,
                    u32::MAX,
                    weights::scale_words(precision, first, width),
                ));
            }
            device.run(&fills).await?;
            let variant = device.variant(1);
            let shape = gemv::shape(precision, [height, width], [first, rows], sides.around);
            let bound = device.dispatch(
                &variant.source(device.flavour(), precision, width),
                &[
                    &weights,
                    &scales,
                    sides.x,
                    sides.y,
                    &device.uniform(&shape),
                    sides.count,
                    sides.list,
                ],
                variant.workgroups(height, 1),
            );
            chunks.push(Chunk {
                first,
                rows: height,
                weights,
                scales,
                bound,
            });
            first += height;
        }
        Ok(Some(Product {
            device: device.clone(),
            precision,
            width,
            chunks,
            kernels: Default::default(),
        }))
    }

    /// The dispatches for so many columns, by the kernel that is fastest on this device.
    pub(super) fn over(&self, columns: u32) -> impl Iterator<Item = Dispatch> + '_ {
        self.by(columns, self.device.variant(columns))
    }

    /// The same by one of the kernels.
    pub(super) fn by(&self, columns: u32, variant: Variant) -> impl Iterator<Item = Dispatch> + '_ {
        let kernel = self.kernel(variant);
        self.chunks.iter().map(move |chunk| {
            let workgroups = variant.workgroups(chunk.rows, columns);
            chunk.bound.by(&kernel, workgroups)
        })
    }

    fn kernel(&self, variant: Variant) -> Kernel {
        let mut kernels = self.kernels.borrow_mut();
        if let Some((_, kernel)) = kernels.iter().find(|(of, _)| *of == variant) {
            return kernel.clone();
        }
        let source = variant.source(self.device.flavour(), self.precision, self.width);
        let kernel = self.device.kernel(&source);
        kernels.push((variant, kernel.clone()));
        kernel
    }

    fn destroy(&self) {
        self.chunks.iter().for_each(Chunk::destroy);
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        // In a browser dropping frees nothing.
        self.destroy();
    }
}

impl Chunk {
    fn destroy(&self) {
        self.weights.destroy();
        self.scales.destroy();
    }
}

/// Larger buffers gain nothing, and word numbers in them must stay below 2^32.
const MOST_CHUNK: u64 = 1 << 30;

impl Decoder {
    /// Builds as many layers as the device's memory holds.
    ///
    /// Errors: `out-of-gpu-memory` where not even two layers fit, and whatever the device says.
    pub async fn new(device: Rc<Device>, config: Config) -> Result<Decoder, Error> {
        Decoder::build(device, config, &Cancel::new()).await
    }

    /// The same, until somebody has had enough.
    ///
    /// Errors: as [`Decoder::new`], and `interrupted`.
    pub async fn build(
        device: Rc<Device>,
        config: Config,
        cancel: &Cancel,
    ) -> Result<Decoder, Error> {
        let a = config.architecture.clone();
        let shared = Shared::new(&device, &config);
        let (limited, layer_bytes) = (config.most_bytes, config.layer_bytes());
        let no_memory = || {
            let why = match limited {
                Some(most) => format!(
                    "{} GB hold less than two layers of this model, {} GB each; allow more, or choose \
                     a smaller model or fewer bits per weight",
                    most as f64 / 1e9,
                    layer_bytes as f64 / 1e9
                ),
                None => {
                    "the GPU's memory does not hold two layers of this model; choose a smaller \
                         model or fewer bits per weight"
                        .to_owned()
                }
            };
            gpu_error("out-of-gpu-memory", why)
        };
        let head = Product::new(
            &device,
            config.precision,
            [a.vocabulary, a.hidden],
            config.matrix_seed(HEAD_LAYER, 0),
            Sides {
                x: &shared.x,
                y: &shared.logits,
                count: &shared.sampled_count,
                list: &shared.list,
                around: Around {
                    norm: Some(a.norm_epsilon),
                    gather: true,
                    end: End::Write,
                },
            },
        )
        .await?
        .ok_or_else(no_memory)?;
        let embed_source = embed::source(device.flavour(), config.precision);
        let embeds = head
            .chunks
            .iter()
            .map(|chunk| {
                let shape = device.uniform(&[
                    chunk.first,
                    chunk.rows,
                    a.hidden,
                    weights::vectors(config.precision, a.hidden),
                ]);
                device.dispatch(
                    &embed_source,
                    &[
                        &chunk.weights,
                        &chunk.scales,
                        &shared.rows,
                        &shared.sampled,
                        &shared.x,
                        &shape,
                    ],
                    [1, 1, 1],
                )
            })
            .collect();

        let mut layers: Vec<Layer> = Vec::new();
        let mut bytes = 0;
        while layers.len() < a.layers as usize {
            cancel.check()?;
            bytes += config.layer_bytes();
            let allowed = config.most_bytes.is_none_or(|most| bytes <= most);
            let layer = if allowed {
                Layer::new(&device, &config, &shared, layers.len() as u32).await?
            } else {
                None
            };
            match layer {
                Some(layer) => layers.push(layer),
                None => {
                    // What just fitted leaves no room to work in: a layer less.
                    if config.most_bytes.is_none()
                        && let Some(last) = layers.pop()
                    {
                        last.destroy();
                    }
                    break;
                }
            }
        }
        if layers.len() < 2 {
            return Err(no_memory());
        }
        let cache = Cache::new(config.pool_tokens);
        Ok(Decoder {
            device,
            config,
            shared,
            layers,
            head,
            embeds,
            cache,
            laid: Laid::default(),
        })
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn device(&self) -> &Rc<Device> {
        &self.device
    }

    /// Layers in memory.
    pub fn layers(&self) -> u32 {
        self.layers.len() as u32
    }

    /// Makes room for `tokens` tokens of a slot; false where the cache has none left.
    pub fn reserve(&mut self, slot: u32, tokens: u32) -> bool {
        self.cache.reserve(slot, tokens)
    }

    /// Gives a slot's room back.
    pub fn release(&mut self, slot: u32) {
        self.cache.release(slot);
    }

    /// Runs a step and gives the tokens that were drawn, in the order of their rows, and how long all of it took.
    ///
    /// Errors: rows that [`Decoder::lay`] refuses, and whatever the device says.
    pub async fn step(&mut self, rows: &[Row]) -> Result<Stepped, Error> {
        self.step_through(rows, self.layers()).await
    }

    /// The same through the first `layers` layers.
    pub(super) async fn step_through(
        &mut self,
        rows: &[Row],
        layers: u32,
    ) -> Result<Stepped, Error> {
        let begun = Instant::now();
        self.lay(rows)?;
        let step = self.whole(layers);
        let sampled = self.laid.sampled as usize;
        let read = self.device.run_and_read(&step, &self.shared.drawn, sampled);
        let (tokens, [submitted, ended]) = read.await?;
        let since = |when: Instant| when.duration_since(begun).as_secs_f64();
        Ok(Stepped {
            tokens,
            took_s: since(ended),
            host_s: since(submitted),
            dispatches: step.len() as u32,
        })
    }

    /// The logits of the last step's sampled rows.
    pub async fn logits(&self) -> Result<Vec<f32>, Error> {
        let count = self.laid.sampled * self.config.architecture.vocabulary;
        self.device.read(&self.shared.logits, count as usize).await
    }

    /// Lays out a step: what follows works on these rows. Later rows of a sequence see earlier ones.
    ///
    /// Errors: more rows than a step has, a slot or position without room, nothing to do.
    pub fn lay(&mut self, rows: &[Row]) -> Result<(), Error> {
        let refused = |why: String| gpu_error("gpu-refused", why);
        if rows.is_empty() || rows.len() > MOST_ROWS as usize {
            return Err(refused(format!(
                "a step of {} rows; allowed is 1 to {MOST_ROWS}",
                rows.len()
            )));
        }
        let mut words = Vec::with_capacity(rows.len() * 8);
        let mut items: Vec<[u32; 2]> = Vec::new();
        let mut list = Vec::new();
        let mut seen: u64 = 0;
        for (row, i) in rows.iter().zip(0..) {
            if row.slot >= SLOTS || !self.cache.has(row.slot, row.position) {
                return Err(refused(format!(
                    "slot {} has no room for position {}",
                    row.slot, row.position
                )));
            }
            seen |= 1 << row.slot;
            let splits = (row.position + 1).div_ceil(SPLIT);
            words.extend([
                row.slot,
                row.position,
                row.token.unwrap_or(SAMPLED),
                u32::from(row.sample),
                items.len() as u32,
                splits,
                0,
                0,
            ]);
            items.extend((0..splits).map(|split| [i, split]));
            if row.sample {
                list.push(i);
            }
        }
        if items.len() > self.config.most_items() as usize || list.len() > SLOTS as usize {
            return Err(refused(format!(
                "a step of {} parts of contexts and {} sampled rows; allowed are {} and {SLOTS}",
                items.len(),
                list.len(),
                self.config.most_items()
            )));
        }
        self.laid = Laid {
            rows: rows.len() as u32,
            items: items.len() as u32,
            sampled: list.len() as u32,
            apart: seen.count_ones() as usize == rows.len(),
        };
        let s = &self.shared;
        self.device.write(&s.rows, &words);
        self.device.write(&s.items, items.as_flattened());
        self.device.write(&s.row_count, &[self.laid.rows, 0, 0, 0]);
        self.device
            .write(&s.sampled_count, &[self.laid.sampled, 0, 0, 0]);
        if !list.is_empty() {
            self.device.write(&s.list, &list);
        }
        for (first, entries) in self.cache.changes() {
            self.device.write_at(&s.tables, first, entries);
        }
        self.cache.changed.clear();
        Ok(())
    }

    /// The kernels of a step with these rows and their workgroups, in order, as [`Decoder::step`] runs
    /// them.
    ///
    /// Errors: rows without room.
    pub fn dispatches(&mut self, rows: &[Row]) -> Result<Vec<(String, [u32; 3])>, Error> {
        self.lay(rows)?;
        let step = self.whole(self.layers());
        Ok(step.iter().map(Dispatch::shape).collect())
    }

    // ---- What a step consists of; for the rows that are laid out ----------------------------------

    /// A whole step through the first `layers` layers.
    pub(super) fn whole(&self, layers: u32) -> Vec<Dispatch> {
        let mut step = self.embedding();
        for layer in 0..layers as usize {
            self.before_attention(layer, &mut step);
            self.attention(layer, &mut step);
            self.after_attention(layer, &mut step);
        }
        self.ending(&mut step);
        step
    }

    /// Each kind of matrix with its bytes, and its dispatches layer by layer.
    pub(super) fn products(&self, columns: u32) -> Vec<(String, f64, Vec<Vec<Dispatch>>)> {
        let precision = self.config.precision;
        let each = |of: fn(&Layer) -> &Product| {
            let products: Vec<&Product> = self.layers.iter().map(of).collect();
            products
        };
        let a = &self.config.architecture;
        let kinds = [
            (a.qkv(), a.hidden, each(|l| &l.qkv)),
            (a.hidden, a.heads * a.head_size, each(|l| &l.output)),
            (2 * a.mlp, a.hidden, each(|l| &l.gate_up)),
            (a.hidden, a.mlp, each(|l| &l.down)),
            (a.vocabulary, a.hidden, vec![&self.head]),
        ];
        kinds
            .into_iter()
            .map(|(rows, width, products)| {
                (
                    format!("gemv-{} {rows}x{width}", precision.name()),
                    f64::from(rows) * f64::from(width) * precision.bytes_per_weight(),
                    products.iter().map(|p| p.over(columns).collect()).collect(),
                )
            })
            .collect()
    }

    /// The widest matrix of every layer: where most of the time goes.
    pub(super) fn widest(&self) -> impl Iterator<Item = &Product> {
        self.layers.iter().map(|layer| &layer.gate_up)
    }

    fn embedding(&self) -> Vec<Dispatch> {
        let over = |d: &Dispatch| d.over([self.laid.rows, 1, 1]);
        self.embeds.iter().map(over).collect()
    }

    fn before_attention(&self, layer: usize, to: &mut Vec<Dispatch>) {
        let a = &self.config.architecture;
        let Laid { rows, apart, .. } = self.laid;
        let layer = &self.layers[layer];
        to.extend(layer.qkv.over(rows));
        if !apart {
            to.push(layer.rope.over([a.heads + 2 * a.kv_heads, rows, 1]));
        }
    }

    /// Attention of the rows that are laid out, in one layer.
    pub(super) fn attention(&self, layer: usize, to: &mut Vec<Dispatch>) {
        let a = &self.config.architecture;
        let Laid {
            rows, items, apart, ..
        } = self.laid;
        let layer = &self.layers[layer];
        let first = if apart { &layer.decode } else { &layer.split };
        to.push(first.over([items, a.kv_heads, 1]));
        to.push(self.shared.combine.over([a.heads, rows, 1]));
    }

    fn after_attention(&self, layer: usize, to: &mut Vec<Dispatch>) {
        let rows = self.laid.rows;
        let layer = &self.layers[layer];
        for product in [&layer.output, &layer.gate_up, &layer.down] {
            to.extend(product.over(rows));
        }
    }

    fn ending(&self, to: &mut Vec<Dispatch>) {
        let sampled = self.laid.sampled;
        if sampled == 0 {
            return;
        }
        to.extend(self.head.over(sampled));
        to.push(self.shared.sample_parts.over([sample::PARTS, sampled, 1]));
        to.push(self.shared.sample_best.over([sampled, 1, 1]));
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.layers.iter().for_each(Layer::destroy);
        self.shared.destroy();
    }
}

impl Layer {
    async fn new(
        device: &Rc<Device>,
        config: &Config,
        shared: &Shared,
        number: u32,
    ) -> Result<Option<Layer>, Error> {
        let a = &config.architecture;
        let s = shared;
        let cache_bytes = u64::from(config.pool_tokens) * a.kv_values();
        let (Some(keys), Some(values)) = (
            device.try_storage(cache_bytes).await?,
            device.try_storage(cache_bytes).await?,
        ) else {
            return Ok(None);
        };
        // Contexts that nobody processed are attended to when steps are timed: random ones.
        let words = (cache_bytes / 4) as u32;
        let [x, y] = spread(words.div_ceil(fill::WORKGROUP));
        let random = [&keys, &values].map(|buffer| {
            let shape = fill::shape(words, number, 1.0 / 1024.0, u32::MAX, u32::MAX, 0);
            device.dispatch(
                &fill::source(device.flavour(), fill::Kind::Weights(Precision::F16)),
                &[buffer, &device.uniform(&shape)],
                [x, y, 1],
            )
        });
        device.run(&random).await?;
        let norm = Some(a.norm_epsilon);
        let sides = [
            (&s.x, &s.qkv, norm, End::Write),
            (&s.attended, &s.x, None, End::Add),
            (&s.x, &s.gated, norm, End::Gate),
            (&s.gated, &s.x, None, End::Add),
        ];
        let mut products = Vec::new();
        for ((matrix, rows, width), (x, y, norm, end)) in config.matrices().into_iter().zip(sides) {
            let seed = config.matrix_seed(number, matrix);
            let sides = Sides {
                x,
                y,
                count: &s.row_count,
                list: &s.list,
                around: Around {
                    norm,
                    gather: false,
                    end,
                },
            };
            match Product::new(device, config.precision, [rows, width], seed, sides).await? {
                Some(product) => products.push(product),
                None => {
                    keys.destroy();
                    values.destroy();
                    return Ok(None);
                }
            }
        }
        let Ok([qkv, output, gate_up, down]) = <[Product; 4]>::try_from(products) else {
            return Ok(None);
        };
        let flavour = device.flavour();
        let group = a.heads / a.kv_heads;
        let rope = device.dispatch(
            &rope_append::source(flavour, a.head_size, a.qk_norm),
            &[
                &s.rows, &s.qkv, &s.turns, &s.tables, &s.queries, &keys, &values, &s.heads,
            ],
            [1, 1, 1],
        );
        let split = device.dispatch(
            &attention::split(flavour, a.head_size, group),
            &[
                &s.rows, &s.items, &s.tables, &s.queries, &keys, &values, &s.partial, &s.heads,
            ],
            [1, 1, 1],
        );
        let decode = device.dispatch(
            &attention::decode(flavour, a.head_size, group, a.qk_norm),
            &[
                &s.rows, &s.items, &s.tables, &s.qkv, &keys, &values, &s.partial, &s.heads,
                &s.turns,
            ],
            [1, 1, 1],
        );
        Ok(Some(Layer {
            qkv,
            rope,
            split,
            decode,
            output,
            gate_up,
            down,
            buffers: [keys, values],
        }))
    }
}

fn slot_blocks(pool_tokens: u32) -> u32 {
    pool_tokens.div_ceil(BLOCK)
}

impl Shared {
    fn new(device: &Device, config: &Config) -> Shared {
        let a = &config.architecture;
        let flavour = device.flavour();
        let floats = |count: u32| device.storage(u64::from(count) * 4);
        let per_row = |count: u32| floats(MOST_ROWS * count);
        let rows = per_row(8);
        let x = per_row(a.hidden);
        let attended = per_row(a.heads * a.head_size);
        let partial = floats(config.most_items() * a.heads * (a.head_size + 2));
        let gated = per_row(a.mlp);
        let logits = device.storage(u64::from(SLOTS) * u64::from(a.vocabulary) * 4);
        let list = floats(SLOTS);
        let bests = floats(SLOTS * sample::PARTS * 2);
        let sampled = floats(SLOTS);
        let drawn = floats(SLOTS);
        let (positions, gains) = (config.pool_tokens, config.head_gains());
        let turns = rope_append::turns(positions, a.head_size, a.rope_theta, &gains);
        let blocks = slot_blocks(config.pool_tokens);
        let heads = rope_append::Heads {
            heads: a.heads,
            kv_heads: a.kv_heads,
            head_size: a.head_size,
            slot_blocks: blocks,
            epsilon: a.norm_epsilon,
            positions,
        };
        let heads = device.uniform(&heads.shape());
        let combine = device.dispatch(
            &attention::combine(flavour, a.head_size),
            &[&rows, &partial, &attended, &heads],
            [1, 1, 1],
        );
        let sampling = [
            &logits,
            &rows,
            &list,
            &bests,
            &sampled,
            &drawn,
            &device.uniform(&sample::shape(
                a.vocabulary,
                config.temperature,
                config.seed,
            )),
        ];
        Shared {
            combine,
            sample_parts: device.dispatch(&sample::parts(flavour), &sampling, [1, 1, 1]),
            sample_best: device.dispatch(&sample::best(flavour), &sampling, [1, 1, 1]),
            items: floats(config.most_items() * 2),
            tables: floats(SLOTS * blocks),
            row_count: device.uniform(&[0; 4]),
            sampled_count: device.uniform(&[0; 4]),
            qkv: per_row(a.qkv()),
            queries: per_row(a.heads * a.head_size),
            turns: device.filled(turns.as_flattened()),
            rows,
            list,
            sampled,
            drawn,
            x,
            partial,
            attended,
            gated,
            logits,
            heads,
        }
    }

    fn destroy(&self) {
        for buffer in [
            &self.rows,
            &self.items,
            &self.tables,
            &self.list,
            &self.sampled,
            &self.drawn,
            &self.x,
            &self.qkv,
            &self.queries,
            &self.partial,
            &self.attended,
            &self.gated,
            &self.logits,
            &self.turns,
            &self.heads,
        ] {
            buffer.destroy();
        }
    }
}

/// Which blocks of the cache hold which part of which sequence.
#[derive(Debug)]
struct Cache {
    free: Vec<u32>,
    of_slot: Vec<Vec<u32>>,
    /// `[slot][block]`, as the device reads it.
    tables: Vec<u32>,
    slot_blocks: usize,
    /// Entries of the tables that the device has not seen: slot, first block, blocks.
    changed: Vec<[u32; 3]>,
}

impl Cache {
    fn new(pool_tokens: u32) -> Cache {
        let blocks = pool_tokens / BLOCK;
        let slot_blocks = slot_blocks(pool_tokens) as usize;
        Cache {
            // The last first: `pop` gives them in order of a stride, so that no sequence lies in one
            // piece, as none does on a server that has run for a while.
            free: (0..blocks).rev().collect(),
            of_slot: vec![Vec::new(); SLOTS as usize],
            tables: vec![0; SLOTS as usize * slot_blocks],
            slot_blocks,
            changed: Vec::new(),
        }
    }

    fn reserve(&mut self, slot: u32, tokens: u32) -> bool {
        let Some(owned) = self.of_slot.get_mut(slot as usize) else {
            return false;
        };
        let wanted = tokens.div_ceil(BLOCK) as usize;
        let missing = wanted.saturating_sub(owned.len());
        if missing > self.free.len() {
            return false;
        }
        let first = owned.len();
        for _ in 0..missing {
            if let Some(block) = self.free.pop() {
                self.tables[slot as usize * self.slot_blocks + owned.len()] = block;
                owned.push(block);
            }
        }
        if missing > 0 {
            self.changed.push([slot, first as u32, missing as u32]);
        }
        true
    }

    /// What the device has not seen: places in the tables, and what stands there. Most steps change a few entries, and
    /// all of them would be half a megabyte.
    fn changes(&self) -> impl Iterator<Item = (u64, &[u32])> {
        self.changed.iter().map(|&[slot, first, count]| {
            let at = slot as usize * self.slot_blocks + first as usize;
            (at as u64, &self.tables[at..at + count as usize])
        })
    }

    fn release(&mut self, slot: u32) {
        if let Some(owned) = self.of_slot.get_mut(slot as usize) {
            self.free.append(owned);
        }
    }

    fn has(&self, slot: u32, position: u32) -> bool {
        self.of_slot
            .get(slot as usize)
            .is_some_and(|owned| owned.len() > (position / BLOCK) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_given_once_and_come_back() {
        let mut cache = Cache::new(10 * BLOCK);
        assert!(cache.reserve(0, 3 * BLOCK) && cache.reserve(1, 7 * BLOCK));
        assert!(!cache.reserve(2, 1));
        assert!(cache.reserve(0, 3 * BLOCK), "room that is there already");
        let mut all: Vec<u32> = cache.of_slot.concat();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert!(cache.has(0, 3 * BLOCK - 1) && !cache.has(0, 3 * BLOCK));
        cache.release(1);
        assert!(cache.reserve(2, 7 * BLOCK) && !cache.reserve(3, 1));
        assert!(!cache.reserve(SLOTS, 1));
    }
}
