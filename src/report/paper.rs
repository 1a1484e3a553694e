//! What a figure is drawn on: a plotters backend that writes SVG or sets pixels, with one font
//! and one geometry for both. Coordinates are in [`UNIT`]s.
//!
//! plotters' own pixels would need the system's or the browser's fonts, and have rough edges; here
//! tiny-skia sets them, and read-fonts gives it the letters' outlines.

use std::convert::Infallible;

use plotters::{
    backend::SVGBackend,
    style::{
        Color, IntoFont, RGBColor, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontTransform,
};
use read_fonts::{
    FontRef, ReadError, TableProvider,
    tables::{
        cmap::Cmap,
        glyf::{Anchor, CurvePoint, Glyf, Glyph},
        hmtx::Hmtx,
        loca::Loca,
    },
    types::GlyphId,
};
use tiny_skia::{
    FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform,
};

use crate::error::Error;

/// Backend units per pixel: plotters counts in whole numbers, and a quarter of a pixel is fine
/// enough for curves.
pub const UNIT: f64 = 4.0;

/// Pixels to backend units.
pub fn units(pixels: f64) -> i32 {
    // `as` saturates; the bound keeps sums of coordinates within i32.
    (pixels * UNIT).round().clamp(-1e7, 1e7) as i32
}

static FONT: &[u8] = include_bytes!("font/DejaVuSans-subset.ttf");
const FAMILY: &str = "DejaVu Sans,Verdana,sans-serif";
/// Of DejaVu Sans: the height of x, as a share of the letters' size.
const EX: f64 = 0.547;
/// From a line's middle down to its baseline, as a share of the letters' size.
const MIDDLE: f64 = 0.36;
/// What plotters divides a size by to get the size of the letters.
const EM: f64 = 1.24;

/// The one font of all figures.
pub struct Font {
    letters: Cmap<'static>,
    advances: Hmtx<'static>,
    places: Loca<'static>,
    outlines: Glyf<'static>,
    units_per_em: u16,
}

impl Font {
    pub fn new() -> Result<Font, Error> {
        let read = || -> Result<Font, ReadError> {
            let font = FontRef::new(FONT)?;
            Ok(Font {
                letters: font.cmap()?,
                advances: font.hmtx()?,
                places: font.loca(None)?,
                outlines: font.glyf()?,
                units_per_em: font.head()?.units_per_em(),
            })
        };
        read().map_err(|error| failed("letters", error))
    }

    fn glyph(&self, c: char) -> GlyphId {
        // Glyph 0 is the box that every font has for what it lacks.
        self.letters.map_codepoint(c).unwrap_or_default()
    }

    /// In font units.
    fn glyph_advance(&self, glyph: GlyphId) -> u16 {
        self.advances.advance(glyph).unwrap_or_default()
    }

    fn advance(&self, c: char) -> f64 {
        f64::from(self.glyph_advance(self.glyph(c))) / f64::from(self.units_per_em)
    }

    /// Width of one line in pixels.
    pub fn width(&self, text: &str, size: f64) -> f64 {
        text.chars().map(|c| self.advance(c)).sum::<f64>() * size
    }

    /// Breaks text at spaces, after hyphens and slashes, or within a word that is too wide by
    /// itself, into at most `most` lines of `width` pixels; what does not fit ends with "…".
    pub fn wrap(&self, text: &str, size: f64, width: f64, most: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut line = String::new();
        for piece in pieces(text) {
            if self.width(&format!("{line}{}", piece.trim_end()), size) <= width {
                line.push_str(piece);
                continue;
            }
            if !line.trim().is_empty() {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
            }
            line.clear();
            for c in piece.chars() {
                if !line.is_empty() && self.width(&line, size) + self.advance(c) * size > width {
                    lines.push(std::mem::take(&mut line));
                }
                line.push(c);
            }
        }
        if !line.trim().is_empty() {
            lines.push(line.trim_end().to_owned());
        }
        if lines.len() > most {
            lines.truncate(most);
            if let Some(last) = lines.last_mut() {
                while !last.is_empty() && self.width(last, size) + self.advance('…') * size > width
                {
                    last.pop();
                }
                *last = format!("{}…", last.trim_end());
            }
        }
        lines
    }

    /// One line of at most `width` pixels.
    pub fn cut(&self, text: &str, size: f64, width: f64) -> String {
        self.wrap(text, size, width, 1).pop().unwrap_or_default()
    }

    /// The outline of one line whose baseline begins at the origin, in font units, y upwards.
    fn outline(&self, text: &str) -> Option<Path> {
        let mut path = PathBuilder::new();
        let mut x = 0.0;
        for c in text.chars() {
            let glyph = self.glyph(c);
            self.draw(glyph, (x, 0.0), MOST_PARTS, &mut path);
            x += f32::from(self.glyph_advance(glyph));
        }
        path.finish()
    }

    /// Adds a glyph's contours to a path; an accented letter consists of other glyphs. The font has no
    /// parts that are scaled or that hang on a point: `every_letter_is_drawn` checks that.
    fn draw(&self, glyph: GlyphId, at: (f32, f32), depth: u32, path: &mut PathBuilder) {
        match self.places.get_glyf(glyph, &self.outlines) {
            Ok(Some(Glyph::Simple(simple))) => {
                let mut points = simple.points();
                let mut begin = 0;
                for end in simple.end_pts_of_contours() {
                    let count = usize::from(end.get() + 1).saturating_sub(begin);
                    begin += count;
                    let contour: Vec<CurvePoint> = points.by_ref().take(count).collect();
                    draw_contour(&contour, at, path);
                }
            }
            Ok(Some(Glyph::Composite(composite))) if depth > 0 => {
                for part in composite.components() {
                    if let Anchor::Offset { x, y } = part.anchor {
                        let at = (at.0 + f32::from(x), at.1 + f32::from(y));
                        self.draw(part.glyph.into(), at, depth - 1, path);
                    }
                }
            }
            // A space, or a glyph that the font lacks.
            _ => {}
        }
    }
}

/// How deep glyphs may consist of others.
const MOST_PARTS: u32 = 4;

/// A closed contour of TrueType: quadratic curves, with a point on the curve in the middle between two that
/// are off it.
fn draw_contour(points: &[CurvePoint], (x, y): (f32, f32), path: &mut PathBuilder) {
    let place = |p: &CurvePoint| (f32::from(p.x), f32::from(p.y));
    let middle = |a: (f32, f32), b: (f32, f32)| (a.0 + 0.5 * (b.0 - a.0), a.1 + 0.5 * (b.1 - a.1));
    // Begins on the curve: at the first point that is, or between two that are not.
    let Some(first) = points.first() else { return };
    let (start, rest) = if first.on_curve {
        (place(first), 1)
    } else {
        match points.get(1) {
            Some(second) if second.on_curve => (place(second), 2),
            Some(second) => (middle(place(first), place(second)), 1),
            None => return,
        }
    };
    path.move_to(x + start.0, y + start.1);
    let mut off: Option<(f32, f32)> = None;
    let around = points.iter().skip(rest);
    let last = points.iter().take(usize::from(!first.on_curve));
    for point in around.chain(last) {
        let here = place(point);
        match (off, point.on_curve) {
            (Some(via), on_curve) => {
                let to = if on_curve { here } else { middle(via, here) };
                path.quad_to(x + via.0, y + via.1, x + to.0, y + to.1);
                off = (!on_curve).then_some(here);
            }
            (None, true) => path.line_to(x + here.0, y + here.1),
            (None, false) => off = Some(here),
        }
    }
    match off {
        Some(via) => path.quad_to(x + via.0, y + via.1, x + start.0, y + start.1),
        None => path.line_to(x + start.0, y + start.1),
    }
    path.close();
}

/// Where lines may break; a short remark in parentheses, as "(32 GPUs)" or "(not modelled)", stays whole.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    const SHORT: usize = 14;
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut from = 0;
        if rest.starts_with('(')
            && let Some(end) = rest.find(')')
            && end < SHORT
        {
            from = end;
        }
        let end = rest[from..]
            .find([' ', '-', '/'])
            .map_or(rest.len(), |at| from + at + 1);
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// A style of text: size in pixels, anchored in its line's middle.
pub fn text_style<'a>(size: f64, colour: RGBColor, anchor: HPos) -> TextStyle<'a> {
    TextStyle {
        font: (FAMILY, size * UNIT * EM).into_font(),
        color: colour.to_backend_color(),
        pos: Pos::new(anchor, VPos::Center),
    }
}

/// Pixels behind a table of functions: a build that only writes SVG then holds none of the
/// rasteriser, which is most of the code.
trait Dots {
    fn fill(&mut self, path: &Path, colour: BackendColor);
    fn stroke(&mut self, path: &Path, colour: BackendColor, width: u32);
    /// Draws one line of letters `size` units high along `turn`, a direction (cosine, sine).
    #[expect(
        clippy::too_many_arguments,
        reason = "one call, and each is a different thing"
    )]
    fn letters(
        &mut self,
        font: &Font,
        text: &str,
        size: f64,
        anchor: HPos,
        place: BackendCoord,
        turn: (f32, f32),
        colour: BackendColor,
    );
    fn png(&self) -> Result<Vec<u8>, Error>;
}

