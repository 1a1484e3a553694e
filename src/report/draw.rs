//! A figure's strokes, and the doors [`svg`] and [`png`].

use plotters::{
    coord::{
        Shift,
        cartesian::Cartesian2d,
        ranged1d::{BoldPoints, LightPoints},
    },
    drawing::{DrawingArea, IntoDrawingArea},
    element::{Circle, PathElement, Polygon, Rectangle, Text},
    style::{Color, FontTransform, RGBAColor, RGBColor, ShapeStyle, text_anchor::HPos},
};

use super::{
    axis::{Place, cell, number},
    look::{self, Look, Marker},
    paper::{Font, Paper, UNIT, failed, printable, text_style, units},
    plan::{self, *},
};
use crate::{
    error::Error,
    report::figure::{Figure, Form, Plot, Scale},
};

/// A figure as SVG: text stays text, the title and the caption are there for screen readers, and the
/// picture takes any width.
///
/// Errors: no panels or no columns; bars without one place per value along x; a heat map without
/// names along both axes, or with another number of cells; more than 1000 panels.
pub fn svg(figure: &Figure) -> Result<String, Error> {
    let font = Font::new()?;
    let plan = Plan::of(figure, &font)?;
    let mut body = String::new();
    plan.draw(&mut Paper::svg(&mut body, &font, plan.size()))?;
    // The backend's own first line knows neither a role nor a size apart from the coordinates.
    let body = body.split_once('\n').map_or("", |(_, rest)| rest);
    let (width, height) = plan.size();
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{}\" height=\"{}\" \
         viewBox=\"0 0 {width} {height}\" stroke-linejoin=\"round\">\n\
         <title>{}</title>\n<desc>{}</desc>\n{body}",
        f64::from(width) / UNIT,
        f64::from(height) / UNIT,
        escaped(&figure.title),
        escaped(&figure.caption),
    ))
}

/// A figure as a PNG with `scale` dots for each pixel of its [`svg`].
///
/// Errors: as of `svg`; a scale other than 1 to 4; more than 100 million dots.
pub fn png(figure: &Figure, scale: u32) -> Result<Vec<u8>, Error> {
    const MOST: u64 = 100_000_000;
    if !(1..=4).contains(&scale) {
        return Err(Error::bad_field(
            "scale",
            scale,
            "a whole number from 1 to 4",
        ));
    }
    let font = Font::new()?;
    let plan = Plan::of(figure, &font)?;
    let (width, height) = plan.size();
    let dots =
        u64::from(width) * u64::from(height) * u64::from(scale * scale) / (UNIT * UNIT) as u64;
    if dots > MOST {
        return Err(Error::contradiction(
            format!("figure \"{}\"", figure.title),
            format!(
                "its picture would have {dots} dots, more than {MOST}; draw fewer panels or at a \
                 smaller scale"
            ),
        ));
    }
    let mut paper = Paper::pixels(&font, plan.size(), scale)?;
    plan.draw(&mut paper)?;
    paper.into_png()
}

