//! Files in and out. What is written is whole or absent: it grows under a temporary name beside
//! its place, is put on the disk and is renamed into its place. A process that is killed leaves its
//! unfinished file behind; the next one that writes into the folder removes it.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

use super::interrupt;
use crate::metrics::digest::Hashing;
use crate::trace::{self, Format, Reading};
use crate::{Error, Trace};

/// The `action` of an error that only says that nobody reads standard output any more.
pub const CLOSED_PIPE: &str = "go on writing to";

pub fn problem(action: &'static str, path: &Path, error: &io::Error) -> Error {
    Error::File {
        action,
        path: path.display().to_string(),
        detail: error.to_string(),
    }
}

/// Reads a trace from a file, or from standard input where the path is "-".
pub fn read_trace(path: &Path, reading: &Reading) -> Result<Trace, Error> {
    let (input, name) = open(path)?;
    trace::read_as(input, &name, reading)
}

/// The same, with the size in bytes and the SHA-256 of what was read.
pub fn read_hashed(path: &Path, format: Option<Format>) -> Result<(Trace, u64, String), Error> {
    let (input, name) = open(path)?;
    let mut input = Hashing::new(input);
    let trace = trace::read(&mut input, &name, format)?;
    let (bytes, sha256) = input.finish().map_err(|e| problem("read", path, &e))?;
    Ok((trace, bytes, sha256))
}

/// Whether a path is a pipe, a device or standard input: its rows come once, perhaps without an end.
pub fn is_stream(path: &Path) -> bool {
    path == Path::new("-") || std::fs::metadata(path).is_ok_and(|found| !found.is_file())
}

/// A file or standard input, and its name for people.
fn open(path: &Path) -> Result<(impl Read, String), Error> {
    let (input, name): (Box<dyn Read>, String) = if path == Path::new("-") {
        (Box::new(io::stdin().lock()), "standard input".to_owned())
    } else {
        let file = File::open(path).map_err(|e| problem("open", path, &e))?;
        let name = path.file_name().map_or_else(
            || path.display().to_string(),
            |n| n.to_string_lossy().into(),
        );
        (Box::new(file), name)
    };
    Ok((Interruptible(input), name))
}

/// Most bytes of a file that is read whole: a scenario, a calibration, a table of measurements.
const MOST_DOCUMENT: u64 = 64 << 20;
/// Most bytes of a log or list with a line per request or per run.
const MOST_LOG: u64 = 1 << 30;

/// Reads a file of at most 64 MiB whole, or standard input where the path is "-".
///
/// Errors: [`Error::TooLarge`] beyond the limit; those of the operating system.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, Error> {
    whole(path, MOST_DOCUMENT)
}

/// The same as text.
pub fn read_text(path: &Path) -> Result<String, Error> {
    text(path, whole(path, MOST_DOCUMENT)?)
}

/// The same for a file with a line per request or per run, of at most 1 GiB.
pub fn read_log(path: &Path) -> Result<String, Error> {
    text(path, whole(path, MOST_LOG)?)
}

/// Reads a result of a load test, plain or gzip, of at most 64 MiB unpacked.
pub fn read_result(path: &Path) -> Result<String, Error> {
    let bytes = whole(path, MOST_DOCUMENT)?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return text(path, bytes);
    }
    let mut unpacked = Vec::new();
    let stream = flate2::bufread::MultiGzDecoder::new(bytes.as_slice());
    let name = path.display().to_string();
    stream
        .take(MOST_DOCUMENT + 1)
        .read_to_end(&mut unpacked)
        .map_err(|e| {
            let damaged = trace::damaged_gzip(&name, &e, "the gzip stream stops");
            damaged.unwrap_or_else(|| problem("read", path, &e))
        })?;
    if unpacked.len() as u64 > MOST_DOCUMENT {
        return Err(goes_on(name, MOST_DOCUMENT));
    }
    text(path, unpacked)
}

fn goes_on(name: String, most: u64) -> Error {
    Error::too_large(
        name,
        format!("it goes on after {} MiB", most >> 20),
        format!("at most {} MiB, for a file of this kind", most >> 20),
    )
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|e| {
        let e = e.utf8_error();
        let problem_at = format!("it is not UTF-8 text (byte {})", e.valid_up_to() + 1);
        problem("read", path, &io::Error::other(problem_at))
    })
}

fn whole(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let (input, name) = open(path)?;
    let mut bytes = Vec::new();
    input
        .take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| problem("read", path, &e))?;
    if bytes.len() as u64 > most {
        return Err(goes_on(name, most));
    }
    Ok(bytes)
}

