//! Qwen-Bailian's traces (Wang et al., USENIX ATC 2025; alibaba-edu/qwen-bailian-usagetraces-anon), one JSON
//! object per line: Mooncake's names with `timestamp` in seconds and `hash_ids` of 16 tokens each, and
//! `chat_id`, `parent_chat_id` (-1 for a first turn), `type` and `turn`.
//!
//! A first chat and all that go on from it, directly or not, are a session; a parent that the file does not
//! have is its first chat. `input_length` and `hash_ids` are of the whole prompt, history included. `type`
//! becomes the log type; `turn` follows from the parents and is not read.

use super::columns::Clock;
use super::table::{Names, Role};
use super::{Format, TimeUnit};

pub(super) const NAMES: Names = Names {
    format: Format::Bailian,
    names: &[
        (Role::Arrival, &["timestamp"]),
        (Role::Prompt, &["input_length"]),
        (Role::Output, &["output_length"]),
        (Role::Chat, &["chat_id"]),
        (Role::Parent, &["parent_chat_id"]),
        (Role::LogType, &["type"]),
        (Role::HashIds, &["hash_ids"]),
    ],
    required: &[Role::Arrival, Role::Prompt, Role::Output, Role::Chat],
    clock: Some(Clock::Unit(TimeUnit::S)),
    hash_tokens: Some(16),
};
