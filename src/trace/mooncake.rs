//! Mooncake's traces (Qin et al., FAST 2025; kvcache-ai/Mooncake), one JSON object per line:
//! `timestamp` in whole milliseconds, `input_length`, `output_length`, and `hash_ids`, one id per block of
//! 512 prompt tokens, the last of which may be partly filled, equal exactly where the whole prefix up to
//! the block's end is equal. Other tools add a `session_id`.

use super::Format;
use super::columns::Clock;
use super::table::{Names, REQUIRED, Role};

pub(super) const NAMES: Names = Names {
    format: Format::Mooncake,
    names: &[
        (Role::Arrival, &["timestamp"]),
        (Role::Prompt, &["input_length"]),
        (Role::Output, &["output_length"]),
        (Role::HashIds, &["hash_ids"]),
    ],
    required: &REQUIRED,
    clock: Some(Clock::WholeMilliseconds),
    hash_tokens: Some(512),
};
