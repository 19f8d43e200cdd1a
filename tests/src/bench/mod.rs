//! Benchmarks: Satchel and its peers side by side in one run, interleaved, with the CPU time of each process.
//!
//! `docs/performance.md` says what is measured and why it is measured like this.

pub mod cpu;
pub mod figure;
pub mod generator;
pub mod haproxy;
pub mod minimal;
pub mod msm;
pub mod options;
pub mod page;
pub mod plot;
pub mod report;
pub mod rounds;

pub use cpu::Part;
pub use figure::{Figure, Goal};
pub use generator::{Load, Pace};
pub use options::Options;
pub use report::Report;
pub use rounds::{Contender, Series, compare};
