//! Bytes to lines and lines to CSV records: gzip or plain, streamed, in bounded memory.
//!
//! Written here rather than taken from a CSV crate for three promises those do not make: the row of
//! an error is the line an editor shows, a quote that never closes is an error instead of a field
//! that swallows the rest of the file, and no input makes the buffer grow past [`MAX_LINE`].

use std::io::{BufReader, Chain, Cursor, ErrorKind, Read};
use std::ops::Range;

use flate2::bufread::MultiGzDecoder;
use memchr::{memchr, memchr_iter};

use crate::error::{Error, printable};

/// The longest line, and the longest CSV record with line breaks inside quotes: 4 MiB.
pub(super) const MAX_LINE: usize = 4 << 20;

/// Bytes asked of the input at a time.
const CHUNK: usize = 128 << 10;

/// What is understood, for the sentences of errors.
pub(super) const UNDERSTOOD: &str = "BurstGPT, Azure and generic CSV, Mooncake, Qwen-Bailian \
                                     and generic JSON lines, each plain or gzip, in UTF-8";

type Rewound<R> = Chain<Cursor<Vec<u8>>, R>;

enum Input<R: Read> {
    Plain(Rewound<R>),
    Gzip(Box<MultiGzDecoder<BufReader<Rewound<R>>>>),
}

/// The lines of a file, without their ends (LF or CRLF).
pub(super) struct Lines<R: Read> {
    input: Input<R>,
    file: String,
    buf: Vec<u8>,
    /// Unread bytes are `buf[start..end]`.
    start: usize,
    end: usize,
    /// No line end in `buf[start..searched]`.
    searched: usize,
    ended: bool,
    row: u64,
    blank: u64,
}

/// What is wrong with gzip data that cannot be read on, `stops` being where; `None` where the input itself failed.
pub(crate) fn damaged_gzip(file: &str, e: &std::io::Error, stops: &str) -> Option<Error> {
    let detail = match e.kind() {
        ErrorKind::UnexpectedEof => format!("the data ends in the middle ({stops})"),
        ErrorKind::InvalidInput | ErrorKind::InvalidData => {
            format!("the gzip data is damaged ({e})")
        }
        _ => return None,
    };
    Some(Error::Truncated {
        file: file.to_owned(),
        detail,
    })
}

