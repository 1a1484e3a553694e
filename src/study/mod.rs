//! Many runs: the published studies, sweeps and searches. Each study is a plain list of scenarios
//! plus a way to tabulate and draw their outcomes; none has an engine of its own.

pub mod document;
pub mod figure;
