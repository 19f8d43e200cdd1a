//! memcached nodes: a small trait of our own, its implementation over the `memcache` crate, and the view
//! of which nodes are up.

pub mod away;
pub mod connection;
pub mod health;
mod meta;
pub mod node;
pub mod nodes;
pub mod pool;
mod text;
pub mod wire;

pub use node::{Answers, Command, Incarnation, Item, Mode, Node, NodeError, Reply};
pub use nodes::Nodes;
pub use pool::Pool;
