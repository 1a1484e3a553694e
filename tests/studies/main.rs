//! Studies, searches and their documents.

#[path = "../support/mod.rs"]
mod support;

mod capacity;
mod continuous;
mod contract;
mod paper;
mod report;
mod reproduce;
mod saturation;
mod saturation_study;
mod serving;
mod stress_v2;
mod studies;
mod three_step;
mod two_step;
mod validation;
