//! Running other programs: with live output, named steps, and errors that say what to do next.
//!
//! Every step of every command goes through [`Step`], so a failure always reads the same way:
//! which step, which command line to rerun, and how it ended.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::Write as _,
    io::{self, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// The repository's root folder, whatever the current folder is.
pub fn root() -> PathBuf {
    // Cargo sets the variable when it runs us; the compiled-in value serves a binary started by hand.
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
    let manifest = PathBuf::from(manifest);
    manifest
        .parent()
        .map_or_else(|| manifest.clone(), Path::to_path_buf)
}

/// The cargo that started us, so that a pinned toolchain stays pinned in every step.
pub fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The npm of this platform (`npm.cmd` on Windows, where a `.cmd` is not found by its bare name).
pub fn npm() -> &'static str {
    if cfg!(windows) { "npm.cmd" } else { "npm" }
}

/// Where `program` is, looking through `PATH` as a shell would.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(format!("{program}{}", env::consts::EXE_SUFFIX)))
        .find(|file| file.is_file())
}

/// What a finished step printed, and how it ended.
pub struct Finished {
    /// How the program ended; [`Step::run`] never returns one that failed, [`Step::watch`] may.
    pub status: ExitStatus,
    /// Standard output and standard error together, in the order they arrived.
    pub output: String,
}

/// One named step: a program, its arguments and its environment.
pub struct Step {
    name: String,
    command: Command,
    shown: String,
}

impl Step {
    /// A step called `name` (a few words, shown to the person) that runs `program` in the repository's root.
    pub fn new(name: impl Into<String>, program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let mut command = Command::new(program);
        // Nothing we run may wait for an answer: CI has no keyboard.
        command.current_dir(root()).stdin(Stdio::null());
        Self {
            name: name.into(),
            command,
            shown: short_name(program),
        }
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        for arg in args {
            let arg = arg.as_ref();
            let text = arg.to_string_lossy();
            let quote = text.is_empty() || text.contains([' ', '*', '$', '"', '\'', '(', ';']);
            // Writing to a String cannot fail.
            let _ = if quote {
                write!(self.shown, " '{}'", text.replace('\'', r"'\''"))
            } else {
                write!(self.shown, " {text}")
            };
            self.command.arg(arg);
        }
        self
    }

    /// Sets an environment variable and shows it in the command line to rerun.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        let value = value.as_ref();
        let text = value.to_string_lossy();
        self.shown = if text.contains(' ') {
            format!("{key}='{text}' {}", self.shown)
        } else {
            format!("{key}={text} {}", self.shown)
        };
        self.command.env(key, value);
        self
    }

    /// Sets an environment variable that holds for this run only (a port, say) and that whoever reruns
    /// the step by hand does without.
    pub fn passing_env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Hides an environment variable of ours from the step.
    pub fn without_env(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    /// Runs the step with its output shown as it comes; a failure is an error that names the step.
    pub fn run(mut self) -> Result<()> {
        self.announce();
        let status = self.command.status().with_context(|| self.not_started())?;
        self.check(status)
    }

    /// Like [`run`](Self::run), but gives up after `limit`: for programs that wait on a server that may never answer.
    pub fn run_within(mut self, limit: Duration) -> Result<()> {
        self.announce();
        let mut child = self.command.spawn().with_context(|| self.not_started())?;
        match wait_within(&mut child, limit)? {
            Some(status) => self.check(status),
            None => bail!(
                "{}: no answer within {} s (`{}`)",
                self.name,
                limit.as_secs(),
                self.shown
            ),
        }
    }

    /// Runs the step, shows its output as it comes and also keeps it. A failed exit is not an error here:
    /// the caller reads counts out of the output first.
    pub fn watch(mut self) -> Result<Finished> {
        self.announce();
        if io::stdout().is_terminal() {
            // The child sees pipes, not the terminal: say that colours are still welcome.
            self.command
                .env("CARGO_TERM_COLOR", "always")
                .env("FORCE_COLOR", "1");
        }
        let mut child = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| self.not_started())?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (sender, receiver) = std::sync::mpsc::channel::<Vec<u8>>();
        let err_sender = sender.clone();
        let copy_out = thread::spawn(move || stdout.map(|pipe| tee(pipe, io::stdout(), &sender)));
        let copy_err =
            thread::spawn(move || stderr.map(|pipe| tee(pipe, io::stderr(), &err_sender)));
        // The channel closes when both pipes are at their end.
        let bytes: Vec<u8> = receiver.into_iter().flatten().collect();
        for copier in [copy_out, copy_err] {
            match copier.join() {
                Ok(Some(result)) => {
                    result.with_context(|| format!("{}: reading its output", self.name))?
                }
                Ok(None) => {}
                Err(_) => bail!("{}: the thread that shows its output crashed", self.name),
            }
        }
        let status = child.wait().with_context(|| self.not_started())?;
        Ok(Finished {
            status,
            output: strip_ansi(&String::from_utf8_lossy(&bytes)),
        })
    }

    /// Runs the step silently and returns what it wrote to standard output.
    pub fn read(mut self) -> Result<String> {
        let output = self
            .command
            .stderr(Stdio::piped())
            .output()
            .with_context(|| self.not_started())?;
        if !output.status.success() {
            // What it said is the reason; without it the error would explain nothing.
            bail!(
                "{}: `{}` ended with {}\n{}",
                self.name,
                self.shown,
                output.status,
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned())
    }

    fn announce(&self) {
        println!("== {}\n   {}", self.name, self.shown);
        // The child writes to the same terminal: our line must be out before its first.
        let _ = io::stdout().flush();
    }

    fn not_started(&self) -> String {
        format!(
            "{}: could not start `{}`. Is the program installed and on PATH?",
            self.name, self.shown
        )
    }

    fn check(&self, status: ExitStatus) -> Result<()> {
        if !status.success() {
            bail!(
                "{} failed ({status}). To rerun just this step, in {}:\n  {}",
                self.name,
                root().display(),
                self.shown
            );
        }
        Ok(())
    }
}