impl<R: Read> Lines<R> {
    /// Recognises gzip by its first bytes, passes over a byte-order mark, refuses what is no text.
    pub(super) fn open(mut input: R, file: &str) -> Result<Self, Error> {
        let mut head = vec![0; 4];
        let mut len = 0;
        while let Some(free) = head.get_mut(len..).filter(|free| !free.is_empty()) {
            match input.read(free) {
                Ok(0) => break,
                Ok(n) => len += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(refused(file, &e)),
            }
        }
        head.truncate(len);
        let gzip = head.starts_with(&[0x1f, 0x8b]);
        let input = Cursor::new(head).chain(input);
        let mut lines = Lines {
            input: if gzip {
                let input = BufReader::with_capacity(CHUNK, input);
                Input::Gzip(Box::new(MultiGzDecoder::new(input)))
            } else {
                Input::Plain(input)
            },
            file: file.to_owned(),
            buf: vec![0; CHUNK],
            start: 0,
            end: 0,
            searched: 0,
            ended: false,
            row: 0,
            blank: 0,
        };
        while lines.end < 4 && !lines.ended {
            lines.fill()?;
        }
        lines.refuse_binary()?;
        if lines.unread().starts_with(b"\xef\xbb\xbf") {
            lines.start = 3;
            lines.searched = 3;
        }
        Ok(lines)
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Row of the line given last; the first line is row 1.
    pub(super) fn row(&self) -> u64 {
        self.row
    }

    /// Blank rows so far.
    pub(super) fn blank(&self) -> u64 {
        self.blank
    }

    /// The next line as a place for [`Lines::bytes`], valid until the next call.
    pub(super) fn next(&mut self) -> Result<Option<Range<usize>>, Error> {
        loop {
            let tail = self.buf.get(self.searched..self.end).unwrap_or_default();
            let line_end = match memchr(b'\n', tail) {
                Some(at) => self.searched + at,
                None if self.ended && self.start == self.end => return Ok(None),
                None if self.ended => self.end,
                None => {
                    self.searched = self.end;
                    self.fill()?;
                    continue;
                }
            };
            let line = self.start..line_end;
            self.start = (line_end + 1).min(self.end);
            self.searched = self.start;
            self.row += 1;
            let text = self.bytes(line.clone());
            let text_len = text.strip_suffix(b"\r").unwrap_or(text).len();
            if text_len > MAX_LINE {
                return Err(self.too_long(self.row));
            }
            return Ok(Some(line.start..line.start + text_len));
        }
    }

    /// The next line that holds more than white space; blank ones are counted.
    pub(super) fn next_filled(&mut self) -> Result<Option<Range<usize>>, Error> {
        while let Some(line) = self.next()? {
            if !self.bytes(line.clone()).trim_ascii().is_empty() {
                return Ok(Some(line));
            }
            self.blank += 1;
        }
        Ok(None)
    }

    /// A copy of the first filled line, which stays the next one to be read.
    pub(super) fn peek(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let Some(line) = self.next_filled()? else {
            return Ok(None);
        };
        self.start = line.start;
        self.searched = line.start;
        self.row -= 1;
        Ok(Some(self.bytes(line).to_vec()))
    }

    pub(super) fn bytes(&self, line: Range<usize>) -> &[u8] {
        self.buf.get(line).unwrap_or_default()
    }

    fn unread(&self) -> &[u8] {
        self.bytes(self.start..self.end)
    }

    fn too_long(&self, row: u64) -> Error {
        Error::BadRow {
            file: self.file.clone(),
            row,
            problem: format!(
                "the row is longer than {} MiB; is this a trace, one request per line?",
                MAX_LINE >> 20
            ),
        }
    }

    /// Reads on; makes room first, by moving what is unread to the front and then by growing.
    fn fill(&mut self) -> Result<(), Error> {
        if self.start > 0 {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.searched -= self.start;
            self.start = 0;
        }
        if self.end > MAX_LINE {
            return Err(self.too_long(self.row + 1));
        }
        if self.end == self.buf.len() {
            let len = (self.buf.len() * 2).min(MAX_LINE + CHUNK);
            self.buf.resize(len, 0);
        }
        let free = self.buf.get_mut(self.end..).unwrap_or_default();
        let (read, gzip) = match &mut self.input {
            Input::Plain(input) => (input.read(free), false),
            Input::Gzip(input) => (input.read(free), true),
        };
        match read {
            Ok(0) => self.ended = true,
            Ok(n) => self.end += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => {
                let stops = format!("the gzip stream stops after row {}", self.row);
                let damaged = if gzip {
                    damaged_gzip(&self.file, &e, &stops)
                } else {
                    None
                };
                return Err(damaged.unwrap_or_else(|| refused(&self.file, &e)));
            }
        }
        Ok(())
    }

    fn refuse_binary(&self) -> Result<(), Error> {
        let head = self.unread();
        let problem = match head {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16 text, save it as UTF-8",
            [b'P', b'K', 3, 4, ..] => "a zip archive, unpack it first",
            [0x28, 0xb5, 0x2f, 0xfd, ..] => "a zstd archive, unpack it first",
            [b'B', b'Z', b'h', ..] => "a bzip2 archive, unpack it first",
            [0xfd, b'7', b'z', b'X', ..] => "an xz archive, unpack it first",
            [b'P', b'A', b'R', b'1', ..] => "a Parquet file, save it as CSV",
            _ => return Ok(()),
        };
        Err(Error::UnknownFormat {
            file: self.file.clone(),
            problem: problem.to_owned(),
            allowed: UNDERSTOOD.to_owned(),
        })
    }
}

fn refused(file: &str, e: &std::io::Error) -> Error {
    Error::File {
        action: "read",
        path: file.to_owned(),
        detail: e.to_string(),
    }
}

/// The records of a CSV file, the header first.
pub(super) struct Records<R: Read> {
    lines: Lines<R>,
    fields: Vec<Range<usize>>,
    /// Holds a record with quotes in it, unescaped.
    unquoted: Vec<u8>,
    /// Fields of the header; 0 before it is read.
    width: usize,
    blank: u64,
}

/// One CSV record.
pub(super) struct Record<'a> {
    pub(super) row: u64,
    bytes: &'a [u8],
    fields: &'a [Range<usize>],
}

impl Record<'_> {
    /// A field without surrounding spaces; empty where the record has none of that index, which
    /// [`Records::next`] has ruled out for columns of the header.
    pub(super) fn field(&self, index: usize) -> &[u8] {
        self.fields
            .get(index)
            .and_then(|place| self.bytes.get(place.clone()))
            .unwrap_or_default()
            .trim_ascii()
    }

    /// The names of a header.
    pub(super) fn names(&self) -> Vec<String> {
        (0..self.fields.len())
            .map(|i| String::from_utf8_lossy(self.field(i)).into_owned())
            .collect()
    }
}

