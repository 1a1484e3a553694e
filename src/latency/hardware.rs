//! Accelerators by their data sheets: peak rates, bandwidth, memory and links.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::architecture::Precision;
use super::work::Work;
use crate::Error;
use crate::error::printable;

/// An accelerator, or several as one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Hardware {
    pub name: String,
    /// Peak rate of dense matrix arithmetic in the precision that is used, FLOP/s.
    pub peak_flops: f64,
    /// Peak memory bandwidth, bytes/s.
    pub bandwidth_bytes_per_s: f64,
    /// Where the two numbers come from.
    pub source: String,
}

impl Hardware {
    /// NVIDIA A40, the accelerator of a published benchmark that the studies quote; the data sheet "a40" says the same.
    pub fn a40() -> Hardware {
        Hardware {
            name: "NVIDIA A40".to_owned(),
            peak_flops: 149.7e12,
            bandwidth_bytes_per_s: 696e9,
            source: "NVIDIA A40 data sheet: 149.7 TFLOP/s FP16 tensor, dense; 696 GB/s".to_owned(),
        }
    }

    /// Model FLOP/s utilisation of a step, fraction of 1 (PaLM, Chowdhery et al. 2022, appendix B):
    /// the arithmetic that the model asks for over what the peak would do in the time.
    pub fn mfu(&self, work: &Work, seconds: f64) -> f64 {
        work.flops / (seconds * self.peak_flops)
    }

    /// Model bandwidth utilisation of a step, fraction of 1: the bytes of weights, keys and values
    /// that the model asks for over what the peak would move in the time.
    pub fn mbu(&self, work: &Work, seconds: f64) -> f64 {
        work.bytes / (seconds * self.bandwidth_bytes_per_s)
    }
}

/// A data sheet. Rates are dense; those of GeForce cards in FP16 are with sums in FP32, which is half the advertised rate,
/// because sums in FP16 are too coarse for a hidden size of thousands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Card {
    /// As on the command line.
    pub key: String,
    /// With the rate of FP16, in which f16, int8 and int4 weights are multiplied; [`Card::hardware_for`]
    /// gives that of any precision.
    pub hardware: Hardware,
    /// Peak rate in FP32, FLOP/s: f32 weights do not run on FP16 tensor cores.
    pub f32_flops: f64,
    /// Peak rate of products in 8 bit floating point, FLOP/s; absent where the hardware has none.
    pub f8_flops: Option<f64>,
    /// bytes, at 1e9 a GB.
    pub memory_bytes: f64,
    /// Most that the board may draw, W; absent where the maker gives none.
    pub power_w: Option<f64>,
    /// The family of chips, as in "hopper".
    pub generation: String,
    /// The link between GPUs; absent where they have PCIe alone.
    pub link: Option<Link>,
    /// Words that a driver's name of this card has, and no other card's.
    #[serde(skip)]
    words: Vec<String>,
}

/// A link between the GPUs of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Link {
    pub name: String,
    /// Of one GPU, in one direction, GB/s.
    pub gb_s: f64,
    /// GPUs that it connects.
    pub domain_gpus: u32,
}

/// A line of hardware.jsonl, and the form of a reader's own file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sheet {
    key: String,
    name: String,
    #[serde(default, rename = "vendor")]
    _vendor: String,
    #[serde(default)]
    generation: String,
    #[serde(default)]
    words: Vec<String>,
    tflops: Rates,
    bandwidth_gb_s: f64,
    memory_gb: f64,
    tdp_w: Option<f64>,
    link: Option<Link>,
    source: String,
}

/// Dense peak rates, TFLOP/s.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rates {
    fp32: f64,
    fp16: f64,
    fp8: Option<f64>,
    #[serde(rename = "fp4")]
    _fp4: Option<f64>,
    #[serde(rename = "int8")]
    _int8: Option<f64>,
}

impl From<Sheet> for Card {
    fn from(sheet: Sheet) -> Card {
        Card {
            key: sheet.key,
            hardware: Hardware {
                name: sheet.name,
                peak_flops: sheet.tflops.fp16 * 1e12,
                bandwidth_bytes_per_s: sheet.bandwidth_gb_s * 1e9,
                source: sheet.source,
            },
            f32_flops: sheet.tflops.fp32 * 1e12,
            f8_flops: sheet.tflops.fp8.map(|rate| rate * 1e12),
            memory_bytes: sheet.memory_gb * 1e9,
            power_w: sheet.tdp_w,
            generation: sheet.generation,
            link: sheet.link,
            words: sheet.words,
        }
    }
}

