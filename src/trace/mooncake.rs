//! Mooncake's traces (Qin et al., FAST 2025; kvcache-ai/Mooncake), one JSON object per line:
//! `timestamp` in milliseconds, `input_length`, `output_length`, and `hash_ids`, one id per block of
//! 512 prompt tokens, equal exactly where the whole prefix up to the block's end is equal.

use super::Format;
use super::columns::Clock;
use super::table::{Names, Role};

pub(super) const NAMES: Names = Names {
    format: Format::Mooncake,
    names: &[
        (Role::Arrival, &["timestamp"]),
        (Role::Prompt, &["input_length"]),
        (Role::Output, &["output_length"]),
        (Role::HashIds, &["hash_ids"]),
    ],
    clock: Some(Clock::Milliseconds),
    tokens_per_block: 512,
};
