//! Kernels and decoder on every adapter of this machine.

#[path = "../support/mod.rs"]
mod support;

mod calibrate;
mod decoder;
mod kernels;
mod serve;
