//! Batchscope.
