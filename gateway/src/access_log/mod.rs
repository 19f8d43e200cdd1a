//! The access log: one line per request, nginx's combined format.

mod format;
mod writer;

pub use format::{Entry, combined};
pub use writer::{AccessLogError, Writer};
