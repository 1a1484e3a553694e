//! Requests shaped like BurstGPT_1.csv (Wang et al., KDD 2025, arXiv 2401.17644; data CC-BY-4.0).
//!
//! Two streams of arrivals, each a Gamma renewal process run on a clock that its own intensity
//! drives, as the paper fits Gamma gaps window by window:
//!
//! - **Conversations** follow the hour of the day, sharply: the published hourly profile to the third
//!   power, .0291/s on average (the paper's .019/s for ChatGPT, and GPT-4's share of conversations
//!   on top). Gamma shape .27: people send several prompts and go.
//! - **API calls** come in bursts. Each day has a level, drawn without replacement from the published
//!   volumes of the 61 days; the hour's profile is what remains of the published one beside the
//!   conversations; within the day the stream is on for 40 minutes and off for 27 on average
//!   (exponential), and while it is on the logarithm of its level wanders (AR(1) by the minute, 10
//!   minutes of memory). Gamma shape .9.
//!
//! The parameters without a published value (the two shapes, the power, on and off, the wandering
//! level) were fitted to the published statistics of gaps and of counts per minute; the test
//! `trace_synth` prints every statistic beside its target. Not modelled: weekdays, sessions, and the
//! slow ramp of the original's first nine days. The first day has the median volume instead, so that
//! the first 10,000 requests span most of a day, from midnight over the morning's valley to the
//! afternoon's peak.

use super::lengths::tokens;
use super::{Labels, Trace, labels};
use crate::trace::random::{Purpose, Stream, normal_quantile};

const DAY_S: f64 = 86_400.0;

/// Requests on each of the 61 days (published aggregate).
const DAILY: [f64; 61] = [
    3389.0, 3172.0, 2659.0, 1576.0, 2099.0, 3176.0, 3360.0, 3297.0, 5145.0, 149_520.0, 91_322.0,
    3089.0, 7269.0, 5926.0, 76_918.0, 13_307.0, 22_823.0, 14_549.0, 22_757.0, 36_597.0, 80_239.0,
    65_591.0, 23_705.0, 31_336.0, 8715.0, 3972.0, 3906.0, 14_834.0, 12_782.0, 22_575.0, 3492.0,
    2127.0, 10_712.0, 39_368.0, 33_958.0, 37_010.0, 14_052.0, 5570.0, 2017.0, 2009.0, 23_069.0,
    47_403.0, 42_642.0, 24_684.0, 31_419.0, 28_416.0, 14_634.0, 7291.0, 19_823.0, 7594.0, 10_682.0,
    28_994.0, 16_865.0, 7030.0, 12_112.0, 12_748.0, 41_842.0, 45_035.0, 40_705.0, 62_372.0,
    14_457.0,
];

/// The day with the median volume, on which a trace begins.
const FIRST_DAY: usize = 36;

/// Mean requests in each hour of the day (published aggregate): peak at 14 h, valley at 7 h.
const HOURLY: [f64; 24] = [
    940.3, 892.6, 571.6, 513.0, 368.2, 341.5, 193.8, 153.3, 177.7, 415.9, 878.8, 1286.5, 1744.3,
    1501.1, 1795.9, 1401.1, 1475.5, 1355.8, 1181.2, 1567.6, 1352.8, 1175.0, 1129.0, 1025.8,
];

/// Conversations per second.
const CONVERSATION_RATE: f64 = 0.0291;
/// Conversations among all requests: that rate over the file's .2713/s.
const CONVERSATION_SHARE: f64 = 0.1073;
const CONVERSATION_SHAPE: f64 = 0.27;
const API_SHAPE: f64 = 0.9;

/// Failed requests (published: conversations with ChatGPT above 5 %, API below 2 %, all 1.78 %).
const CONVERSATION_FAILS: f64 = 0.05;
const API_FAILS: f64 = 0.0139;

/// GPT-4 among conversations (.16 M of .46 M) and among API calls (.95 M of 9.64 M).
const CONVERSATION_GPT4: f64 = 0.348;
const API_GPT4: f64 = 0.099;

/// Rank correlation (of the Gaussian copula) between prompt and output: conversations as in the first
/// 400 rows; API so that the sum of both has its published median and 95th percentile.
const CONVERSATION_COPULA: f64 = 0.28;
const API_COPULA: f64 = 0.82;

