//! Whole steps, timed as they run, in rounds (docs/MODEL.md, "From whole steps to a prediction").

use super::super::decoder::{Decoder, MOST_ROWS, Row, SLOTS};
use super::super::device::gpu_error;
use super::super::kernels::{BLOCK, SPLIT, fill, gemv};
use super::super::pace::{Sample, Settled, settle, steadiness, unevenness, usual};
use super::{POINTS, Run};
use crate::error::Error;
use crate::latency::calibration::{Host, LayerScaling, Point, Steadiness, WholeStep};
use crate::latency::roofline::Stored;
use crate::quantiles::median;
use crate::words::counted;

/// Longest context of a sequence, tokens.
const LONGEST: u32 = 8192;
/// Pairs of a prompt token and one that it attends to, per token of the cache: more take a software adapter seconds.
const PAIRS: u32 = 4;
/// Steps between two looks at the beacon.
const BETWEEN_BEACONS: usize = 4;
/// Steps of one look at the beacon, at least and at most; their median counts. On a processor that plays a GPU one small
/// step says little.
const LOOKS: std::ops::RangeInclusive<usize> = 5..=15;
/// Between the two, a look ends once its steps have taken this long, s.
const LOOK_S: f64 = 0.06;
/// Rounds in which steps are taken again that were disturbed, as a multiple of the rounds that are wanted.
const AGAIN: u32 = 2;

/// The sizes at which steps are measured besides those that the kernels ask for.
pub(super) struct Grid {
    /// Decoding sequences with longer contexts, and these as shares of the longest that the cache holds for each.
    pub contexts: &'static [(u32, f64)],
    /// Tokens of a prompt's chunk and of what is before it, as a share of the longest.
    pub chunks: &'static [(u32, f64)],
    /// Sequences, share of the cache, tokens of a chunk beside them: sizes that judge the prediction.
    pub checks: &'static [(u32, f64, u32)],
    /// Rounds in which every step is taken.
    pub rounds: u32,
}

pub(super) const FULL: Grid = Grid {
    contexts: &[
        (1, 0.5),
        (1, 1.0),
        (4, 0.5),
        (4, 1.0),
        (16, 0.5),
        (16, 1.0),
        (64, 0.5),
        (64, 1.0),
    ],
    chunks: &[
        (16, 0.0),
        (16, 0.5),
        (16, 1.0),
        (64, 0.0),
        (64, 0.5),
        (64, 1.0),
        (128, 1.0),
    ],
    checks: &[
        (1, 0.7, 0),
        (3, 0.4, 0),
        (6, 0.7, 0),
        (12, 0.2, 0),
        (20, 0.15, 0),
        (28, 0.6, 0),
        (40, 0.8, 0),
        (56, 0.4, 0),
        (1, 0.3, 50),
        (6, 0.3, 24),
        (20, 0.5, 40),
        (10, 0.2, 100),
    ],
    rounds: 7,
};

pub(super) const QUICK: Grid = Grid {
    contexts: &[(1, 1.0), (4, 1.0), (16, 1.0), (64, 1.0)],
    chunks: &[(16, 0.0), (16, 1.0), (64, 0.0), (64, 1.0), (128, 1.0)],
    checks: &[
        (1, 0.7, 0),
        (6, 0.5, 0),
        (12, 0.2, 0),
        (20, 0.3, 0),
        (40, 0.7, 0),
        (6, 0.3, 24),
        (10, 0.2, 100),
    ],
    rounds: 5,
};

/// For processors that play a GPU and take a second for many rows.
pub(super) const DEMONSTRATION: Grid = Grid { rounds: 3, ..QUICK };

/// A step of a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub sequences: u32,
    /// Tokens of each sequence's context.
    pub context: u32,
    /// Prompt tokens of one more sequence, and its tokens before them.
    pub chunk: u32,
    pub before: u32,
    /// Whether the sequences that decode draw a token.
    pub sampled: bool,
}

impl Size {
    /// Sequences that decode with the shortest context.
    pub fn short(sequences: u32, sampled: bool) -> Size {
        Size {
            sequences,
            context: BLOCK,
            chunk: 0,
            before: 0,
            sampled,
        }
    }

    /// The same with a share of the longest context that the cache holds for each, up to [`LONGEST`], beside a prompt
    /// of `chunk` tokens.
    pub fn of(sequences: u32, share: f64, chunk: u32, pool: u32) -> Size {
        let each = f64::from(pool - 2 * MOST_ROWS) / f64::from(sequences);
        Size {
            context: blocks(each.min(f64::from(LONGEST)) * share).max(BLOCK),
            chunk,
            ..Size::short(sequences, true)
        }
    }

