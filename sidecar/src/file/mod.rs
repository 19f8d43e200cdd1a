//! Tomcat's session file and the directory that Tomcat and the sidecar share.

pub mod directory;
pub mod finished;
pub mod java;
pub mod placed;
pub mod session_file;
pub(crate) mod way;

pub use directory::{DirectoryError, StoreDirectory};
pub use placed::{Placed, Seen};
pub use session_file::SessionFile;
