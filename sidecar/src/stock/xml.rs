//! XML that is read as a tree and changed as a text, so that what is not replaced stays as its administrator wrote it: comments, indentation,
//! line ends.

use std::ops::Range;

use roxmltree::{Document, Node, ParsingOptions};

/// Tomcat's files have some hundred.
const NODES_MAX: u32 = 100_000;
/// Tomcat's own elements are nested six deep.
const DEPTH_MAX: usize = 64;
/// How much further in an element stands than the one around it.
pub const STEP: &str = "    ";

/// Why a text can't be used.
#[derive(Debug, thiserror::Error)]
pub enum XmlError {
    /// It is not XML, or has too many elements.
    #[error("is not XML that Tomcat would read: {0}")]
    Xml(#[from] roxmltree::Error),
    /// What they stand for could be a thousand times as much as the file, or in another one.
    #[error("declares entities (<!ENTITY …>), which are not read: write what they stand for into the file")]
    Entities,
    /// It is nested more deeply than any of Tomcat's files.
    #[error("has elements within elements, {DEPTH_MAX} deep and more")]
    TooDeep,
}

/// Where an element stands, in bytes of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// All of it.
    pub range: Range<usize>,
    /// Its first tag.
    pub open: Range<usize>,
    /// With its prefix, if it has one.
    name: Range<usize>,
    /// Those without a namespace, in their order: Tomcat's have none.
    pub attributes: Vec<Attribute>,
    /// Where a further attribute goes.
    end_of_attributes: usize,
    /// `<A/>`.
    is_empty: bool,
    /// Where its child elements begin.
    children: Vec<usize>,
}

/// An attribute of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value, without escapes.
    pub value: String,
    /// Name, value and quotes.
    pub range: Range<usize>,
    /// What is between the quotes.
    pub value_range: Range<usize>,
}

/// What takes the place of some bytes of a text.
pub type Change = (Range<usize>, String);

/// Changes of a text, made at once. Of those that meet the first counts.
#[derive(Debug, Default, Clone)]
pub struct Edits(Vec<Change>);

/// Reads a text, within bounds.
///
/// # Errors
/// As [`XmlError`].
pub fn parse(text: &str) -> Result<Document<'_>, XmlError> {
    if text.contains("<!ENTITY") {
        return Err(XmlError::Entities);
    }
    // A web.xml of Servlet 2.3 names its DTD, and that is harmless.
    let options = ParsingOptions { allow_dtd: true, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)?;
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
        if depth > DEPTH_MAX {
            return Err(XmlError::TooDeep);
        }
        node = next;
    }
    Ok(document)
}

/// For a value between quotes of either kind.
pub fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // As they are they would be read as spaces.
            '\t' | '\n' | '\r' => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// As the text ends its lines.
pub fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// The white space in front of what begins at `at`, if it is the first on its line.
pub fn indentation(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rsplit_once('\n').map_or(before, |(_, line)| line);
    if line.bytes().all(|b| matches!(b, b' ' | b'\t')) { line } else { "" }
}

impl Tag {
    /// Of an element.
    pub fn of(node: Node<'_, '_>) -> Self {
        let text = node.document().input_text();
        let range = node.range();
        let name = range.start + 1..end_of_name(text, range.start + 1);
        let end_of_attributes = node.attributes().map(|one| one.range().end).max().unwrap_or(name.end);
        let open_end = end_of_tag(text, end_of_attributes).min(range.end);
        let own = node.attributes().filter(|one| one.namespace().is_none());
        let attributes = own.map(|one| Attribute {
            name: one.name().to_owned(),
            value: one.value().to_owned(),
            range: one.range(),
            value_range: one.range_value(),
        });
        Self {
            open: range.start..open_end,
            is_empty: text.get(..open_end).is_some_and(|text| text.ends_with("/>")),
            attributes: attributes.collect(),
            children: node.children().filter(Node::is_element).map(|child| child.range().start).collect(),
            range,
            name,
            end_of_attributes,
        }
    }

    /// An attribute.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// Sets an attribute.
    pub fn set(&self, name: &str, value: &str) -> Change {
        match self.attribute(name) {
            Some(attribute) => (attribute.value_range.clone(), escaped(value)),
            None => {
                let end = self.end_of_attributes;
                (end..end, format!(" {name}=\"{}\"", escaped(value)))
            }
        }
    }

    /// Removes an attribute, with the space before it.
    pub fn unset(&self, text: &str, name: &str) -> Option<Change> {
        let range = self.attribute(name)?.range.clone();
        let before = text.get(..range.start)?.trim_end().len();
        Some((before..range.end, String::new()))
    }

    /// Removes the element, and the line if nothing else is on it.
    pub fn remove(&self, text: &str) -> Change {
        let range = self.range.clone();
        let (before, after) = (text.get(..range.start), text.get(range.end..));
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let start = before.trim_end_matches([' ', '\t']);
        let rest = after.trim_start_matches([' ', '\t', '\r']);
        let alone = start.ends_with('\n') && rest.starts_with('\n');
        let line = start.len()..text.len() - rest.len() + 1;
        (if alone { line } else { range }, String::new())
    }

