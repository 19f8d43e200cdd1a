//! What the servers learn of the client and of the way to them, and how their answers are put right for it.

mod client;
mod headers;
mod response;
mod trace;
mod trust;

pub use client::Client;
pub use headers::set_headers;
pub(crate) use response::origin;
pub use response::{Passed, add_headers, hide_headers, name_charset, rewrite_cookie_paths, rewrite_redirect};
pub use trace::{Recording, request_id, trace};
pub use trust::{canonical_network, client_address, is_trusted};
