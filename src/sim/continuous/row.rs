//! Rows of a step, for a device that takes it.

/// One token on its way through a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Whose keys and values it reads and adds to.
    pub slot: u32,
    /// Its place in the sequence, from 0; 0 means that the slot begins anew.
    pub position: u32,
    /// Whether it is one of the prompt; else the one that its sequence sampled last.
    pub prompt: bool,
    /// Whether the next token of its sequence is asked for: of every decoding sequence, and of the last token of a
    /// prompt.
    pub sampled: bool,
}
