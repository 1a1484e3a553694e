//! The nouns of [`study::document`](crate::study::document) as bytes.

mod table;

pub use table::{csv, markdown};

use crate::error::Error;
use crate::study::document::{Content, File};

/// The files that one [`File`] becomes, each with its name and content.
pub fn bytes(file: &File) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let one = |content: String| Ok(vec![(file.name.clone(), content.into_bytes())]);
    match &file.content {
        Content::Table(table) => one(csv(table)),
        Content::Text(text) => one(text.clone()),
        Content::Json(value) => one(format!("{value:#}\n")),
        Content::Figure(_) => Ok(Vec::new()),
    }
}
