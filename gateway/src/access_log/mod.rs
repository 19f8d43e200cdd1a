//! The access log: one line per request.

mod format;
mod writer;

pub use writer::{AccessLogError, Writer, check};
