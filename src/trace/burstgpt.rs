//! BurstGPT, releases 1 to 3 (Wang et al., KDD 2025, arXiv 2401.17644; HPMLL/BurstGPT).
//!
//! `Timestamp,[Session ID,Elapsed time,]Model,Request tokens,Response tokens,Total tokens,Log Type`
//! in any order; `Timestamp` counts seconds from midnight of the first day. Lengths are `Request
//! tokens` and `Response tokens`; `Total tokens` is their sum in the releases and is not read, so a
//! file in which it is not their sum is read by its two parts. `Elapsed time` is the time of the
//! original service, not of ours, and is not read either. A failed request has 0 response tokens.

use super::columns::Clock;
use super::table::{Names, REQUIRED, Role};
use super::{Format, TimeUnit};

pub(super) const NAMES: Names = Names {
    format: Format::Burstgpt,
    names: &[
        (Role::Arrival, &["Timestamp"]),
        (Role::Prompt, &["Request tokens"]),
        (Role::Output, &["Response tokens"]),
        (Role::Model, &["Model"]),
        (Role::LogType, &["Log Type"]),
        (Role::Session, &["Session ID"]),
    ],
    required: &REQUIRED,
    clock: Some(Clock::Unit(TimeUnit::S)),
    hash_tokens: None,
};
