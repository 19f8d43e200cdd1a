//! What `import` and `doctor` both know of stock Tomcat's files: the names of applications, properties, what store directories are called, the
//! `<Manager>` that users are told to have, and how XML is changed.

pub mod manager;
pub mod name;
pub mod property;
pub mod store;
pub mod xml;
