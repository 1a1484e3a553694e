//! The TypeScript declarations and the defaults that the page is checked and written against come
//! from the Rust types. `BATCHSCOPE_UPDATE=1 cargo test --features web,ts,figures,gpu --test types` rewrites
//! the tracked files; without it a stale one fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use batchscope::error::ErrorReport;
use batchscope::experiment::calibrated::ErrorRange;
use batchscope::experiment::capacity::{Fewest, HighestRate, Promise};
use batchscope::experiment::compare::Comparison;
use batchscope::gpu::check::Checked;
use batchscope::gpu::{Options, Plan, Progress, serve};
use batchscope::latency::architecture::{Architecture, Precision};
use batchscope::latency::calibration::Calibration;
use batchscope::latency::hardware::Card;
use batchscope::latency::{StepLatency, StepTimes};
use batchscope::metrics::Summary;
use batchscope::published::Study;
use batchscope::scenario::{Preset, Scenario};
use batchscope::sched::continuous::Server;
use batchscope::web::TraceInfo;
use batchscope::web::gpu::{Derived, Described, GpuModel};
use batchscope::web::lab::Placement;
use batchscope::web::reproduce::{FileErratum, RecognisedFile, Reproduced};
use batchscope::web::serving::ServedLevels;
use batchscope::web::studies::StudyInfo;
use ts_rs::{Config, TS, TypeVisitor};

const MARK: &str = "// Generated from the Rust types by tests/types.rs; do not edit.\n";

/// Declares a type and everything it names, each once.
struct Declarations<'a> {
    config: &'a Config,
    found: BTreeMap<String, String>,
}

impl Declarations<'_> {
    fn add<T: TS + 'static + ?Sized>(&mut self) {
        // Types without a file of their own are the language's: string, number, arrays.
        if T::output_path().is_none() {
            return;
        }
        let name = T::ident(self.config);
        let docs = T::docs().unwrap_or_default();
        let declaration = format!("{docs}export {}\n", T::decl(self.config));
        if let Some(found) = self.found.get(&name) {
            assert!(
                *found == declaration,
                "two types are called {name}; give one another name with #[ts(rename)]"
            );
            return;
        }
        self.found.insert(name, declaration);
        T::visit_dependencies(self);
    }
}

impl TypeVisitor for Declarations<'_> {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        // Containers (Vec, Option, BTreeMap) declare nothing but may hold what does.
        T::visit_generics(self);
        self.add::<T>();
    }
}

#[test]
fn declarations_are_current() {
    let config = Config::new();
    let mut declarations = Declarations {
        config: &config,
        found: BTreeMap::new(),
    };
    // What www/messages.d.ts puts into messages, and what the modules hand out by themselves.
    declarations.add::<Scenario>();
    declarations.add::<Summary>();
    declarations.add::<ErrorReport>();
    declarations.add::<TraceInfo>();
    declarations.add::<Placement>();
    declarations.add::<StepLatency>();
    declarations.add::<StepTimes>();
    declarations.add::<Promise>();
    declarations.add::<Fewest>();
    declarations.add::<HighestRate>();
    declarations.add::<Comparison>();
    declarations.add::<Study>();
    declarations.add::<StudyInfo>();
    declarations.add::<FileErratum>();
    declarations.add::<RecognisedFile>();
    declarations.add::<Reproduced>();
    declarations.add::<GpuModel>();
    declarations.add::<Options>();
    declarations.add::<Plan>();
    declarations.add::<Progress>();
    declarations.add::<Checked>();
    declarations.add::<Calibration>();
    declarations.add::<Described>();
    declarations.add::<Derived>();
    declarations.add::<ErrorRange>();
    declarations.add::<ServedLevels>();
    declarations.add::<serve::Progress>();
    let text: Vec<String> = declarations.found.into_values().collect();
    compare(
        "www/types.d.ts",
        &format!(
            "{MARK}\nexport type * from \"./messages.js\";\n\n{}",
            text.join("\n")
        ),
    );
}

