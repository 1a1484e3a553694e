//! Files in and out. What is written is whole or absent: it grows under a temporary name beside
//! its place and is renamed into it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

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
        return Err(Error::TooLarge {
            what: name,
            found: format!("it goes on after {} MiB", most >> 20),
            most: format!("at most {} MiB, for a file of this kind", most >> 20),
        });
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
    let mut file = new_file_beside(&folder).map_err(failed)?;
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
    file.persist(&place).map_err(|e| failed(e.error))?;
    Ok(())
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
            Some(parent) if parent != Path::new("") => new_file_beside(parent),
            _ => new_file_beside(Path::new(".")),
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

#[cfg(unix)]
fn new_file_beside(folder: &Path) -> io::Result<NamedTempFile> {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    // A temporary file is private by default; what a person asked for is theirs to share, as far
    // as their umask says.
    tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
}

#[cfg(not(unix))]
fn new_file_beside(folder: &Path) -> io::Result<NamedTempFile> {
    NamedTempFile::new_in(folder)
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