/// Stops reading after Ctrl-C.
pub struct Interruptible<R>(pub R);

impl<R: Read> Read for Interruptible<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if interrupt::requested() {
            return Err(io::Error::other("interrupted"));
        }
        self.0.read(buffer)
    }
}

/// Writes a file whole, through `fill`, or standard output where the path is "-".
pub fn write(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Error> {
    if path == Path::new("-") {
        return print(fill);
    }
    let failed = |e: io::Error| problem("write", path, &e);
    // What is already there: a link is followed, and whatever is no regular file (a pipe, a device)
    // is written to as it is, because a renamed file would take its place.
    let existing = std::fs::metadata(path).ok();
    if existing.as_ref().is_some_and(|found| !found.is_file()) {
        let device = OpenOptions::new().write(true).open(path).map_err(failed)?;
        let mut buffer = BufWriter::with_capacity(1 << 16, device);
        return fill(&mut buffer)
            .and_then(|()| buffer.flush())
            .map_err(failed);
    }
    let place = match &existing {
        Some(_) => path.canonicalize().map_err(failed)?,
        None => path.to_owned(),
    };
    let folder = match place.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut unfinished = Unfinished::beside(&folder).map_err(failed)?;
    let file = &mut unfinished.file;
    if let Some(found) = existing {
        let permissions = found.permissions();
        file.as_file()
            .set_permissions(permissions)
            .map_err(failed)?;
    }
    let mut buffer = BufWriter::with_capacity(1 << 16, file.as_file_mut());
    fill(&mut buffer).map_err(failed)?;
    buffer.flush().map_err(failed)?;
    drop(buffer);
    interrupt::check()?;
    unfinished.put(&place, &folder).map_err(failed)
}

/// Makes a folder, and those above it, where there is none.
pub fn create_folder(folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(folder)
        .and_then(|()| match folder.parent() {
            Some(parent) if parent != Path::new("") => sync_folder(parent),
            _ => sync_folder(Path::new(".")),
        })
        .map_err(|e| problem("create", folder, &e))
}

/// Puts the names in a folder on the disk, where the system does that: after a loss of power a file is
/// there, or the one before it.
#[cfg(unix)]
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    step("sync the folder");
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // A folder that may be written and not read, and file systems that know no such thing.
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::PermissionDenied
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

#[cfg(not(unix))]
pub fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// How the names of unfinished files begin and end.
const UNFINISHED: [&str; 2] = [".batchscope-", ".part"];

/// The files that this process has begun.
static BEGUN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
/// The folders from which this process has removed what others left.
static TIDIED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn begun() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    BEGUN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes every file that was begun and is not in its place. None begins while the guard is held.
pub fn discard_unfinished() -> impl Sized {
    let begun = begun();
    for path in &*begun {
        // Put in its place or removed by another thread since.
        let _ = std::fs::remove_file(path);
    }
    begun
}

/// A file that grows beside its place. It holds a lock: one without is left over from a process that was
/// killed.
struct Unfinished {
    file: NamedTempFile,
    /// Where it was begun.
    path: PathBuf,
}

impl Unfinished {
    fn beside(folder: &Path) -> io::Result<Unfinished> {
        /// Another process takes a new file for an abandoned one only between its making and its locking.
        const TRIES: usize = 16;
        remove_abandoned(folder);
        let mut begun = begun();
        for _ in 0..TRIES {
            // The unfinished file's own name would say nothing to a reader.
            let file = new_file(folder).map_err(|e| match e.kind() {
                io::ErrorKind::NotFound if !folder.is_dir() => {
                    io::Error::other(format!("there is no folder {}", folder.display()))
                }
                kind => io::Error::new(kind, format!("the folder {}: {kind}", folder.display())),
            })?;
            let locked = match file.as_file().try_lock() {
                Ok(()) => file.path().exists(),
                Err(TryLockError::WouldBlock) => false,
                // A file system without locks has no abandoned files either: none is removed there.
                Err(TryLockError::Error(_)) => true,
            };
            if locked {
                let path = file.path().to_owned();
                begun.insert(path.clone());
                return Ok(Unfinished { file, path });
            }
        }
        Err(io::Error::other(
            "another process removes its unfinished files at once",
        ))
    }

    /// Renames it into its place, once its content is on the disk.
    fn put(self, place: &Path, folder: &Path) -> io::Result<()> {
        step("sync the file");
        self.file.as_file().sync_all()?;
        step("rename");
        let renamed = self.file.persist(place);
        begun().remove(&self.path);
        drop(renamed.map_err(|e| e.error)?);
        sync_folder(folder)
    }
}

#[cfg(unix)]
fn new_file(folder: &Path) -> io::Result<NamedTempFile> {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    let [prefix, suffix] = UNFINISHED;
    // A temporary file is private by default; what a person asked for is theirs to share, as far
    // as their umask says.
    tempfile::Builder::new()
        .prefix(prefix)
        .suffix(suffix)
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
}

#[cfg(not(unix))]
fn new_file(folder: &Path) -> io::Result<NamedTempFile> {
    let [prefix, suffix] = UNFINISHED;
    tempfile::Builder::new()
        .prefix(prefix)
        .suffix(suffix)
        .tempfile_in(folder)
}

/// Removes the files that killed processes left in a folder: those that no process has locked. What cannot
/// be removed is another's, and stays.
pub fn remove_abandoned(folder: &Path) {
    let mut tidied = TIDIED.lock().unwrap_or_else(PoisonError::into_inner);
    if !tidied.insert(folder.to_owned()) {
        return;
    }
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let [prefix, suffix] = UNFINISHED;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name
            .to_str()
            .is_some_and(|name| name.starts_with(prefix) && name.ends_with(suffix));
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        if let Ok(file) = OpenOptions::new().write(true).open(&path)
            && file.try_lock().is_ok()
        {
            let _ = std::fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
thread_local! {
    /// What [`write`] did on this thread, in order.
    static STEPS: std::cell::RefCell<Vec<&'static str>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Takes down what a loss of power depends on, for the tests.
fn step(_name: &'static str) {
    #[cfg(test)]
    STEPS.with_borrow_mut(|steps| steps.push(_name));
}

/// Refuses a place where [`write`] could not put a file, before anything is worked out for it.
pub fn check_place(path: &Path) -> Result<(), Error> {
    let failed = |e: io::Error| problem("write", path, &e);
    if path == Path::new("-") {
        return Ok(());
    }
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(failed(io::ErrorKind::IsADirectory.into())),
        // Devices and pipes are written to as they are.
        Ok(found) if !found.is_file() => Ok(()),
        _ => match path.parent() {
            Some(parent) if parent != Path::new("") => new_file(parent),
            _ => new_file(Path::new(".")),
        }
        .map(drop)
        .map_err(failed),
    }
}

/// Whether two paths are one file, as far as that can be known before they are written.
pub fn same_file(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    a != Path::new("-") && real(a) == real(b)
}

/// Writes to standard output, buffered.
pub fn print(fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
    let mut output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    fill(&mut output)
        .and_then(|()| output.flush())
        .map_err(|e| {
            let action = if e.kind() == io::ErrorKind::BrokenPipe {
                CLOSED_PIPE
            } else {
                "write to"
            };
            problem(action, Path::new("standard output"), &e)
        })
}

/// Pretty JSON and a line's end on standard output.
pub fn print_json(value: &impl serde::Serialize) -> Result<(), Error> {
    print(|output| {
        serde_json::to_writer_pretty(&mut *output, value)?;
        output.write_all(b"\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_on_the_disk_before_it_takes_its_place() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("out");
        for text in ["first", "second"] {
            STEPS.take();
            write(&path, |file| file.write_all(text.as_bytes())).unwrap();
            let mut steps = vec!["sync the file", "rename"];
            if cfg!(unix) {
                steps.push("sync the folder");
            }
            assert_eq!(STEPS.take(), steps);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::TempDir::new().unwrap();
        let (missing, path) = (folder.path().join("no"), folder.path().join("no/out"));
        let error = write(&path, |file| file.write_all(b"x")).unwrap_err();
        let expected = format!(
            "cannot write {}: there is no folder {}",
            path.display(),
            missing.display()
        );
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn abandoned_files_are_removed_and_others_stay() {
        let folder = tempfile::TempDir::new().unwrap();
        let abandoned = folder.path().join(".batchscope-k1LLed.part");
        std::fs::write(&abandoned, "half").unwrap();
        let others = [".batchscope-x", "x.part", ".tmpabc"].map(|name| folder.path().join(name));
        for path in &others {
            std::fs::write(path, "").unwrap();
        }
        // Another process at work in the folder.
        let at_work = new_file(folder.path()).unwrap();
        at_work.as_file().lock().unwrap();
        write(&folder.path().join("out"), |file| file.write_all(b"whole")).unwrap();
        assert!(!abandoned.exists());
        assert!(at_work.path().exists());
        assert!(others.iter().all(|path| path.exists()));
    }
}