/// The two things that a figure is drawn on.
enum Sheet<'a> {
    Svg(SVGBackend<'a>),
    Pixels(Box<dyn Dots>),
}

/// A plotters backend.
pub struct Paper<'a> {
    sheet: Sheet<'a>,
    font: &'a Font,
    size: (u32, u32),
}

impl<'a> Paper<'a> {
    /// Paper of `size` units that writes SVG into `text`.
    pub fn svg(text: &'a mut String, font: &'a Font, size: (u32, u32)) -> Self {
        Paper {
            sheet: Sheet::Svg(SVGBackend::with_string(text, size)),
            font,
            size,
        }
    }

    /// White paper of `size` units with `scale` dots for a pixel.
    pub fn pixels(font: &'a Font, size: (u32, u32), scale: u32) -> Result<Self, Error> {
        let dots = |units: u32| (units / UNIT as u32).saturating_mul(scale);
        let (width, height) = (dots(size.0), dots(size.1));
        let mut pixmap = Pixmap::new(width, height).ok_or_else(|| {
            failed(
                "the picture",
                format!("{width} by {height} pixels is no size"),
            )
        })?;
        pixmap.fill(tiny_skia::Color::WHITE);
        Ok(Paper {
            sheet: Sheet::Pixels(Box::new(Canvas {
                pixmap,
                zoom: scale as f32 / UNIT as f32,
            })),
            font,
            size,
        })
    }

