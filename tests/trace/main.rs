//! Traces: read, generated, summed up, predicted.

#[path = "../support/mod.rs"]
mod support;

mod predict;
mod read;
mod stats;
mod synth;
