//! Where everything of a figure lies, before any stroke. All lengths are pixels of the SVG at its own
//! size.

use plotters::coord::ranged1d::Ranged;

use super::{
    axis::{Place, Wish},
    look::{Look, looks},
    paper::{Font, UNIT, units},
};
use crate::{
    error::Error,
    report::figure::{At, Figure, Form, Mark, Panel, Plot, Scale, Series},
};

/// Width of a figure of up to three columns: a column of text on a page or a screen.
const WIDTH: f64 = 900.0;
/// Width of a panel where there are more.
const NARROWEST: f64 = 300.0;
pub const MARGIN: f64 = 16.0;
const GAP: f64 = 20.0;

pub const TITLE: f64 = 18.0;
pub const CAPTION: f64 = 12.5;
pub const HEADING: f64 = 14.0;
pub const LABEL: f64 = 12.5;
pub const TICK: f64 = 11.5;
pub const SMALL: f64 = 11.0;
/// From one line's middle to the next, as a multiple of the letters' size.
pub const LEADING: f64 = 1.3;
/// Width of a line of text that reads upwards.
const TURNED: f64 = TICK * LEADING;

/// The space after a legend's sample and after each entry.
pub const AFTER_SAMPLE: f64 = 6.0;
pub const AFTER_ENTRY: f64 = 18.0;
pub const ENTRY: f64 = 19.0;
pub const BAR: f64 = 140.0;
/// Width of the key to the bubbles' sizes.
pub const KEY: f64 = 72.0;

/// Where everything of a figure lies.
pub struct Plan<'f> {
    pub font: &'f Font,
    pub width: f64,
    pub height: f64,
    pub title: Vec<String>,
    pub caption: Vec<String>,
    /// The legend of all panels, where they have the same.
    pub legend: Legend,
    pub panels: Vec<Laid<'f>>,
    /// The sizes of bubbles that the key shows, the largest first.
    pub sizes: Vec<f64>,
}

