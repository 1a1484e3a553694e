//! The decode model of the dynamic batching paper (Pang, Li, Wang; arXiv 2503.05248): a step of a
//! continuously batched decode takes longer in proportion to the batch.

/// tau_step(b) = base + slope b.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecodeModel {
    pub base_ms: f64,
    pub slope_ms: f64,
}

impl DecodeModel {
    /// The paper's example: 0.22 b + 30 ms.
    pub const PAPER: DecodeModel = DecodeModel {
        base_ms: 30.0,
        slope_ms: 0.22,
    };

    /// tau_step, ms.
    pub fn step_ms(&self, batch: f64) -> f64 {
        self.base_ms + self.slope_ms * batch
    }

    /// Phi(b) = b / tau_step(b), tokens/s: rising and concave.
    pub fn tokens_per_s(&self, batch: f64) -> f64 {
        1e3 * batch / self.step_ms(batch)
    }

    /// What Phi tends to as the batch grows, tokens/s.
    pub fn limit_tokens_per_s(&self) -> f64 {
        1e3 / self.slope_ms
    }

    /// The batch, as a real number, whose step takes exactly `sla_ms`: where Phi is greatest under
    /// the SLA, since it rises.
    pub fn batch_at(&self, sla_ms: f64) -> f64 {
        (sla_ms - self.base_ms) / self.slope_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_two_limits() {
        let model = DecodeModel::PAPER;
        for (sla_ms, batch, tokens) in [(50.0, "91", "1818"), (80.0, "227", "2841")] {
            let b = model.batch_at(sla_ms);
            assert_eq!(format!("{b:.0}"), batch);
            assert_eq!(format!("{:.0}", model.tokens_per_s(b)), tokens);
            assert!((model.step_ms(b) - sla_ms).abs() < 1e-9);
        }
        assert_eq!(format!("{:.0}", model.limit_tokens_per_s()), "4545");
    }
}
