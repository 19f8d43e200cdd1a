//! `${name}` in Tomcat's files: a system property, from `conf/catalina.properties` or the command line (`Digester`, `IntrospectionUtils`).

use std::collections::BTreeMap;
use std::path::Path;

use crate::stock::property::resolve;

/// What is known of Tomcat's system properties.
#[derive(Debug, Default, Clone)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// What a file in Java's format says (`java.util.Properties`): one property to a line; a line that ends in `\` goes on.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        Ok(Self::parse(&String::from_utf8_lossy(&std::fs::read(path)?)))
    }

    /// The same of a text.
    pub fn parse(text: &str) -> Self {
        let mut properties = BTreeMap::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let mut line = line.trim_start().to_owned();
            if line.starts_with(['#', '!']) {
                continue;
            }
            while ends_in_odd_backslashes(&line) {
                line.pop();
                line.push_str(lines.next().unwrap_or_default().trim_start());
            }
            let end = line.find(['=', ':', ' ', '\t']).unwrap_or(line.len());
            let (key, rest) = line.split_at(end);
            let rest = rest.trim_start();
            let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
            if !key.is_empty() {
                properties.insert(key.to_owned(), value.replace("\\\\", "\\"));
            }
        }
        Self(properties)
    }

    /// A property.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets one, whatever it was.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// `-Dname=value` of a command line.
    pub fn define(&mut self, argument: &str) {
        if let Some(definition) = argument.strip_prefix("-D") {
            let (name, value) = definition.split_once('=').unwrap_or((definition, ""));
            self.set(name, value);
        }
    }

    /// A value with each `${name}` and `${name:-default}` replaced. `Err`: the first that is not known.
    pub fn resolve(&self, value: &str) -> Result<String, String> {
        let resolved = resolve(value, |name| self.get(name));
        resolved.unknown.into_iter().next().map_or(Ok(resolved.text), Err)
    }
}

fn ends_in_odd_backslashes(line: &str) -> bool {
    (line.len() - line.trim_end_matches('\\').len()) % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_java_reads_it() {
        let text = "# a=b\n! c\n a = b \\\n   c\nd:e\nf g\nh=x\\\\\n=none\n";
        let read = Properties::parse(text);
        assert_eq!(read.get("a"), Some("b c"));
        assert_eq!((read.get("d"), read.get("f"), read.get("h")), (Some("e"), Some("g"), Some("x\\")));
        assert_eq!(read.0.len(), 4);
    }

    #[test]
    fn names_are_replaced() {
        let mut properties = Properties::default();
        properties.define("-Dport=8080");
        properties.define("-Xmx1g");
        assert_eq!(properties.resolve("${port}/${x:-y}/$z").as_deref(), Ok("8080/y/$z"));
        assert_eq!(properties.resolve("${x}").unwrap_err(), "x");
        assert_eq!(properties.resolve("${x").as_deref(), Ok("${x"));
    }
}