/// One panel, laid out.
pub struct Laid<'f> {
    pub panel: &'f Panel,
    /// The look of each series.
    pub looks: Vec<Look>,
    pub x: Place,
    pub y: Place,
    /// Left edge of the panel and of its plot, and the plot's right edge.
    pub edge: f64,
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    /// Where the heading begins, the same for all of a row.
    pub head: f64,
    pub heading: Vec<String>,
    pub legend: Legend,
    pub colours: Option<Colours>,
    pub note: Vec<String>,
    pub x_texts: Vec<(f64, Vec<String>)>,
    pub turned: bool,
    pub x_label: Vec<String>,
    pub y_texts: Vec<(f64, Vec<String>)>,
    pub y_label: Vec<String>,
    /// Width of the texts at the y axis.
    pub y_width: f64,
    /// Marks of x: value, text, row above the plot.
    pub x_marks: Vec<(f64, String, usize)>,
    /// Marks of y: value and lines beside the plot.
    pub y_marks: Vec<(f64, Vec<String>)>,
    pub x_values: Vec<f64>,
    pub turned_height: f64,
    /// Nothing of the panel can be drawn.
    pub empty: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Legend {
    pub entries: Vec<Entry>,
    /// Width that each row may take.
    pub width: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub name: String,
    /// The name, cut to the legend's width.
    pub text: String,
    pub sample: Sample,
    pub look: Look,
    pub width: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sample {
    Line,
    Curve,
    Dot,
    Bubble,
    Bar,
    Whisker,
    Band,
}

impl Sample {
    pub fn width(self) -> f64 {
        match self {
            Sample::Line | Sample::Curve | Sample::Band => 30.0,
            Sample::Dot | Sample::Bubble | Sample::Bar | Sample::Whisker => 12.0,
        }
    }
}

/// What a heat map's colours mean.
#[derive(Debug, Clone)]
pub struct Colours {
    pub low: f64,
    pub high: f64,
    pub best_low: bool,
    pub text: String,
}

impl<'f> Plan<'f> {
    pub fn of(figure: &'f Figure, font: &'f Font) -> Result<Plan<'f>, Error> {
        const MOST_PANELS: usize = 1000;
        let wrong = |why: String| Error::contradiction(format!("figure \"{}\"", figure.title), why);
        let count = figure.panels.len();
        if figure.columns == 0 || count == 0 || count > MOST_PANELS {
            return Err(wrong(format!(
                "it has {count} panels in {} columns; allowed are 1 to {MOST_PANELS} panels in at \
                 least one column",
                figure.columns
            )));
        }
        for panel in &figure.panels {
            check(panel).map_err(&wrong)?;
        }
        let columns = figure.columns.min(count);
        let width = WIDTH.max(columns as f64 * NARROWEST);
        let inner = width - 2.0 * MARGIN;
        let panel_width = (inner - GAP * (columns - 1) as f64) / columns as f64;

        // A name looks the same in every panel.
        let mut names: Vec<String> = Vec::new();
        for key in figure.panels.iter().flat_map(keys) {
            if !names.contains(&key) {
                names.push(key);
            }
        }
        let looks = looks(&names);
        let look_of = |key: &String| looks[names.iter().position(|n| n == key).unwrap_or_default()];

        let mut panels: Vec<Laid> = figure
            .panels
            .iter()
            .enumerate()
            .map(|(i, panel)| {
                let edge = MARGIN + (i % columns) as f64 * (panel_width + GAP);
                let colours = colours(panel, &figure.panels);
                let mut laid = Laid::new(panel, font, edge, panel_width, columns, colours);
                laid.looks = keys(panel).iter().map(look_of).collect();
                laid.legend.entries = entries(panel, &laid.looks, font, panel_width);
                laid
            })
            .collect();

        let mut legend = Legend::default();
        let with: Vec<&Legend> = panels
            .iter()
            .filter(|laid| matches!(laid.panel.plot, Plot::Series { .. }))
            .map(|laid| &laid.legend)
            .collect();
        if with.len() > 1 && with.iter().all(|other| other.entries == with[0].entries) {
            legend.entries = with[0].entries.clone();
            legend.width = inner;
            for laid in &mut panels {
                laid.legend.entries.clear();
            }
        }

        let title = font.wrap(&figure.title, TITLE, inner, 4);
        let caption = font.wrap(&figure.caption, CAPTION, inner, 20);
        let mut y = MARGIN
            + lines(&title, TITLE)
            + lines(&caption, CAPTION)
            + if title.len() + caption.len() > 0 {
                8.0
            } else {
                0.0
            };
        let legend_rows = legend.rows().len() as f64 * ENTRY;
        y += if legend_rows > 0.0 {
            legend_rows + 6.0
        } else {
            0.0
        };

        // Plots of a column share their edges; those of a row their height.
        for column in 0..columns {
            let of_column = || (column..count).step_by(columns);
            let left = of_column().map(|i| panels[i].left).fold(0.0, f64::max);
            let right = of_column()
                .map(|i| panels[i].right)
                .fold(f64::INFINITY, f64::min);
            for i in of_column() {
                panels[i].left = left;
                panels[i].right = right;
                panels[i].lay_x(font);
            }
        }
        for row in panels.chunks_mut(columns) {
            let above = row.iter().map(Laid::above).fold(0.0, f64::max);
            let below = row.iter().map(Laid::below).fold(0.0, f64::max);
            let height = row.iter().map(|p| p.bottom - p.top).fold(0.0, f64::max);
            for laid in row {
                laid.head = y;
                laid.top = y + above;
                laid.bottom = laid.top + height;
            }
            y += above + height + below + GAP;
        }
        Ok(Plan {
            font,
            width,
            height: (y - GAP + MARGIN).ceil(),
            title,
            caption,
            legend,
            panels,
            sizes: key_sizes(figure),
        })
    }

    /// In backend units.
    pub fn size(&self) -> (u32, u32) {
        (
            units(self.width).unsigned_abs(),
            units(self.height).unsigned_abs(),
        )
    }
}

