//! What memcached holds for a session. The format is described in `docs/record.md`.

pub mod flags;
pub mod key;
pub mod manifest;
pub mod payload;
pub mod seal;
pub mod ttl;

pub use key::{Farm, RecordKey};
pub use manifest::Manifest;
pub use payload::{Ended, Payload, Stored};
pub use seal::{Keys, SealError, shown_fingerprint};
pub use ttl::Ttl;
