//! A figure as plain data: what is drawn, not how. `report` draws it.

/// One picture: panels in rows of `columns`.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    pub title: String,
    /// One sentence, written from the numbers: the caption and the text for who cannot see it.
    pub caption: String,
    pub columns: usize,
    pub panels: Vec<Panel>,
}

/// One pair of axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Empty where the figure's title says it all.
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub plot: Plot,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// With the unit, as in "P95 latency (s)".
    pub label: String,
    pub scale: Scale,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Scale {
    /// Linear, from 0 where the values allow it.
    Linear,
    /// Linear from 0 to 100, or as far as the values go: panels of shares compare at a glance.
    Percent,
    /// Linear and no wider than the values.
    LinearTight,
    /// Decades.
    Log10,
    /// Powers of two, as fleets and bins are counted.
    Log2,
    /// One place per name; a point's number there counts names from 0. Along y the first is at the top.
    Names(Vec<String>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Plot {
    /// Curves, points, bars and marks over shared axes.
    Series {
        series: Vec<Series>,
        marks: Vec<Mark>,
    },
    /// A coloured cell with its number for each (x, y) of two [`Scale::Names`]; `None` is shown
    /// as "–". `values[y][x]`. `best_low` colours low values as good. Maps with
    /// the same label share their colours.
    Heat {
        values: Vec<Vec<Option<f64>>>,
        /// Name and unit of the value.
        label: String,
        best_low: bool,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// In the legend; a series without a name is not listed there. The same name looks the same in
    /// all panels, and a name that begins with a scheduler's looks as on the page. Dots without a
    /// name right after a curve are that curve's: they share its look and its place in the legend.
    pub name: String,
    pub form: Form,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// `[x, y]`, joined, with a dot at each.
    Line(Vec<[f64; 2]>),
    /// `[x, y]`, joined, without dots: a function, not measurements.
    Curve(Vec<[f64; 2]>),
    /// `[x, y]`, not joined.
    Dots(Vec<[f64; 2]>),
    /// `[x, y, size]`; area in proportion to size, with a key beside the plot.
    Bubbles(Vec<[f64; 3]>),
    /// One bar per name of the x axis; `None` leaves a gap.
    Bars(Vec<Option<f64>>),
    /// `[x, low, high]`: intervals about the points or bars of the series before it, in its colour.
    Whiskers(Vec<[f64; 3]>),
    /// `[x, low, high]`: a band behind the curve of the series before it.
    Band(Vec<[f64; 3]>),
}

/// A thin labelled line across the panel: a limit, a target, a published value.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    pub label: String,
    pub at: At,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum At {
    X(f64),
    Y(f64),
}
