//! A file of the reader's as a plain [`Read`], a chunk at a time.

use std::io::{self, Read};

use js_sys::{Function, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{Blob, FileReaderSync};

/// Large enough that the calls into the browser cost nothing, small enough to forget.
const CHUNK: f64 = 4_194_304.0;

/// Reads a `Blob` from its beginning. Only workers have the synchronous reader it needs.
pub struct BlobReader {
    blob: Blob,
    reader: FileReaderSync,
    progress: Option<Function>,
    /// Where the next chunk begins, bytes.
    next: f64,
    chunk: Vec<u8>,
    /// How much of `chunk` was handed out.
    used: usize,
}

impl BlobReader {
    pub fn new(blob: Blob, progress: Option<Function>) -> Result<BlobReader, JsValue> {
        Ok(BlobReader {
            blob,
            reader: FileReaderSync::new()?,
            progress,
            next: 0.0,
            chunk: Vec::new(),
            used: 0,
        })
    }

    fn fetch(&mut self) -> Result<(), JsValue> {
        let size = self.blob.size();
        let end = (self.next + CHUNK).min(size);
        let slice = self.blob.slice_with_f64_and_f64(self.next, end)?;
        self.chunk = Uint8Array::new(&self.reader.read_as_array_buffer(&slice)?.into()).to_vec();
        self.used = 0;
        self.next = end;
        if let Some(progress) = &self.progress {
            progress.call1(&JsValue::NULL, &JsValue::from_f64(end / size))?;
        }
        Ok(())
    }
}

impl Read for BlobReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.used == self.chunk.len() {
            if self.next >= self.blob.size() {
                return Ok(0);
            }
            self.fetch().map_err(|e| io::Error::other(sentence(&e)))?;
        }
        let count = (&self.chunk[self.used..]).read(into)?;
        self.used += count;
        Ok(count)
    }
}

/// The browser's own words: it says why a file could not be read (moved, changed, not allowed).
fn sentence(error: &JsValue) -> String {
    js_sys::Reflect::get(error, &JsValue::from_str("message"))
        .ok()
        .and_then(|message| message.as_string())
        .unwrap_or_else(|| "the browser could not read the file".to_owned())
}
