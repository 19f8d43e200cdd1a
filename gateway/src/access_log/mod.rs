//! The access log: one line per request.

pub mod format;
mod writer;

pub use writer::{AccessLogError, Writer, check};
