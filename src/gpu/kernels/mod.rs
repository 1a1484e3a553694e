//! The kernels: each a WGSL file and a twin of the same name on the processor, in double precision,
//! which says what it has to compute. A module here puts the file's variants together; what a device
//! can do decides which is used ([`Flavour`]).

pub mod attention;
pub mod embed;
pub mod fill;
pub mod gemv;
pub mod read;
pub mod rope_append;
pub mod sample;
pub mod weights;

use crate::latency::calibration::Adapter;

/// What a device can do that changes a kernel's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flavour {
    /// Reduce by subgroups, else in workgroup memory.
    pub subgroups: bool,
    /// Read half-precision weights as such (`shader-f16`), else unpack them from words.
    pub f16: bool,
}

impl Flavour {
    pub const ALL: [Flavour; 4] = [
        Flavour {
            subgroups: false,
            f16: false,
        },
        Flavour {
            subgroups: true,
            f16: false,
        },
        Flavour {
            subgroups: false,
            f16: true,
        },
        Flavour {
            subgroups: true,
            f16: true,
        },
    ];

    /// Everything that an adapter can do.
    pub fn of(adapter: &Adapter) -> Flavour {
        Flavour {
            subgroups: adapter.subgroups && adapter.subgroup_min >= 4,
            f16: adapter.shader_f16,
        }
    }
}

impl std::fmt::Display for Flavour {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match (self.subgroups, self.f16) {
            (false, false) => "without subgroups and f16",
            (true, false) => "with subgroups",
            (false, true) => "with f16",
            (true, true) => "with subgroups and f16",
        })
    }
}

/// How a kernel uses one of its bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bind {
    /// Storage that it reads.
    Read,
    /// Storage that it reads and writes.
    Write,
    Uniform,
}

/// A variant of a kernel, ready to be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Unique among all variants.
    pub name: String,
    pub wgsl: String,
    pub entry: &'static str,
    pub bindings: &'static [Bind],
}

/// Puts a variant's text together: what it enables, its constants, its files.
struct Text {
    flavour: Flavour,
    /// Whether the entry point takes its place in the subgroup.
    lanes: bool,
    /// Whether half-precision types are used.
    f16: bool,
    constants: Vec<(&'static str, String)>,
}

impl Text {
    fn new(flavour: Flavour) -> Text {
        Text {
            flavour,
            lanes: false,
            f16: false,
            // Below every score and logit, and far enough from the end of the range to be
            // subtracted from.
            constants: vec![("LEAST", "-1e30".to_owned())],
        }
    }

    fn set(mut self, name: &'static str, value: u32) -> Text {
        self.constants.push((name, format!("{value}u")));
        self
    }

    fn flag(mut self, name: &'static str, value: bool) -> Text {
        self.constants.push((name, value.to_string()));
        self
    }

    /// The text of the files, and of the reductions where `lanes` is set.
    fn of(&self, files: &[&str]) -> String {
        let subgroups = self.flavour.subgroups && self.lanes;
        let mut text = String::new();
        // Browsers want it; naga, which reads the text elsewhere, does not know it yet.
        if subgroups && cfg!(target_arch = "wasm32") {
            text.push_str("enable subgroups;\n");
        }
        if self.f16 {
            text.push_str("enable f16;\n");
        }
        for (name, value) in &self.constants {
            text.push_str(&format!("const {name} = {value};\n"));
        }
        for file in files {
            text.push_str(file);
        }
        let (arguments, values, lane) = if subgroups {
            (
                "@builtin(subgroup_invocation_id) lane: u32,\n  @builtin(subgroup_size) size: u32,",
                ", lane, size",
                "Lane(index, lane, size)",
            )
        } else {
            ("", "", "Lane(index, 0u, 1u)")
        };
        let text = text
            .replace("LANE_ARGUMENTS", arguments)
            .replace(" LANE_VALUES", values)
            .replace("LANE)", &format!("{lane})"));
        self.unrolled(&text)
    }