impl Card {
    /// A data sheet of one's own: the fields of a line of hardware.jsonl, of which `generation`, `words`, `tdp_w` and `link` may
    /// be left out; `file` is for the error's sentence.
    ///
    /// Errors: text that is no such object; a rate, bandwidth or memory that no accelerator has.
    pub fn from_json(text: &str, file: &str) -> Result<Card, Error> {
        let sheet: Sheet = serde_json::from_str(text).map_err(|e| Error::BadScenario {
            file: file.to_owned(),
            line: e.line(),
            column: e.column(),
            field: String::new(),
            problem: crate::json::problem(&e, true),
        })?;
        let known = |name: &str| Self::all().iter().any(|card| card.generation == name);
        if !sheet.generation.is_empty() && !known(&sheet.generation) {
            let mut names: Vec<&str> = Self::all().iter().map(|c| &*c.generation).collect();
            names.sort_unstable();
            names.dedup();
            return Err(Error::bad_field(
                format!("{file}: generation"),
                &sheet.generation,
                format!("{}, or none", names.join(", ")),
            ));
        }
        if sheet.name.chars().any(char::is_control) {
            return Err(Error::bad_field(
                format!("{file}: name"),
                printable(sheet.name.as_bytes()),
                "a name without control characters",
            ));
        }
        let card = Card::from(sheet);
        let numbers = [
            ("tflops.fp16", card.hardware.peak_flops / 1e12),
            ("tflops.fp32", card.f32_flops / 1e12),
            ("tflops.fp8", card.f8_flops.map_or(1.0, |x| x / 1e12)),
            ("bandwidth_gb_s", card.hardware.bandwidth_bytes_per_s / 1e9),
            ("memory_gb", card.memory_bytes / 1e9),
            ("link.gb_s", card.link.as_ref().map_or(1.0, |l| l.gb_s)),
            (
                "link.domain_gpus",
                card.link.as_ref().map_or(1.0, |l| l.domain_gpus.into()),
            ),
        ];
        let bad = |(_, number): &(&str, f64)| !(1e-3..=1e7).contains(number);
        match numbers.into_iter().find(bad) {
            Some((field, number)) => Err(Error::bad_field(
                format!("{file}: {field}"),
                number,
                "from 0.001 to 10000000",
            )),
            None => Ok(card),
        }
    }

    /// Every data sheet, by rising bandwidth.
    pub fn all() -> &'static [Card] {
        static ALL: OnceLock<Vec<Card>> = OnceLock::new();
        ALL.get_or_init(|| {
            include_str!("hardware.jsonl")
                .lines()
                .filter_map(|line| serde_json::from_str::<Sheet>(line).ok())
                .map(Card::from)
                .collect()
        })
    }

    /// The names that [`Card::preset`] knows, by rising bandwidth.
    pub fn names() -> String {
        let names: Vec<&str> = Self::all().iter().map(|card| &*card.key).collect();
        names.join(", ")
    }

    /// A data sheet by its name, in lower case.
    pub fn preset(key: &str) -> Option<Card> {
        Self::all().iter().find(|card| card.key == key).cloned()
    }

    /// The data sheet with the rate at which weights of this precision are multiplied: FP32 outside tensor
    /// cores for f32, whose products no tensor core computes in full precision, and FP16 for all others.
    pub fn hardware_for(&self, precision: Precision) -> Hardware {
        if precision != Precision::F32 {
            return self.hardware.clone();
        }
        Hardware {
            peak_flops: self.f32_flops,
            source: format!(
                "{}; {} TFLOP/s FP32",
                self.hardware.source,
                self.f32_flops / 1e12
            ),
            ..self.hardware.clone()
        }
    }

    /// The card of which a driver speaks, as in "NVIDIA A100-SXM4-80GB"; the mobile version of a card
    /// is not the card.
    pub fn of_adapter(name: &str) -> Option<Card> {
        let name = name.to_lowercase();
        let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).collect();
        let mobile =
            |has: &dyn Fn(&'static str) -> bool| has("laptop") || has("mobile") || has("max-q");
        let adapter_is_mobile = mobile(&|word| words.contains(&word));
        let card = Self::all().iter().find(|card| {
            let is_mobile = mobile(&|word| card.words.iter().any(|w| w == word));
            !card.words.is_empty()
                && card.words.iter().all(|word| words.contains(&&**word))
                && is_mobile == adapter_is_mobile
        });
        card.cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_data_sheet_is_there_under_its_name() {
        let cards = Card::all();
        // Every line of the file was read.
        assert_eq!(cards.len(), include_str!("hardware.jsonl").lines().count());
        assert!(cards.len() >= 45);
        for card in cards {
            assert_eq!(Card::preset(&card.key).as_ref(), Some(card));
            assert!(!card.hardware.source.is_empty());
        }
        assert!(cards.is_sorted_by(|a, b| {
            a.hardware.bandwidth_bytes_per_s <= b.hardware.bandwidth_bytes_per_s
        }));
        assert_eq!(Card::preset("A40"), None);
    }

    #[test]
    fn a_driver_names_its_card() {
        for (name, key) in [
            ("NVIDIA A40", Some("a40")),
            ("NVIDIA RTX A4000", None),
            ("NVIDIA A100-SXM4-80GB", Some("a100")),
            ("NVIDIA A100-PCIE-40GB", None),
            ("NVIDIA H100 80GB HBM3", Some("h100")),
            ("NVIDIA H100 PCIe", Some("h100-pcie")),
            ("NVIDIA H200", Some("h200")),
            (
                "NVIDIA GeForce RTX 4080 Laptop GPU",
                Some("rtx-4080-laptop"),
            ),
            ("NVIDIA GeForce RTX 4080", None),
            ("NVIDIA GeForce RTX 4090", Some("rtx-4090")),
            ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
            ("Apple M2 Pro", Some("m2-pro")),
            ("Apple M2 Max", Some("m2-max")),
            ("NVIDIA L4", Some("l4")),
            ("NVIDIA L40S", Some("l40s")),
            ("llvmpipe (LLVM 19.1.7, 256 bits)", None),
        ] {
            let found = Card::of_adapter(name).map(|card| card.key);
            assert_eq!(found.as_deref(), key, "{name}");
        }
    }
}
