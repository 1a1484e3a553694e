//! Does this device compute what the twins say? Every kernel with random numbers and odd sizes, in the
//! variants that the device would use, outputs poisoned before. A driver that computes nonsense fast
//! would otherwise be measured and believed.

mod attention;
mod decoder;
mod products;
mod rows;

use std::rc::Rc;

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;

use super::Cancel;
use super::device::{Device, gpu_error};
use super::kernels::{self, Flavour, Source};
use crate::error::Error;
use crate::latency::architecture::Precision;

/// How much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Every kernel in a few sizes: about a second on a software adapter.
    Quick,
    /// Every variant that sizes select, contexts up to 8192 tokens, further sizes drawn at random.
    Full,
}

/// What came out for one kernel.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Checked {
    /// As in "gemv int4".
    pub kernel: String,
    pub cases: u32,
    /// The greatest difference to the twin, in proportion to the twin's largest value; of sampling, how
    /// far the drawn token's score was below the greatest.
    pub worst_error: f64,
    /// What it may be at most; 0 where every bit has to be the twin's.
    pub tolerance: f64,
}

/// Relative error of sums in single precision, against twins in double.
const SINGLE: f64 = 1e-3;
/// The same where results are rounded to half precision, or may be computed with it.
const HALF: f64 = 1e-2;
/// Of scores in single precision. Two tokens this close may change places.
const SCORE: f64 = 1e-4;

/// A kernel, in the sense of something that is checked by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Fill,
    Read,
    /// Unpacking, bit for bit.
    Embed(Precision),
    /// For any number of columns, eight at a time.
    Gemv(Precision),
    /// Tiles, for many columns.
    Gemm(Precision),
    RopeAppend,
    /// Both passes.
    Attention,
    /// Both passes.
    Sample,
    /// All of them as a decoder of three layers: its logits.
    Decoder(Precision),
}

impl Part {
    /// Every part of an effort, the small ones first: what fails there explains what fails later. A quick
    /// check has one decoder, since a software adapter takes longest to compile it.
    pub fn all(effort: Effort) -> Vec<Part> {
        let each = |part: fn(Precision) -> Part| Precision::ALL.into_iter().map(part);
        let mut all = vec![Part::Fill, Part::Read];
        all.extend(each(Part::Embed));
        all.extend(each(Part::Gemv));
        all.extend(each(Part::Gemm));
        all.extend([Part::RopeAppend, Part::Attention, Part::Sample]);
        match effort {
            Effort::Quick => all.push(Part::Decoder(Precision::F16)),
            Effort::Full => all.extend(each(Part::Decoder)),
        }
        all
    }

    /// Its name, as in "gemv int4".
    pub fn name(self) -> String {
        let of = |name: &str, precision: Precision| format!("{name} {}", precision.name());
        match self {
            Part::Fill => "fill".to_owned(),
            Part::Read => "read".to_owned(),
            Part::Embed(precision) => of("embed", precision),
            Part::Gemv(precision) => of("gemv", precision),
            Part::Gemm(precision) => of("gemm", precision),
            Part::RopeAppend => "rope-append".to_owned(),
            Part::Attention => "attention".to_owned(),
            Part::Sample => "sample".to_owned(),
            Part::Decoder(precision) => of("decoder", precision),
        }
    }

    /// Whether a device of this flavour runs other kernels for it than one that can do less. Only then is
    /// there something to check that a smaller flavour has not shown.
    pub fn is_new_with(self, flavour: Flavour) -> bool {
        let sources = self.sources(flavour);
        !Flavour::ALL
            .into_iter()
            .filter(|less| *less != flavour)
            .filter(|less| less.subgroups <= flavour.subgroups && less.f16 <= flavour.f16)
            .any(|less| self.sources(less) == sources)
    }

    fn sources(self, flavour: Flavour) -> Vec<Source> {
        let mut sources = kernels::all(flavour);
        match self {
            // All but those for other weights.
            Part::Decoder(precision) => sources.retain(|source| {
                Precision::ALL
                    .into_iter()
                    .filter(|other| *other != precision)
                    .all(|other| !source.name.contains(&format!("-{}", other.name())))
            }),
            _ => {
                let begin = self.name().replace(' ', "-");
                sources.retain(|source| source.name.starts_with(&begin));
            }
        }
        sources
    }

    fn tolerance(self) -> f64 {
        match self {
            Part::Fill | Part::Read | Part::Embed(_) => 0.0,
            Part::Gemv(Precision::F16) | Part::Gemm(Precision::F16) => HALF,
            // The twins take weights, keys and values as they are stored: sums alone differ.
            Part::Gemv(_) | Part::Gemm(_) => SINGLE,
            Part::Attention => SINGLE,
            Part::Sample => SCORE,
            // Of keys and values, which are rounded to half precision; a device may round either way.
            Part::RopeAppend | Part::Decoder(_) => HALF,
        }
    }
}

