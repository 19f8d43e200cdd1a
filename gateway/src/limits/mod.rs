//! What a client may do: the size and form of its requests' headers, and how many requests at one time and in a time.

mod header;
mod rate;

pub use header::{Refused, check, check_fields};
pub use rate::{Admission, Clients, Slot};
