//! What a report is made of: files, tables and figures as plain data ([`document`], [`figure`]), and the bytes of a
//! file: tables as CSV, figures as SVG and PNG (feature `figures`). The same bytes on every target: no clock, no fonts
//! of the system.

pub mod document;
pub mod figure;
mod table;

#[cfg(feature = "figures")]
mod axis;
#[cfg(feature = "figures")]
mod draw;
#[cfg(feature = "figures")]
mod look;
#[cfg(feature = "figures")]
mod paper;
#[cfg(feature = "figures")]
mod plan;

pub use table::csv;

#[cfg(feature = "figures")]
pub use self::{
    draw::{png, svg},
    files::bytes,
};

#[cfg(feature = "figures")]
mod files {
    use crate::{
        error::Error,
        report::document::{Content, File},
    };

    /// Pixels of a PNG per pixel of its SVG: sharp on a dense screen and on paper.
    const SCALE: u32 = 2;

    /// The files that one [`File`] becomes, each with its name and content: a figure is two, an
    /// SVG and a PNG of twice the pixels; everything else is one.
    ///
    /// Errors: as of [`svg`](super::svg) and [`png`](super::png).
    pub fn bytes(file: &File) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let one = |content: String| Ok(vec![(file.name.clone(), content.into_bytes())]);
        match &file.content {
            Content::Table(table) => one(super::csv(table)),
            Content::Text(text) => one(text.clone()),
            Content::Json(value) => one(format!("{value:#}\n")),
            Content::Figure(figure) => Ok(vec![
                (
                    format!("{}.svg", file.name),
                    super::svg(figure)?.into_bytes(),
                ),
                (format!("{}.png", file.name), super::png(figure, SCALE)?),
            ]),
        }
    }
}