/// Checks every kernel, in the order of [`Part::all`].
///
/// Errors: `wrong-result` names the first kernel that differs from its twin, the case, the value and
/// the twin; `interrupted` once that was asked for; whatever the device says.
pub async fn kernels(
    device: &Rc<Device>,
    seed: u32,
    effort: Effort,
    cancel: &Cancel,
) -> Result<Vec<Checked>, Error> {
    let mut checked = Vec::new();
    for one in Part::all(effort) {
        checked.push(part(device, one, seed, effort, cancel).await?);
    }
    Ok(checked)
}

/// Checks one kernel. Seed and part give the random numbers, whatever was checked before.
///
/// Errors: as [`kernels`].
pub async fn part(
    device: &Rc<Device>,
    part: Part,
    seed: u32,
    effort: Effort,
    cancel: &Cancel,
) -> Result<Checked, Error> {
    let mut check = Check {
        device,
        effort,
        cancel,
        random: Random::new(seed),
        verdict: Verdict::new(
            part,
            format!("{} ({})", device.adapter().name, device.flavour()),
        ),
    };
    match part {
        Part::Fill => check.fill().await?,
        Part::Read => check.read().await?,
        Part::Embed(precision) => check.embed(precision).await?,
        Part::Gemv(precision) => check.gemv(precision).await?,
        Part::Gemm(precision) => check.gemm(precision).await?,
        Part::RopeAppend => check.rope_append().await?,
        Part::Attention => check.attention().await?,
        Part::Sample => check.sample().await?,
        Part::Decoder(precision) => check.decoder(precision).await?,
    }
    Ok(check.verdict.checked)
}

/// A kernel's check under way.
struct Check<'a> {
    device: &'a Rc<Device>,
    effort: Effort,
    cancel: &'a Cancel,
    random: Random,
    verdict: Verdict,
}

impl Check<'_> {
    /// The cases of an effort: a few, or all of them and so many random ones.
    fn cases<T: Clone>(
        &mut self,
        quick: &[T],
        full: &[T],
        more: usize,
        mut draw: impl FnMut(&mut Random) -> T,
    ) -> Vec<T> {
        match self.effort {
            Effort::Quick => quick.to_vec(),
            Effort::Full => {
                let mut cases = full.to_vec();
                cases.extend((0..more).map(|_| draw(&mut self.random)));
                cases
            }
        }
    }

    /// A case begins.
    ///
    /// Errors: `interrupted`.
    fn begin(&mut self) -> Result<(), Error> {
        self.cancel.check()?;
        self.verdict.checked.cases += 1;
        Ok(())
    }

    /// A buffer in which every word that is not written shows.
    fn poison(&self, values: usize) -> wgpu::Buffer {
        self.device.filled(&vec![f32::NAN; values])
    }
}

/// What was found so far.
struct Verdict {
    checked: Checked,
    /// The adapter's name and flavour.
    adapter: String,
}

impl Verdict {
    fn new(part: Part, adapter: String) -> Verdict {
        Verdict {
            checked: Checked {
                kernel: part.name(),
                cases: 0,
                worst_error: 0.0,
                tolerance: part.tolerance(),
            },
            adapter,
        }
    }

    /// Every value within the tolerance of its twin, in proportion to the largest twin: a sum of many
    /// terms that happens to be near zero has their rounding.
    fn close(&mut self, case: &str, got: &[f32], twin: &[f64]) -> Result<(), Error> {
        self.within(case, self.checked.tolerance, got, twin)
    }

    /// The same for a result that has to be nearer to its twin than the rest.
    fn within(
        &mut self,
        case: &str,
        tolerance: f64,
        got: &[f32],
        twin: &[f64],
    ) -> Result<(), Error> {
        self.as_many(case, got.len(), twin.len())?;
        let size = twin.iter().fold(1e-6, |m: f64, x| m.max(x.abs()));
        for (i, (&got, &twin)) in got.iter().zip(twin).enumerate() {
            // In this order of comparison what is no number is wrong too.
            let error = (f64::from(got) - twin).abs() / size;
            if error <= tolerance {
                self.checked.worst_error = self.checked.worst_error.max(error);
            } else {
                let what = format!(
                    "value {i} is {got} where {twin} was expected ({error:.1e} off, allowed is {tolerance:.0e})"
                );
                return Err(self.wrong(case, &what));
            }
        }
        Ok(())
    }

    /// Every word is its twin's.
    fn same(&self, case: &str, got: &[u32], twin: &[u32]) -> Result<(), Error> {
        self.as_many(case, got.len(), twin.len())?;
        match got.iter().zip(twin).position(|(got, twin)| got != twin) {
            None => Ok(()),
            Some(i) => {
                let what = format!(
                    "word {i} is {:#010x} where {:#010x} was expected",
                    got[i], twin[i]
                );
                Err(self.wrong(case, &what))
            }
        }
    }

