//! Generated traces.

use serde::{Deserialize, Serialize};

/// A generated trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Synthetic {
    pub requests: u32,
}

impl Default for Synthetic {
    fn default() -> Self {
        Synthetic { requests: 10_000 }
    }
}
impl Synthetic {
    pub fn check(&self, _field: &str) -> Result<(), crate::Error> {
        Ok(())
    }
}
