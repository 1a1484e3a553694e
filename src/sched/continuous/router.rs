//! Which replica a request goes to.

use serde::{Deserialize, Serialize};

/// How arriving requests are spread over the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Router {
    /// One after the other.
    RoundRobin,
    /// Any with the same chance.
    Random,
    /// The one with the fewest requests, waiting or at work.
    #[default]
    LeastRequests,
    /// The one with the least prompt and predicted output of requests that are not done, tokens.
    LeastWork,
    /// Of two at random the one with fewer requests (Mitzenmacher 2001).
    PowerOfTwo,
    /// Each bin has replicas of its own; of these the one with the fewest requests.
    BinAffinity,
    /// The one that has most of the prompt in its prefix cache; of several the one with the fewest
    /// requests.
    PrefixAffinity,
    /// All requests of a session to the same; requests without one go in turn.
    SessionSticky,
}

impl Router {
    pub const ALL: [Router; 8] = [
        Router::RoundRobin,
        Router::Random,
        Router::LeastRequests,
        Router::LeastWork,
        Router::PowerOfTwo,
        Router::BinAffinity,
        Router::PrefixAffinity,
        Router::SessionSticky,
    ];

    /// Whether it looks at predicted outputs, by themselves or by the bins that they are in.
    pub fn predicts(self) -> bool {
        matches!(self, Router::LeastWork | Router::BinAffinity)
    }
}
