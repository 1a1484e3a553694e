//! One SHA-256 per column: how "the same bytes on every target" is checked, by our tests and by
//! anyone who runs `batchscope run --digest` beside the page.

use std::collections::BTreeMap;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::Outcome;
use crate::Trace;

impl Outcome {
    /// SHA-256 of every column (little-endian) and of the summary's JSON, by column name.
    pub fn digests(&self) -> BTreeMap<&'static str, String> {
        let b = &self.batches;
        let r = &self.requests;
        // Plain numbers and strings cannot fail to serialise.
        let summary = serde_json::to_vec(&self.summary).unwrap_or_default();
        let mut digests = BTreeMap::from([
            ("batches.start", of(&b.start, |v| v.to_le_bytes())),
            ("batches.service", of(&b.service, |v| v.to_le_bytes())),
            ("batches.gpu", of(&b.gpu, |v| v.to_le_bytes())),
            ("batches.bin", of(&b.bin, |v| v.to_le_bytes())),
            ("batches.first", of(&b.first, |v| v.to_le_bytes())),
            ("batches.size", of(&b.size, |v| v.to_le_bytes())),
            (
                "batches.longest_total",
                of(&b.longest_total, |v| v.to_le_bytes()),
            ),
            (
                "batches.longest_output",
                of(&b.longest_output, |v| v.to_le_bytes()),
            ),
            ("requests.order", of(&r.order, |v| v.to_le_bytes())),
            ("requests.sent", of(&r.sent_s, |v| v.to_le_bytes())),
            ("requests.predicted", of(&r.predicted, |v| v.to_le_bytes())),
            ("summary", hex(Sha256::digest(&summary).as_slice())),
        ]);
        if let Some(served) = &self.served {
            let s = &served.0;
            digests.extend([
                ("served.joined", of(&s.joined_s, |v| v.to_le_bytes())),
                (
                    "served.first_token",
                    of(&s.first_token_s, |v| v.to_le_bytes()),
                ),
                ("served.done", of(&s.done_s, |v| v.to_le_bytes())),
                ("served.replica", of(&s.replica, |v| v.to_le_bytes())),
                ("served.fate", of(&s.fate, |v| [*v as u8])),
            ]);
        }
        digests
    }
}

/// One SHA-256 over a trace's arrivals, prompts and outputs: whether two files replay alike.
pub fn trace(trace: &Trace) -> String {
    head(trace, trace.len())
}

/// The same over the first `rows` rows: whether two files begin alike.
pub fn head(trace: &Trace, rows: usize) -> String {
    let mut hash = Sha256::new();
    let columns = trace.arrival.iter().zip(&trace.prompt).zip(&trace.output);
    for ((arrival, prompt), output) in columns.take(rows) {
        hash.update(arrival.to_le_bytes());
        hash.update(prompt.to_le_bytes());
        hash.update(output.to_le_bytes());
    }
    hex(hash.finalize().as_slice())
}

fn of<T, const N: usize>(column: &[T], bytes: impl Fn(&T) -> [u8; N]) -> String {
    let mut hash = Sha256::new();
    for value in column {
        hash.update(bytes(value));
    }
    hex(hash.finalize().as_slice())
}

/// A reader that takes size and SHA-256 of what passes through it.
#[derive(Debug)]
pub struct Hashing<R> {
    input: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Hashing<R> {
    pub fn new(input: R) -> Hashing<R> {
        Hashing {
            input,
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    /// Size in bytes and SHA-256, as `sha256sum` prints it, of the whole input: also of what nobody
    /// has read yet, such as the bytes behind a gzip stream.
    ///
    /// Errors: as the input's.
    pub fn finish(mut self) -> io::Result<(u64, String)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((self.bytes, hex(self.hash.finalize().as_slice())))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.hash.update(&buffer[..length]);
        self.bytes += length as u64;
        Ok(length)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By Python's hashlib over the little-endian bytes.
    #[test]
    fn a_trace_has_the_digest_of_its_bytes() {
        let whole = Trace {
            arrival: vec![0.5, 1.5],
            prompt: vec![1, 3],
            output: vec![2, 4],
            ..Trace::default()
        };
        assert_eq!(
            trace(&whole),
            "c7810e464e3002627b21d050a90c2cdc951915cffa4eb268b1a8923d8230aebb"
        );
        assert_eq!(
            head(&whole, 1),
            "dc16b8590592e4c1177ece0fea541b10da514872312b89b1a79ad30070e287c2"
        );
    }
}
