//! Columns as typed arrays.

use js_sys::{Object, Reflect, Uint32Array};
use wasm_bindgen::prelude::*;

use crate::metrics::Outcome;
use crate::trace::Trace;

/// A plain object from its properties.
pub fn object<const N: usize>(columns: [(&str, JsValue); N]) -> Result<Object, JsValue> {
    let object = Object::new();
    for (name, column) in columns {
        Reflect::set(&object, &JsValue::from_str(name), &column)?;
    }
    Ok(object)
}

/// Every request that was served, batch by batch.
pub fn requests(trace: &Trace, outcome: &Outcome) -> Result<Object, JsValue> {
    let (batches, requests) = (&outcome.batches, &outcome.requests);
    let count = requests.order.len();
    let mut batch = Vec::with_capacity(count);
    let mut gpu = Vec::with_capacity(count);
    let mut start = Vec::with_capacity(count);
    let mut end = Vec::with_capacity(count);
    for i in 0..batches.len() {
        for _ in 0..batches.size[i] {
            batch.push(i as u32);
            gpu.push(u32::from(batches.gpu[i]));
            start.push(batches.start[i]);
            end.push(batches.end(i));
        }
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

fn ints(column: &[u32]) -> JsValue {
    Uint32Array::from(column).into()
}