    /// Makes `inner` the first that is in the element, on a line of its own, with [`inner_indentation`](Self::inner_indentation).
    pub fn insert_first(&self, text: &str, inner: &str) -> Change {
        let newline = newline(text);
        let inner = format!("{newline}{}{inner}", self.inner_indentation(text));
        let end = self.open.end;
        if self.is_empty {
            let indent = indentation(text, self.range.start);
            let name = text.get(self.name.clone()).unwrap_or_default();
            (end - 2..end, format!(">{inner}{newline}{indent}</{name}>"))
        } else {
            (end..end, inner)
        }
    }

    /// The white space in front of what is in the element: as its first child has it.
    pub fn inner_indentation(&self, text: &str) -> String {
        let own = indentation(text, self.range.start);
        let mut of_children = self.children.iter().map(|child| indentation(text, *child));
        match of_children.find(|indent| indent.len() > own.len()) {
            Some(indent) => indent.to_owned(),
            None => format!("{own}{STEP}"),
        }
    }
}

fn end_of_name(text: &str, start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let end = rest.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'));
    start + end.unwrap_or(rest.len())
}

/// Behind the `>`; declarations of namespaces are no attributes, and may have one between their quotes.
fn end_of_tag(text: &str, start: usize) -> usize {
    let mut quote = None;
    for (offset, byte) in text.bytes().skip(start).enumerate() {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') => return start + offset + 1,
            _ => {}
        }
    }
    text.len()
}

impl Edits {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a change meets an earlier one that says something else.
    pub fn refuses(&self, change: &Change) -> bool {
        self.0.iter().any(|other| other != change && overlap(&other.0, &change.0))
    }

    /// One more. One that is refused, or was there before, is left out.
    pub fn add(&mut self, change: Change) {
        if !self.refuses(&change) && !self.0.contains(&change) {
            self.0.push(change);
        }
    }

    /// The text with the changes.
    pub fn apply(mut self, text: &str) -> String {
        // Stable: insertions at one place stay in their order. They come before what takes the place of the bytes that begin there.
        self.0.sort_by_key(|(range, _)| (range.start, range.end));
        let mut out = String::with_capacity(text.len() + 1024);
        let mut at = 0;
        for (range, with) in &self.0 {
            out.push_str(text.get(at..range.start).unwrap_or_default());
            out.push_str(with);
            at = range.end;
        }
        out.push_str(text.get(at..).unwrap_or_default());
        out
    }
}

