//! The traces of many scenarios: each is read or generated once and shared.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use super::files;
use crate::scenario::Source;
use crate::{Error, Scenario, Trace};

/// A trace that is there, or is being made by one of the threads that ask for it.
type Slot = Arc<OnceLock<Result<Arc<Trace>, Error>>>;

/// The traces used last.
pub struct Traces {
    /// The most recent last.
    slots: Mutex<Vec<(Source, u32, Slot)>>,
    most: usize,
    /// A file of the command line, whose name a scenario can only hold where it is text.
    file: Option<PathBuf>,
}

impl Traces {
    /// Keeps up to `most` traces.
    pub fn keeping(most: usize) -> Traces {
        Traces {
            slots: Mutex::new(Vec::new()),
            most,
            file: None,
        }
    }

    /// Reads scenarios that name this file, in as far as a scenario can, from it.
    pub fn with_file(self, file: Option<PathBuf>) -> Traces {
        Traces { file, ..self }
    }

    /// The scenario's trace, from memory where it was used lately.
    ///
    /// Errors: those of reading and generating; standard input is refused, it has one reader.
    pub fn get(&self, scenario: &Scenario) -> Result<Arc<Trace>, Error> {
        let source = &scenario.trace;
        // A file is the same for every seed.
        let seed = match source {
            Source::File { .. } => 0,
            Source::Synthetic(_) => scenario.seed,
        };
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(|e| e.into_inner());
            let found = slots.iter().position(|(s, n, _)| s == source && *n == seed);
            let entry = match found {
                Some(i) => slots.remove(i),
                None => (source.clone(), seed, Slot::default()),
            };
            let slot = entry.2.clone();
            slots.push(entry);
            if slots.len() > self.most {
                slots.remove(0);
            }
            slot
        };
        slot.get_or_init(|| self.load(source, scenario.seed).map(Arc::new))
            .clone()
    }

    fn load(&self, source: &Source, seed: u32) -> Result<Trace, Error> {
        match source {
            Source::File { name, .. } if name == "-" => Err(Error::bad_field(
                "trace.file.name",
                "-",
                "the name of a file; standard input is read once, by one run",
            )),
            Source::File { name, .. } => {
                let file = self.file.as_deref();
                let path = file.filter(|file| file.display().to_string() == *name);
                files::read_trace(path.unwrap_or(Path::new(name)), &source.reading())
            }
            Source::Synthetic(synthetic) => synthetic.generate(seed),
        }
    }
}
