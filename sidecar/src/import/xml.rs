//! XML that is read as a tree and changed as a text, so that what is not replaced stays as its administrator wrote it.

use std::ops::Range;

use roxmltree::{Attribute, Document, Node, ParsingOptions};

/// The largest file that is read, in bytes; Tomcat's have some thousand.
pub(super) const LARGEST: usize = 1 << 20;
const MOST_NODES: u32 = 100_000;
const DEEPEST: usize = 64;

/// Reads a text.
///
/// # Errors
/// Says where it is not XML, or what it has too much of.
pub(super) fn parse(text: &str) -> Result<Document<'_>, String> {
    if text.len() > LARGEST {
        return Err(format!("has more than {LARGEST} bytes: this is no configuration of Tomcat's"));
    }
    // No DTD, so no entities either.
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| match error {
        roxmltree::Error::DtdDetected => {
            "has a DTD (<!DOCTYPE …>), which is not read: write what its entities stand for into the file"
                .into()
        }
        error => format!("is not XML that Tomcat would read: {error}"),
    })?;
    let mut depth = 0_usize;
    let mut node = document.root();
    // In the order of the text, without recursion.
    while let Some(next) = node.first_child().inspect(|_| depth += 1).or_else(|| {
        let mut up = node;
        loop {
            if let Some(next) = up.next_sibling() {
                return Some(next);
            }
            up = up.parent()?;
            depth = depth.saturating_sub(1);
        }
    }) {
        if depth > DEEPEST {
            return Err(format!("has elements within elements, {DEEPEST} deep and more"));
        }
        node = next;
    }
    Ok(document)
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
    attribute_node(node, name).map(|attribute| attribute.value())
}

fn attribute_node<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Attribute<'a, 'input>> {
    node.attributes().find(|attribute| attribute.name() == name && attribute.namespace().is_none())
}

/// For double quotes.
pub(super) fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Changes of a text, made at once.
#[derive(Default)]
pub(super) struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts `by` in the place of what is there.
    pub(super) fn replace(&mut self, range: Range<usize>, by: String) {
        self.0.push((range, by));
    }

    /// Gives an element an attribute, in place of one that it may have.
    pub(super) fn set_attribute(&mut self, node: Node<'_, '_>, name: &str, value: &str) {
        let written = format!("{name}=\"{}\"", escaped(value));
        match attribute_node(node, name) {
            Some(attribute) => self.replace(attribute.range(), written),
            None => {
                let at = end_of_attributes(node);
                self.replace(at..at, format!(" {written}"));
            }
        }
    }

    /// Makes `inner` the first that is in an element.
    pub(super) fn insert_first(&mut self, node: Node<'_, '_>, text: &str, inner: &str) {
        let newline = newline(text);
        let indent = indentation(text, node.range().start);
        let inner = format!("{newline}{}{inner}", inner_indentation(text, node));
        match start_tag_end(node, text) {
            (at, true) => {
                let close = format!(">{inner}{newline}{indent}</{}>", qualified_name(node, text));
                self.replace(at..at + 2, close);
            }
            (at, false) => self.replace(at + 1..at + 1, inner),
        }
    }

    /// The text with the changes.
    pub(super) fn apply(mut self, text: &str) -> String {
        self.0.sort_by_key(|(range, _)| (range.start, range.end));
        let mut out = String::with_capacity(text.len() + 1024);
        let mut at = 0;
        for (range, by) in &self.0 {
            out.push_str(text.get(at..range.start).unwrap_or_default());
            out.push_str(by);
            at = range.end.max(at);
        }
        out.push_str(text.get(at..).unwrap_or_default());
        out
    }
}

/// How much further in an element stands than the one around it.
pub(super) const STEP: &str = "    ";

/// The white space in front of what begins at `at`, if it is the first on its line.
pub(super) fn indentation(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rsplit_once('\n').map_or(before, |(_, line)| line);
    if line.bytes().all(|b| matches!(b, b' ' | b'\t')) { line } else { "" }
}

/// The white space in front of what is in an element: as its first child has it.
pub(super) fn inner_indentation(text: &str, node: Node<'_, '_>) -> String {
    let own = indentation(text, node.range().start);
    let children = node.children().filter(Node::is_element);
    let mut of_children = children.map(|child| indentation(text, child.range().start));
    match of_children.find(|indent| indent.len() > own.len()) {
        Some(indent) => indent.to_owned(),
        None => format!("{own}{STEP}"),
    }
}