#[test]
fn defaults_are_current() {
    let presets: BTreeMap<&str, Scenario> = Preset::STUDIES
        .iter()
        .map(|preset| (preset.name(), preset.scenario()))
        .collect();
    let presets = serde_json::to_string_pretty(&presets).unwrap_or_default();
    let text = format!(
        "{MARK}\n/** @import {{ Scenario, StepLatencyModel }} from \"./types.js\" */\n\n\
         /** @type {{Scenario}} */\nexport const DEFAULT_SCENARIO = {};\n\n\
         /** Of Llama-3.1-8B on an H100. @type {{StepLatencyModel}} */\nexport const DEFAULT_STEPS = {};\n\n\
         /** @type {{Record<string, Scenario>}} */\nexport const PRESETS = {presets};\n",
        Scenario::default().to_json(),
        serde_json::to_string_pretty(&StepLatency::default()).unwrap_or_default(),
    );
    compare("www/defaults.js", &text);
}

#[test]
fn the_laboratorys_defaults_are_current() {
    let models: Vec<_> = Architecture::PRESETS
        .into_iter()
        .filter(|&name| name != "demo")
        .collect();
    let hardware: BTreeMap<_, _> = Card::all()
        .iter()
        .map(|card| {
            (
                &card.key,
                format!("{}, {} GB", card.hardware.name, card.memory_bytes / 1e9),
            )
        })
        .collect();
    let json = |value| serde_json::to_string_pretty(&value).unwrap_or_default();
    let text = format!(
        "{MARK}\n/** @import {{ ContinuousServer }} from \"../types.js\" */\n\n\
         /** @type {{ContinuousServer}} */\nexport const DEFAULT_SERVER = {};\n\n\
         export const MODELS = {};\n\n\
         /** By rising bandwidth. */\nexport const HARDWARE = {};\n\n\
         /** @type {{Record<string, string>}} */\nexport const HARDWARE_NAME = {};\n\n\
         export const PRECISIONS = {};\n",
        serde_json::to_string_pretty(&Server::default()).unwrap_or_default(),
        json(serde_json::json!(models)),
        json(serde_json::json!(
            Card::all().iter().map(|card| &card.key).collect::<Vec<_>>()
        )),
        json(serde_json::json!(hardware)),
        json(serde_json::json!(Precision::ALL.map(Precision::name))),
    );
    compare("www/lab/defaults.js", &text);
}

#[test]
fn ranges_are_current() {
    let mut text = format!(
        "{MARK}\n/** By path in a scenario. @type {{Record<string, {{min: number, max: number, whole: boolean}}>}} */\n\
         export const RANGES = {{\n"
    );
    for (path, min, max, whole) in batchscope::scenario::describe::ranges() {
        text += &format!("  \"{path}\": {{ min: {min}, max: {max}, whole: {whole} }},\n");
    }
    compare("www/ranges.js", &format!("{text}}};\n"));
}

#[test]
fn choices_are_current() {
    let mut text = format!(
        "{MARK}\n/** The words of each choice of a scenario, by path. @type {{Record<string, string[]>}} */\n\
         export const CHOICES = {{\n"
    );
    for setting in batchscope::scenario::describe::all() {
        let words: Vec<String> = setting.choices.into_iter().map(|(word, _)| word).collect();
        if !words.is_empty() {
            text += &format!("  \"{}\": {},\n", setting.path, serde_json::json!(words));
        }
    }
    compare("tests/node/choices.js", &format!("{text}}};\n"));
}

#[test]
fn the_page_of_settings_is_current() {
    compare("docs/SETTINGS.md", &batchscope::scenario::describe::page());
}

fn compare(file: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("BATCHSCOPE_UPDATE").is_some() {
        fs::write(&path, wanted).unwrap_or_else(|e| panic!("writing {file}: {e}"));
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "{file} is stale; run `BATCHSCOPE_UPDATE=1 cargo test --features web,ts,figures,gpu --test types`"
    );
}