/// What makes a panel impossible to draw.
fn check(panel: &Panel) -> Result<(), String> {
    let place = |name: &str| format!("panel \"{}\": {name}", panel.title);
    match (&panel.plot, &panel.x.scale, &panel.y.scale) {
        (Plot::Heat { values, .. }, Scale::Names(xs), Scale::Names(ys)) => {
            if values.len() != ys.len() || values.iter().any(|row| row.len() != xs.len()) {
                return Err(place(&format!(
                    "a heat map of {} by {} names needs as many values",
                    xs.len(),
                    ys.len()
                )));
            }
        }
        (Plot::Heat { .. }, _, _) => {
            return Err(place("a heat map needs names along both axes"));
        }
        (Plot::Series { series, .. }, x, _) => {
            for one in series {
                if let Form::Bars(bars) = &one.form {
                    match x {
                        Scale::Names(names) if names.len() == bars.len() => {}
                        _ => {
                            return Err(place(&format!(
                                "the {} bars of \"{}\" need as many names along x",
                                bars.len(),
                                one.name
                            )));
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// The series of a panel; none for a heat map.
pub fn series(panel: &Panel) -> (&[Series], &[Mark]) {
    match &panel.plot {
        Plot::Series { series, marks } => (series, marks),
        Plot::Heat { .. } => (&[], &[]),
    }
}

/// What gives each series its look: its name, its place where it has none, and for what lies about
/// the series before it, that one's.
fn keys(panel: &Panel) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for (i, one) in series(panel).0.iter().enumerate() {
        let about = matches!(one.form, Form::Whiskers(_) | Form::Band(_)) || of_curve(panel, i);
        let key = match keys.last() {
            Some(before) if about => before.clone(),
            // No name has a control character in what is drawn.
            _ if one.name.is_empty() => format!("\u{1}{i}"),
            _ => one.name.clone(),
        };
        keys.push(key);
    }
    keys
}

/// Whether series `i` is the dots of the curve before it.
fn of_curve(panel: &Panel, i: usize) -> bool {
    let series = series(panel).0;
    let before = i.checked_sub(1).and_then(|at| series.get(at));
    matches!(before, Some(one) if matches!(one.form, Form::Curve(_)))
        && matches!(series.get(i), Some(one) if one.name.is_empty() && matches!(one.form, Form::Dots(_)))
}

fn entries(panel: &Panel, looks: &[Look], font: &Font, width: f64) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (i, (one, look)) in series(panel)
        .0
        .iter()
        .zip(looks.iter().copied())
        .enumerate()
    {
        if one.name.is_empty() || entries.iter().any(|e| e.name == one.name) {
            continue;
        }
        let sample = match one.form {
            Form::Line(_) => Sample::Line,
            Form::Curve(_) if of_curve(panel, i + 1) => Sample::Line,
            Form::Curve(_) => Sample::Curve,
            Form::Dots(_) => Sample::Dot,
            Form::Bubbles(_) => Sample::Bubble,
            Form::Bars(_) => Sample::Bar,
            Form::Whiskers(_) => Sample::Whisker,
            Form::Band(_) => Sample::Band,
        };
        let before = sample.width() + AFTER_SAMPLE;
        let text = font.cut(&one.name, TICK, width - before);
        entries.push(Entry {
            width: before + font.width(&text, TICK) + AFTER_ENTRY,
            text,
            name: one.name.clone(),
            sample,
            look,
        });
    }
    entries
}

/// The meaning of a heat map's colours; maps of the same quantity in one figure share it.
fn colours(panel: &Panel, all: &[Panel]) -> Option<Colours> {
    let Plot::Heat {
        label, best_low, ..
    } = &panel.plot
    else {
        return None;
    };
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for other in all {
        if let Plot::Heat {
            values, label: l, ..
        } = &other.plot
            && l == label
        {
            for value in values.iter().flatten().flatten() {
                if Place::fits(&Scale::Linear, *value) {
                    low = low.min(*value);
                    high = high.max(*value);
                }
            }
        }
    }
    Some(Colours {
        low,
        high,
        best_low: *best_low,
        text: format!("{label}; yellow is best"),
    })
}

impl Colours {
    /// Place of a value in the map of colours, from 0 (worst) to 1 (best).
    pub fn share(&self, value: f64) -> f64 {
        let share = if self.high <= self.low {
            0.5
        } else if self.low > 0.0 && self.high / self.low > 100.0 {
            libm::log10(value / self.low) / libm::log10(self.high / self.low)
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if self.best_low { 1.0 - share } else { share }
    }
}

impl Legend {
    /// The entries of each row.
    pub fn rows(&self) -> Vec<&[Entry]> {
        let mut rows = Vec::new();
        let (mut from, mut used) = (0, 0.0);
        for (i, entry) in self.entries.iter().enumerate() {
            if i > from && used + entry.width - AFTER_ENTRY > self.width {
                rows.push(&self.entries[from..i]);
                (from, used) = (i, 0.0);
            }
            used += entry.width;
        }
        if from < self.entries.len() {
            rows.push(&self.entries[from..]);
        }
        rows
    }
}

/// Height of lines of text.
pub fn lines(texts: &[String], size: f64) -> f64 {
    texts.len() as f64 * size * LEADING
}

fn widest(texts: &[String], font: &Font, size: f64) -> f64 {
    texts
        .iter()
        .map(|text| font.width(text, size))
        .fold(0.0, f64::max)
}

/// The largest, a middle and the least size of bubble in a figure.
fn key_sizes(figure: &Figure) -> Vec<f64> {
    let mut sizes: Vec<f64> = figure
        .panels
        .iter()
        .flat_map(|panel| series(panel).0)
        .filter_map(|one| match &one.form {
            Form::Bubbles(points) => Some(points),
            _ => None,
        })
        .flatten()
        .map(|p| p[2])
        .filter(|size| bubble(*size))
        .collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    sizes.dedup();
    if let (Some(&most), Some(&least)) = (sizes.first(), sizes.last()) {
        // Radii grow with the root: a quarter of the largest is half as wide.
        let middle = sizes.iter().copied().find(|size| *size <= most / 4.0);
        sizes = vec![most];
        sizes.extend(middle.filter(|size| *size > least));
        sizes.extend((least < most).then_some(least));
    }
    sizes
}

/// Whether a bubble of this size can be drawn.
pub fn bubble(size: f64) -> bool {
    size > 0.0 && Place::fits(&Scale::Linear, size)
}

/// Values of a panel that its axes have a place for, and how many they have none for.
struct Values {
    x: Vec<f64>,
    y: Vec<f64>,
    left_out: usize,
}

fn values(panel: &Panel) -> Values {
    let (x, y) = (&panel.x.scale, &panel.y.scale);
    let mut found = Values {
        x: Vec::new(),
        y: Vec::new(),
        left_out: 0,
    };
    let mut take = |at: Option<f64>, across: &[f64], extra: bool| {
        if extra
            && at.is_none_or(|v| Place::fits(x, v))
            && across.iter().all(|v| Place::fits(y, *v))
        {
            found.x.extend(at);
            found.y.extend(across);
        } else {
            found.left_out += 1;
        }
    };
    let (series, marks) = series(panel);
    for one in series {
        match &one.form {
            Form::Line(points) | Form::Curve(points) | Form::Dots(points) => {
                points.iter().for_each(|p| take(Some(p[0]), &[p[1]], true));
            }
            Form::Bubbles(points) => points
                .iter()
                .for_each(|p| take(Some(p[0]), &[p[1]], bubble(p[2]))),
            Form::Bars(bars) => bars.iter().flatten().for_each(|v| take(None, &[*v], true)),
            Form::Whiskers(points) | Form::Band(points) => points
                .iter()
                .for_each(|p| take(Some(p[0]), &[p[1], p[2]], true)),
        }
    }
    for mark in marks {
        match mark.at {
            At::X(v) => take(Some(v), &[], true),
            At::Y(v) => take(None, &[v], true),
        }
    }
    if let Plot::Heat { values, .. } = &panel.plot {
        found.left_out += values
            .iter()
            .flatten()
            .flatten()
            .filter(|v| !Place::fits(&Scale::Linear, **v))
            .count();
    }
    found
}

impl<'f> Laid<'f> {
    /// Everything but the places along x, which need the plot's width.
    fn new(
        panel: &'f Panel,
        font: &Font,
        edge: f64,
        width: f64,
        columns: usize,
        colours: Option<Colours>,
    ) -> Laid<'f> {
        let found = values(panel);
        let (series, marks) = series(panel);
        let rows = match &panel.y.scale {
            Scale::Names(names) => names.len() as f64,
            _ => 0.0,
        };
        let height = match (&panel.plot, columns) {
            (Plot::Heat { .. }, _) => (rows * 34.0).clamp(100.0, 480.0),
            (_, 1) => 340.0,
            (_, 2) => 250.0,
            _ => 210.0,
        }
        .max((rows * 16.0).min(480.0));
        let room = series.iter().fold(0.03, |room: f64, one| {
            room.max(match &one.form {
                Form::Bubbles(_) => 0.1,
                Form::Bars(_) => 0.07,
                _ => 0.03,
            })
        });
        let wish = Wish {
            zero: series.iter().any(|one| matches!(one.form, Form::Bars(_))),
            room,
            ticks: height / 38.0,
        };
        let y = Place::new(&panel.y.scale, found.y.iter().copied(), wish);

        let named = matches!(panel.y.scale, Scale::Names(_));
        let pitch = height / rows.max(1.0);
        let every = (14.0 / pitch).ceil().max(1.0) as usize;
        let y_texts: Vec<(f64, Vec<String>)> = y
            .ticks
            .iter()
            .step_by(if named { every } else { 1 })
            .map(|(v, text)| {
                let most = if named {
                    ((pitch / 15.0) as usize).clamp(1, 3)
                } else {
                    1
                };
                (*v, font.wrap(text, TICK, (width * 0.25).min(150.0), most))
            })
            .collect();
        let ticks_width = y_texts
            .iter()
            .map(|(_, texts)| widest(texts, font, TICK))
            .fold(0.0, f64::max);
        let y_label = font.wrap(&panel.y.label, LABEL, height + 20.0, 2);
        let label_height = lines(&y_label, LABEL);
        let left = edge
            + ticks_width
            + 8.0
            + if y_label.is_empty() {
                0.0
            } else {
                label_height + 4.0
            };

        let y_marks: Vec<(f64, Vec<String>)> = marks
            .iter()
            .filter_map(|mark| match mark.at {
                At::Y(v) if Place::fits(&panel.y.scale, v) => {
                    let room = (width * 0.15).clamp(60.0, 110.0);
                    Some((v, font.wrap(&mark.label, SMALL, room, 3)))
                }
                _ => None,
            })
            .collect();
        let beside = y_marks
            .iter()
            .map(|(_, texts)| widest(texts, font, SMALL))
            .fold(0.0, f64::max);
        let bubbles = series
            .iter()
            .any(|one| matches!(one.form, Form::Bubbles(_)));
        let key = if bubbles { KEY } else { 0.0 };
        let right = edge + width - key - if beside > 0.0 { beside + 8.0 } else { 12.0 };

        let mut note = Vec::new();
        if found.left_out > 0 {
            let text = format!(
                "{} left out: not a number, or no place on these axes",
                match found.left_out {
                    1 => "1 value".to_owned(),
                    n => format!("{n} values"),
                }
            );
            note = font.wrap(&text, SMALL, width, 2);
        }
        let empty = match &panel.plot {
            Plot::Heat { values, .. } => !values.iter().flatten().any(|v| v.is_some()),
            Plot::Series { .. } => found.x.is_empty() && found.y.is_empty(),
        };
        Laid {
            panel,
            looks: Vec::new(),
            // Laid anew when the plot's width is known.
            x: y.clone(),
            y,
            edge,
            left,
            right,
            top: 0.0,
            bottom: height,
            head: 0.0,
            heading: font.wrap(&panel.title, HEADING, width, 3),
            legend: Legend {
                entries: Vec::new(),
                width,
            },
            colours: colours.map(|c| Colours {
                text: font.cut(&c.text, SMALL, width - BAR - 84.0),
                ..c
            }),
            note,
            x_texts: Vec::new(),
            turned: false,
            turned_height: 0.0,
            x_label: Vec::new(),
            y_texts,
            y_label,
            y_width: ticks_width,
            x_marks: Vec::new(),
            y_marks,
            x_values: found.x,
            empty,
        }
    }

    fn lay_x(&mut self, font: &Font) {
        let width = self.right - self.left;
        let panel = self.panel;
        self.x_label = font.wrap(&panel.x.label, LABEL, width + 20.0, 2);
        let values = std::mem::take(&mut self.x_values);
        let bubbles = series(panel)
            .0
            .iter()
            .any(|one| matches!(one.form, Form::Bubbles(_)));
        let mut wish = Wish {
            zero: false,
            room: if bubbles { 0.06 } else { 0.03 },
            ticks: width / 70.0,
        };
        self.x = Place::new(&panel.x.scale, values.iter().copied(), wish);
        self.x.reversed = false;
        if let Scale::Names(names) = &panel.x.scale {
            let slot = width / names.len().max(1) as f64;
            let longest = names
                .iter()
                .flat_map(|name| name.split_inclusive([' ', '-', '/']))
                .map(|piece| font.width(piece.trim_end(), TICK))
                .fold(0.0, f64::max);
            let flat: Vec<Vec<String>> = names
                .iter()
                .map(|name| font.wrap(name, TICK, slot - 3.0, 4))
                .collect();
            self.turned = longest > slot - 3.0 || flat.iter().any(|texts| texts.len() > 3);
            if self.turned {
                self.x.thin((TURNED / slot).ceil().max(1.0) as usize);
                let most = ((slot / TURNED) as usize).clamp(1, 2);
                self.x_texts = self
                    .x
                    .ticks
                    .iter()
                    .map(|(v, name)| (*v, font.wrap(name, TICK, 130.0, most)))
                    .collect();
                self.turned_height = self
                    .x_texts
                    .iter()
                    .map(|(_, texts)| widest(texts, font, TICK))
                    .fold(0.0, f64::max);
            } else {
                self.x_texts = self.x.ticks.iter().map(|t| t.0).zip(flat).collect();
            }
        } else {
            if panel.x.scale == Scale::Log2 {
                // Fleets and bins: a tick at each number that was run, if there are few.
                let mut at = values.clone();
                at.sort_by(f64::total_cmp);
                at.dedup();
                if (2..=10).contains(&at.len()) {
                    self.x.tick_at(&at);
                }
                wish.ticks = width / 30.0;
                if !fit(&self.x, font, width) || at.len() > 10 {
                    self.x = Place::new(&panel.x.scale, values.iter().copied(), wish);
                }
            }
            for _ in 0..8 {
                if fit(&self.x, font, width) {
                    break;
                }
                wish.ticks *= 0.75;
                self.x = Place::new(&panel.x.scale, values.iter().copied(), wish);
            }
            while !fit(&self.x, font, width) && self.x.ticks.len() > 1 {
                self.x.thin(2);
            }
            self.x_texts = self
                .x
                .ticks
                .iter()
                .map(|(v, text)| (*v, vec![text.clone()]))
                .collect();
        }
        self.lay_marks(font);
    }

    /// Puts the labels of marks of x into rows in which they do not touch.
    fn lay_marks(&mut self, font: &Font) {
        let mut marks: Vec<(f64, String)> = series(self.panel)
            .1
            .iter()
            .filter_map(|mark| match mark.at {
                At::X(v) if Place::fits(&self.panel.x.scale, v) => {
                    Some((v, font.cut(&mark.label, SMALL, 220.0)))
                }
                _ => None,
            })
            .collect();
        marks.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut ends: Vec<f64> = Vec::new();
        for (value, text) in marks {
            let half = font.width(&text, SMALL) / 2.0;
            let centre = self.mark_centre(value, half);
            let row = ends.iter().position(|end| centre - half > end + 8.0);
            let row = row.unwrap_or_else(|| {
                ends.push(0.0);
                ends.len() - 1
            });
            ends[row] = centre + half;
            self.x_marks.push((value, text, row));
        }
    }

    /// Where the text of a mark of x is centred: over its line, but within the panel.
    pub fn mark_centre(&self, value: f64, half: f64) -> f64 {
        self.x_at(value)
            .min(self.right + 10.0 - half)
            .max(self.left + half)
    }

    /// Pixel of a value along x.
    pub fn x_at(&self, value: f64) -> f64 {
        f64::from(self.x.map(&value, (units(self.left), units(self.right)))) / UNIT
    }

    /// Pixel of a value along y.
    pub fn y_at(&self, value: f64) -> f64 {
        let (from, to) = self.y_ends();
        f64::from(self.y.map(&value, (units(from), units(to)))) / UNIT
    }

    /// Pixels where y begins and ends: names run downwards, values upwards.
    pub fn y_ends(&self) -> (f64, f64) {
        if self.y.reversed {
            (self.top, self.bottom)
        } else {
            (self.bottom, self.top)
        }
    }

    /// Height of what lies above the plot.
    fn above(&self) -> f64 {
        let rows = self.x_marks.iter().map(|m| m.2 + 1).max().unwrap_or(0);
        let legend = self.legend.rows().len() as f64 * ENTRY;
        lines(&self.heading, HEADING)
            + legend
            + if self.colours.is_some() {
                ENTRY + 4.0
            } else {
                0.0
            }
            + lines(&self.note, SMALL)
            + rows as f64 * SMALL * LEADING
            + 10.0
    }

    /// Height of what lies below the plot.
    fn below(&self) -> f64 {
        self.ticks_height() + lines(&self.x_label, LABEL) + 4.0
    }

    /// Height of the texts under the x axis.
    pub fn ticks_height(&self) -> f64 {
        8.0 + if self.turned {
            self.turned_height
        } else {
            let most = self.x_texts.iter().map(|t| t.1.len()).max().unwrap_or(0);
            most as f64 * TICK * LEADING
        }
    }
}

/// Whether no two texts under the axis touch.
fn fit(x: &Place, font: &Font, width: f64) -> bool {
    let at = |v: f64| f64::from(x.map(&v, (0, units(width)))) / UNIT;
    x.ticks.windows(2).all(|pair| {
        let [(a, left), (b, right)] = pair else {
            return true;
        };
        let need = (font.width(left, TICK) + font.width(right, TICK)) / 2.0 + 8.0;
        at(*b) - at(*a) >= need
    })
}
