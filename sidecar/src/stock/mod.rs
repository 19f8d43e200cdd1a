//! What `import` and `doctor` both know of stock Tomcat's files: properties in them.

pub mod property;