    /// What was drawn as pixels, as a PNG.
    pub fn into_png(self) -> Result<Vec<u8>, Error> {
        match self.sheet {
            Sheet::Pixels(dots) => dots.png(),
            Sheet::Svg(_) => Err(failed("the picture", "this paper holds no pixels")),
        }
    }
}

/// Drawing into memory failed, which no figure should bring about.
pub fn failed(what: &str, error: impl ToString) -> Error {
    Error::File {
        action: "draw",
        path: what.to_owned(),
        detail: error.to_string(),
    }
}

fn encode(pixmap: &Pixmap) -> Result<Vec<u8>, png::EncodingError> {
    // Everything lies on white: no pixel is transparent.
    let rgb: Vec<u8> = pixmap
        .data()
        .chunks_exact(4)
        .flat_map(|p| [p[0], p[1], p[2]])
        .collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, pixmap.width(), pixmap.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&rgb)?;
    writer.finish()?;
    Ok(file)
}

// ---- The backend -------------------------------------------------------------------------------

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// SVG goes into a string, so its backend's errors of input and output do not occur.
fn kept<E: std::error::Error + Send + Sync + 'static>(
    result: Result<(), DrawingErrorKind<E>>,
) -> Drawn {
    result.map_err(|error| DrawingErrorKind::FontError(Box::new(error)))
}

/// Lines that run along an axis and are one pixel thin (grid, frame, ticks) lie on whole pixels.
fn crisp(from: BackendCoord, to: BackendCoord, width: u32) -> (BackendCoord, BackendCoord) {
    let unit = UNIT as i32;
    if width != UNIT as u32 {
        return (from, to);
    }
    let snap = |v: i32| v.div_euclid(unit) * unit + unit / 2;
    if from.0 == to.0 {
        ((snap(from.0), from.1), (snap(to.0), to.1))
    } else if from.1 == to.1 {
        ((from.0, snap(from.1)), (to.0, snap(to.1)))
    } else {
        (from, to)
    }
}

fn paint(colour: BackendColor) -> Paint<'static> {
    let (r, g, b) = colour.rgb;
    let mut paint = Paint::default();
    paint.set_color_rgba8(r, g, b, (colour.alpha * 255.0 + 0.5) as u8);
    paint.anti_alias = true;
    paint
}

fn path(points: impl IntoIterator<Item = BackendCoord>, closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (i, (x, y)) in points.into_iter().enumerate() {
        if i == 0 {
            builder.move_to(x as f32, y as f32);
        } else {
            builder.line_to(x as f32, y as f32);
        }
    }
    if closed {
        builder.close();
    }
    builder.finish()
}

struct Canvas {
    pixmap: Pixmap,
    /// Dots per unit.
    zoom: f32,
}

