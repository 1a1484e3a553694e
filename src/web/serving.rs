//! The calibrate view's side of serving users: the real decoder under a load, and the prediction
//! beside it. With the feature `gpu` alone, as `gpu.rs`.

use js_sys::Function;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::gpu::GpuEngine;
use super::{failure, plain, read};
use crate::error::Error;
use crate::gpu::{Cancel, serve};
use crate::latency::calibration::Calibration;
use crate::report;
use crate::sched::joining::{Load, Record};
use crate::study::document::Content;
use crate::study::saturation::curves::MichaelisMenten;
use crate::study::serving::{self, Comparison, Stack};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str =
    r#"import type { ServeLoad, ServeProgress, ServedLevels } from "../www/types.js";"#;

/// A load at several numbers of users.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ServedLevels {
    /// By rising users.
    pub levels: Vec<ServedLevel>,
    /// For people, with the maximum that the saturation study's curves find.
    pub report: String,
    /// The report and the tables, as `batchscope serve --out` writes them.
    pub files: Vec<ServedFile>,
    /// The maximum of the curve u/(K + u) through the levels, output tokens/s, where they determine
    /// one.
    pub most: Option<f64>,
}

/// One number of users.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ServedLevel {
    pub comparison: Comparison,
    /// Of what was measured, else of what is predicted.
    pub mbu: f64,
    /// Where the data sheet is known.
    pub mfu: Option<f64>,
}

/// A text file.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ServedFile {
    pub name: String,
    pub text: String,
}

#[wasm_bindgen]
impl GpuEngine {
    /// Serves users on the GPU, a level after another; the calibration predicts the same.
    #[wasm_bindgen(unchecked_return_type = "ServedLevels")]
    pub async fn serve(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Calibration")] calibration: JsValue,
        users: Vec<u32>,
        #[wasm_bindgen(unchecked_param_type = "Partial<ServeLoad>")] load: JsValue,
        #[wasm_bindgen(unchecked_param_type = "(progress: ServeProgress) => void")]
        progress: Function,
    ) -> Result<JsValue, JsValue> {
        let calibration: Calibration = read(calibration, "calibration")?;
        let loads = levels(&users, load)?;
        let cancel = Cancel::new();
        self.cancel.replace(cancel.clone());
        let mut report = |now: serve::Progress| {
            let told = plain(&now).and_then(|now| progress.call1(&JsValue::UNDEFINED, &now));
            // Nobody listens any more.
            if told.is_err() {
                cancel.cancel();
            }
        };
        let records = async {
            let device = self.gpu.device().clone();
            let mut decoder =
                serve::decoder(device, &calibration, "the calibration", &loads).await?;
            let stop = || cancel.check().is_err();
            serve::serve(&mut decoder, &loads, &stop, &mut report).await
        }
        .await
        .map_err(|e: Error| failure(&e))?;
        served(&calibration, &loads, Some(&records))
    }

    /// The prediction alone.
    #[wasm_bindgen(unchecked_return_type = "ServedLevels")]
    pub fn predict(
        #[wasm_bindgen(unchecked_param_type = "Calibration")] calibration: JsValue,
        users: Vec<u32>,
        #[wasm_bindgen(unchecked_param_type = "Partial<ServeLoad>")] load: JsValue,
    ) -> Result<JsValue, JsValue> {
        let calibration: Calibration = read(calibration, "calibration")?;
        served(&calibration, &levels(&users, load)?, None)
    }
}

fn levels(users: &[u32], load: JsValue) -> Result<Vec<Load>, JsValue> {
    let load: Load = read(load, "load")?;
    serving::levels(users, &load).map_err(|e| failure(&e))
}

/// `records`: what was measured at each of the loads.
fn served(
    calibration: &Calibration,
    loads: &[Load],
    records: Option<&[Record]>,
) -> Result<JsValue, JsValue> {
    plain(&compare(calibration, loads, records).map_err(|e| failure(&e))?)
}

fn compare(
    calibration: &Calibration,
    loads: &[Load],
    records: Option<&[Record]>,
) -> Result<ServedLevels, Error> {
    let stack = Stack::from(calibration);
    let comparisons = loads
        .iter()
        .enumerate()
        .map(|(i, load)| Comparison::of(&stack, load, records.and_then(|all| all.get(i))))
        .collect::<Result<Vec<_>, _>>()?;
    let files = serving::files(&stack, &comparisons)?
        .into_iter()
        .filter_map(|file| {
            let text = match &file.content {
                Content::Text(text) => text.clone(),
                Content::Table(table) => report::csv(table),
                Content::Json(value) => format!("{value:#}\n"),
                // The page draws its own.
                Content::Figure(_) => return None,
            };
            Some(ServedFile {
                name: file.name,
                text,
            })
        })
        .collect();
    let levels: Vec<_> = comparisons
        .iter()
        .map(|level| level.best().level.clone())
        .collect();
    Ok(ServedLevels {
        report: serving::report(&stack, &comparisons)?,
        files,
        most: MichaelisMenten::fit(&levels)
            .ok()
            .map(|curve| curve.v_max.value),
        levels: comparisons
            .into_iter()
            .map(|comparison| ServedLevel {
                mbu: stack.mbu(comparison.best()),
                mfu: stack.mfu(comparison.best()),
                comparison,
            })
            .collect(),
    })
}
