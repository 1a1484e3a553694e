//! Columns as typed arrays.

use js_sys::{Object, Reflect, Uint8Array, Uint16Array, Uint32Array};
use wasm_bindgen::prelude::*;

use crate::metrics::Outcome;
use crate::sim::Batches;
use crate::trace::Trace;

/// A plain object from its properties.
pub fn object<const N: usize>(columns: [(&str, JsValue); N]) -> Result<Object, JsValue> {
    let object = Object::new();
    for (name, column) in columns {
        Reflect::set(&object, &JsValue::from_str(name), &column)?;
    }
    Ok(object)
}

/// Every batch that was served.
pub fn batches(batches: &Batches) -> Result<Object, JsValue> {
    let end: Vec<f64> = (0..batches.len()).map(|i| batches.end(i)).collect();
    object([
        ("start_s", super::floats(&batches.start)),
        ("end_s", super::floats(&end)),
        ("gpu", Uint16Array::from(batches.gpu.as_slice()).into()),
        ("bin", Uint8Array::from(batches.bin.as_slice()).into()),
        ("first", ints(&batches.first)),
        ("size", ints(&batches.size)),
        ("longest_total", ints(&batches.longest_total)),
        ("longest_output", ints(&batches.longest_output)),
    ])
}

/// Every request that was served; those of a batch stand together.
pub fn requests(trace: &Trace, outcome: &Outcome) -> Result<Object, JsValue> {
    let (batches, requests) = (&outcome.batches, &outcome.requests);
    let count = requests.order.len();
    let (mut batch, mut gpu) = (vec![0_u32; count], vec![0_u32; count]);
    let (mut start, mut end) = (vec![0.0; count], vec![0.0; count]);
    for i in 0..batches.len() {
        // Where its members stand: bins have stretches of their own, so batches do not follow each other.
        let first = batches.first[i] as usize;
        let members = first..first + batches.size[i] as usize;
        batch[members.clone()].fill(i as u32);
        gpu[members.clone()].fill(u32::from(batches.gpu[i]));
        start[members.clone()].fill(batches.start[i]);
        end[members].fill(batches.end(i));
    }
    let arrivals = requests.arrivals(trace);
    let arrival: Vec<f64> = of(requests.order.iter(), |row| arrivals.of(row));
    let prompt: Vec<u32> = of(requests.order.iter(), |row| trace.prompt[row]);
    let output: Vec<u32> = of(requests.order.iter(), |row| trace.output[row]);
    // Predictions are numbered from the window's first row; policies without bins make none.
    let predicted: Vec<u32> = if requests.predicted.is_empty() {
        Vec::new()
    } else {
        of(requests.order.iter(), |row| {
            requests.predicted[row - requests.first_row as usize]
        })
    };
    object([
        ("row", ints(&requests.order)),
        ("arrival_s", super::floats(&arrival)),
        ("start_s", super::floats(&start)),
        ("end_s", super::floats(&end)),
        ("prompt_tokens", ints(&prompt)),
        ("output_tokens", ints(&output)),
        ("predicted_tokens", ints(&predicted)),
        ("batch", ints(&batch)),
        ("gpu", ints(&gpu)),
    ])
}

fn of<'a, T>(rows: impl Iterator<Item = &'a u32>, value: impl Fn(usize) -> T) -> Vec<T> {
    rows.map(|&row| value(row as usize)).collect()
}

pub fn ints(column: &[u32]) -> JsValue {
    Uint32Array::from(column).into()
}
