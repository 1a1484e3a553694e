//! What a figure is drawn on: a plotters backend that writes SVG or sets pixels, with one font
//! and one geometry for both. Coordinates are in [`UNIT`]s.
//!
//! plotters' own pixels would need the system's or the browser's fonts, and have rough edges; here
//! tiny-skia sets them, and ttf-parser gives it the letters' outlines.

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
use tiny_skia::{
    FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform,
};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

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
pub struct Font(Face<'static>);

impl Font {
    pub fn new() -> Result<Font, Error> {
        Face::parse(FONT, 0)
            .map(Font)
            .map_err(|error| failed("letters", error))
    }

    fn glyph(&self, c: char) -> GlyphId {
        // Glyph 0 is the box that every font has for what it lacks.
        self.0.glyph_index(c).unwrap_or_default()
    }

    fn advance(&self, c: char) -> f64 {
        let units = self.0.glyph_hor_advance(self.glyph(c)).unwrap_or_default();
        f64::from(units) / f64::from(self.0.units_per_em())
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
        let mut pen = Pen {
            path: PathBuilder::new(),
            x: 0.0,
        };
        for c in text.chars() {
            let glyph = self.glyph(c);
            self.0.outline_glyph(glyph, &mut pen);
            pen.x += f32::from(self.0.glyph_hor_advance(glyph).unwrap_or_default());
        }
        pen.path.finish()
    }
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

struct Pen {
    path: PathBuilder,
    x: f32,
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(self.x + x, y);
    }
    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(self.x + x, y);
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.path.quad_to(self.x + x1, y1, self.x + x, y);
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.path
            .cubic_to(self.x + x1, y1, self.x + x2, y2, self.x + x, y);
    }
    fn close(&mut self) {
        self.path.close();
    }
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
        let em = size as f32 / f32::from(font.0.units_per_em());
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
