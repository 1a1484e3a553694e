//! Presets of the published studies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    StressV2,
    TwoStep,
    ThreeStep,
}