impl<R: Read> Records<R> {
    pub(super) fn new(lines: Lines<R>) -> Self {
        Records {
            lines,
            fields: Vec::new(),
            unquoted: Vec::new(),
            width: 0,
            blank: 0,
        }
    }

    pub(super) fn file(&self) -> &str {
        self.lines.file()
    }

    /// Blank rows so far: white space only, or every field empty.
    pub(super) fn blank(&self) -> u64 {
        self.lines.blank() + self.blank
    }

    /// The next record; the first one is the header and sets how many fields every row must have.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, Error> {
        let (row, quoted) = loop {
            let Some(line) = self.lines.next_filled()? else {
                return Ok(None);
            };
            let row = self.lines.row();
            let bytes = self.lines.bytes(line.clone());
            let quoted = memchr(b'"', bytes).is_some();
            if quoted {
                self.unquote(line, row)?;
            } else {
                self.fields.clear();
                let mut from = line.start;
                for comma in memchr_iter(b',', bytes) {
                    self.fields.push(from..line.start + comma);
                    from = line.start + comma + 1;
                }
                self.fields.push(from..line.end);
            }
            if self.width == 0 {
                self.width = self.fields.len();
                break (row, quoted);
            }
            if !quoted && bytes_are_separators(self.lines.bytes(self.record_span())) {
                self.blank += 1;
                continue;
            }
            if self.fields.len() != self.width {
                return Err(self.bad_row(
                    row,
                    format!(
                        "{} fields where the header has {}",
                        self.fields.len(),
                        self.width
                    ),
                ));
            }
            break (row, quoted);
        };
        Ok(Some(Record {
            row,
            bytes: if quoted {
                &self.unquoted
            } else {
                &self.lines.buf
            },
            fields: &self.fields,
        }))
    }

    fn record_span(&self) -> Range<usize> {
        match (self.fields.first(), self.fields.last()) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => 0..0,
        }
    }

    fn bad_row(&self, row: u64, problem: String) -> Error {
        Error::BadRow {
            file: self.lines.file.clone(),
            row,
            problem,
        }
    }

    /// Splits a record that has quotes in it: a field that begins with one runs to the next single
    /// one, over commas and line ends; a doubled quote stands for itself (RFC 4180).
    fn unquote(&mut self, line: Range<usize>, row: u64) -> Result<(), Error> {
        self.fields.clear();
        self.unquoted.clear();
        let mut text = self.lines.bytes(line).to_vec();
        let mut at = 0;
        loop {
            let from = self.unquoted.len();
            let blanks = text
                .get(at..)
                .unwrap_or_default()
                .iter()
                .take_while(|b| **b == b' ')
                .count();
            if text.get(at + blanks) == Some(&b'"') {
                at += blanks + 1;
                loop {
                    match (text.get(at), text.get(at + 1)) {
                        (Some(b'"'), Some(b'"')) => {
                            self.unquoted.push(b'"');
                            at += 2;
                        }
                        (Some(b'"'), _) => {
                            at += 1;
                            break;
                        }
                        (Some(other), _) => {
                            self.unquoted.push(*other);
                            at += 1;
                        }
                        (None, _) => {
                            if self.unquoted.len() > MAX_LINE {
                                return Err(self.lines.too_long(row));
                            }
                            let Some(more) = self.lines.next()? else {
                                return Err(
                                    self.bad_row(row, "a quote opens here and never closes".into())
                                );
                            };
                            self.unquoted.push(b'\n');
                            text.clear();
                            text.extend_from_slice(self.lines.bytes(more));
                            at = 0;
                        }
                    }
                }
                self.fields.push(from..self.unquoted.len());
                let rest = text.get(at..).unwrap_or_default();
                let upto = memchr(b',', rest).unwrap_or(rest.len());
                let between = rest.get(..upto).unwrap_or_default();
                if !between.trim_ascii().is_empty() {
                    let problem = format!(
                        "\"{}\" stands between a closing quote and the next comma",
                        printable(between)
                    );
                    return Err(self.bad_row(row, problem));
                }
                at += upto;
            } else {
                let rest = text.get(at..).unwrap_or_default();
                let upto = memchr(b',', rest).unwrap_or(rest.len());
                self.unquoted
                    .extend_from_slice(rest.get(..upto).unwrap_or_default());
                self.fields.push(from..self.unquoted.len());
                at += upto;
            }
            if at >= text.len() {
                return Ok(());
            }
            at += 1;
        }
    }
}

fn bytes_are_separators(bytes: &[u8]) -> bool {
    // The first byte settles it for every ordinary row.
    bytes
        .iter()
        .all(|b| matches!(b, b',' | b' ' | b'\t' | b'\r'))
}