/// Whether they have bytes in common, or one is an insertion into the other.
fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    let inside = |at: usize, range: &Range<usize>| range.start < at && at < range.end;
    match (a.is_empty(), b.is_empty()) {
        (true, true) => false,
        (true, false) => inside(a.start, b),
        (false, true) => inside(b.start, a),
        (false, false) => a.start < b.end && b.start < a.end,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The outermost element with a change.
    fn changed(text: &str, change: impl FnOnce(&Tag) -> Change) -> String {
        let mut edits = Edits::default();
        edits.add(change(&Tag::of(parse(text).unwrap().root_element())));
        let new = edits.apply(text);
        parse(&new).unwrap();
        new
    }

    /// The first of the elements of this name.
    fn tag(text: &str, name: &str) -> Tag {
        let document = parse(text).unwrap();
        Tag::of(document.descendants().find(|node| node.tag_name().name() == name).unwrap())
    }

    #[test]
    fn elements_know_where_they_stand() {
        let text = "<?xml version=\"1.0\"?>\n<!DOCTYPE Server SYSTEM \"server.dtd\">\n<Server>\n\t<Valve\n a='&#98;>' />\
                    <x:B xmlns:x='>/' x:c='1'>t</x:B></Server>";
        let valve = tag(text, "Valve");
        assert_eq!((valve.attributes[0].value.as_str(), valve.is_empty), ("b>", true));
        assert_eq!(&text[valve.open.clone()], "<Valve\n a='&#98;>' />");
        assert_eq!(&text[valve.attributes[0].range.clone()], "a='&#98;>'");
        let b = tag(text, "B");
        assert_eq!((&text[b.open.clone()], &text[b.name.clone()]), ("<x:B xmlns:x='>/' x:c='1'>", "x:B"));
        assert!(b.attributes.is_empty() && !b.is_empty, "Tomcat knows none of another namespace");
    }

    #[test]
    fn attributes_are_set_and_removed_and_the_rest_stays() {
        for (text, new) in [
            ("<a/>", "<a x=\"1 &amp; &quot;2&apos;\"/>"),
            ("<a  >t</a >", "<a x=\"1 &amp; &quot;2&apos;\"  >t</a >"),
            (
                "<!-- <a x='0'> --><a b = '>'\n  x\n=\n'/>' />",
                "<!-- <a x='0'> --><a b = '>'\n  x\n=\n'1 &amp; &quot;2&apos;' />",
            ),
        ] {
            assert_eq!(changed(text, |a| a.set("x", "1 & \"2'")), new);
        }
        let text = "<?xml version='1.0'?>\n<!-- a > b -->\n<A  x='1'\n   y=\"&lt;\" ><B/></A>\n";
        assert_eq!(
            changed(text, |a| a.unset(text, "y").unwrap()),
            "<?xml version='1.0'?>\n<!-- a > b -->\n<A  x='1' ><B/></A>\n"
        );
        assert!(tag(text, "A").unset(text, "none").is_none());
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
            assert_eq!(changed(text, |a| a.insert_first(text, "<b/>")), new);
        }
    }

    #[test]
    fn an_element_goes_with_its_line() {
        let text = "<A>\n  <B/>\n  <C>\n  </C> <!-- c -->\n</A>";
        let without = |name: &str| changed(text, |_| tag(text, name).remove(text));
        assert_eq!(without("B"), "<A>\n  <C>\n  </C> <!-- c -->\n</A>");
        assert_eq!(without("C"), "<A>\n  <B/>\n   <!-- c -->\n</A>");
    }

    #[test]
    fn a_further_attribute_goes_before_what_an_empty_tag_becomes() {
        for text in ["<A/>", "<A x='1'/>", "<A x='1' />"] {
            let a = tag(text, "A");
            let mut edits = Edits::default();
            // In this order: errors come before warnings.
            for change in [a.set("y", "2"), a.insert_first(text, "<S/>"), a.set("z", "3")] {
                edits.add(change);
            }
            let attributes = &text[2..text.len() - 2].trim_end();
            let space = if text.ends_with(" />") { " " } else { "" };
            let expected = format!("<A{attributes} y=\"2\" z=\"3\"{space}>\n    <S/>\n</A>");
            assert_eq!(edits.apply(text), expected);
        }
    }

    #[test]
    fn what_would_take_a_machine_down_is_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY x \"xxxxxxxxxx\"><!ENTITY y \"&x;&x;&x;&x;&x;&x;&x;&x;&x;&x;\">]><a>&y;</a>";
        // A million times a MiB.
        let entity =
            format!("<!DOCTYPE a [<!ENTITY x \"{}\">]><a>{}</a>", "x".repeat(1 << 20), "&x;".repeat(1 << 20));
        for (text, why) in [
            ("<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>".to_owned(), "entities"),
            (bomb.to_owned(), "entities"),
            (entity, "entities"),
            (format!("{}{}", "<a>".repeat(70), "</a>".repeat(70)), "deep"),
            (format!("{}{}", "<a>".repeat(90_000), "</a>".repeat(90_000)), "deep"),
            (format!("<a>{}</a>", "<b/>".repeat(100_001)), "not XML"),
            ("<a>&x;</a>".to_owned(), "not XML"),
            ("<a".to_owned(), "not XML"),
            ("<a b=1/>".to_owned(), "not XML"),
            ("<a></b>".to_owned(), "not XML"),
            (String::new(), "not XML"),
        ] {
            let error = parse(&text).map(drop).unwrap_err().to_string();
            assert!(error.contains(why), "{why}: {error}");
        }
        assert!(parse(&format!("{}{}", "<a>".repeat(60), "</a>".repeat(60))).is_ok());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[<>/a-c='\" !\\-\\[\\]&;:\n]{0,60}") {
            if let Ok(document) = parse(&text) {
                document.descendants().filter(Node::is_element).for_each(|node| drop(Tag::of(node)));
            }
        }

        #[test]
        fn whatever_is_changed_the_rest_stays_in_its_order(
            changes in proptest::collection::vec((0..12_usize, 0..4_usize, "[A-Z]{0,2}"), 0..8)
        ) {
            const TEXT: &str = "<a>bcdef</a>";
            let mut edits = Edits::default();
            let mut kept: Vec<Change> = Vec::new();
            for (start, len, with) in changes {
                let change = (start..(start + len).min(TEXT.len()), with);
                edits.add(change.clone());
                let range = &change.0;
                let meets = |other: &Change| {
                    let common = range.start.max(other.0.start)..range.end.min(other.0.end);
                    // Insertions have no bytes, and are refused only inside of something.
                    let inside = |one: &Range<usize>, in_: &Range<usize>| {
                        one.is_empty() && in_.start < one.start && one.start < in_.end
                    };
                    change == *other || common.start < common.end || inside(range, &other.0) || inside(&other.0, range)
                };
                if !kept.iter().any(meets) {
                    kept.push(change);
                }
            }
            // Byte by byte.
            let mut expected = String::new();
            for at in 0..=TEXT.len() {
                for is_insertion in [true, false] {
                    let here = |one: &&Change| one.0.start == at && one.0.is_empty() == is_insertion;
                    kept.iter().filter(here).for_each(|(_, with)| expected.push_str(with));
                }
                if !kept.iter().any(|(range, _)| range.contains(&at)) {
                    expected.push_str(&TEXT[at..(at + 1).min(TEXT.len())]);
                }
            }
            prop_assert_eq!(edits.apply(TEXT), expected);
        }
    }
}