impl Dots for Canvas {
    fn fill(&mut self, path: &Path, colour: BackendColor) {
        let zoom = Transform::from_scale(self.zoom, self.zoom);
        let rule = FillRule::Winding;
        self.pixmap
            .fill_path(path, &paint(colour), rule, zoom, None);
    }

    fn stroke(&mut self, path: &Path, colour: BackendColor, width: u32) {
        let stroke = Stroke {
            width: width as f32,
            line_cap: LineCap::Butt,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        let zoom = Transform::from_scale(self.zoom, self.zoom);
        self.pixmap
            .stroke_path(path, &paint(colour), &stroke, zoom, None);
    }

    fn letters(
        &mut self,
        font: &Font,
        text: &str,
        size: f64,
        anchor: HPos,
        (x, y): BackendCoord,
        (cos, sin): (f32, f32),
        colour: BackendColor,
    ) {
        let Some(path) = font.outline(text) else {
            return;
        };
        let left = match anchor {
            HPos::Left => 0.0,
            HPos::Center => -font.width(text, size) / 2.0,
            HPos::Right => -font.width(text, size),
        };
        let em = size as f32 / f32::from(font.units_per_em);
        let down = (MIDDLE * size) as f32;
        let place = Transform::from_row(em, 0.0, 0.0, -em, left as f32, down)
            .post_concat(Transform::from_row(cos, sin, -sin, cos, x as f32, y as f32))
            .post_scale(self.zoom, self.zoom);
        let rule = FillRule::Winding;
        self.pixmap
            .fill_path(&path, &paint(colour), rule, place, None);
    }

    fn png(&self) -> Result<Vec<u8>, Error> {
        encode(&self.pixmap).map_err(|e| failed("the picture", e))
    }
}

impl DrawingBackend for &mut Paper<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        match &mut self.sheet {
            Sheet::Svg(svg) => kept(svg.present()),
            Sheet::Pixels(..) => Ok(()),
        }
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, colour: BackendColor) -> Drawn {
        self.draw_rect((x, y), (x + 1, y + 1), &colour, true)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Drawn {
        let (from, to) = crisp(from, to, style.stroke_width());
        match &mut self.sheet {
            Sheet::Svg(svg) => kept(svg.draw_line(from, to, style)),
            Sheet::Pixels(dots) => {
                if let Some(path) = path([from, to], false) {
                    dots.stroke(&path, style.color(), style.stroke_width());
                }
                Ok(())
            }
        }
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        a: BackendCoord,
        b: BackendCoord,
        style: &S,
        filled: bool,
    ) -> Drawn {
        match &mut self.sheet {
            Sheet::Svg(svg) => kept(svg.draw_rect(a, b, style, filled)),
            Sheet::Pixels(dots) => {
                let rect = Rect::from_ltrb(
                    a.0.min(b.0) as f32,
                    a.1.min(b.1) as f32,
                    a.0.max(b.0) as f32,
                    a.1.max(b.1) as f32,
                );
                if let Some(rect) = rect {
                    let path = PathBuilder::from_rect(rect);
                    if filled {
                        dots.fill(&path, style.color());
                    } else {
                        dots.stroke(&path, style.color(), style.stroke_width());
                    }
                }
                Ok(())
            }
        }
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        points: I,
        style: &S,
    ) -> Drawn {
        match &mut self.sheet {
            Sheet::Svg(svg) => kept(svg.draw_path(points, style)),
            Sheet::Pixels(dots) => {
                if let Some(path) = path(points, false) {
                    dots.stroke(&path, style.color(), style.stroke_width());
                }
                Ok(())
            }
        }
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        centre: BackendCoord,
        radius: u32,
        style: &S,
        filled: bool,
    ) -> Drawn {
        match &mut self.sheet {
            Sheet::Svg(svg) => kept(svg.draw_circle(centre, radius, style, filled)),
            Sheet::Pixels(dots) => {
                let circle =
                    PathBuilder::from_circle(centre.0 as f32, centre.1 as f32, radius as f32);
                if let Some(path) = circle {
                    if filled {
                        dots.fill(&path, style.color());
                    } else {
                        dots.stroke(&path, style.color(), style.stroke_width());
                    }
                }
                Ok(())
            }
        }
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        points: I,
        style: &S,
    ) -> Drawn {
        match &mut self.sheet {
            Sheet::Svg(svg) => kept(svg.fill_polygon(points, style)),
            Sheet::Pixels(dots) => {
                if let Some(path) = path(points, true) {
                    dots.fill(&path, style.color());
                }
                Ok(())
            }
        }
    }

    /// Text of a [`text_style`]: anchored in its line's middle.
    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (x, y): BackendCoord,
    ) -> Drawn {
        let text = printable(text);
        let size = style.size() / EM;
        let anchor = style.anchor().h_pos;
        match &mut self.sheet {
            Sheet::Svg(svg) => {
                // The backend sets the baseline half an x below the anchor.
                let down = units((MIDDLE - EX / 2.0) * size / UNIT);
                let at = match style.transform() {
                    FontTransform::Rotate90 => (x - down, y),
                    FontTransform::Rotate180 => (x, y - down),
                    FontTransform::Rotate270 => (x + down, y),
                    _ => (x, y + down),
                };
                kept(svg.draw_text(&text, style, at))
            }
            Sheet::Pixels(dots) => {
                // Exact, where sines would not be.
                let turn = match style.transform() {
                    FontTransform::Rotate90 => (0.0, 1.0),
                    FontTransform::Rotate180 => (-1.0, 0.0),
                    FontTransform::Rotate270 => (0.0, -1.0),
                    _ => (1.0, 0.0),
                };
                let place = (x, y);
                dots.letters(self.font, &text, size, anchor, place, turn, style.color());
                Ok(())
            }
        }
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let size = style.size() / EM;
        Ok((self.font.width(text, size) as u32, size as u32))
    }
}

