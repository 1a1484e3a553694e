//! Steps out of single requests whose times of arrival and gaps are known: how many decoded, with how much context and
//! beside how many prompt tokens, at every moment of a benchmark.

use super::Measurement;
use crate::latency::calibration::Point;
use crate::results::{Benchmark, Request, Sent};

/// Steps that one point averages: a message that is late by a part of a step moves it by a tenth of that.
const STEPS: f64 = 10.0;
/// Most points of a benchmark: the fit of more takes minutes and says the same.
const MOST_POINTS: usize = 2000;
/// No window is this short, s.
const SHORTEST_S: f64 = 1e-9;

/// Something that happens to a request at a moment.
#[derive(Clone, Copy)]
enum What {
    /// The first token: a prompt of `prompt` tokens was processed.
    First { prompt: f64 },
    /// A message that brings `tokens` tokens.
    Message { tokens: f64 },
    /// The last message, and the context that goes.
    Last { tokens: f64, context: f64 },
}

/// What adds up between two moments.
#[derive(Default)]
struct Window {
    seconds: f64,
    /// Decoding sequences and their context, each times seconds.
    sequences_s: f64,
    context_s: f64,
    /// Tokens that came, first tokens not counted, and prompt tokens.
    tokens: f64,
    prompt: f64,
}

impl Window {
    /// Steps of the window: each brings every decoding sequence a token.
    fn steps(&self) -> f64 {
        if self.sequences_s > 0.0 {
            self.tokens * self.seconds / self.sequences_s
        } else {
            0.0
        }
    }

    fn point(&self) -> Point {
        let steps = self.steps();
        Point {
            sequences: (self.sequences_s / self.seconds).round().max(1.0) as u32,
            context: (self.context_s / self.seconds).round() as u32,
            prefill: (self.prompt / steps).round() as u32,
            seconds: self.seconds / steps,
            mad_s: 0.0,
            held_out: false,
        }
    }
}

/// One point for each [`STEPS`] steps of a benchmark, or a multiple of them in a long one; none where its requests are not known one by one.
pub(super) fn points(benchmark: &Benchmark) -> Vec<Point> {
    if !benchmark.is_traffic() {
        return Vec::new();
    }
    let mut events = Vec::new();
    for request in &benchmark.each {
        happenings(request, &mut events);
    }
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    let found = windows(&events, STEPS);
    match found.len().div_ceil(MOST_POINTS) {
        0 | 1 => found,
        times => windows(&events, STEPS * times as f64),
    }
}

/// One point for each `steps` steps of events that are in order of time. A pause in which no request decodes ends a window.
fn windows(events: &[(f64, What)], steps: f64) -> Vec<Point> {
    let (mut found, mut window) = (Vec::new(), Window::default());
    let (mut now, mut decoding, mut context) = (0.0, 0u32, 0.0);
    for &(at, what) in events {
        if decoding > 0 {
            let passed = at - now;
            window.seconds += passed;
            window.sequences_s += f64::from(decoding) * passed;
            window.context_s += context * passed;
        }
        now = at;
        match what {
            // A prompt that ends a pause was processed during it.
            What::First { prompt } => {
                if decoding > 0 {
                    window.prompt += prompt;
                }
                decoding += 1;
                context += prompt;
            }
            What::Message { tokens } => {
                window.tokens += tokens;
                context += tokens;
            }
            What::Last {
                tokens,
                context: own,
            } => {
                window.tokens += tokens;
                context = (context - own).max(0.0);
                decoding -= 1;
            }
        }
        if window.steps() >= steps && window.seconds > SHORTEST_S {
            found.push(window.point());
            window = Window::default();
        } else if decoding == 0 {
            window = Window::default();
        }
    }
    found
}

/// A request's first token and messages; none of one that has no second message.
fn happenings(request: &Request, events: &mut Vec<(f64, What)>) {
    let (Some(sent), Some(ttft), Some(prompt)) = (request.sent_s, request.ttft_s, request.prompt)
    else {
        return;
    };
    let mut now = sent + ttft;
    let Some((last, gaps)) = request.gaps_s.split_last() else {
        return;
    };
    // Messages of a request bring the same number of tokens each, for all that the file says.
    let tokens = ((request.output - 1.0) / request.gaps_s.len() as f64).max(0.0);
    events.push((now, What::First { prompt }));
    for gap in gaps {
        now += gap;
        events.push((now, What::Message { tokens }));
    }
    let context = prompt + tokens * gaps.len() as f64;
    events.push((now + last, What::Last { tokens, context }));
}

/// The points with their names and what has to be known of them.
pub(super) fn measurements(benchmark: &Benchmark, points: Vec<Point>) -> Vec<Measurement> {
    let note = (benchmark.sent == Sent::Regenerated).then(|| {
        "the file does not say when requests were sent; the times are those of vLLM's generator with seed 0, which \
         explain the file's duration and the moments of its tokens"
            .to_owned()
    });
    let one = |(i, point): (usize, Point)| Measurement {
        file: benchmark.origin.file.clone(),
        what: format!("steps {} of {}", i + 1, benchmark.what),
        note: note.clone().filter(|_| i == 0),
        point,
    };
    points.into_iter().enumerate().map(one).collect()
}
