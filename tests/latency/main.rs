//! Latency models: what is read, fitted and predicted.

#[path = "../support/mod.rs"]
mod support;

mod calibration;
mod measured;
mod model;
mod profile;
mod results;
mod typical;