/// A quantile function: (probability, tokens), log-linear in between.
pub(super) type Knots<const N: usize> = [(f64, f64); N];

/// Conversations: the quantiles of the first 400 rows of the file, which are nearly all such.
const CONVERSATION_PROMPT: Knots<10> = [
    (0.0, 9.0),
    (0.05, 18.0),
    (0.1, 23.0),
    (0.25, 68.0),
    (0.5, 353.0),
    (0.75, 928.0),
    (0.9, 1437.0),
    (0.95, 1639.0),
    (0.99, 1958.0),
    (1.0, 2126.0),
];
const CONVERSATION_OUTPUT: Knots<10> = [
    (0.0, 2.0),
    (0.05, 14.0),
    (0.1, 19.0),
    (0.25, 68.0),
    (0.5, 238.0),
    (0.75, 384.0),
    (0.9, 584.0),
    (0.95, 842.0),
    (0.99, 1425.0),
    (1.0, 2019.0),
];

/// API calls: what remains of the file's published quantiles (25, 50, 75, 95 %, and the maximum)
/// beside the conversations and the failures; the tail's other knots give the published mean and
/// standard deviation.
const API_PROMPT: Knots<11> = [
    (0.0, 5.0),
    (0.04, 30.0),
    (0.22268, 137.0),
    (0.49594, 251.0),
    (0.75102, 758.0),
    (0.89052, 1750.0),
    (0.94323, 2461.0),
    (0.98865, 3300.0),
    (0.99886, 4000.0),
    (0.99999, 6000.0),
    (1.0, 29_665.0),
];
const API_OUTPUT: Knots<11> = [
    (0.0, 1.0),
    (0.1, 2.0),
    (0.26009, 7.0),
    (0.52823, 34.0),
    (0.78707, 134.0),
    (0.91384, 270.0),
    (0.96462, 460.0),
    (0.99168, 1200.0),
    (0.99886, 3200.0),
    (0.99999, 4096.0),
    (1.0, 7315.0),
];

/// A tabulated quantile function, ready to evaluate.
pub(super) struct Quantiles<const N: usize>([(f64, f64, f64); N]);

impl<const N: usize> Quantiles<N> {
    pub(super) fn new(knots: &Knots<N>) -> Self {
        let mut table = knots.map(|(p, x)| (p, libm::log(x), 0.0));
        for i in 1..N {
            let (p, x, _) = table[i];
            let (p0, x0, slope) = &mut table[i - 1];
            *slope = (x - *x0) / (p - *p0);
        }
        Quantiles(table)
    }

    #[inline]
    pub(super) fn at(&self, p: f64) -> f64 {
        let below = self.0.iter().rev().find(|(knot, _, _)| *knot <= p);
        let (knot, x, slope) = below.copied().unwrap_or(self.0[0]);
        libm::exp(x + slope * (p - knot))
    }
}

/// Arrivals whose gaps are Gamma distributed on a clock that runs at the intensity of the moment,
/// given in steps of equal length.
struct Clocked<I> {
    intensity: I,
    step_s: f64,
    gaps: Stream,
    shape: f64,
    /// Requests/s within the current step, which began at `steps * step_s - step_s`.
    rate: f64,
    steps: f64,
    t: f64,
}

impl<I: FnMut() -> f64> Clocked<I> {
    fn new(intensity: I, step_s: f64, shape: f64, gaps: Stream) -> Self {
        Clocked {
            intensity,
            step_s,
            gaps,
            shape,
            rate: 0.0,
            steps: 0.0,
            t: 0.0,
        }
    }

    /// The next arrival.
    fn next(&mut self) -> f64 {
        let mut wait = self.gaps.gamma(self.shape) / self.shape;
        loop {
            let end = self.steps * self.step_s;
            let within = self.rate * (end - self.t);
            if wait <= within && self.rate > 0.0 {
                self.t = (self.t + wait / self.rate).min(end);
                return self.t;
            }
            wait -= within;
            self.t = end;
            self.steps += 1.0;
            self.rate = (self.intensity)();
        }
    }
}

/// The published profile of the day, with mean 1.
fn hour_profile() -> [f64; 24] {
    let mean = HOURLY.iter().sum::<f64>() / 24.0;
    HOURLY.map(|h| h / mean)
}

/// Its third power, with mean 1.
fn conversation_profile() -> [f64; 24] {
    let cubes = hour_profile().map(|h| h * h * h);
    let mean = cubes.iter().sum::<f64>() / 24.0;
    cubes.map(|h| h / mean)
}