    /// A prompt's chunk alone, behind a share of the longest context.
    fn behind(chunk: u32, share: f64, pool: u32) -> Size {
        let room = (pool - 2 * MOST_ROWS)
            .min(LONGEST)
            .min(PAIRS * pool / chunk);
        Size {
            sequences: 0,
            context: 0,
            chunk,
            before: blocks(f64::from(room) * share),
            sampled: false,
        }
    }

    /// The rows, with room for them in the cache.
    pub fn rows(self, decoder: &mut Decoder) -> Result<Vec<Row>, Error> {
        let no_room = || gpu_error("gpu-refused", "the cache is too small for this step");
        for slot in 0..SLOTS {
            decoder.release(slot);
        }
        let mut rows = Vec::new();
        for slot in 0..self.sequences {
            if !decoder.reserve(slot, self.context) {
                return Err(no_room());
            }
            rows.push(Row {
                slot,
                position: self.context - 1,
                token: None,
                sample: self.sampled,
            });
        }
        if self.chunk > 0 {
            let slot = self.sequences;
            let end = self.before + self.chunk;
            if !decoder.reserve(slot, end) {
                return Err(no_room());
            }
            let vocabulary = decoder.config().architecture.vocabulary;
            rows.extend((self.before..end).map(|position| Row {
                slot,
                position,
                token: Some(fill::hash(position) % vocabulary),
                sample: false,
            }));
        }
        Ok(rows)
    }

    pub fn words(self) -> String {
        let mut words = Vec::new();
        if self.sequences > 0 {
            let sequences = counted(self.sequences, "sequence");
            words.push(format!("{sequences} of {} tokens", self.context));
        }
        if self.chunk > 0 {
            let prompt = counted(self.chunk, "prompt token");
            words.push(match self.before {
                0 => prompt,
                before => format!("{prompt} behind {before}"),
            });
        }
        words.join(", ")
    }

    /// As a point of the line: steps that draw all their tokens, and short prompts alone.
    fn point(self, settled: &Settled) -> Option<Point> {
        let decodes = self.chunk == 0 && self.sampled;
        let is_prompt = self.sequences == 0 && self.before == 0;
        (decodes || is_prompt).then(|| Point {
            sequences: self.sequences,
            context: self.sequences * self.context,
            prefill: self.chunk,
            seconds: settled.took_s,
            mad_s: settled.mad_s,
            held_out: false,
        })
    }
}

/// Whole blocks of the cache, tokens.
fn blocks(tokens: f64) -> u32 {
    tokens as u32 / BLOCK * BLOCK
}

/// Numbers of rows on both sides of every edge of the chosen kernels, where a step's time may jump: 1, 2, 4 | 5, 8 | 9
/// and so on. Beyond the most sequences, where only prompts are, every other edge.
pub(super) fn knots(choice: gemv::Choice) -> Vec<u32> {
    let kernel = |rows: u32| {
        let variant = choice.variant(rows);
        (variant, variant.workgroups(1, rows)[2])
    };
    let edge = |rows: u32| rows == MOST_ROWS || kernel(rows) != kernel(rows + 1);
    (1..=MOST_ROWS)
        .filter(|&rows| {
            let first = rows == 1 || edge(rows - 1);
            if rows <= SLOTS {
                first || edge(rows)
            } else {
                rows == SLOTS + 1 || (edge(rows) && rows.is_multiple_of(16))
            }
        })
        .collect()
}

