//! Changes to files of XML that leave everything else in them as it is: comments, indentation, line ends.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::xml::{Attribute, Element, XmlFile};

/// One change.
#[derive(Debug, Clone)]
pub enum Edit {
    /// These bytes of a file become another text.
    Replace {
        /// The file as it was read.
        file: Rc<XmlFile>,
        /// Bytes of it.
        range: Range<usize>,
        /// What takes their place.
        with: String,
    },
    /// A file that there is not yet.
    Create {
        /// Where.
        path: PathBuf,
        /// What is in it.
        text: String,
    },
}

/// An element in its file.
#[derive(Debug, Clone)]
pub struct Node {
    /// The file.
    pub file: Rc<XmlFile>,
    /// The element.
    pub element: Rc<Element>,
}

impl Node {
    /// A child of it.
    pub fn child(&self, element: &Rc<Element>) -> Self {
        Self { file: self.file.clone(), element: element.clone() }
    }

    /// Its children of this name, in their order.
    pub fn children<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = Self> + 'a {
        self.element.children.iter().filter(move |child| child.name == name).map(|child| self.child(child))
    }

    /// An attribute as it is written.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.element.attribute(name).map(|attribute| attribute.value.as_str())
    }

    /// Where it stands.
    pub fn place(&self) -> super::Place {
        self.file.place(self.element.range.start)
    }

    /// Where an attribute of it stands; without it, the element.
    pub fn place_of(&self, name: &str) -> super::Place {
        let start = self.element.attribute(name).map_or(self.element.range.start, |a| a.range.start);
        self.file.place(start)
    }

    /// Sets an attribute.
    pub fn set(&self, name: &str, value: &str) -> Edit {
        match self.element.attribute(name) {
            Some(Attribute { value_range, .. }) => self.replace(value_range.clone(), escaped(value)),
            None => {
                let end = self.element.end_of_attributes;
                self.replace(end..end, format!(" {name}=\"{}\"", escaped(value)))
            }
        }
    }

    /// Removes an attribute, with the space before it.
    pub fn unset(&self, name: &str) -> Option<Edit> {
        let range = self.element.attribute(name)?.range.clone();
        let before = self.file.text[..range.start].trim_end().len();
        Some(self.replace(before..range.end, String::new()))
    }

    /// Removes the element, and the line if nothing else is on it.
    pub fn remove(&self) -> Edit {
        let text = &self.file.text;
        let range = self.element.range.clone();
        let before = text[..range.start].trim_end_matches([' ', '\t']).len();
        let after = range.end + text[range.end..].len()
            - text[range.end..].trim_start_matches([' ', '\t', '\r']).len();
        let alone = text[..before].ends_with('\n') && text[after..].starts_with('\n');
        self.replace(if alone { before..after + 1 } else { range }, String::new())
    }

    /// Puts `xml` in its place. Lines behind the first are indented as the element is.
    pub fn become_text(&self, xml: &str) -> Edit {
        self.replace(self.element.range.clone(), indented(xml, self.indentation()))
    }

    /// Adds a child, as the first.
    pub fn prepend(&self, xml: &str) -> Edit {
        let inner = format!("{}  ", self.indentation());
        let xml = indented(xml, &inner);
        if self.element.is_empty_tag {
            let indentation = self.indentation();
            let slash = self.element.open.end - 2;
            let with = format!(">\n{inner}{xml}\n{indentation}</{}>", self.element.name);
            return self.replace(slash..self.element.open.end, with);
        }
        let at = self.element.open.end;
        // What follows on the same line goes to a line of its own.
        let rest = &self.file.text[at..];
        let newline = rest.trim_start_matches([' ', '\t', '\r']).starts_with('\n');
        let after = if newline { String::new() } else { format!("\n{}", self.indentation()) };
        self.replace(at..at, format!("\n{inner}{xml}{after}"))
    }

    fn replace(&self, range: Range<usize>, with: String) -> Edit {
        Edit::Replace { file: self.file.clone(), range, with }
    }

    /// The white space before it on its line.
    fn indentation(&self) -> &str {
        let before = &self.file.text[..self.element.range.start];
        let line = &before[before.rfind('\n').map_or(0, |at| at + 1)..];
        &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
    }
}