/// Requests/s of conversations, hour by hour.
fn conversation_intensity() -> impl FnMut() -> f64 {
    let mut hours = conversation_profile().into_iter().cycle();
    move || hours.next().unwrap_or_default() * CONVERSATION_RATE
}

const MINUTE_S: f64 = 60.0;
const MEAN_ON_S: f64 = 2400.0;
const MEAN_OFF_S: f64 = 1600.0;
/// Standard deviation of the logarithm of the level, where it is cut (in standard deviations), and
/// its memory.
const LEVEL_SIGMA: f64 = 1.15;
const LEVEL_CUT: f64 = 1.8;
const LEVEL_MEMORY_S: f64 = 600.0;
/// Requests/s that no minute's intensity exceeds, near the published busiest minute of 20.83/s.
const HIGHEST_RATE: f64 = 20.0;

/// Requests/s of API calls, minute by minute.
///
/// `deck`: the volumes of the first days; once they are dealt, all 61 follow in the order of `days`.
fn api_intensity(mut deck: Vec<f64>, mut days: Stream, seed: u32) -> impl FnMut() -> f64 {
    let mut bursts = Stream::new(seed, Purpose::Bursts);
    let mut levels = Stream::new(seed, Purpose::Levels);

    let conversations = conversation_profile();
    let mut profile = hour_profile();
    for (h, c) in profile.iter_mut().zip(conversations) {
        *h = (*h - CONVERSATION_SHARE * c) / (1.0 - CONVERSATION_SHARE);
    }

    let kept = libm::exp(-MINUTE_S / LEVEL_MEMORY_S);
    let fresh = libm::sqrt(1.0 - kept * kept);
    let mut on = bursts.uniform() < MEAN_ON_S / (MEAN_ON_S + MEAN_OFF_S);
    let mut minutes_left = 0u32;
    let mut level = levels.normal();
    let mut day = 0usize;
    let mut minutes = [0.0; 1440].into_iter();
    // The first call makes the first day.
    minutes.by_ref().for_each(drop);
    move || {
        if let Some(rate) = minutes.next() {
            return rate;
        }
        if day == deck.len() {
            if deck.len() < DAILY.len() {
                deck = DAILY.to_vec();
            }
            shuffle(&mut deck, &mut days);
            day = 0;
        }
        let volume = deck.get(day).copied().unwrap_or_default();
        day += 1;
        let mut rates = [0.0; 1440];
        for (minute, rate) in rates.iter_mut().enumerate() {
            if minutes_left == 0 {
                on = !on;
                let mean_s = if on { MEAN_ON_S } else { MEAN_OFF_S };
                minutes_left = ((bursts.exponential() * mean_s / MINUTE_S + 0.5) as u32).max(1);
            }
            minutes_left -= 1;
            level = kept * level + fresh * levels.normal();
            if on {
                let hour = profile.get(minute / 60).copied().unwrap_or_default();
                *rate = hour * libm::exp(LEVEL_SIGMA * level.min(LEVEL_CUT));
            }
        }
        // The day's own mean brings it to its volume; one that is off throughout stays so.
        let api_volume = (volume - CONVERSATION_RATE * DAY_S).max(0.0);
        let sum: f64 = rates.iter().sum();
        if sum > 0.0 {
            let scale = api_volume / (sum * MINUTE_S);
            for rate in &mut rates {
                *rate = (*rate * scale).min(HIGHEST_RATE);
            }
        }
        minutes = rates.into_iter();
        minutes.next().unwrap_or_default()
    }
}

/// Fisher and Yates.
fn shuffle(deck: &mut [f64], random: &mut Stream) {
    for i in (1..deck.len()).rev() {
        deck.swap(i, random.below(i as u32 + 1) as usize);
    }
}

pub(super) fn generate(requests: u32, seed: u32) -> Trace {
    let mut days = Stream::new(seed, Purpose::Days);
    let mut deck = DAILY.to_vec();
    shuffle(&mut deck, &mut days);
    if let Some(at) = deck.iter().position(|volume| *volume == DAILY[FIRST_DAY]) {
        deck.swap(0, at);
    }
    let mut rows = Rows::new("burstgpt-like", requests as usize);
    fill(&mut rows, 0.0, deck, days, seed);
    rows.into_trace()
}

