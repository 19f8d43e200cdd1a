//! A file of XML, read into elements that know where they stand, so that it can be changed without being written anew.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::Place;
use crate::stock::xml::{Attribute, Tag, parse};

/// Tomcat's files have some ten KiB, a generated web.xml some MiB.
const SIZE_MAX: u64 = 16 << 20;

/// A file as it was read.
#[derive(Debug)]
pub struct XmlFile {
    /// Where it is.
    pub path: PathBuf,
    /// Where it is to be when it was changed, if not there: it comes with an application, and the application's next version brings the old
    /// one again.
    pub instead: Option<PathBuf>,
    /// All of it.
    pub text: String,
    /// Its outermost element.
    pub root: Rc<Element>,
}

/// An element.
#[derive(Debug, PartialEq, Eq)]
pub struct Element {
    /// Without namespace: Tomcat's have none.
    pub name: String,
    /// Elements only.
    pub children: Vec<Rc<Self>>,
    /// The text between its tags, without that of its children.
    pub text: String,
    /// Where it stands, and its attributes.
    pub tag: Tag,
}

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum XmlError {
    /// It can't be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It is not UTF-8.
    #[error("it is not UTF-8; save it as UTF-8, and say so in its first line")]
    Encoding,
    /// It is not XML, or uses what is not read here.
    #[error("it {0}")]
    Xml(#[from] crate::stock::xml::XmlError),
    /// It is larger than any of Tomcat's.
    #[error("it is larger than any file of Tomcat's")]
    TooLarge,
}

impl XmlFile {
    /// Reads a file. `None`: there is none.
    ///
    /// # Errors
    /// As [`XmlError`].
    pub fn read(path: &Path) -> Result<Option<Self>, XmlError> {
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
            Ok(found) if found.len() > SIZE_MAX => return Err(XmlError::TooLarge),
            Ok(found) if !found.is_file() => return Ok(None),
            Ok(_) => {}
        }
        let text = String::from_utf8(std::fs::read(path)?).map_err(|_| XmlError::Encoding)?;
        Self::parse(path, text).map(Some)
    }

    /// Reads a text; `path` is where it comes from.
    ///
    /// # Errors
    /// As [`XmlError`].
    pub fn parse(path: &Path, text: String) -> Result<Self, XmlError> {
        let root = Rc::new(element(parse(&text)?.root_element()));
        Ok(Self { path: path.to_owned(), instead: None, text, root })
    }

    /// Where it is to be when it was changed.
    pub fn after(&self) -> &Path {
        self.instead.as_ref().unwrap_or(&self.path)
    }

    /// Line and column of a byte.
    pub fn place(&self, byte: usize) -> Place {
        let before = &self.text[..byte.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Place { path: self.path.clone(), at: Some((line, column)) }
    }
}

impl Element {
    /// An attribute.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.tag.attribute(name)
    }
}

/// As deep as [`parse`] allows.
fn element(node: roxmltree::Node<'_, '_>) -> Element {
    let children = node.children().filter(roxmltree::Node::is_element);
    let inner = node.children().filter(roxmltree::Node::is_text).filter_map(|child| child.text());
    Element {
        name: node.tag_name().name().to_owned(),
        text: inner.collect::<String>().trim().to_owned(),
        children: children.map(|child| Rc::new(element(child))).collect(),
        tag: Tag::of(node),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_have_places_and_texts() {
        let text = "<Server>\n\t<Valve\n a='1' /><Alias> x </Alias></Server>";
        let file = XmlFile::parse(Path::new("/server.xml"), text.to_owned()).unwrap();
        let [valve, alias] = &file.root.children[..] else { panic!("{file:?}") };
        assert_eq!(valve.attribute("a").map(|a| a.value.as_str()), Some("1"));
        assert_eq!(file.place(valve.tag.range.start).to_string(), "/server.xml:2:2");
        assert_eq!(alias.text, "x");
        let error = XmlFile::parse(Path::new("/x"), "<a>".into()).unwrap_err().to_string();
        assert!(error.starts_with("it is not XML"), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[<>/a-c='\" !\\-\\[\\]&;\n]{0,60}") {
            let _ = XmlFile::parse(Path::new("/x"), text);
        }
    }
}
