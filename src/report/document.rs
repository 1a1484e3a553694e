//! What a study leaves: files, as plain data. The report room turns them into bytes.

use super::figure::Figure;

/// One file of a study's folder. A figure becomes two, an SVG and a PNG.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// Name in the study's folder, with its ending; a figure's is without.
    pub name: String,
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Becomes CSV.
    Table(Table),
    /// Plain text or Markdown, as the name's ending says.
    Text(String),
    Json(serde_json::Value),
    Figure(Figure),
}

impl File {
    pub fn new(name: impl Into<String>, content: Content) -> File {
        File {
            name: name.into(),
            content,
        }
    }
}

/// Named columns and rows of equal length.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    pub fn new<'a>(columns: impl IntoIterator<Item = &'a str>) -> Table {
        Table {
            columns: columns.into_iter().map(str::to_owned).collect(),
            rows: Vec::new(),
        }
    }
}

/// One cell of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Text(String),
    Whole(u64),
    Number(f64),
    /// The engine does not know; never written as 0.
    NotModelled,
    /// Does not apply to this row; an empty field.
    Empty,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(n: u64) -> Cell {
        Cell::Whole(n)
    }
}

impl From<u32> for Cell {
    fn from(n: u32) -> Cell {
        Cell::Whole(n.into())
    }
}

impl From<f64> for Cell {
    fn from(x: f64) -> Cell {
        Cell::Number(x)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Cell {
        value.map_or(Cell::Empty, Into::into)
    }
}