/// Text without the characters that XML forbids, even escaped.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use read_fonts::tables::glyf::Transform as Scale;

    #[test]
    fn every_letter_is_drawn_inside_the_box_that_the_font_gives_it() {
        let font = Font::new().unwrap();
        let glyphs = FontRef::new(FONT).unwrap().maxp().unwrap().num_glyphs();
        let mut drawn = 0;
        for glyph in (0..glyphs).map(|id| GlyphId::new(id.into())) {
            let Some(outline) = font.places.get_glyf(glyph, &font.outlines).unwrap() else {
                continue;
            };
            if let Glyph::Composite(composite) = &outline {
                for part in composite.components() {
                    assert_eq!(part.transform, Scale::default(), "{glyph:?}");
                    assert!(matches!(part.anchor, Anchor::Offset { .. }), "{glyph:?}");
                }
            }
            let mut path = PathBuilder::new();
            font.draw(glyph, (0.0, 0.0), MOST_PARTS, &mut path);
            let bounds = path.finish().unwrap().bounds();
            let found = [bounds.left(), bounds.top(), bounds.right(), bounds.bottom()];
            let given = [
                outline.x_min(),
                outline.y_min(),
                outline.x_max(),
                outline.y_max(),
            ];
            // The program that made the font rounded some of its boxes outwards.
            let off = found
                .iter()
                .zip(given)
                .map(|(a, b)| (a - f32::from(b)).abs());
            assert!(
                off.fold(0.0, f32::max) <= 1.0,
                "{glyph:?}: {found:?}, {given:?}"
            );
            drawn += 1;
        }
        assert_eq!(drawn, 461);
    }

    #[test]
    fn a_contour_that_begins_off_the_curve() {
        let point = |x, y, on| CurvePoint::new(x, y, on);
        let drawn = |points: &[CurvePoint]| {
            let mut path = PathBuilder::new();
            draw_contour(points, (0.0, 0.0), &mut path);
            format!("{:?}", path.finish())
        };
        // The same contour from three places: on the curve, before a point that is, between two that are not.
        let (a, b, c) = (point(0, 0, true), point(4, 0, false), point(4, 4, false));
        let corner = point(0, 8, true);
        let mut path = PathBuilder::new();
        path.move_to(0.0, 0.0);
        path.quad_to(4.0, 0.0, 4.0, 2.0);
        path.quad_to(4.0, 4.0, 0.0, 8.0);
        path.line_to(0.0, 0.0);
        path.close();
        assert_eq!(drawn(&[a, b, c, corner]), format!("{:?}", path.finish()));
        let mut path = PathBuilder::new();
        path.move_to(0.0, 8.0);
        path.line_to(0.0, 0.0);
        path.quad_to(4.0, 0.0, 4.0, 2.0);
        path.quad_to(4.0, 4.0, 0.0, 8.0);
        path.close();
        assert_eq!(drawn(&[c, corner, a, b]), format!("{:?}", path.finish()));
        let mut path = PathBuilder::new();
        path.move_to(4.0, 2.0);
        path.quad_to(4.0, 4.0, 0.0, 8.0);
        path.line_to(0.0, 0.0);
        path.quad_to(4.0, 0.0, 4.0, 2.0);
        path.close();
        assert_eq!(drawn(&[b, c, corner, a]), format!("{:?}", path.finish()));
    }
}