/// All sizes of a grid: those of the profile, then those that judge it.
fn sizes(grid: &Grid, knots: &[u32], pool: u32) -> (Vec<Size>, Vec<Size>) {
    let mut sizes = Vec::new();
    for &rows in knots {
        if rows <= SLOTS {
            sizes.extend([false, true].map(|sampled| Size::short(rows, sampled)));
        } else {
            sizes.push(Size::behind(rows, 0.0, pool));
        }
    }
    // A part of a context is attended to by one workgroup: up to there the cost is another line than beyond.
    let one_part = grid.contexts.iter().filter_map(|&(sequences, _)| {
        let size = Size {
            context: SPLIT,
            ..Size::short(sequences, true)
        };
        (size.context <= Size::of(sequences, 1.0, 0, pool).context).then_some(size)
    });
    let longer = one_part.chain(
        grid.contexts
            .iter()
            .map(|&(sequences, share)| Size::of(sequences, share, 0, pool)),
    );
    let chunks = grid
        .chunks
        .iter()
        .map(|&(chunk, share)| Size::behind(chunk, share, pool));
    for size in longer.chain(chunks) {
        if !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    let checks = grid
        .checks
        .iter()
        .map(|&(sequences, share, chunk)| Size::of(sequences, share, chunk, pool))
        .filter(|size| !sizes.contains(size))
        .collect();
    (sizes, checks)
}

/// A step that is taken in every round.
struct Taking {
    size: Size,
    /// Layers that it goes through.
    layers: u32,
    dispatches: u32,
    /// Whether a listener is shown its times: whole steps that do not judge the prediction.
    shown: bool,
    samples: Vec<Sample>,
}

/// What the rounds leave.
pub(super) struct Measured {
    pub steps: Vec<WholeStep>,
    pub points: Vec<Point>,
    pub checks: Vec<(Size, Settled)>,
    pub host: Host,
    pub layers: Option<LayerScaling>,
    pub steadiness: Steadiness,
    pub drift: f64,
}

/// Takes every step of the grid in rounds until each has enough samples at the device's usual pace, or has been taken
/// often enough to know that it never will.
pub(super) async fn measure(
    run: &mut Run<'_>,
    decoder: &mut Decoder,
    grid: &Grid,
) -> Result<Measured, Error> {
    let pool = decoder.config().pool_tokens;
    let (resident, total) = (decoder.layers(), run.options.architecture.layers);
    let (profile, checks) = sizes(grid, &knots(run.device.choice()), pool);
    let beacon = Size::short(1, true);
    let mut through = vec![resident];
    if resident < total {
        // The layers that are missing cost what the upper half of these does.
        through.push(resident / 2);
    }
    let counts = [resident.div_ceil(4), resident.div_ceil(2), resident];
    let sized = profile.iter().chain(&checks);
    let pairs = sized.flat_map(|&size| through.iter().map(move |&layers| (size, layers)));
    let scaling = counts[..2].iter().map(|&layers| (beacon, layers));
    let mut takings: Vec<Taking> = pairs
        .chain(scaling)
        .map(|(size, layers)| Taking {
            size,
            layers,
            dispatches: 0,
            shown: layers == total && profile.contains(&size),
            samples: Vec::new(),
        })
        .collect();
    let beacons = rounds(run, decoder, grid, &mut takings, beacon).await?;
    let usual_s = usual(&beacons);
    let uneven = unevenness(takings.iter().map(|t| &t.samples[..]), usual_s);

    let taken = |size: Size, layers: u32| {
        let found = takings
            .iter()
            .find(|taking| taking.size == size && taking.layers == layers);
        found.and_then(|taking| Some((taking, settle(&taking.samples, usual_s)?)))
    };
    // Of all layers of the model.
    let settled = |size: Size| -> Option<(u32, Settled)> {
        let (taking, mut whole) = taken(size, resident)?;
        if let Some((_, half)) = taken(size, resident / 2).filter(|_| resident < total) {
            let share = f64::from(total - resident) / f64::from(resident - resident / 2);
            whole.took_s += share * (whole.took_s - half.took_s);
            whole.host_s += share * (whole.host_s - half.host_s);
            whole.mad_s += share * (whole.mad_s + half.mad_s);
        }
        whole.took_s *= uneven;
        Some((taking.dispatches, whole))
    };
    let stored = Stored::new(&run.options.architecture, run.options.precision);
    let mut steps = Vec::new();
    let mut points = Vec::new();
    for &size in &profile {
        let Some((dispatches, time)) = settled(size) else {
            continue;
        };
        let context = f64::from(size.sequences * size.context + size.before);
        let work = stored.work(size.sequences.into(), context, size.chunk.into());
        points.extend(size.point(&time));
        steps.push(WholeStep {
            sequences: size.sequences,
            context: size.context,
            chunk: size.chunk,
            before: size.before,
            sampled: if size.sampled { size.sequences } else { 0 },
            dispatches,
            bytes: work.bytes,
            seconds: time.took_s,
            mad_s: time.mad_s,
            host_s: time.host_s,
            rounds: time.counted,
            left_out: time.left_out,
        });
    }
    let checks = checks
        .iter()
        .filter_map(|&size| Some((size, settled(size)?.1)))
        .collect();
    let by_count: Vec<[f64; 2]> = counts
        .iter()
        .filter_map(|&layers| {
            let (_, time) = taken(beacon, layers)?;
            Some([f64::from(layers), time.took_s])
        })
        .collect();
    let all: u32 = takings.iter().map(|t| t.samples.len() as u32).sum();
    let steady = |taking: &Taking| {
        let steady = taking.samples.iter().filter(|s| s.is_steady(usual_s));
        steady.count() as u32
    };
    let counted: u32 = takings.iter().map(steady).sum();
    let (steadiness, drift) = steadiness(&beacons, all - counted, all);
    Ok(Measured {
        steps,
        points,
        checks,
        host: host(&takings, usual_s),
        layers: scaling_of(&by_count, resident < total),
        steadiness,
        drift,
    })
}

/// The rounds; gives the beacon's times.
async fn rounds(
    run: &mut Run<'_>,
    decoder: &mut Decoder,
    grid: &Grid,
    takings: &mut [Taking],
    beacon: Size,
) -> Result<Vec<f64>, Error> {
    // Neighbours apart, so that a short disturbance does not meet all steps of about the same size.
    let mut order: Vec<usize> = (0..takings.len()).collect();
    order.sort_by_key(|&i| fill::hash(i as u32));
    // Once without a clock: kernels are compiled when they are first used.
    let most = grid.rounds * (1 + AGAIN);
    for (done, &i) in order.iter().enumerate() {
        let Taking { size, layers, .. } = takings[i];
        run.say(POINTS, size.words(), 0.2 * done as f64 / order.len() as f64);
        takings[i].dispatches = take(run, decoder, size, layers).await?.1;
    }
    let resident = decoder.layers();
    let mut beacons = vec![look(run, decoder, beacon, resident).await?];
    for round in 0..most {
        // There and back: a drift within a round meets first and last alike.
        order.reverse();
        let usual_s = usual(&beacons);
        let lacking = |taking: &Taking| {
            let steady = taking.samples.iter().filter(|s| s.is_steady(usual_s));
            steady.count() < grid.rounds as usize
        };
        let now: Vec<usize> = order
            .iter()
            .copied()
            .filter(|&i| round < grid.rounds || lacking(&takings[i]))
            .collect();
        if now.is_empty() {
            break;
        }
        for (group, members) in now.chunks(BETWEEN_BEACONS).enumerate() {
            let before_s = beacons.last().copied().unwrap_or(f64::NAN);
            let mut times = Vec::new();
            for &i in members {
                let Taking { size, layers, .. } = takings[i];
                let done = (group * BETWEEN_BEACONS) as f64 / now.len() as f64;
                let part = (f64::from(round) + done) / f64::from(grid.rounds);
                let mut said = run.say(POINTS, size.words(), 0.2 + 0.8 * part.min(1.0));
                let ([took_s, host_s], _) = take(run, decoder, size, layers).await?;
                times.push([took_s, host_s]);
                let samples = takings[i].samples.iter().map(|sample| sample.took_s);
                let mut all: Vec<f64> = samples.chain([took_s]).collect();
                let took_s = median(&mut all).unwrap_or(took_s);
                said.point = size
                    .point(&Settled {
                        took_s,
                        mad_s: 0.0,
                        host_s,
                        counted: all.len() as u32,
                        left_out: 0,
                    })
                    .filter(|_| takings[i].shown);
                if said.point.is_some() {
                    (run.listener)(said);
                }
            }
            let after_s = look(run, decoder, beacon, resident).await?;
            beacons.push(after_s);
            for (&i, [took_s, host_s]) in members.iter().zip(times) {
                takings[i].samples.push(Sample {
                    took_s,
                    host_s,
                    beacons_s: [before_s, after_s],
                });
            }
        }
    }
    Ok(beacons)
}

/// One step: its time and the processor's part of it, s, and its dispatches.
async fn take(
    run: &Run<'_>,
    decoder: &mut Decoder,
    size: Size,
    layers: u32,
) -> Result<([f64; 2], u32), Error> {
    run.cancel.check()?;
    let rows = size.rows(decoder)?;
    // A server's tables of blocks change little from step to step: they are there before the clock starts.
    decoder.lay(&rows)?;
    let step = decoder.step_through(&rows, layers).await?;
    Ok(([step.took_s, step.host_s], step.dispatches))
}

/// The beacon's time now, s.
async fn look(
    run: &Run<'_>,
    decoder: &mut Decoder,
    beacon: Size,
    layers: u32,
) -> Result<f64, Error> {
    let mut times = Vec::new();
    let mut spent_s = 0.0;
    while times.len() < *LOOKS.start() || (spent_s < LOOK_S && times.len() < *LOOKS.end()) {
        let took_s = take(run, decoder, beacon, layers).await?.0[0];
        spent_s += took_s;
        times.push(took_s);
    }
    median(&mut times).ok_or_else(|| gpu_error("gpu-refused", "no step was measured"))
}

/// The line through the processor's part of all steps over their dispatches; a step's fixed part is never negative.
fn host(takings: &[Taking], usual_s: f64) -> Host {
    let points: Vec<[f64; 2]> = takings
        .iter()
        .filter_map(|taking| {
            let settled = settle(&taking.samples, usual_s)?;
            Some([f64::from(taking.dispatches), settled.host_s])
        })
        .collect();
    let n = points.len().max(1) as f64;
    let mean = |i: usize| points.iter().map(|point| point[i]).sum::<f64>() / n;
    let [x, y] = [mean(0), mean(1)];
    let spread: f64 = points.iter().map(|p| (p[0] - x) * (p[0] - x)).sum();
    let shared: f64 = points.iter().map(|p| (p[0] - x) * (p[1] - y)).sum();
    let most = if x > 0.0 { y / x } else { 0.0 };
    let slope = if spread > 0.0 { shared / spread } else { 0.0 };
    let per_dispatch_s = slope.clamp(0.0, most);
    Host {
        per_step_s: y - per_dispatch_s * x,
        per_dispatch_s,
    }
}

/// From times of a step through a quarter, half and all of the layers in memory.
fn scaling_of(counts: &[[f64; 2]], extrapolated: bool) -> Option<LayerScaling> {
    let [few, some, all] = counts else {
        return None;
    };
    if few[0] == some[0] || some[0] == all[0] {
        return None;
    }
    let per_layer_s = (some[1] - few[1]) / (some[0] - few[0]);
    let expected = some[1] + per_layer_s * (all[0] - some[0]);
    Some(LayerScaling {
        counts: counts.to_vec(),
        per_layer_s,
        nonlinearity: all[1] / expected - 1.0,
        extrapolated,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::kernels::Flavour;
    use super::super::super::kernels::gemv::{Choice, Wide};
    use super::super::{Options, pool_tokens};
    use super::*;
    use crate::latency::architecture::{Architecture, Precision};

    #[test]
    fn knots_stand_on_both_sides_of_every_edge() {
        let flavour = Flavour {
            subgroups: true,
            f16: false,
        };
        let with = |wide| {
            knots(Choice {
                wide,
                ..Choice::first(flavour)
            })
        };
        let tiles = with([Wide::Tiles; 3]);
        assert_eq!(tiles, [1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65, 128]);
        let eights = with([Wide::Eights; 3]);
        let upto: Vec<u32> = eights.iter().copied().filter(|n| *n <= 64).collect();
        assert_eq!(
            upto,
            [
                1, 2, 3, 4, 5, 8, 9, 16, 17, 24, 25, 32, 33, 40, 41, 48, 49, 56, 57, 64
            ]
        );
        assert_eq!(eights[upto.len()..], [65, 80, 96, 112, 128]);
        let mixed = with([Wide::Eights, Wide::Tiles, Wide::Tiles]);
        assert_eq!(mixed, tiles);
    }

    #[test]
    fn every_size_fits_the_cache_and_no_check_is_measured_before() {
        let mut choice = Choice::first(Flavour {
            subgroups: false,
            f16: false,
        });
        choice.wide = [Wide::Eights; 3];
        for name in Architecture::PRESETS {
            for precision in Precision::ALL {
                for (quick, grid) in [(false, &FULL), (true, &QUICK), (true, &DEMONSTRATION)] {
                    let options = Options {
                        architecture: Architecture::preset(name).unwrap(),
                        precision,
                        quick,
                        seed: 1,
                        most_bytes: None,
                    };
                    let pool = pool_tokens(&options);
                    let (sizes, checks) = sizes(grid, &knots(choice), pool);
                    // In a small cache a long context may be the shortest, which is measured anyway.
                    assert!(checks.len() + 2 >= grid.checks.len(), "{name}");
                    assert!(checks.iter().all(|check| !sizes.contains(check)));
                    for size in sizes.iter().chain(&checks) {
                        let end = size.before + size.chunk;
                        let blocks =
                            size.sequences * size.context.div_ceil(BLOCK) + end.div_ceil(BLOCK);
                        assert!(blocks <= pool / BLOCK, "{name}: {size:?} of {pool}");
                        assert!(size.sequences + size.chunk <= MOST_ROWS, "{size:?}");
                        assert!(size.sequences + u32::from(size.chunk > 0) <= SLOTS);
                    }
                }
            }
        }
    }

    #[test]
    fn layers_are_a_line_where_they_are() {
        let found = scaling_of(&[[2.0, 5.0], [4.0, 9.0], [8.0, 17.0]], false).unwrap();
        assert_eq!((found.per_layer_s, found.nonlinearity), (2.0, 0.0));
        assert_eq!(
            scaling_of(&[[1.0, 5.0], [1.0, 5.0], [2.0, 6.0]], false),
            None
        );
    }
}
