//! The targets: what an input of each is, and how it is judged.

use batchscope::{Error, Scenario, simulate};
use serde_json::{Value, json};

use crate::case::Case;
use crate::invariants::{self, Broken};
use crate::readers::{File, READERS};
use crate::rng::Rng;
use crate::{memory, searches, ways};

/// Targets of simulated cases, with how many of 10,000 inputs are theirs; the readers share the rest.
const SIMULATED: [(&str, u64); 3] = [("simulate", 270), ("compare", 10), ("capacity", 5)];
const ALL: u64 = 10_000;

/// Bounds of one input. The readers promise 10 MiB beside what they return.
const READER_BYTES: usize = 64 << 20;
const CASE_BYTES: usize = 512 << 20;

/// One input of a target.
#[derive(Debug, Clone)]
pub enum Input {
    Case(Case),
    File(File),
}

/// A target by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target(usize);

impl Target {
    pub const COUNT: usize = SIMULATED.len() + READERS.len();
    pub const SIMULATE: Target = Target(0);

    pub fn all() -> impl Iterator<Item = Target> {
        (0..Self::COUNT).map(Target)
    }

    pub fn number(self) -> usize {
        self.0
    }

    pub fn named(name: &str) -> Option<Target> {
        Self::all().find(|target| target.name() == name)
    }

    pub fn name(self) -> &'static str {
        match SIMULATED.get(self.0) {
            Some((name, _)) => name,
            None => READERS[self.0 - SIMULATED.len()].name,
        }
    }

    /// That of a case, by its number alone.
    pub fn of(seed: u64, case: u64) -> Target {
        let mut place = Rng::new(seed, case, 0).between(0, ALL - 1);
        for (i, (_, share)) in SIMULATED.iter().enumerate() {
            if place < *share {
                return Target(i);
            }
            place -= share;
        }
        let mut place = place % 100;
        for (i, reader) in READERS.iter().enumerate() {
            if place < reader.share {
                return Target(SIMULATED.len() + i);
            }
            place -= reader.share;
        }
        Target(SIMULATED.len())
    }

    /// Makes the input of a case.
    pub fn make(self, seed: u64, case: u64) -> Input {
        let mut rng = Rng::new(seed, case, 1);
        match self.0.checked_sub(SIMULATED.len()) {
            None => Input::Case(Case::random(&mut rng)),
            Some(reader) => Input::File((READERS[reader].make)(&mut rng)),
        }
    }

    /// Judges an input: `Ok(Ok(()))` accepted and sound, `Ok(Err(_))` refused with a sentence.
    pub fn judge(self, input: &Input) -> Result<Result<(), Error>, Broken> {
        let (judged, bytes) = memory::peak(|| self.judge_unbounded(input));
        let most = match input {
            Input::Case(_) => CASE_BYTES,
            Input::File(file) => READER_BYTES + 64 * file.bytes.len(),
        };
        if bytes > most {
            return Err(Broken {
                name: "memory within its limit",
                detail: format!("{bytes} bytes, and {most} are allowed"),
            });
        }
        if let Ok(Err(error)) = &judged {
            is_a_sentence(error.code(), &error.to_string())?;
        }
        judged
    }

    fn judge_unbounded(self, input: &Input) -> Result<Result<(), Error>, Broken> {
        match (self.name(), input) {
            ("simulate", Input::Case(case)) => simulated(case),
            ("capacity", Input::Case(case)) => searches::capacity(case),
            ("compare", Input::Case(case)) => searches::compare(case),
            (_, Input::File(file)) => {
                let reader = &READERS[self.0 - SIMULATED.len()];
                (reader.read)(file).map_err(|detail| Broken {
                    name: "what is read is sound",
                    detail,
                })
            }
            _ => Ok(Ok(())),
        }
    }
}

/// A case by every way of running it.
fn simulated(case: &Case) -> Result<Result<(), Error>, Broken> {
    let run = case.open().and_then(|(scenario, trace)| {
        let outcome = simulate(&trace, &scenario)?;
        Ok((scenario, trace, outcome))
    });
    let (scenario, trace, outcome) = match run {
        Ok(run) => run,
        Err(error) => return Ok(Err(error)),
    };
    invariants::check(&trace, &scenario, &outcome)?;
    fn ran<T>(how: &str, run: Result<T, Error>) -> Result<T, Broken> {
        run.map_err(|error| Broken {
            name: invariants::SAME_BYTES,
            detail: format!("{how} it is refused: {error}"),
        })
    }
    for events in [1, 7, u64::MAX] {
        let how = format!("in slices of {events}");
        let again = ran(&how, ways::sliced(&trace, &scenario, events))?;
        invariants::same_bytes(&outcome, &again, &how)?;
    }
    let text = outcome.summary.scenario.to_json();
    let back = ran("written and read", Scenario::from_json(&text, "back.json"))?;
    let again = ran("written and read", simulate(&trace, &back))?;
    invariants::same_bytes(&outcome, &again, "written and read")?;
    if let Some(stepped) = ran("step by step", ways::stepped(&trace, &scenario))? {
        if let Err(broken) = invariants::same_steps(&outcome, &stepped) {
            // Where an arrival meets the end of a step, rounding decides which comes first.
            let (trace, scenario) = ways::away_from_ties(&trace, &scenario);
            let jumped = simulate(&trace, &scenario);
            match (jumped, ways::stepped(&trace, &scenario)) {
                (Ok(jumped), Ok(Some(stepped))) => invariants::same_steps(&jumped, &stepped)?,
                _ => return Err(broken),
            }
        }
        invariants::check(&trace, &scenario, &stepped)?;
    }
    Ok(Ok(()))
}

/// A refusal is a sentence that a terminal and a page can show.
pub fn is_a_sentence(code: &str, text: &str) -> Result<(), Broken> {
    let bad = char::is_control;
    let shown = if text.trim().is_empty() || code.is_empty() {
        "is empty".to_owned()
    } else if text.len() > 16_384 {
        format!("has {} bytes", text.len())
    } else if let Some(at) = text.find(bad) {
        format!(
            "has a control character at {at}: {:?}",
            text.get(at.saturating_sub(60)..(at + 20).min(text.len()))
        )
    } else {
        return Ok(());
    };
    Err(Broken {
        name: "a refusal is a sentence",
        detail: format!("{code}: the sentence {shown}"),
    })
}

impl Input {
    /// As a file of `tests/swarm/cases` holds it.
    pub fn to_json(&self) -> Value {
        match self {
            Input::Case(case) => json!({ "case": case }),
            Input::File(file) => match std::str::from_utf8(&file.bytes) {
                Ok(text) => json!({ "text": text, "choice": file.choice }),
                Err(_) => json!({ "bytes": file.bytes, "choice": file.choice }),
            },
        }
    }

    /// Errors: a sentence about what is missing.
    pub fn from_json(value: &Value) -> Result<Input, String> {
        if let Some(case) = value.get("case") {
            return serde_json::from_value(case.clone())
                .map(Input::Case)
                .map_err(|e| e.to_string());
        }
        let bytes = match (value["text"].as_str(), value.get("bytes")) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(bytes)) => {
                serde_json::from_value(bytes.clone()).map_err(|e| e.to_string())?
            }
            _ => return Err("neither case, text nor bytes".to_owned()),
        };
        let choice = value["choice"].as_u64().unwrap_or(0);
        Ok(Input::File(File { bytes, choice }))
    }
}
