//! A file of XML, read into elements that know where they stand, so that it can be changed without being written anew.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use roxmltree::{Document, ParsingOptions};

use super::Place;

/// Tomcat's files have some hundred.
const NODES_MAX: u32 = 100_000;
/// Tomcat's own elements are nested six deep.
const DEPTH_MAX: usize = 64;
/// Tomcat's files have some ten KiB.
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

/// An element. Ranges are bytes of its file.
#[derive(Debug, PartialEq, Eq)]
pub struct Element {
    /// Without namespace: Tomcat's have none.
    pub name: String,
    /// In their order.
    pub attributes: Vec<Attribute>,
    /// Elements only.
    pub children: Vec<Rc<Self>>,
    /// The text between its tags, without that of its children.
    pub text: String,
    /// All of it.
    pub range: Range<usize>,
    /// Its first tag.
    pub open: Range<usize>,
    /// Where a further attribute goes.
    pub end_of_attributes: usize,
    /// `<A/>`.
    pub is_empty_tag: bool,
}

/// An attribute.
#[derive(Debug, PartialEq, Eq)]
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

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum XmlError {
    /// It can't be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It is not UTF-8.
    #[error("it is not UTF-8; save it as UTF-8, and say so in its first line")]
    Encoding,
    /// It is not XML.
    #[error("{0}")]
    Xml(#[from] roxmltree::Error),
    /// What they stand for could be a thousand times as much as the file, or in another one.
    #[error(
        "it declares entities (<!ENTITY …>), which are not read: write what they stand for into the file"
    )]
    Entities,
    /// It is larger or deeper than any of Tomcat's.
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
        // A web.xml of Servlet 2.3 names its DTD, and that is harmless.
        if text.contains("<!ENTITY") {
            return Err(XmlError::Entities);
        }
        let options = ParsingOptions { allow_dtd: true, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
        let root = {
            let document = Document::parse_with_options(&text, options)?;
            Rc::new(element(document.root_element(), &text, 0)?)
        };
        Ok(Self { path: path.to_owned(), instead: None, text, root })
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
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

fn element(node: roxmltree::Node<'_, '_>, text: &str, depth: usize) -> Result<Element, XmlError> {
    if depth > DEPTH_MAX {
        return Err(XmlError::TooLarge);
    }
    let range = node.range();
    let name = node.tag_name().name().to_owned();
    let attributes: Vec<_> = node
        .attributes()
        .map(|attribute| Attribute {
            name: attribute.name().to_owned(),
            value: attribute.value().to_owned(),
            range: attribute.range(),
            value_range: attribute.range_value(),
        })
        .collect();
    // "<name" or "<prefix:name"; what comes behind the attributes is white space until the tag ends.
    let find = |from: usize, what: fn(char) -> bool| {
        let rest = text.get(from..range.end).unwrap_or_default();
        from + rest.find(what).unwrap_or(rest.len())
    };
    let after_name = find(range.start, |c| c.is_ascii_whitespace() || c == '>' || c == '/');
    let end_of_attributes = attributes.iter().map(|a| a.range.end).max().unwrap_or(after_name);
    let close = (find(end_of_attributes, |c| c == '>') + 1).min(range.end);
    let is_empty_tag = text.get(..close).is_some_and(|text| text.ends_with("/>"));
    let mut children = Vec::new();
    for child in node.children().filter(roxmltree::Node::is_element) {
        children.push(Rc::new(element(child, text, depth + 1)?));
    }
    let inner = node.children().filter(roxmltree::Node::is_text).filter_map(|child| child.text());
    Ok(Element {
        name,
        attributes,
        children,
        text: inner.collect::<String>().trim().to_owned(),
        open: range.start..close,
        range,
        end_of_attributes,
        is_empty_tag,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_know_where_they_stand() {
        let text = "<?xml version=\"1.0\"?>\n<!DOCTYPE Server SYSTEM \"server.dtd\">\n<Server>\n\t<Valve\n a='&#98;>' />\
                    <Alias> x </Alias></Server>";
        let file = XmlFile::parse(Path::new("/server.xml"), text.to_owned()).unwrap();
        let [valve, alias] = &file.root.children[..] else { panic!("{file:?}") };
        assert_eq!((valve.attributes[0].value.as_str(), valve.is_empty_tag), ("b>", true));
        assert_eq!(&text[valve.open.clone()], "<Valve\n a='&#98;>' />");
        assert_eq!(&text[valve.attributes[0].range.clone()], "a='&#98;>'");
        assert_eq!(file.place(valve.range.start).to_string(), "/server.xml:4:2");
        assert_eq!((alias.text.as_str(), &text[alias.open.clone()]), ("x", "<Alias>"));
    }

    #[test]
    fn what_is_no_xml_is_an_error_and_never_endless() {
        let deep = "<a>".repeat(1000) + &"</a>".repeat(1000);
        let bomb = "<!DOCTYPE a [<!ENTITY x \"xxxxxxxxxx\"><!ENTITY y \"&x;&x;&x;&x;&x;&x;&x;&x;&x;&x;\">\
                    <!ENTITY z \"&y;&y;&y;&y;&y;&y;&y;&y;&y;&y;\">]><a>&z;&z;&z;&z;&z;&z;&z;&z;&z;&z;&z;</a>";
        let external = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>";
        // A million times a MiB.
        let entity =
            format!("<!DOCTYPE a [<!ENTITY x \"{}\">]><a>{}</a>", "x".repeat(1 << 20), "&x;".repeat(1 << 20));
        for text in ["", "<a>", "<a b=1/>", "<a></b>", &deep, external, bomb, &entity] {
            let error = XmlFile::parse(Path::new("/x"), text.to_owned()).unwrap_err();
            assert!(!text.contains("ENTITY") || matches!(error, XmlError::Entities), "{error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[<>/a-c='\" !\\-\\[\\]&;\n]{0,60}") {
            let _ = XmlFile::parse(Path::new("/x"), text);
        }
    }
}
