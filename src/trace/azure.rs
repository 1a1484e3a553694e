//! Azure LLM inference traces of 2023 and 2024 (Azure/AzurePublicDataset): `TIMESTAMP,
//! ContextTokens,GeneratedTokens`.
//!
//! Times are calendar times, `2023-11-16 18:17:03.9799600` in 2023 and
//! `2024-05-10 00:00:00.009930+00:00` in 2024; they become seconds since the earliest row.

use super::Format;
use super::columns::Clock;
use super::table::{Names, REQUIRED, Role};

pub(super) const NAMES: Names = Names {
    format: Format::Azure,
    names: &[
        (Role::Arrival, &["TIMESTAMP"]),
        (Role::Prompt, &["ContextTokens"]),
        (Role::Output, &["GeneratedTokens"]),
    ],
    required: &REQUIRED,
    clock: Some(Clock::Calendar),
    hash_tokens: None,
};
