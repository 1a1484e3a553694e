//! Traces and scenarios in, outcomes out: oracles, closed forms, properties and golden figures.

#[path = "../support/mod.rs"]
mod support;

mod closed_forms;
mod continuous_oracle;
mod continuous_traces;
mod device;
mod figures;
mod golden;
mod oracle;
mod properties;
mod scenario;
mod scenarios_doc;
mod settings;
mod step_oracle;