fn escaped(text: &str) -> String {
    printable(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

// ---- Strokes -----------------------------------------------------------------------------------

type Area<'p, 'a> = DrawingArea<&'p mut Paper<'a>, Shift>;
type Point = (f64, f64);

/// A hand that knows how to put pixels' worth of shapes on paper.
struct Hand<'p, 'a> {
    area: Area<'p, 'a>,
}

fn at((x, y): Point) -> (i32, i32) {
    (units(x), units(y))
}

fn pen(colour: RGBAColor, width: f64) -> ShapeStyle {
    ShapeStyle {
        color: colour,
        filled: false,
        stroke_width: units(width).unsigned_abs(),
    }
}

fn ink(colour: RGBColor) -> RGBAColor {
    colour.to_rgba()
}

macro_rules! put {
    ($hand:expr, $element:expr) => {
        $hand
            .area
            .draw(&$element)
            .map_err(|e| failed("a figure", e))
    };
}

impl Hand<'_, '_> {
    fn line(&self, points: &[Point], style: ShapeStyle) -> Result<(), Error> {
        match points {
            [] | [_] => Ok(()),
            _ => put!(
                self,
                PathElement::new(points.iter().copied().map(at).collect::<Vec<_>>(), style)
            ),
        }
    }

    /// A line in strokes and gaps; a solid one for no dash.
    fn dashed(&self, points: &[Point], dash: &[f64], style: ShapeStyle) -> Result<(), Error> {
        if dash.is_empty() {
            return self.line(points, style);
        }
        let (mut i, mut left) = (0, dash[0]);
        let mut stroke: Vec<Point> = points.iter().take(1).copied().collect();
        for pair in points.windows(2) {
            let [mut from, to] = [pair[0], pair[1]];
            loop {
                let (dx, dy) = (to.0 - from.0, to.1 - from.1);
                let length = (dx * dx + dy * dy).sqrt();
                if length <= left {
                    left -= length;
                    stroke.push(to);
                    break;
                }
                from = (from.0 + dx * left / length, from.1 + dy * left / length);
                stroke.push(from);
                if i % 2 == 0 {
                    self.line(&stroke, style)?;
                }
                i += 1;
                left = dash[i % dash.len()];
                stroke = vec![from];
            }
        }
        if i % 2 == 0 {
            self.line(&stroke, style)
        } else {
            Ok(())
        }
    }

    fn rect(&self, a: Point, b: Point, colour: RGBAColor) -> Result<(), Error> {
        put!(self, Rectangle::new([at(a), at(b)], colour.filled()))
    }

    fn polygon(&self, points: &[Point], colour: RGBAColor) -> Result<(), Error> {
        put!(
            self,
            Polygon::new(points.iter().copied().map(at).collect::<Vec<_>>(), colour)
        )
    }

    fn circle(&self, centre: Point, radius: f64, style: ShapeStyle) -> Result<(), Error> {
        put!(self, Circle::new(at(centre), units(radius), style))
    }

    /// One line of text whose middle lies at `y` of `place`.
    fn text(
        &self,
        text: &str,
        place: Point,
        size: f64,
        colour: RGBColor,
        anchor: HPos,
    ) -> Result<(), Error> {
        let style = text_style(size, colour, anchor);
        put!(self, Text::new(printable(text), at(place), style))
    }

    /// One line of text that reads upwards.
    fn upright(
        &self,
        text: &str,
        place: Point,
        size: f64,
        colour: RGBColor,
        anchor: HPos,
    ) -> Result<(), Error> {
        let style = text_style(size, colour, anchor).transform(FontTransform::Rotate270);
        put!(self, Text::new(printable(text), at(place), style))
    }

    /// Lines of text, the first of which begins at `top`; gives where the last ends.
    fn block(
        &self,
        texts: &[String],
        x: f64,
        top: f64,
        size: f64,
        colour: RGBColor,
        anchor: HPos,
    ) -> Result<f64, Error> {
        let step = size * LEADING;
        for (i, text) in texts.iter().enumerate() {
            self.text(
                text,
                (x, top + (i as f64 + 0.5) * step),
                size,
                colour,
                anchor,
            )?;
        }
        Ok(top + texts.len() as f64 * step)
    }

    fn marker(&self, centre: Point, radius: f64, look: Look) -> Result<(), Error> {
        let white = RGBColor(255, 255, 255);
        // A white rim keeps markers apart that touch.
        for (r, colour) in [(radius + 1.0, white), (radius, look.colour)] {
            let (x, y) = centre;
            let around = |points: &[Point]| -> Vec<Point> {
                points.iter().map(|p| (x + p.0 * r, y + p.1 * r)).collect()
            };
            let shape: &[Point] = match look.marker {
                Marker::Circle => {
                    self.circle(centre, r, ink(colour).filled())?;
                    continue;
                }
                Marker::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
                Marker::Diamond => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
                Marker::Triangle => &[(0.0, -1.25), (1.15, 0.9), (-1.15, 0.9)],
                Marker::Wedge => &[(0.0, 1.25), (1.15, -0.9), (-1.15, -0.9)],
                Marker::Cross => &[
                    (-1.1, -0.35),
                    (-0.35, -0.35),
                    (-0.35, -1.1),
                    (0.35, -1.1),
                    (0.35, -0.35),
                    (1.1, -0.35),
                    (1.1, 0.35),
                    (0.35, 0.35),
                    (0.35, 1.1),
                    (-0.35, 1.1),
                    (-0.35, 0.35),
                    (-1.1, 0.35),
                ],
            };
            self.polygon(&around(shape), ink(colour))?;
        }
        Ok(())
    }

    /// Draws a legend; gives where it ends.
    fn legend(&self, legend: &Legend, left: f64, top: f64) -> Result<f64, Error> {
        let mut y = top;
        for row in legend.rows() {
            let (mut x, middle) = (left, y + ENTRY / 2.0);
            for entry in row {
                self.sample(entry, (x, middle))?;
                self.text(
                    &entry.text,
                    (x + entry.sample.width() + AFTER_SAMPLE, middle),
                    TICK,
                    look::INK,
                    HPos::Left,
                )?;
                x += entry.width;
            }
            y += ENTRY;
        }
        Ok(y)
    }

    fn sample(&self, entry: &Entry, (x, y): Point) -> Result<(), Error> {
        let look = entry.look;
        let width = entry.sample.width();
        let middle = (x + width / 2.0, y);
        let whole = [(x, y), (x + width, y)];
        match entry.sample {
            Sample::Line => {
                self.dashed(&whole, look.dash, pen(ink(look.colour), 2.0))?;
                self.marker(middle, 3.5, look)
            }
            Sample::Curve => self.dashed(&whole, look.dash, pen(ink(look.colour), 2.0)),
            Sample::Dot => self.marker(middle, 3.5, look),
            Sample::Bubble => {
                self.circle(middle, 6.0, look.colour.mix(0.4).filled())?;
                self.circle(middle, 6.0, pen(ink(look.colour), 1.25))
            }
            Sample::Bar => self.rect((x, y - 6.0), (x + width, y + 6.0), ink(look.colour)),
            Sample::Whisker => self.whisker(middle.0, y - 6.0, y + 6.0, look),
            Sample::Band => self.rect((x, y - 6.0), (x + width, y + 6.0), look.colour.mix(0.2)),
        }
    }

    fn whisker(&self, x: f64, low: f64, high: f64, look: Look) -> Result<(), Error> {
        let style = pen(ink(look.colour), 1.25);
        self.line(&[(x, low), (x, high)], style)?;
        self.line(&[(x - 3.0, low), (x + 3.0, low)], style)?;
        self.line(&[(x - 3.0, high), (x + 3.0, high)], style)
    }
}

impl Plan<'_> {
    fn draw(&self, paper: &mut Paper<'_>) -> Result<(), Error> {
        let hand = Hand {
            area: paper.into_drawing_area(),
        };
        hand.rect(
            (0.0, 0.0),
            (self.width, self.height),
            ink(RGBColor(255, 255, 255)),
        )?;
        let y = hand.block(&self.title, MARGIN, MARGIN, TITLE, look::INK, HPos::Left)?;
        let y = hand.block(&self.caption, MARGIN, y, CAPTION, look::SOFT, HPos::Left)?;
        hand.legend(&self.legend, MARGIN, y + 8.0)?;
        for laid in &self.panels {
            laid.draw(&hand, self)?;
        }
        hand.area.present().map_err(|e| failed("a figure", e))
    }
}

impl Laid<'_> {
    fn draw(&self, hand: &Hand, plan: &Plan) -> Result<(), Error> {
        self.draw_above(hand, plan.font)?;
        match &self.panel.plot {
            Plot::Heat { values, .. } => self.draw_heat(hand, plan.font, values)?,
            Plot::Series { .. } => {
                self.draw_grid(hand)?;
                self.draw_series(hand, plan)?;
            }
        }
        self.draw_axes(hand)?;
        if self.empty {
            let middle = (
                (self.left + self.right) / 2.0,
                (self.top + self.bottom) / 2.0,
            );
            hand.text("no data", middle, LABEL, look::SOFT, HPos::Center)?;
        }
        Ok(())
    }

    /// Heading, legend, colours and note.
    fn draw_above(&self, hand: &Hand, font: &Font) -> Result<(), Error> {
        let mut y = self.head;
        y = hand.block(&self.heading, self.edge, y, HEADING, look::INK, HPos::Left)?;
        y = hand.legend(&self.legend, self.edge, y)?;
        if let Some(colours) = &self.colours {
            self.draw_colours(hand, font, colours, y)?;
            y += ENTRY + 4.0;
        }
        hand.block(&self.note, self.edge, y, SMALL, look::SOFT, HPos::Left)?;
        Ok(())
    }

    /// The lines behind the data, where the chart library's mesh has them.
    fn draw_grid(&self, hand: &Hand) -> Result<(), Error> {
        let (from, to) = self.y_ends();
        let plane = Cartesian2d::<Place, Place>::new(
            self.x.clone(),
            self.y.clone(),
            (units(self.left)..units(self.right), units(from)..units(to)),
        );
        let plane = hand.area.apply_coord_spec(plane);
        let failed = |e| failed("a grid", e);
        let names = |scale: &Scale| matches!(scale, Scale::Names(_));
        // Names need no lines along which to read a value.
        let many = |scale: &Scale| if names(scale) { 0 } else { usize::MAX };
        let (x, y) = (many(&self.panel.x.scale), many(&self.panel.y.scale));
        let (light, bold) = (pen(ink(look::FAINT), 1.0), pen(ink(look::GRID), 1.0));
        plane
            .draw_mesh(
                |b, l| l.draw(b, &light),
                LightPoints::new(y, y),
                LightPoints::new(x, x),
            )
            .map_err(failed)?;
        plane
            .draw_mesh(|b, l| l.draw(b, &bold), BoldPoints(y), BoldPoints(x))
            .map_err(failed)
    }

    /// Axes with their texts, and the marks' labels outside the plot.
    fn draw_axes(&self, hand: &Hand) -> Result<(), Error> {
        let line = pen(ink(look::AXIS), 1.0);
        let (left, right, top, bottom) = (self.left, self.right, self.top, self.bottom);
        hand.line(&[(left, bottom), (right, bottom)], line)?;
        hand.line(&[(left, top), (left, bottom)], line)?;
        for (value, texts) in &self.x_texts {
            let x = self.x_at(*value);
            if !matches!(self.panel.x.scale, Scale::Names(_)) {
                hand.line(&[(x, bottom), (x, bottom + 4.0)], line)?;
            }
            if self.turned {
                for (i, text) in texts.iter().enumerate() {
                    let aside = (i as f64 + 0.5 - texts.len() as f64 / 2.0) * TICK * LEADING;
                    let place = (x + aside, bottom + 8.0);
                    hand.upright(text, place, TICK, look::INK, HPos::Right)?;
                }
            } else {
                hand.block(texts, x, bottom + 6.0, TICK, look::INK, HPos::Center)?;
            }
        }
        hand.block(
            &self.x_label,
            (left + right) / 2.0,
            bottom + self.ticks_height(),
            LABEL,
            look::SOFT,
            HPos::Center,
        )?;
        for (value, texts) in &self.y_texts {
            let y = self.y_at(*value);
            if !matches!(self.panel.y.scale, Scale::Names(_)) {
                hand.line(&[(left - 4.0, y), (left, y)], line)?;
            }
            let half = lines(texts, TICK) / 2.0;
            hand.block(texts, left - 7.0, y - half, TICK, look::INK, HPos::Right)?;
        }
        for (i, text) in self.y_label.iter().enumerate() {
            let line = self.y_label.len() as f64 - i as f64 - 0.5;
            let x = left - self.y_width - 12.0 - line * LABEL * LEADING;
            let y = (top + bottom) / 2.0;
            hand.upright(text, (x, y), LABEL, look::SOFT, HPos::Center)?;
        }
        Ok(())
    }

    fn draw_marks(&self, hand: &Hand, font: &Font) -> Result<(), Error> {
        let (left, right, top, bottom) = (self.left, self.right, self.top, self.bottom);
        let style = pen(ink(look::MARK), 1.25);
        for (value, text, row) in &self.x_marks {
            let x = self.x_at(*value);
            hand.dashed(&[(x, bottom), (x, top)], &[4.0, 3.0], style)?;
            let centre = self.mark_centre(*value, font.width(text, SMALL) / 2.0);
            let y = top - 5.0 - (*row as f64 + 0.5) * SMALL * LEADING;
            hand.text(text, (centre, y), SMALL, look::MARK, HPos::Center)?;
        }
        // From the top down, each below the one before it.
        let mut free = f64::NEG_INFINITY;
        let mut marks: Vec<_> = self.y_marks.iter().collect();
        marks.sort_by(|a, b| self.y_at(a.0).total_cmp(&self.y_at(b.0)));
        for (value, texts) in marks {
            let y = self.y_at(*value);
            hand.dashed(&[(left, y), (right, y)], &[4.0, 3.0], style)?;
            let height = lines(texts, SMALL);
            let begin = (y - height / 2.0).max(free);
            free = hand.block(texts, right + 5.0, begin, SMALL, look::MARK, HPos::Left)?;
        }
        Ok(())
    }

    fn draw_series(&self, hand: &Hand, plan: &Plan) -> Result<(), Error> {
        let (series, _) = plan::series(self.panel);
        let (sx, sy) = (&self.panel.x.scale, &self.panel.y.scale);
        let fits = |x: f64, y: f64| Place::fits(sx, x) && Place::fits(sy, y);
        let point = |p: &[f64; 2]| fits(p[0], p[1]).then(|| (self.x_at(p[0]), self.y_at(p[1])));

        let bars = Bars::of(self);
        let looked = || series.iter().zip(&self.looks).enumerate();
        for (_, (one, look)) in looked() {
            if let Form::Band(points) = &one.form {
                let ends: Vec<_> = points.iter().map(|p| self.interval(p)).collect();
                for run in runs(&ends) {
                    let mut shape: Vec<Point> = run.iter().map(|p| (p.0, p.1)).collect();
                    shape.extend(run.iter().rev().map(|p| (p.0, p.2)));
                    hand.polygon(&shape, look.colour.mix(0.2))?;
                }
            }
        }
        bars.draw(self, hand)?;
        self.draw_marks(hand, plan.font)?;
        bars.write(self, hand, plan.font)?;
        for (_, (one, look)) in looked() {
            if let Form::Line(points) | Form::Curve(points) = &one.form {
                let places: Vec<_> = points.iter().map(point).collect();
                for run in runs(&places) {
                    hand.dashed(&run, look.dash, pen(ink(look.colour), 2.0))?;
                }
            }
        }
        for (i, (one, look)) in looked() {
            if let Form::Whiskers(points) = &one.form {
                let (aside, look) = match bars.before(i) {
                    // On a bar of its own colour a whisker would not show.
                    Some(aside) => (
                        aside,
                        Look {
                            colour: look::INK,
                            ..*look
                        },
                    ),
                    None => (0.0, *look),
                };
                for (x, low, high) in points.iter().filter_map(|p| self.interval(p)) {
                    hand.whisker(x + aside, low, high, look)?;
                }
            }
        }
        self.draw_bubbles(hand, &plan.sizes)?;
        for (_, (one, look)) in looked() {
            if let Form::Line(points) | Form::Dots(points) = &one.form {
                let radius = if points.len() > 30 { 2.5 } else { 3.5 };
                for place in points.iter().filter_map(point) {
                    hand.marker(place, radius, *look)?;
                }
            }
        }
        Ok(())
    }

    /// Pixels of `[x, low, high]`, where the axes have places for them.
    fn interval(&self, p: &[f64; 3]) -> Option<(f64, f64, f64)> {
        let y = &self.panel.y.scale;
        (Place::fits(&self.panel.x.scale, p[0]) && Place::fits(y, p[1]) && Place::fits(y, p[2]))
            .then(|| (self.x_at(p[0]), self.y_at(p[1]), self.y_at(p[2])))
    }

    fn draw_bubbles(&self, hand: &Hand, sizes: &[f64]) -> Result<(), Error> {
        let (series, _) = plan::series(self.panel);
        let Some(&largest) = sizes.first() else {
            return Ok(());
        };
        let most = ((self.right - self.left).min(self.bottom - self.top) / 11.0).min(26.0);
        let mut bubbles: Vec<(f64, Point, Look)> = Vec::new();
        for (one, look) in series.iter().zip(&self.looks) {
            if let Form::Bubbles(points) = &one.form {
                for p in points {
                    let (x, y) = (&self.panel.x.scale, &self.panel.y.scale);
                    if Place::fits(x, p[0]) && Place::fits(y, p[1]) && bubble(p[2]) {
                        let place = (self.x_at(p[0]), self.y_at(p[1]));
                        bubbles.push(((p[2] / largest).sqrt() * most, place, *look));
                    }
                }
            }
        }
        // The small ones on top.
        bubbles.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (radius, place, look) in bubbles {
            hand.circle(place, radius, look.colour.mix(0.4).filled())?;
            hand.circle(place, radius, pen(ink(look.colour), 1.25))?;
        }
        if !series
            .iter()
            .any(|one| matches!(one.form, Form::Bubbles(_)))
        {
            return Ok(());
        }
        // The key: what an area stands for, beside the plot at its lower end.
        let (left, mut y) = (self.right + KEY - 2.0 * most - 4.0, self.bottom);
        for size in sizes {
            let radius = (size / largest).sqrt() * most;
            y -= radius;
            hand.circle((left + most, y), radius, pen(ink(look::AXIS), 1.25))?;
            y -= radius + SMALL * LEADING * 0.5;
            let text = number(*size, 3);
            hand.text(&text, (left + most, y), SMALL, look::INK, HPos::Center)?;
            y -= SMALL * LEADING * 0.5 + 6.0;
        }
        let place = (left + most, y - SMALL * LEADING * 0.5);
        hand.text("area", place, SMALL, look::SOFT, HPos::Center)
    }

    fn draw_heat(
        &self,
        hand: &Hand,
        font: &Font,
        values: &[Vec<Option<f64>>],
    ) -> Result<(), Error> {
        let Some(colours) = &self.colours else {
            return Ok(());
        };
        let columns = values.first().map_or(0, Vec::len).max(1) as f64;
        let wide = (self.right - self.left) / columns;
        let high = (self.bottom - self.top) / values.len().max(1) as f64;
        let known = |value: &Option<f64>| value.filter(|v| Place::fits(&Scale::Linear, *v));
        // Counts have no decimals to fill up.
        let counts = values
            .iter()
            .flatten()
            .filter_map(known)
            .all(|v| v == v.round());
        let text_of = |v| if counts { number(v, 3) } else { cell(v, 3) };
        let room = values
            .iter()
            .flatten()
            .filter_map(known)
            .all(|v| font.width(&cell(v, 3), SMALL) <= wide - 4.0)
            && high >= 14.0;
        for (row, line) in values.iter().enumerate() {
            for (column, value) in line.iter().enumerate() {
                let (x, y) = (
                    self.left + column as f64 * wide,
                    self.top + row as f64 * high,
                );
                let ground = match known(value) {
                    Some(v) => look::viridis(colours.share(v)),
                    None => look::FAINT,
                };
                // The gap between cells shows where colours are alike.
                let gap = if wide > 6.0 && high > 6.0 { 0.5 } else { 0.0 };
                hand.rect(
                    (x + gap, y + gap),
                    (x + wide - gap, y + high - gap),
                    ink(ground),
                )?;
                let text = match known(value) {
                    Some(v) if room => text_of(v),
                    Some(_) => continue,
                    None => "–".to_owned(),
                };
                hand.text(
                    &text,
                    (x + wide / 2.0, y + high / 2.0),
                    SMALL,
                    look::on(ground),
                    HPos::Center,
                )?;
            }
        }
        Ok(())
    }

    /// What a heat map's colours mean: quantity, least and greatest value.
    fn draw_colours(
        &self,
        hand: &Hand,
        font: &Font,
        colours: &Colours,
        top: f64,
    ) -> Result<(), Error> {
        const STEPS: usize = 35;
        let y = top + ENTRY / 2.0;
        if colours.low > colours.high {
            return hand.text(&colours.text, (self.edge, y), SMALL, look::SOFT, HPos::Left);
        }
        let low = number(colours.low, 3);
        let mut x = self.edge;
        hand.text(&low, (x, y), SMALL, look::INK, HPos::Left)?;
        x += font.width(&low, SMALL) + 6.0;
        let step = BAR / STEPS as f64;
        for i in 0..STEPS {
            let share = i as f64 / (STEPS - 1) as f64;
            let share = if colours.best_low { 1.0 - share } else { share };
            let from = x + i as f64 * step;
            hand.rect(
                (from, y - 6.0),
                (from + step, y + 6.0),
                ink(look::viridis(share)),
            )?;
        }
        x += BAR + 6.0;
        let high = number(colours.high, 3);
        hand.text(&high, (x, y), SMALL, look::INK, HPos::Left)?;
        x += font.width(&high, SMALL) + 12.0;
        hand.text(&colours.text, (x, y), SMALL, look::SOFT, HPos::Left)
    }
}