/// Goes on after day `from`, with the published volumes of the days from there on in their order.
pub(super) fn go_on(rows: &mut Rows, from: usize, seed: u32) {
    let deck = DAILY.iter().skip(from).copied().collect();
    let days = Stream::new(seed, Purpose::Days);
    fill(rows, from as f64 * DAY_S, deck, days, seed);
}

/// A trace in the making.
pub(super) struct Rows {
    trace: Trace,
    wanted: usize,
    model: Labels,
    log_type: Labels,
}

/// One request; failed ones have no tokens.
pub(super) struct Row {
    pub(super) arrival: f64,
    pub(super) prompt: u32,
    pub(super) output: u32,
    pub(super) gpt4: bool,
    pub(super) api: bool,
}

impl Rows {
    pub(super) fn new(name: &str, n: usize) -> Self {
        let trace = Trace {
            name: name.to_owned(),
            arrival: Vec::with_capacity(n),
            prompt: Vec::with_capacity(n),
            output: Vec::with_capacity(n),
            ..Trace::default()
        };
        Rows {
            trace,
            wanted: n,
            model: labels(["ChatGPT", "GPT-4"], n),
            log_type: labels(["Conversation log", "API log"], n),
        }
    }

    pub(super) fn missing(&self) -> usize {
        self.wanted - self.trace.arrival.len()
    }

    /// Arrivals count whole seconds.
    pub(super) fn push(&mut self, row: &Row) {
        self.trace.arrival.push(libm::floor(row.arrival));
        self.trace.prompt.push(row.prompt);
        self.trace.output.push(row.output);
        self.model.ids.push(u8::from(row.gpt4));
        self.log_type.ids.push(u8::from(row.api));
    }

    pub(super) fn into_trace(mut self) -> Trace {
        self.trace.model = Some(self.model);
        self.trace.log_type = Some(self.log_type);
        self.trace
    }
}

/// Adds all that are missing; the clock of the process starts at `start_s`.
fn fill(rows: &mut Rows, start_s: f64, deck: Vec<f64>, days: Stream, seed: u32) {
    let mut conversations = Clocked::new(
        conversation_intensity(),
        3600.0,
        CONVERSATION_SHAPE,
        Stream::new(seed, Purpose::ConversationArrivals),
    );
    let mut api = Clocked::new(
        api_intensity(deck, days, seed),
        MINUTE_S,
        API_SHAPE,
        Stream::new(seed, Purpose::Arrivals),
    );
    let mut prompts = Stream::new(seed, Purpose::Prompts);
    let mut outputs = Stream::new(seed, Purpose::Outputs);
    let mut failures = Stream::new(seed, Purpose::Failures);
    let mut models = Stream::new(seed, Purpose::Models);
    let conversation_prompt = Quantiles::new(&CONVERSATION_PROMPT);
    let conversation_output = Quantiles::new(&CONVERSATION_OUTPUT);
    let api_prompt = Quantiles::new(&API_PROMPT);
    let api_output = Quantiles::new(&API_OUTPUT);

    let mut next_conversation = conversations.next();
    let mut next_api = api.next();
    for _ in 0..rows.missing() {
        let is_api = next_api < next_conversation;
        let t = if is_api { next_api } else { next_conversation };
        if is_api {
            next_api = api.next();
        } else {
            next_conversation = conversations.next();
        }
        let (gpt4, fails, copula) = if is_api {
            (API_GPT4, API_FAILS, API_COPULA)
        } else {
            (CONVERSATION_GPT4, CONVERSATION_FAILS, CONVERSATION_COPULA)
        };
        let gpt4 = models.uniform() < gpt4;

        let p = prompts.uniform();
        let own = libm::sqrt(1.0 - copula * copula);
        let z = copula * normal_quantile(p) + own * outputs.normal();
        let o = 0.5 * libm::erfc(-z / core::f64::consts::SQRT_2);
        let (prompt, output) = if failures.uniform() < fails {
            (0, 0)
        } else if is_api {
            (tokens(api_prompt.at(p)), tokens(api_output.at(o)))
        } else {
            (
                tokens(conversation_prompt.at(p)),
                tokens(conversation_output.at(o)),
            )
        };
        rows.push(&Row {
            arrival: start_s + t,
            prompt,
            output,
            gpt4,
            api: is_api,
        });
    }
}
