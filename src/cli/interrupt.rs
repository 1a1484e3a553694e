//! Ctrl-C and termination: a command stops at its next slice, and one that waits for something is ended.
//! Either way no half-written file stays, and the exit code is 130.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{process, thread};

use crate::Error;

/// What a command has to end by itself. It may wait for input that never comes, or compute without a look
/// at [`requested`]; the promise is 300 ms.
const GRACE: Duration = Duration::from_millis(120);
/// The longest wait for standard error to take the sentence: it may be a full pipe without a reader, and on a busy
/// machine the thread that says it may have to wait for a processor.
const LAST_WORDS: Duration = Duration::from_millis(120);

static REQUESTED: AtomicBool = AtomicBool::new(false);
static SENTENCE: Mutex<Sentence> = Mutex::new(Sentence::Unsaid);
static SAID: Condvar = Condvar::new();
static STUDY: Mutex<Option<Kept>> = Mutex::new(None);

/// What has become of the sentence that an interrupted command ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sentence {
    Unsaid,
    /// A thread has taken it on.
    BeingSaid,
    Said,
}

/// Where a study keeps the outcomes of its runs.
struct Kept {
    journal: String,
    runs: u64,
}

/// Listens for Ctrl-C and termination from now on. `end` puts things in order where a command does not end by
/// itself, and calls what it is given, which ends the process.
pub fn watch(end: impl Fn(&dyn Fn()) + Send + 'static) {
    // The handler has a thread of its own, apart from the program's.
    let listening = ctrlc::set_handler(move || {
        REQUESTED.store(true, Ordering::SeqCst);
        thread::sleep(GRACE);
        end(&|| {
            say_so();
            process::exit(i32::from(super::INTERRUPTED));
        });
    });
    if let Err(problem) = listening {
        // The default, ending at once, leaves whole files too: they are renamed into place.
        eprintln!("batchscope: cannot listen for Ctrl-C ({problem}); it will end the run at once");
    }
}

/// Tells the person once, whichever threads ask, and returns when that is done: each of them ends the process next.
pub fn say_so() {
    // On a thread of its own, as standard error may never take the sentence.
    thread::spawn(|| {
        if claim() {
            super::fail(&error());
            *sentence() = Sentence::Said;
            SAID.notify_all();
        }
    });
    let _ = SAID.wait_timeout_while(sentence(), LAST_WORDS, |sentence| {
        *sentence != Sentence::Said
    });
}

/// True for the first thread that asks.
fn claim() -> bool {
    let mut sentence = sentence();
    let first = *sentence == Sentence::Unsaid;
    if first {
        *sentence = Sentence::BeingSaid;
    }
    first
}

fn sentence() -> MutexGuard<'static, Sentence> {
    SENTENCE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// [`Error::Interrupted`] once the person has asked to stop.
pub fn check() -> Result<(), Error> {
    if requested() {
        Err(Error::Interrupted)
    } else {
        Ok(())
    }
}

/// What an interrupted command says: where a study goes on, if one is under way.
pub fn error() -> Error {
    let kept = STUDY.lock().unwrap_or_else(PoisonError::into_inner);
    match &*kept {
        Some(Kept { journal, runs }) => Error::InterruptedStudy {
            journal: journal.clone(),
            runs: *runs,
        },
        None => Error::Interrupted,
    }
}

/// From now on an interrupt says that the journal has this many finished runs.
pub fn keep(journal: &Path, runs: u64) {
    let journal = journal.display().to_string();
    *STUDY.lock().unwrap_or_else(PoisonError::into_inner) = Some(Kept { journal, runs });
}

/// Writes one more run into the journal, unless the sentence that counts its runs is being said.
pub fn one_more(write: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    let mut kept = STUDY.lock().unwrap_or_else(PoisonError::into_inner);
    if *sentence() != Sentence::Unsaid {
        return Err(Error::Interrupted);
    }
    write()?;
    if let Some(kept) = &mut *kept {
        kept.runs += 1;
    }
    Ok(())
}

/// The study's files are written.
pub fn forget() {
    *STUDY.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// A wish to stop that comes true with Ctrl-C, for work that waits for a GPU.
#[cfg(feature = "gpu")]
pub fn cancel() -> crate::gpu::Cancel {
    /// Well below what a person notices.
    const LOOK: Duration = Duration::from_millis(20);
    let cancel = crate::gpu::Cancel::new();
    let wish = cancel.clone();
    thread::spawn(move || {
        while !requested() {
            thread::sleep(LOOK);
        }
        wish.cancel();
    });
    cancel
}