/// The bars of a panel, side by side over each name.
struct Bars<'l> {
    /// Place among the panel's series, values, look.
    series: Vec<(usize, &'l [Option<f64>], Look)>,
    /// Width of one bar.
    width: f64,
}

impl<'l> Bars<'l> {
    fn of(laid: &'l Laid) -> Bars<'l> {
        let series: Vec<_> = plan::series(laid.panel)
            .0
            .iter()
            .zip(&laid.looks)
            .enumerate()
            .filter_map(|(i, (one, look))| match &one.form {
                Form::Bars(bars) => Some((i, bars.as_slice(), *look)),
                _ => None,
            })
            .collect();
        let names = match &laid.panel.x.scale {
            Scale::Names(names) => names.len().max(1),
            _ => 1,
        };
        let slot = (laid.right - laid.left) / names as f64;
        let width = (slot * 0.8 / series.len().max(1) as f64).min(64.0);
        Bars { series, width }
    }

    /// How far from its name's middle the middle of the `nth` series' bars lies.
    fn aside(&self, nth: usize) -> f64 {
        (nth as f64 + 0.5 - self.series.len() as f64 / 2.0) * self.width
    }

    /// The same for the bars right before series `i` of the panel, if it has such.
    fn before(&self, i: usize) -> Option<f64> {
        let nth = self.series.iter().position(|(at, ..)| at + 1 == i)?;
        Some(self.aside(nth))
    }

    fn draw(&self, laid: &Laid, hand: &Hand) -> Result<(), Error> {
        let floor = laid.y_at(laid.y.floor());
        let gap = if self.width > 8.0 { 1.0 } else { 0.0 };
        for (nth, (_, bars, look)) in self.series.iter().enumerate() {
            for (name, value) in self.known(laid, bars) {
                let x = laid.x_at(name as f64) + self.aside(nth);
                let y = laid.y_at(value);
                let half = self.width / 2.0 - gap;
                hand.rect(
                    (x - half, y.min(floor)),
                    (x + half, y.max(floor)),
                    ink(look.colour),
                )?;
            }
        }
        Ok(())
    }

    /// Place and value of the bars that can be drawn.
    fn known<'b>(
        &self,
        laid: &'b Laid,
        bars: &'b [Option<f64>],
    ) -> impl Iterator<Item = (usize, f64)> + 'b {
        let fits = |v: &f64| Place::fits(&laid.panel.y.scale, *v);
        let known = move |(name, value): (usize, &Option<f64>)| Some((name, value.filter(fits)?));
        bars.iter().enumerate().filter_map(known)
    }

    /// The bars' values at their ends, where there is room for all of them.
    fn write(&self, laid: &Laid, hand: &Hand, font: &Font) -> Result<(), Error> {
        let all = || {
            self.series
                .iter()
                .flat_map(|(_, bars, _)| self.known(laid, bars))
        };
        let largest = all().map(|(_, v)| v.abs()).fold(0.0, f64::max);
        // A bar of less than about a hundredth of the largest has no height, and its digits no use.
        let least = libm::pow(10.0, libm::floor(libm::log10(largest)) - 2.0);
        let text = |value: f64, digits: u8| {
            let (plain, below) = (number(value, digits), format!("<{}", number(least, 1)));
            if value > 0.0 && value < least && plain.len() > below.len() {
                below
            } else {
                plain
            }
        };
        let wide = |v: f64, digits: u8| font.width(&text(v, digits), SMALL);
        // As many digits as every bar has room for.
        let Some(digits) = [3, 2]
            .into_iter()
            .find(|digits| all().all(|(_, v)| wide(v, *digits) <= self.width - 2.0))
        else {
            return Ok(());
        };
        let floor = laid.y_at(laid.y.floor());
        let marks: Vec<f64> = laid.y_marks.iter().map(|mark| laid.y_at(mark.0)).collect();
        for (nth, (i, bars, _)) in self.series.iter().enumerate() {
            let next = plan::series(laid.panel).0.get(i + 1);
            if next.is_some_and(|next| matches!(next.form, Form::Whiskers(_))) {
                continue;
            }
            for (name, value) in self.known(laid, bars) {
                let x = laid.x_at(name as f64) + self.aside(nth);
                let y = laid.y_at(value);
                let y = y + if y > floor { 8.0 } else { -8.0 };
                if marks.iter().any(|mark| (mark - y).abs() < 7.0) {
                    // A mark's line does not strike the number out.
                    let half = wide(value, digits) / 2.0 + 1.0;
                    let white = ink(RGBColor(255, 255, 255));
                    hand.rect((x - half, y - 6.0), (x + half, y + 6.0), white)?;
                }
                hand.text(&text(value, digits), (x, y), SMALL, look::INK, HPos::Center)?;
            }
        }
        Ok(())
    }
}

/// The stretches of neighbours that all have a place.
fn runs<T>(places: &[Option<T>]) -> Vec<Vec<T>>
where
    T: Copy,
{
    places
        .split(Option::is_none)
        .map(|run| run.iter().flatten().copied().collect())
        .collect()
}
