//! The access log: one line per request.

pub mod format;
mod time;
mod writer;

pub use time::Stamp;
pub use writer::{AccessLogError, Writer, check};