/// As the text ends its lines.
pub(super) fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// Behind the last attribute, or the name.
fn end_of_attributes(node: Node<'_, '_>) -> usize {
    let last = node.attributes().map(|attribute| attribute.range().end).max();
    last.unwrap_or(node.range().start + 1 + qualified_name(node, node.document().input_text()).len())
}

/// Where the start tag ends (`>`, or `/>` if that is all), and whether it is the whole element.
fn start_tag_end(node: Node<'_, '_>, text: &str) -> (usize, bool) {
    let start = node.range().start;
    let mut quote = None;
    for (offset, byte) in text.bytes().skip(start).enumerate() {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') => {
                let at = start + offset;
                return match text.get(..at).is_some_and(|tag| tag.ends_with('/')) {
                    true => (at - 1, true),
                    false => (at, false),
                };
            }
            _ => {}
        }
    }
    (text.len(), false)
}

fn qualified_name<'a>(node: Node<'_, '_>, text: &'a str) -> &'a str {
    let name = text.get(node.range().start + 1..).unwrap_or_default();
    let end = name.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'));
    name.get(..end.unwrap_or(name.len())).unwrap_or_default()
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

    fn edited(text: &str, edit: impl FnOnce(&mut Edits, Node<'_, '_>)) -> String {
        let document = parse(text).unwrap();
        let mut edits = Edits::default();
        edit(&mut edits, document.root_element());
        let new = edits.apply(text);
        parse(&new).unwrap();
        new
    }

    #[test]
    fn attributes_are_set_and_the_rest_stays() {
        for (text, new) in [
            ("<a/>", "<a x=\"1 &amp; &quot;2\"/>"),
            ("<a  >t</a >", "<a x=\"1 &amp; &quot;2\"  >t</a >"),
            (
                "<!-- <a x='0'> --><a b = '>'\n  x\n=\n'/>' />",
                "<!-- <a x='0'> --><a b = '>'\n  x=\"1 &amp; &quot;2\" />",
            ),
        ] {
            assert_eq!(edited(text, |edits, node| edits.set_attribute(node, "x", "1 & \"2")), new);
        }
    }

    #[test]
    fn something_is_put_first_into_an_element() {
        for (text, new) in [
            ("<a/>", "<a>\n    <b/>\n</a>"),
            ("<a c='/>' />", "<a c='/>' >\n    <b/>\n</a>"),
            ("<a c='>'><d/></a>", "<a c='>'>\n    <b/><d/></a>"),
            ("<a c='1' xmlns='http://x/'/>", "<a c='1' xmlns='http://x/'>\n    <b/>\n</a>"),
            ("<a>\n  <!-- -->\n  <d/>\n</a>", "<a>\n  <b/>\n  <!-- -->\n  <d/>\n</a>"),
            ("\r\n  <a>\r\n  </a>", "\r\n  <a>\r\n      <b/>\r\n  </a>"),
        ] {
            assert_eq!(edited(text, |edits, node| edits.insert_first(node, text, "<b/>")), new);
        }
    }

    #[test]
    fn what_would_take_a_machine_down_is_refused() {
        for (text, why) in [
            ("<!DOCTYPE a [<!ENTITY e 'eeee'>]><a>&e;</a>".to_owned(), "DTD"),
            ("<a>".repeat(500_000), "bytes"),
            (format!("{}{}", "<a>".repeat(70), "</a>".repeat(70)), "deep"),
            (format!("<a>{}</a>", "<b/>".repeat(100_001)), "not XML"),
            (format!("{}{}", "<a>".repeat(90_000), "</a>".repeat(90_000)), "deep"),
            ("<a".to_owned(), "not XML"),
            (String::new(), "not XML"),
        ] {
            let error = parse(&text).map(drop).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert!(parse(&format!("{}{}", "<a>".repeat(60), "</a>".repeat(60))).is_ok());
    }

    #[test]
    fn lines_are_counted_from_one() {
        let lines = Lines::of("a\nb\n\nc");
        assert_eq!([0, 1, 2, 4, 5].map(|at| lines.number(at)), [1, 1, 2, 3, 4]);
    }
}
