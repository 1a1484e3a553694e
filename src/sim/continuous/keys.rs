//! By what those that wait are ordered.

use crate::sched::continuous::{Order, Server};
use crate::{Scenario, Trace};

/// By what those that wait are ordered.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    order: Order,
    ageing_per_s: f64,
    request_s: f64,
    /// By label of the log type: level and deadline.
    classes: Vec<(f64, f64)>,
}

impl Keys {
    pub fn new(trace: &Trace, scenario: &Scenario, server: &Server) -> Keys {
        let request_s = scenario.sla.request_s;
        let names = trace.log_type.as_ref().map_or(&[][..], |l| &l.names);
        let class = |name: &String| {
            let found = server.classes.iter().find(|class| class.label == *name);
            found.map_or((0.0, request_s), |class| {
                (class.level, class.deadline_s.unwrap_or(request_s))
            })
        };
        Keys {
            order: server.order,
            ageing_per_s: server.ageing_per_s,
            request_s,
            classes: names.iter().map(class).collect(),
        }
    }

    pub fn of(&self, trace: &Trace, trace_row: usize, predicted: u32, arrival_s: f64) -> f64 {
        let (level, deadline_s) = trace
            .log_type
            .as_ref()
            .and_then(|labels| self.classes.get(usize::from(*labels.ids.get(trace_row)?)))
            .copied()
            .unwrap_or((0.0, self.request_s));
        match self.order {
            Order::Fcfs => arrival_s,
            Order::Sjf => f64::from(predicted) + self.ageing_per_s * arrival_s,
            Order::Edf => arrival_s + deadline_s,
            Order::Priority => level + self.ageing_per_s * arrival_s,
        }
    }
}
