//! What `import` and `doctor` both know of stock Tomcat's files: the names of applications, properties, and what store directories are called.

pub mod name;
pub mod property;
pub mod store;
