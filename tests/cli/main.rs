//! The command line from outside.

#[path = "../support/mod.rs"]
mod support;

mod adapters;
mod commands;
#[cfg(unix)]
mod robust;
mod serve;
mod settings;
