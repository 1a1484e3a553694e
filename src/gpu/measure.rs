//! Times of several jobs side by side: warmed up, repeated within submissions, taken in turn so that a
//! drifting clock meets all of them alike.

use super::Cancel;
use super::decoder::{Decoder, Row};
use super::device::{Device, Dispatch, gpu_error};
use super::estimator::{Budget, Design, Sample, Slope, Timing, design, estimate, slope};
use crate::error::Error;
use crate::latency::calibration::Estimate;

/// Something to be timed: units of work that are done one after another, again and again.
pub struct Job {
    pub what: String,
    /// The rows that are laid out for it.
    pub rows: Vec<Row>,
    /// Different units of equal cost, so that no cache holds what the next one reads.
    pub units: Vec<Vec<Dispatch>>,
}

/// What a job takes.
#[derive(Debug, Clone)]
pub struct Timed {
    /// One unit.
    pub slope: Slope,
    /// The same with all samples.
    pub estimate: Estimate,
    /// One unit by the device's clock, where it has one.
    pub device_s: Option<f64>,
}

/// Runs of a job before anything is timed.
const WARM_UPS: u32 = 3;
/// Rounds below which a median means nothing.
const LEAST_ROUNDS: u32 = 3;
/// Spread of a job's rounds, in proportion, above which it is timed again.
const UNSTEADY: f64 = 0.2;
/// How often a job is timed again, each time with three times the repetitions.
const MOST_RETRIES: u32 = 2;
/// Dispatches of a submission: a browser checks each one.
const MOST_DISPATCHES: usize = 6_000;

/// Who measures, and what everything takes from it.
pub struct Measure<'a> {
    pub device: &'a Device,
    pub cancel: &'a Cancel,
    pub timing: Timing,
    pub budget: Budget,
    /// Longest time that one group of jobs may take, s: fewer rounds then.
    pub group_s: f64,
}