    /// Writes out every `UNROLL(i, COUNT) { ... }` COUNT times, `i` replaced by 0u, 1u and so on: with
    /// constant places small arrays become registers also where a compiler does not unroll loops.
    fn unrolled(&self, text: &str) -> String {
        const MARK: &str = "UNROLL(";
        let Some(start) = text.find(MARK) else {
            return text.to_owned();
        };
        let (before, rest) = text.split_at(start);
        let parts = rest[MARK.len()..].split_once(')').and_then(|(head, rest)| {
            let (name, count) = head.split_once(", ")?;
            let count = self.constants.iter().find(|(known, _)| *known == count)?;
            let count: u32 = count.1.trim_end_matches('u').parse().ok()?;
            Some((name, count, rest))
        });
        // A text that is wrong stays as it is; no compiler takes it, and a test tries every text.
        let Some((name, count, rest)) = parts else {
            return text.to_owned();
        };
        let mut depth = 0;
        let end = rest.char_indices().find_map(|(at, c)| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            (c == '}' && depth == 0).then_some(at + 1)
        });
        let (body, after) = rest.split_at(end.unwrap_or(rest.len()));
        let mut out = before.to_owned();
        for i in 0..count {
            out.push_str(&with_word(body, name, &format!("{i}u")));
        }
        out.push_str(after);
        self.unrolled(&out)
    }

    /// The reductions over a workgroup that this flavour uses.
    fn reductions(&self) -> &'static str {
        if self.flavour.subgroups {
            include_str!("reduce_subgroup.wgsl")
        } else {
            include_str!("reduce_workgroup.wgsl")
        }
    }
}

/// `text` with every `word` in it, as a word of its own, replaced.
fn with_word(text: &str, word: &str, by: &str) -> String {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let whole = !rest[..at].ends_with(part) && !rest[at + word.len()..].starts_with(part)
            // A field of something is another name.
            && !rest[..at].ends_with('.');
        out.push_str(&rest[..at]);
        out.push_str(if whole { by } else { word });
        rest = &rest[at + word.len()..];
    }
    out.push_str(rest);
    out
}

/// The head of every kernel that is about heads: [`rope_append::Heads::shape`] and a step's rows.
const HEADS: &str = include_str!("heads.wgsl");

/// Tokens of a block of the paged KV cache.
pub const BLOCK: u32 = 16;
/// Tokens of a context that one workgroup attends to.
pub const SPLIT: u32 = 256;
/// In place of a row's token: the one that its slot sampled last.
pub const SAMPLED: u32 = u32::MAX;

/// Workgroups in two dimensions: one dimension holds 65,535.
pub fn spread(workgroups: u32) -> [u32; 2] {
    const WIDE: u32 = 32_768;
    if workgroups <= WIDE {
        [workgroups.max(1), 1]
    } else {
        [WIDE, workgroups.div_ceil(WIDE)]
    }
}

/// Every variant that may run on some device, for a model of these head sizes and groups.
pub fn all(flavour: Flavour) -> Vec<Source> {
    use crate::latency::architecture::Precision;
    let mut all = vec![read::source(flavour)];
    for kind in fill::Kind::ALL {
        all.push(fill::source(flavour, kind));
    }
    all.extend([sample::parts(flavour), sample::best(flavour)]);
    for precision in Precision::ALL {
        all.push(embed::source(flavour, precision));
        for width in [1024, 2048, 4096, 4100] {
            for columns in gemv::COLUMNS {
                let ways = gemv::ways(flavour, columns).into_iter();
                let variants = ways.map(|way| gemv::Variant::Gemv(columns, way));
                all.extend(variants.map(|variant| variant.source(flavour, precision, width)));
            }
        }
        for tile in gemv::TILES {
            all.push(gemv::Variant::Tile(tile).source(flavour, precision, 1024));
        }
    }
    for head in [32, 64, 128] {
        for qk_norm in [false, true] {
            all.push(rope_append::source(flavour, head, qk_norm));
        }
        all.push(attention::combine(flavour, head));
        for group in [1, 2, 4, 8] {
            all.push(attention::split(flavour, head, group));
            all.extend([false, true].map(|norm| attention::decode(flavour, head, group, norm)));
        }
    }
    all
}