/// The shortest name by which a shell would start the same program.
fn short_name(program: &OsStr) -> String {
    let path = Path::new(program);
    let stem = path.file_stem().unwrap_or(program).to_string_lossy();
    // Cargo names itself by its toolchain's path; a person types `cargo`.
    if program == cargo() || find_program(&stem).as_deref() == Some(path) {
        stem.into_owned()
    } else {
        program.to_string_lossy().into_owned()
    }
}

/// Waits for `child` at most `limit`, then ends it; `None` when it had to be ended.
fn wait_within(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Copies `from` to the terminal and to `keep`, chunk by chunk, until it ends.
fn tee(
    mut from: impl Read,
    mut to: impl Write,
    keep: &std::sync::mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    let mut buffer = [0; 8192];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..count])?;
        to.flush()?;
        // The receiver outlives both copiers; if it is gone there is nobody left to tell.
        let _ = keep.send(buffer[..count].to_vec());
    }
}

/// `text` without terminal colour codes, so that counts can be read from it.
pub fn strip_ansi(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
            continue;
        }
        // Only CSI sequences occur here: ESC [ parameters, ended by a letter.
        if chars.next() == Some('[') {
            for c in chars.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_removed() {
        assert_eq!(
            strip_ansi("\u{1b}[32;1m  3 passed\u{1b}[0m, ok"),
            "  3 passed, ok"
        );
        assert_eq!(strip_ansi("plain"), "plain");
        assert_eq!(strip_ansi("cut \u{1b}["), "cut ");
    }

    #[test]
    fn the_shown_command_can_be_pasted() {
        let step = Step::new("x", cargo())
            .args(["test", "a b", "it's"])
            .env("RUSTC", "/usr/bin/rustc");
        assert_eq!(
            step.shown,
            r"RUSTC=/usr/bin/rustc cargo test 'a b' 'it'\''s'"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_hangs_is_ended() {
        let begun = Instant::now();
        let result = Step::new("sleeping", "sleep")
            .args(["30"])
            .run_within(Duration::from_millis(200));
        assert!(begun.elapsed() < Duration::from_secs(10));
        let text = result.map_or_else(|e| e.to_string(), |()| String::new());
        assert!(text.contains("no answer"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn a_failing_step_names_itself_and_its_command() {
        let error = Step::new("doing nothing", "false").run();
        let text = error.map_or_else(|e| e.to_string(), |()| String::new());
        assert!(
            text.contains("doing nothing failed") && text.contains("\n  false"),
            "{text}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn watch_keeps_both_streams_and_the_exit_code() -> Result<()> {
        let done = Step::new("talking", "sh")
            .args(["-c", "echo out; echo err >&2; exit 3"])
            .watch()?;
        assert_eq!(done.status.code(), Some(3));
        assert!(done.output.contains("out\n") && done.output.contains("err\n"));
        Ok(())
    }
}