impl Measure<'_> {
    /// Times of idle submissions.
    pub async fn timing(
        device: &Device,
        idle: &Dispatch,
        cancel: &Cancel,
    ) -> Result<(Timing, Vec<f64>), Error> {
        let mut times = Vec::new();
        for run in 0..WARM_UPS + 20 {
            cancel.check()?;
            let took = device.run([idle]).await?;
            if run >= WARM_UPS {
                times.push(took.wall_s);
            }
        }
        Ok((Timing::of(&times), times))
    }

    /// Times of a group of jobs, in their order. Jobs with rows need the decoder.
    ///
    /// Errors: `interrupted` once that was asked for, a job whose time does not grow with its
    /// repetitions, and whatever the device says.
    pub async fn group(
        &self,
        mut decoder: Option<&mut Decoder>,
        jobs: &[Job],
    ) -> Result<Vec<Timed>, Error> {
        let mut designs = Vec::new();
        for job in jobs {
            let each_s = self.ramp(decoder.as_deref_mut(), job).await?;
            let mut design = design(each_s, self.timing, self.budget);
            let dispatches = job.units.iter().map(Vec::len).max().unwrap_or(1).max(1);
            let most = (MOST_DISPATCHES / dispatches).max(4) as u32;
            for count in &mut design.counts {
                *count = (*count).min(most);
            }
            design.counts.dedup();
            if design.counts.len() < 2 {
                design.counts = vec![most / 4, most / 2, most];
            }
            designs.push((design, each_s));
        }
        let round_s: f64 = designs
            .iter()
            .map(|(design, each_s)| {
                let counts = &design.counts;
                counts.iter().map(|&c| f64::from(c) * each_s).sum::<f64>()
                    + counts.len() as f64 * self.timing.submission_s
            })
            .sum();
        let rounds = ((self.group_s / round_s.max(1e-9)) as u32)
            .clamp(LEAST_ROUNDS, self.budget.rounds.max(LEAST_ROUNDS));

        let mut samples = vec![Vec::new(); jobs.len()];
        let mut device_samples = vec![Vec::new(); jobs.len()];
        for round in 0..rounds {
            // There and back: a drift within a round meets first and last alike.
            let order: Vec<usize> = if round % 2 == 0 {
                (0..jobs.len()).collect()
            } else {
                (0..jobs.len()).rev().collect()
            };
            for i in order {
                let (wall, device) = self
                    .round(decoder.as_deref_mut(), &jobs[i], &designs[i].0, round)
                    .await?;
                samples[i].push(wall);
                device_samples[i].extend(device);
            }
        }
        let mut timed = Vec::new();
        for (((job, (design, _)), mut rounds), mut device_rounds) in
            jobs.iter().zip(designs).zip(samples).zip(device_samples)
        {
            let mut found = slope(&rounds, self.timing);
            // Another program took the device for a while: longer submissions see less of it.
            let mut counts = design.counts;
            for _ in 0..MOST_RETRIES {
                if found
                    .as_ref()
                    .is_some_and(|s| s.mad_s < UNSTEADY * s.each_s)
                {
                    break;
                }
                counts.iter_mut().for_each(|count| *count *= 3);
                let longer = Design {
                    counts: counts.clone(),
                    rounds: rounds.len() as u32,
                };
                (rounds, device_rounds) = (Vec::new(), Vec::new());
                for round in 0..longer.rounds {
                    let (wall, device) = self
                        .round(decoder.as_deref_mut(), job, &longer, round)
                        .await?;
                    rounds.push(wall);
                    device_rounds.extend(device);
                }
                found = slope(&rounds, self.timing);
            }
            let slope_of = found.ok_or_else(|| {
                gpu_error(
                    "gpu-refused",
                    format!(
                        "the time of {} does not grow with its repetitions; the GPU, or the processor \
                         that plays it, is busy with something else",
                        job.what
                    ),
                )
            })?;
            timed.push(Timed {
                estimate: estimate(&slope_of, &rounds),
                slope: slope_of,
                device_s: slope(&device_rounds, self.timing).map(|s| s.each_s),
            });
        }
        Ok(timed)
    }

    /// Warms a job up and finds about how long a unit takes, s: from one repetition upwards, so that no
    /// submission comes near the time after which a driver ends it.
    async fn ramp(&self, mut decoder: Option<&mut Decoder>, job: &Job) -> Result<f64, Error> {
        let mut count = 1u32;
        let mut runs = 0;
        loop {
            let took = self.submit(decoder.as_deref_mut(), job, count).await?;
            runs += 1;
            let work_s = (took.0 - self.timing.submission_s).max(0.1 * took.0);
            let enough = work_s >= 0.25 * self.budget.wanted_s || count >= 1 << 16;
            if runs >= WARM_UPS && (enough || work_s > 0.5 * self.budget.longest_s) {
                return Ok(work_s / f64::from(count));
            }
            if runs >= 2 && !enough {
                // At most four times as much work at once.
                let factor = (0.5 * self.budget.wanted_s / work_s).clamp(1.0, 4.0);
                count = ((f64::from(count) * factor).ceil() as u32).max(count);
            }
        }
    }

    async fn round(
        &self,
        mut decoder: Option<&mut Decoder>,
        job: &Job,
        design: &Design,
        round: u32,
    ) -> Result<(Vec<Sample>, Option<Vec<Sample>>), Error> {
        let (mut wall, mut device) = (Vec::new(), Vec::new());
        for i in 0..design.counts.len() {
            // Another count first in each round.
            let count = design.counts[(i + round as usize) % design.counts.len()];
            let took = self.submit(decoder.as_deref_mut(), job, count).await?;
            wall.push([f64::from(count), took.0]);
            device.extend(took.1.map(|s| [f64::from(count), s]));
        }
        let complete = device.len() == wall.len();
        Ok((wall, complete.then_some(device)))
    }

    async fn submit(
        &self,
        decoder: Option<&mut Decoder>,
        job: &Job,
        count: u32,
    ) -> Result<(f64, Option<f64>), Error> {
        self.cancel.check()?;
        if let Some(decoder) = decoder
            && !job.rows.is_empty()
        {
            decoder.lay(&job.rows)?;
        }
        let units = job.units.iter().cycle().take(count as usize).flatten();
        let took = self.device.run(units).await?;
        Ok((took.wall_s, took.device_s))
    }
}
