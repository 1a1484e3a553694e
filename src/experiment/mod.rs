//! What a person asks of a scenario beyond one run: the highest rate that keeps a promise, two scenarios on the same seeds, a
//! calibrated GPU with its error, users at several levels of load and the curve through them, the simulator against theory and a real server.
//!
//! An experiment runs scenarios and makes figures of their outcomes; it knows no published study.

pub mod calibrated;
pub mod capacity;
pub mod compare;
pub mod saturation;
pub mod serving;
pub mod validation;
