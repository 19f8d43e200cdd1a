//! What `import` and `doctor` both know of stock Tomcat's files: the names of applications, and properties.

pub mod name;
pub mod property;
