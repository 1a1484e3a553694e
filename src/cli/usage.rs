//! What is wrong with the arguments, as one sentence of ours instead of clap's block of lines.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, FromArgMatches};

use super::commands::Args;
use crate::Error;
use crate::error::printable;

/// The arguments of this process. The error may also be a request for help or for the version.
pub fn parse() -> Result<Args, clap::Error> {
    parse_from(std::env::args_os())
}

fn parse_from<T: Into<std::ffi::OsString> + Clone>(
    words: impl IntoIterator<Item = T>,
) -> Result<Args, clap::Error> {
    let mut command = taking_negatives(Args::command());
    let matches = command.try_get_matches_from_mut(words)?;
    Args::from_arg_matches(&matches).map_err(|e| e.format(&mut command))
}

/// A negative number is a value, for the flag's own range to refuse, and no unknown flag.
fn taking_negatives(command: Command) -> Command {
    command
        .allow_negative_numbers(true)
        .mut_subcommands(taking_negatives)
}

/// Whether clap only wants to show something.
pub fn is_help(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// The sentence for arguments that clap refused.
pub fn refusal(e: &clap::Error) -> Error {
    let said = |kind| texts(e, kind);
    let first = |kind| said(kind).into_iter().next();
    let argument = first(ContextKind::InvalidArg)
        .or_else(|| first(ContextKind::InvalidSubcommand))
        .map(|text| flag(&text));
    let value = first(ContextKind::InvalidValue).unwrap_or_default();
    let shown = printable(value.as_bytes());
    let problem = match (e.kind(), &argument) {
        (ErrorKind::UnknownArgument, Some(_)) => {
            let like = first(ContextKind::SuggestedArg);
            Some(format!("there is no such argument here{}", advice(like)))
        }
        (ErrorKind::InvalidSubcommand, Some(_)) => {
            let like = first(ContextKind::SuggestedSubcommand);
            Some(format!("there is no such command{}", advice(like)))
        }
        (ErrorKind::InvalidValue, Some(_)) => {
            let wrong = if value.is_empty() {
                "a value is missing".to_owned()
            } else {
                format!("\"{shown}\" is not allowed")
            };
            let allowed = said(ContextKind::ValidValue);
            Some(match allowed.as_slice() {
                [] => wrong,
                allowed => format!("{wrong}; allowed is {}", allowed.join(", ")),
            })
        }
        (ErrorKind::ValueValidation, Some(_)) => {
            let allowed = std::error::Error::source(e).map(ToString::to_string);
            let allowed = allowed.unwrap_or_default();
            Some(format!("\"{shown}\" is not allowed; allowed is {allowed}"))
        }
        (ErrorKind::TooManyValues, Some(_)) => {
            Some(format!("it takes no value, and \"{shown}\" was given"))
        }
        (ErrorKind::ArgumentConflict, Some(argument)) => {
            let others: Vec<String> = said(ContextKind::PriorArg)
                .iter()
                .map(|other| flag(other))
                .filter(|other| other != argument)
                .collect();
            Some(if others.is_empty() {
                "it is given twice; allowed is once".to_owned()
            } else {
                format!("it cannot be used with {}", others.join(", "))
            })
        }
        (ErrorKind::MissingRequiredArgument, Some(_)) => {
            let missing = said(ContextKind::InvalidArg);
            return Error::bad_argument(
                missing.join(", "),
                "it is missing; --help says what it is",
            );
        }
        _ => None,
    };
    match (argument, problem) {
        (Some(argument), Some(problem)) => Error::BadArgument { argument, problem },
        _ => Error::bad_argument("arguments", first_paragraph(&e.render().to_string())),
    }
}

fn texts(e: &clap::Error, kind: ContextKind) -> Vec<String> {
    match e.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

/// "--gpus" of clap's "--gpus <G>"; what is no flag stays, cut to a printable length.
fn flag(text: &str) -> String {
    let name = match text.split_once(" <") {
        Some((name, _)) if name.starts_with('-') => name,
        _ => text,
    };
    printable(name.as_bytes())
}

fn advice(like: Option<String>) -> String {
    like.map_or_else(
        || "; --help lists what is allowed".to_owned(),
        |like| format!("; did you mean {like}?"),
    )
}

fn first_paragraph(text: &str) -> String {
    let lines = text.lines().map(str::trim).take_while(|l| !l.is_empty());
    let joined = lines.collect::<Vec<_>>().join(" ");
    joined
        .strip_prefix("error: ")
        .map_or(joined.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_one_sentence() {
        for (words, wanted) in [
            (
                "run --gpu 1",
                "--gpu: there is no such argument here; did you mean --gpus?",
            ),
            (
                "run -x",
                "-x: there is no such argument here; --help lists what is allowed",
            ),
            ("runn", "runn: there is no such command; did you mean run?"),
            (
                "zzz",
                "zzz: there is no such command; --help lists what is allowed",
            ),
            ("run --gpus", "--gpus: a value is missing"),
            (
                "run --gpus -1",
                "--gpus: \"-1\" is not allowed; allowed is a whole number from 1 to 4096",
            ),
            (
                "run --gpus=1.5",
                "--gpus: \"1.5\" is not allowed; allowed is a whole number from 1 to 4096",
            ),
            (
                "run --scheduler multibin",
                "--scheduler: \"multibin\" is not allowed; allowed is static-fifo, dynamic, multi-bin, \
                 multi-bin-dynamic",
            ),
            (
                "run --gpus 1 --gpus 2",
                "--gpus: it is given twice; allowed is once",
            ),
            (
                "run --rate 1 --time-scale 2",
                "--rate: it cannot be used with --time-scale",
            ),
            (
                "run --think -1,x",
                "--think: \"-1,x\" is not allowed; allowed is MIN,MAX in seconds, as in 0.5,2",
            ),
            (
                "run --json=true",
                "--json: it takes no value, and \"true\" was given",
            ),
            ("fit", "<GRID>: it is missing; --help says what it is"),
            (
                "capacity --fewest-gpus",
                "--rate <PER_S>: it is missing; --help says what it is",
            ),
            (
                "capacity --jobs 0",
                "--jobs: \"0\" is not allowed; allowed is a whole number from 1 to 1024",
            ),
            (
                "sweep --jobs -1",
                "--jobs: \"-1\" is not allowed; allowed is a whole number from 1 to 1024",
            ),
            (
                "reproduce --trace t --jobs 9999",
                "--jobs: \"9999\" is not allowed; allowed is a whole number from 1 to 1024",
            ),
            (
                "study stress-v2 --step 3",
                "--step: \"3\" is not allowed; allowed is 1 or 2",
            ),
            (
                "study stress-v2 --gpu-counts 1,-1",
                "--gpu-counts: \"-1\" is not allowed; allowed is a whole number from 1 to 4096",
            ),
            (
                "study paper --bin-errors -1,x",
                "--bin-errors: \"x\" is not allowed; allowed is a number from 0 to 0.5",
            ),
            (
                "study saturation --think 1,2,3",
                "--think: \"1,2,3\" is not allowed; allowed is MIN,MAX in seconds, as in 0.5,2",
            ),
        ] {
            let words = std::iter::once("batchscope").chain(words.split(' '));
            let error = parse_from(words).err().map(|e| {
                assert_eq!(e.exit_code(), 2);
                refusal(&e).to_string()
            });
            assert_eq!(error.as_deref(), Some(wanted));
        }
    }
}
