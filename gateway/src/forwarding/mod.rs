//! What the servers are told about the client.

mod headers;
mod template;
mod trust;

pub use headers::{Client, set_headers};
pub use template::{Template, TemplateError, Variables};
pub use trust::client_address;
