//! What the imports of both programs have in common: a configuration of ours as it grows, how it is printed, and what is said about the
//! other one.

pub mod block;
pub mod note;
pub mod outcome;
pub mod toml;

pub use note::{Kind, Note};