    /// The drawn token is the twin's, or its score is as great within the tolerance. Of equal scores
    /// only the first will do.
    fn drawn(&mut self, case: &str, got: u32, twin: u32, scores: &[f64]) -> Result<(), Error> {
        let score = |token: u32| scores.get(token as usize).copied().unwrap_or(f64::NAN);
        let gap = score(twin) - score(got);
        if got == twin || (gap > 0.0 && gap <= self.checked.tolerance) {
            self.checked.worst_error = self.checked.worst_error.max(gap);
            return Ok(());
        }
        let what = format!("token {got} was drawn where {twin} was expected");
        Err(self.wrong(case, &what))
    }

    fn as_many(&self, case: &str, got: usize, twin: usize) -> Result<(), Error> {
        if got == twin {
            Ok(())
        } else {
            Err(self.wrong(
                case,
                &format!("{got} values came where {twin} were expected"),
            ))
        }
    }

    fn wrong(&self, case: &str, what: &str) -> Error {
        gpu_error(
            "wrong-result",
            format!(
                "{} on {} computes wrongly: {case}: {what}; what is measured on this device means nothing, \
                 and a newer graphics driver may mend it",
                self.checked.kernel, self.adapter
            ),
        )
    }
}

/// Random numbers for cases.
struct Random(Xoshiro256PlusPlus);

impl Random {
    fn new(seed: u32) -> Random {
        Random(Xoshiro256PlusPlus::seed_from_u64(u64::from(seed)))
    }

    fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// From `least` to `most`, both included.
    fn between(&mut self, least: u32, most: u32) -> u32 {
        least + self.bits() % (most - least + 1)
    }

    /// From -1 to 1, exact in single precision.
    fn value(&mut self) -> f64 {
        f64::from((self.bits() >> 8) as f32 / 8_388_608.0 - 1.0)
    }

    fn values(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.value()).collect()
    }

    fn shuffle(&mut self, list: &mut [u32]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.bits() as usize % (i + 1));
        }
    }
}

/// As a kernel takes them.
fn f32s(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<String> = Part::all(Effort::Full)
            .into_iter()
            .map(Part::name)
            .collect();
        assert_eq!(names.len(), Part::all(Effort::Full).len());
    }

    #[test]
    fn flavours_that_change_nothing_are_known() {
        let new = |part: Part| Flavour::ALL.map(|flavour| part.is_new_with(flavour));
        assert_eq!(new(Part::Read), [true, false, false, false]);
        assert_eq!(new(Part::Gemv(Precision::Int4)), [true, true, false, false]);
        assert_eq!(new(Part::Gemv(Precision::F16)), [true; 4]);
        assert_eq!(new(Part::Gemm(Precision::F16)), [true, false, true, false]);
        assert_eq!(
            new(Part::Decoder(Precision::F32)),
            [true, true, false, false]
        );
        assert_eq!(new(Part::Decoder(Precision::F16)), [true; 4]);
        for part in Part::all(Effort::Full) {
            assert!(!part.sources(Flavour::ALL[0]).is_empty(), "{part:?}");
        }
    }

    fn verdict(part: Part) -> Verdict {
        Verdict::new(part, "a device".to_owned())
    }

    fn code(result: Result<(), Error>) -> Option<&'static str> {
        result.err().map(|e| e.code())
    }

    #[test]
    fn what_differs_is_told() {
        let mut attention = verdict(Part::Attention);
        assert_eq!(attention.close("x", &[1.0, 0.002], &[1.001, 0.001]), Ok(()));
        assert!((attention.checked.worst_error - 1e-3 / 1.001).abs() < 1e-6);
        for wrong in [
            &[1.0, 0.003][..],
            &[1.0, f32::NAN],
            &[1.0, f32::INFINITY],
            &[1.0],
        ] {
            let result = attention.close("row 3", wrong, &[1.0, 0.001]);
            assert_eq!(code(result), Some("wrong-result"));
        }
        let told = attention.close("row 3", &[1.0, 0.5], &[1.0, 0.25]).err();
        let told = told.map(|e| e.to_string()).unwrap_or_default();
        for word in [
            "attention",
            "a device",
            "row 3",
            "value 1 is 0.5 where 0.25",
        ] {
            assert!(told.contains(word), "{word} is not in: {told}");
        }
    }

    #[test]
    fn exact_is_exact() {
        let mut embed = verdict(Part::Embed(Precision::Int4));
        assert_eq!(embed.close("x", &[0.5], &[0.5]), Ok(()));
        assert!(embed.close("x", &[0.5], &[0.5 + 1e-9]).is_err());
        let fill = verdict(Part::Fill);
        assert_eq!(fill.same("x", &[1, 2], &[1, 2]), Ok(()));
        assert!(fill.same("x", &[1, 3], &[1, 2]).is_err());
        assert!(fill.same("x", &[1], &[1, 2]).is_err());
    }

    #[test]
    fn of_equal_scores_the_first_is_drawn() {
        let scores = [1.0, 3.0, 3.0, 3.0 - 5e-5, 2.9];
        for (got, right) in [
            (1, true),
            (2, false),
            (3, true),
            (4, false),
            (u32::MAX, false),
        ] {
            let result = verdict(Part::Sample).drawn("x", got, 1, &scores);
            assert_eq!(result.is_ok(), right, "{got}");
        }
    }
}
