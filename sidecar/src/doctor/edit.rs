//! Changes to files of XML that leave everything else in them as it is: comments, indentation, line ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::xml::{Element, XmlFile};
use crate::stock::xml::{Change, Edits, indentation, newline};

/// One change.
#[derive(Debug, Clone)]
pub enum Edit {
    /// These bytes of a file become another text.
    Replace {
        /// The file as it was read.
        file: Rc<XmlFile>,
        /// What of it, and by what.
        change: Change,
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

    /// All of it, as it is written.
    pub fn written(&self) -> &str {
        &self.file.text[self.element.tag.range.clone()]
    }

    /// Where it stands.
    pub fn place(&self) -> super::Place {
        self.file.place(self.element.tag.range.start)
    }

    /// Where an attribute of it stands; without it, the element.
    pub fn place_of(&self, name: &str) -> super::Place {
        let start = self.element.attribute(name).map_or(self.element.tag.range.start, |a| a.range.start);
        self.file.place(start)
    }

    /// Sets an attribute.
    pub fn set(&self, name: &str, value: &str) -> Edit {
        self.edit(self.element.tag.set(name, value))
    }

    /// Removes an attribute, with the space before it.
    pub fn unset(&self, name: &str) -> Option<Edit> {
        self.element.tag.unset(&self.file.text, name).map(|change| self.edit(change))
    }

    /// Removes the element, and the line if nothing else is on it.
    pub fn remove(&self) -> Edit {
        self.edit(self.element.tag.remove(&self.file.text))
    }

    /// Puts `xml` in its place. Lines behind the first are indented as the element is.
    pub fn become_text(&self, xml: &str) -> Edit {
        let range = self.element.tag.range.clone();
        let xml = self.indented(xml, indentation(&self.file.text, range.start));
        self.edit((range, xml))
    }

    /// Adds a child, as the first.
    pub fn prepend(&self, xml: &str) -> Edit {
        let (tag, text) = (&self.element.tag, &self.file.text);
        let xml = self.indented(xml, &tag.inner_indentation(text));
        self.edit(tag.insert_first(text, &xml))
    }

    fn edit(&self, change: Change) -> Edit {
        Edit::Replace { file: self.file.clone(), change }
    }

    fn indented(&self, xml: &str, by: &str) -> String {
        xml.trim_end().replace('\n', &format!("{}{by}", newline(&self.file.text)))
    }
}

/// The files as they are after all edits, by path. Each group is one finding's, and is made whole or not at all: what is moved is not only
/// taken away. Of groups that touch the same bytes the first counts: a second run finds the rest.
pub fn apply<'a>(groups: impl Iterator<Item = &'a [Edit]>) -> BTreeMap<PathBuf, String> {
    let mut changes: BTreeMap<&Path, (&str, Edits)> = BTreeMap::new();
    let mut out = BTreeMap::new();
    for group in groups {
        let is_refused = |edit: &Edit| match edit {
            Edit::Create { .. } => false,
            Edit::Replace { file, change } => {
                changes.get(file.after()).is_some_and(|(_, edits)| edits.refuses(change))
            }
        };
        if group.iter().any(is_refused) {
            continue;
        }
        for edit in group {
            match edit {
                Edit::Create { path, text } => {
                    out.entry(path.clone()).or_insert_with(|| text.clone());
                }
                Edit::Replace { file, change } => {
                    let new = || (file.text.as_str(), Edits::default());
                    changes.entry(file.after()).or_insert_with(new).1.add(change.clone());
                }
            }
        }
    }
    out.extend(changes.into_iter().map(|(path, (text, edits))| (path.to_owned(), edits.apply(text))));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        let file = Rc::new(XmlFile::parse(Path::new("/x.xml"), text.to_owned()).unwrap());
        Node { element: file.root.clone(), file }
    }

    fn applied(edits: &[Edit]) -> String {
        apply(edits.chunks(1)).into_values().collect()
    }

    #[test]
    fn a_child_is_added_with_its_indentation() {
        let xml = "<V a=\"1\">\n  <S/>\n</V>";
        let added = |text: &str| applied(&[node(text).prepend(xml)]);
        assert_eq!(added("<A/>"), "<A>\n    <V a=\"1\">\n      <S/>\n    </V>\n</A>");
        assert_eq!(added("<A>\n  <B/>\n</A>"), "<A>\n  <V a=\"1\">\n    <S/>\n  </V>\n  <B/>\n</A>");
        assert_eq!(added("<A>\r\n  <B/>\r\n</A>").matches("\r\n").count(), 5);
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
        let all = apply([[create, b.remove()].as_slice()].into_iter());
        assert_eq!(all.into_keys().collect::<Vec<_>>(), [PathBuf::from("/new.xml"), PathBuf::from("/x.xml")]);
    }

    #[test]
    fn what_can_not_be_moved_is_not_taken_away() {
        let host = node("<Host>\n  <A/>\n  <B/>\n  <P/>\n</Host>");
        let child = |name| host.children(name).next().unwrap();
        let (a, b, p) = (child("A"), child("B"), child("P"));
        let moved =
            |one: &Node| [one.remove(), p.become_text(&format!("{}\n{}", p.written(), one.written()))];
        let (first, second) = (moved(&a), moved(&b));
        let new: String = apply([&first[..], &second[..]].into_iter()).into_values().collect();
        assert_eq!(new, "<Host>\n  <B/>\n  <P/>\n  <A/>\n</Host>");
    }
}
