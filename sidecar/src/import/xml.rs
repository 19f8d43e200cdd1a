//! What is asked of XML that was read.

use roxmltree::{Attribute, Document, Node};

use crate::stock::xml;

/// The largest file that is read, in bytes; Tomcat's have some thousand.
pub(super) const LARGEST: usize = 1 << 20;

/// Reads a text.
///
/// # Errors
/// Says where it is not XML, or what it has too much of.
pub(super) fn parse(text: &str) -> Result<Document<'_>, String> {
    if text.len() > LARGEST {
        return Err(format!("has more than {LARGEST} bytes: this is no configuration of Tomcat's"));
    }
    xml::parse(text).map_err(|error| error.to_string())
}

/// The child elements of one name.
pub(super) fn children<'a, 'input>(
    node: Node<'a, 'input>,
    name: &'a str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

/// The text of an attribute that has no namespace.
pub(super) fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    let is_it = |one: &Attribute<'a, '_>| one.name() == name && one.namespace().is_none();
    node.attributes().find(is_it).map(|attribute| attribute.value())
}

/// Where the lines of a text begin.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// The number of the line, from 1.
    pub(super) fn number(&self, at: usize) -> usize {
        self.0.partition_point(|start| *start <= at).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_refused() {
        assert!(parse(&"<a>".repeat(500_000)).map(drop).unwrap_err().contains("bytes"));
        assert!(parse("<a").map(drop).unwrap_err().contains("not XML"));
    }

    #[test]
    fn lines_are_counted_from_one() {
        let lines = Lines::of("a\nb\n\nc");
        assert_eq!([0, 1, 2, 4, 5].map(|at| lines.number(at)), [1, 1, 2, 3, 4]);
    }
}
