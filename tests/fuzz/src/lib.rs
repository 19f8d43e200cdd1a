//! What several targets need.

pub mod here;
pub mod liar;
pub mod tomcat;
