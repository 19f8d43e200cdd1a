//! Session ids: what a client presents, what Tomcat sees, and how one becomes the other.

pub mod cookies;
pub mod path_param;
pub mod session_id;
pub mod set_cookie;

pub use session_id::{NodeName, Presented, SessionId};
