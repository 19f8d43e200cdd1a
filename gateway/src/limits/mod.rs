//! What a client may do: the size and form of its requests' headers, and how many requests at one time and in a time.

mod connections;
mod header;
mod rate;
mod recent;
mod zones;

pub use connections::{Connections, Slot};
pub use header::{Refused, check, check_fields};
pub use rate::{Admission, Rates};
pub use zones::Zones;

/// Clients that one limit knows: at about 50 bytes each a few MiB.
const REMEMBERED: usize = 65_536;