fn indented(xml: &str, by: &str) -> String {
    xml.trim_end().replace('\n', &format!("\n{by}"))
}

/// For a value between double quotes. What stands between single ones may have them so, too.
pub fn escaped(value: &str) -> String {
    value.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('\'', "&apos;")
}

/// A file's text, and what takes the place of which bytes.
type Changes<'a> = (&'a str, Vec<(Range<usize>, &'a str)>);

/// The files as they are after all edits, by path. Of edits that touch the same bytes the first counts: a second run finds the rest.
pub fn apply<'a>(edits: impl Iterator<Item = &'a Edit>) -> BTreeMap<PathBuf, String> {
    let mut changes: BTreeMap<&Path, Changes<'_>> = BTreeMap::new();
    let mut out = BTreeMap::new();
    for edit in edits {
        match edit {
            Edit::Create { path, text } => {
                out.entry(path.clone()).or_insert_with(|| text.clone());
            }
            Edit::Replace { file, range, with } => {
                let path = file.instead.as_ref().unwrap_or(&file.path);
                let (_, all) = changes.entry(path).or_insert_with(|| (&file.text, Vec::new()));
                if !all.iter().any(|(other, text)| overlap(other, range) || other == range && text == with) {
                    all.push((range.clone(), with));
                }
            }
        }
    }
    for (path, (text, mut all)) in changes {
        // Stable: insertions at one place stay in their order. They come before what takes the place of the bytes that begin there.
        all.sort_by_key(|(range, _)| (range.start, range.end));
        let (mut changed, mut at) = (String::with_capacity(text.len()), 0);
        for (range, with) in all {
            changed.push_str(&text[at..range.start]);
            changed.push_str(with);
            at = range.end;
        }
        changed.push_str(&text[at..]);
        out.insert(path.to_owned(), changed);
    }
    out
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

    fn node(text: &str) -> Node {
        let file = Rc::new(XmlFile::parse(Path::new("/x.xml"), text.to_owned()).unwrap());
        Node { element: file.root.clone(), file }
    }

    fn applied(edits: &[Edit]) -> String {
        apply(edits.iter()).into_values().collect()
    }

    #[test]
    fn attributes_are_set_and_removed_and_the_rest_stays() {
        let text = "<?xml version='1.0'?>\n<!-- a > b -->\n<A  x='1'\n   y=\"&lt;\" ><B/></A>\n";
        let a = node(text);
        let set = [a.set("x", "it's"), a.set("z", "\"")];
        assert_eq!(
            applied(&set),
            "<?xml version='1.0'?>\n<!-- a > b -->\n<A  x='it&apos;s'\n   y=\"&lt;\" z=\"&quot;\" ><B/></A>\n"
        );
        assert_eq!(
            applied(&[a.unset("y").unwrap()]),
            "<?xml version='1.0'?>\n<!-- a > b -->\n<A  x='1' ><B/></A>\n"
        );
        assert_eq!(a.get("y"), Some("<"));
        assert!(a.unset("none").is_none());
    }

    #[test]
    fn an_element_goes_with_its_line() {
        let text = "<A>\n  <B/>\n  <C>\n  </C> <!-- c -->\n</A>";
        let a = node(text);
        let remove = |name: &str| applied(&[a.children(name).next().unwrap().remove()]);
        assert_eq!(remove("B"), "<A>\n  <C>\n  </C> <!-- c -->\n</A>");
        assert_eq!(remove("C"), "<A>\n  <B/>\n   <!-- c -->\n</A>");
    }

    #[test]
    fn a_child_is_added_with_its_indentation() {
        let xml = "<V a=\"1\">\n  <S/>\n</V>";
        let added = |text: &str| applied(&[node(text).prepend(xml)]);
        assert_eq!(added("<A/>"), "<A>\n  <V a=\"1\">\n    <S/>\n  </V>\n</A>");
        assert_eq!(added("<A b='/' />"), "<A b='/' >\n  <V a=\"1\">\n    <S/>\n  </V>\n</A>");
        assert_eq!(added("<A>\n  <B/>\n</A>"), "<A>\n  <V a=\"1\">\n    <S/>\n  </V>\n  <B/>\n</A>");
        assert_eq!(added("<A><B/></A>"), "<A>\n  <V a=\"1\">\n    <S/>\n  </V>\n<B/></A>");
        let b = node("<A>\n    <B>x</B>\n</A>");
        let b = b.children("B").next().unwrap();
        assert_eq!(applied(&[b.become_text(xml)]), "<A>\n    <V a=\"1\">\n      <S/>\n    </V>\n</A>");
    }

    #[test]
    fn of_edits_that_meet_the_first_counts() {
        let a = node("<A x='1'><B/></A>");
        let b = a.children("B").next().unwrap();
        let twice = [b.remove(), b.remove(), b.set("y", "1"), a.set("x", "2"), a.set("x", "2")];
        assert_eq!(applied(&twice), "<A x='2'></A>");
        let create = Edit::Create { path: "/new.xml".into(), text: "<A/>".into() };
        let all = apply([&create, &b.remove()].into_iter());
        assert_eq!(all.into_keys().collect::<Vec<_>>(), [PathBuf::from("/new.xml"), PathBuf::from("/x.xml")]);
    }

    #[test]
    fn a_further_attribute_goes_before_what_an_empty_tag_becomes() {
        for text in ["<A/>", "<A x='1'/>", "<A x='1' />"] {
            let a = node(text);
            // In this order: errors come before warnings.
            let edits = [a.set("y", "2"), a.prepend("<S/>"), a.set("z", "3")];
            let attributes = &text[2..text.len() - 2].trim_end();
            let space = if text.ends_with(" />") { " " } else { "" };
            let expected = format!("<A{attributes} y=\"2\" z=\"3\"{space}>\n  <S/>\n</A>");
            assert_eq!(applied(&edits), expected);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_edited_the_rest_stays_in_its_order(
            edits in proptest::collection::vec((0..12_usize, 0..4_usize, "[A-Z]{0,2}"), 0..8)
        ) {
            const TEXT: &str = "<a>bcdef</a>";
            let file = Rc::new(XmlFile::parse(Path::new("/x.xml"), TEXT.to_owned()).unwrap());
            let edits: Vec<Edit> = edits
                .into_iter()
                .map(|(start, len, with)| {
                    Edit::Replace { file: file.clone(), range: start..(start + len).min(TEXT.len()), with }
                })
                .collect();
            let mut kept: Vec<(Range<usize>, &str)> = Vec::new();
            for edit in &edits {
                let Edit::Replace { range, with, .. } = edit else { unreachable!() };
                let meets = |(other, text): &(Range<usize>, &str)| {
                    let common = range.start.max(other.start)..range.end.min(other.end);
                    let same = range == other && text == with;
                    // Insertions have no bytes, and are refused only inside of something.
                    let inside = |one: &Range<usize>, in_: &Range<usize>| {
                        one.is_empty() && in_.start < one.start && one.start < in_.end
                    };
                    same || common.start < common.end || inside(range, other) || inside(other, range)
                };
                if !kept.iter().any(meets) {
                    kept.push((range.clone(), with));
                }
            }
            // Byte by byte.
            let mut expected = String::new();
            for at in 0..=TEXT.len() {
                let here = |range: &Range<usize>| range.start == at;
                kept.iter().filter(|(range, _)| here(range) && range.is_empty()).for_each(|(_, with)| expected.push_str(with));
                kept.iter().filter(|(range, _)| here(range) && !range.is_empty()).for_each(|(_, with)| expected.push_str(with));
                if !kept.iter().any(|(range, _)| range.contains(&at)) {
                    expected.push_str(&TEXT[at..(at + 1).min(TEXT.len())]);
                }
            }
            let expected = if edits.is_empty() { String::new() } else { expected };
            prop_assert_eq!(applied(&edits), expected);
        }
    }
}
