//! Colours, dashes and markers: distinguishable without colour, and by people who see few of them.

use plotters::style::RGBColor;

pub const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub const SOFT: RGBColor = RGBColor(0x55, 0x55, 0x55);
pub const AXIS: RGBColor = RGBColor(0x77, 0x77, 0x77);
pub const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
pub const FAINT: RGBColor = RGBColor(0xf0, 0xf0, 0xf0);
pub const MARK: RGBColor = RGBColor(0x44, 0x44, 0x44);

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Marker {
    Circle,
    Triangle,
    Square,
    Diamond,
    /// A triangle on its point.
    Wedge,
    Cross,
}

/// How one series looks wherever it appears in a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    pub colour: RGBColor,
    /// Lengths of strokes and gaps in pixels; empty for a solid line.
    pub dash: &'static [f64],
    pub marker: Marker,
}

/// The four schedulers look as on the page (`www/charts/palette.js`, `www/style.css`).
const POLICIES: [(&str, Look); 4] = [
    ("static-fifo", look(0x46433e, &[1.5, 3.5], Marker::Square)),
    ("dynamic", look(0x0072b2, &[7.0, 4.0], Marker::Triangle)),
    (
        "multi-bin",
        look(0xd55e00, &[9.0, 3.0, 1.5, 3.0], Marker::Diamond),
    ),
    ("multi-bin-dynamic", look(0x009e73, &[], Marker::Circle)),
];

/// The colours of Okabe and Ito (2008) that show on white, the most distinct first.
const COLOURS: [u32; 7] = [
    0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0x46433e, 0xe69f00, 0x56b4e9,
];

const DASHES: [&[f64]; 5] = [
    &[],
    &[7.0, 4.0],
    &[9.0, 3.0, 1.5, 3.0],
    &[1.5, 3.5],
    &[4.0, 2.5],
];

const MARKERS: [Marker; 6] = [
    Marker::Circle,
    Marker::Triangle,
    Marker::Diamond,
    Marker::Square,
    Marker::Wedge,
    Marker::Cross,
];

const fn look(colour: u32, dash: &'static [f64], marker: Marker) -> Look {
    Look {
        colour: rgb(colour),
        dash,
        marker,
    }
}

const fn rgb(hex: u32) -> RGBColor {
    RGBColor((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

/// One look for each name, in order; a scheduler always has its own.
pub fn looks(names: &[String]) -> Vec<Look> {
    let policy = |name: &String| {
        let key = name.to_lowercase().replace(' ', "-");
        POLICIES
            .iter()
            .find(|(policy, _)| *policy == key)
            .map(|(_, look)| *look)
    };
    let taken: Vec<RGBColor> = names
        .iter()
        .filter_map(policy)
        .map(|look| look.colour)
        .collect();
    let free: Vec<RGBColor> = COLOURS
        .into_iter()
        .map(rgb)
        .filter(|colour| !taken.contains(colour))
        .collect();
    let mut used = 0;
    names
        .iter()
        .map(|name| {
            policy(name).unwrap_or_else(|| {
                let at = used;
                used += 1;
                Look {
                    colour: free[at % free.len()],
                    dash: DASHES[at % DASHES.len()],
                    marker: MARKERS[at % MARKERS.len()],
                }
            })
        })
        .collect()
}

/// Viridis (Smith and van der Walt, 2015; CC0), every eighth of its length.
const VIRIDIS: [u32; 9] = [
    0x440154, 0x472d7b, 0x3b528b, 0x2c728e, 0x21918c, 0x28ae80, 0x5ec962, 0xaddc30, 0xfde725,
];

/// The colour at `share` of the map, from 0 (dark violet) to 1 (yellow).
pub fn viridis(share: f64) -> RGBColor {
    let place = share.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let at = (place as usize).min(VIRIDIS.len() - 2);
    let (a, b) = (rgb(VIRIDIS[at]), rgb(VIRIDIS[at + 1]));
    let t = place - at as f64;
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * t + 0.5) as u8;
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// Ink or white, whichever has the greater contrast with `ground` (WCAG 2; a square stands for the
/// curve of sRGB).
pub fn on(ground: RGBColor) -> RGBColor {
    let light = |colour: RGBColor| {
        let part = |c: u8| f64::from(c) / 255.0 * f64::from(c) / 255.0;
        0.2126 * part(colour.0) + 0.7152 * part(colour.1) + 0.0722 * part(colour.2) + 0.05
    };
    let white = RGBColor(255, 255, 255);
    if light(ground) / light(INK) > light(white) / light(ground) {
        INK
    } else {
        white
    }
}
