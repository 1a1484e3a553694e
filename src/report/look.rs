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

/// The four schedulers, static FIFO, dynamic, multi-bin and multi-bin dynamic, look as on the page (`www/charts/palette.js`, `www/style.css`).
const POLICIES: [Look; 4] = [
    look(0x46433e, &[1.5, 3.5], Marker::Square),
    look(0x0072b2, &[7.0, 4.0], Marker::Triangle),
    look(0xd55e00, &[9.0, 3.0, 1.5, 3.0], Marker::Diamond),
    look(0x009e73, &[], Marker::Circle),
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

/// The scheduler that a name begins with: "Dynamic No-Bins (1 GPU)", "Multi-Bin K=8". The published
/// studies write "Multi-Bin K=8" for multi-bin dynamic and "Full Multi-Bin" for multi-bin.
fn policy(name: &str) -> Option<usize> {
    let key = name.to_lowercase().replace(' ', "-");
    let begins = |starts: &[&str]| starts.iter().any(|start| key.starts_with(start));
    if begins(&["static-fifo", "static-batch"]) {
        Some(0)
    } else if key == "dynamic" || begins(&["dynamic-no-bins", "dynamic-batching"]) {
        Some(1)
    } else if key == "multi-bin" || begins(&["full-multi-bin"]) {
        Some(2)
    } else if begins(&[
        "multi-bin-dynamic",
        "multi-bin-k=",
        "multi-bin-(",
        "multibin+dynamic",
    ]) {
        Some(3)
    } else {
        None
    }
}

/// A scheduler's look for its first, second and third series of a figure, as of three fleets: one
/// hue, from its own to a darker and a lighter one.
fn shade(look: Look, nth: usize) -> Look {
    let towards = |end: u8, share: f64| {
        let mix = |c: u8| (f64::from(c) + (f64::from(end) - f64::from(c)) * share + 0.5) as u8;
        RGBColor(mix(look.colour.0), mix(look.colour.1), mix(look.colour.2))
    };
    match nth {
        0 => look,
        1 => Look {
            colour: towards(0, 0.5),
            dash: DASHES[1],
            marker: Marker::Wedge,
        },
        _ => Look {
            colour: towards(255, 0.4),
            dash: DASHES[2],
            marker: Marker::Cross,
        },
    }
}

/// One look for each name, in order; a scheduler has its own colour, and up to three series of one
/// scheduler have shades of it.
pub fn looks(names: &[String]) -> Vec<Look> {
    const SHADES: usize = 3;
    // Names of fleets, as "Multi-Bin K=8 (4 GPUs)", are counted apart from those without: a panel
    // of its own about a scheduler keeps its look.
    let mut of_policy = [[0; 2]; POLICIES.len()];
    let known: Vec<Option<Look>> = names
        .iter()
        .map(|name| {
            let at = policy(name)?;
            let look = POLICIES.get(at)?;
            let nth = of_policy
                .get_mut(at)?
                .get_mut(usize::from(name.contains(" GPU")))?;
            *nth += 1;
            (*nth <= SHADES).then(|| shade(*look, *nth - 1))
        })
        .collect();
    let taken: Vec<RGBColor> = known.iter().flatten().map(|look| look.colour).collect();
    let free: Vec<RGBColor> = COLOURS
        .into_iter()
        .map(rgb)
        .filter(|colour| !taken.contains(colour))
        .collect();
    let mut used = 0;
    // Beside schedulers, not the circle and solid line of one of them.
    let aside = if taken.is_empty() {
        0
    } else {
        MARKERS.len() - 2
    };
    known
        .into_iter()
        .map(|known| {
            known.unwrap_or_else(|| {
                let at = used;
                used += 1;
                Look {
                    colour: free[at % free.len()],
                    dash: DASHES[(at + aside) % DASHES.len()],
                    marker: MARKERS[(at + aside) % MARKERS.len()],
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduler_has_one_hue_whatever_a_study_calls_it() {
        let of = |names: &[&str]| -> Vec<RGBColor> {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            looks(&names).iter().map(|look| look.colour).collect()
        };
        let page = of(&["static FIFO", "dynamic", "multi-bin", "multi-bin dynamic"]);
        let studies = of(&[
            "Static Batch (1 GPU)",
            "Dynamic No-Bins (1 GPU)",
            "Full Multi-Bin K=8",
            "Multi-Bin K=8 (1 GPU)",
        ]);
        assert_eq!(page, studies);
        let fleets = of(&[
            "Multi-Bin K=8 (1 GPU)",
            "Multi-Bin K=8 (2 GPUs)",
            "Multi-Bin K=8 (4 GPUs)",
            "Multi-Bin dynamic",
            "Optimized",
        ]);
        assert_eq!((fleets[0], fleets[3]), (page[3], page[3]));
        assert!(fleets[1] != fleets[0] && fleets[2] != fleets[0] && fleets[1] != fleets[2]);
        assert!(!fleets[..4].contains(&fleets[4]));
    }
}
