//! A web application, and what of Tomcat's files counts for it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::said;
use crate::doctor::Report;
use crate::doctor::edit::Node;
use crate::doctor::xml::{XmlError, XmlFile};
use crate::stock::name::Name;

/// Descriptors have some KiB.
const DESCRIPTOR_MAX: u64 = 4 << 20;

/// A deployed application.
#[derive(Debug)]
pub struct App {
    /// Its path and version.
    pub name: Name,
    /// A directory or an archive; `None`: there is none.
    pub doc_base: Option<PathBuf>,
    /// The `<Context>`s that count for it; later ones override what earlier ones say.
    pub definitions: Vec<Definition>,
}

/// A `<Context>` that counts for an application.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The element.
    pub node: Node,
    /// Whose it is.
    pub scope: Scope,
}

/// Whose a `<Context>` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The application's alone.
    Own,
    /// Every application's (`conf/context.xml`, `context.xml.default`).
    Shared,
}

impl Definition {
    pub(super) fn own(node: Node) -> Self {
        Self { node, scope: Scope::Own }
    }

    pub(super) fn shared(file: Rc<XmlFile>) -> Option<Self> {
        let node = Node { element: file.root.clone(), file };
        (node.element.name == "Context").then_some(Self { node, scope: Scope::Shared })
    }
}

impl App {
    pub(super) fn new(name: Name, doc_base: Option<PathBuf>) -> Self {
        Self { name, doc_base, definitions: Vec::new() }
    }

    /// Its own over what all have, unless it says `override`.
    pub(super) fn define(&mut self, own: Definition, shared: &[Definition]) {
        let overrides = own.node.get("override").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        self.definitions.extend(shared.iter().filter(|_| !overrides).cloned());
        self.definitions.push(own);
    }

    /// For people: `/shop`, or ROOT.
    pub fn shown(&self) -> String {
        match (self.name.path.as_str(), self.name.version.as_str()) {
            ("", "") => "ROOT".into(),
            ("", version) => format!("ROOT, version {version}"),
            (path, "") => path.to_owned(),
            (path, version) => format!("{path}, version {version}"),
        }
    }

    /// The last `<name>` child of the definitions, which is the one that Tomcat uses.
    pub fn last(&self, name: &str) -> Option<(&Definition, Node)> {
        let mut from_last = self.definitions.iter().rev();
        from_last.find_map(|definition| Some((definition, definition.node.children(name).next_back()?)))
    }

    /// All `<name>` children.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Node> + 'a {
        self.definitions.iter().flat_map(move |definition| definition.node.children(name).collect::<Vec<_>>())
    }

    /// The definition whose attribute of this name counts.
    pub fn attribute(&self, name: &str) -> Option<(&Definition, &str)> {
        self.definitions.iter().rev().find_map(|one| Some((one, one.node.get(name)?)))
    }

    /// The definition that is its alone.
    pub fn own(&self) -> Option<&Definition> {
        self.definitions.iter().find(|definition| definition.scope == Scope::Own)
    }

    /// A file of the application, from its directory or else from its archive.
    pub fn packed(&self, file: &str, report: &mut Report) -> Option<XmlFile> {
        let doc_base = self.doc_base.as_ref()?;
        if doc_base.is_dir() {
            return said(&doc_base.join(file), XmlFile::read(&doc_base.join(file)), report);
        }
        let path = PathBuf::from(format!("{}!/{file}", doc_base.display()));
        let read = archived(doc_base, file)
            .map_err(XmlError::from)
            .and_then(|text| text.map(|text| XmlFile::parse(&path, text)).transpose());
        said(&path, read, report)
    }

    /// The names of the jars in `WEB-INF/lib`, with where they are.
    pub fn jars(&self) -> Vec<(String, PathBuf)> {
        let Some(doc_base) = &self.doc_base else { return Vec::new() };
        if doc_base.is_dir() {
            return jars_in(&doc_base.join("WEB-INF/lib"));
        }
        let archive = File::open(doc_base).ok().and_then(|file| zip::ZipArchive::new(file).ok());
        let names = archive.iter().flat_map(|archive| archive.file_names().filter_map(Result::ok));
        let jar = |name: &str| {
            name.strip_prefix("WEB-INF/lib/").filter(|name| name.ends_with(".jar")).map(str::to_owned)
        };
        names.filter_map(|name| Some((jar(&name)?, doc_base.clone()))).collect()
    }
}

/// The jars of a directory.
pub fn jars_in(directory: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut jars: Vec<_> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.to_owned(), entry.path())))
        .filter(|(name, _)| name.ends_with(".jar"))
        .collect();
    jars.sort();
    jars
}

/// A text in an archive; `Ok(None)`: it has no such file.
fn archived(archive: &Path, name: &str) -> std::io::Result<Option<String>> {
    let mut archive = zip::ZipArchive::new(File::open(archive)?)?;
    let mut text = String::new();
    match archive.by_name(name) {
        Ok(entry) => entry.take(DESCRIPTOR_MAX).read_to_string(&mut text)?,
        Err(_) => return Ok(None),
    };
    Ok(Some(text))
}
