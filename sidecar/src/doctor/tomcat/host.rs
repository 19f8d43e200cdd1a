//! A virtual host and what is deployed in it, by the rules of `HostConfig`: contexts of `server.xml`, descriptors in
//! `conf/ENGINE/HOST`, directories and archives in `appBase`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use regex::Regex;

use super::app::{App, Definition};
use super::{Tomcat, read_xml};
use crate::doctor::Report;
use crate::doctor::edit::Node;
use crate::stock::name::Name;

/// A `<Host>`.
#[derive(Debug)]
pub struct Host {
    /// Its name, in lower case.
    pub name: String,
    /// Its `<Alias>`es, in lower case.
    pub aliases: Vec<String>,
    /// Whether it answers for names that no host has.
    pub is_default: bool,
    /// The element.
    pub node: Node,
    /// The engine that it is in.
    pub engine: Node,
    /// Where its applications are.
    pub app_base: PathBuf,
    /// Where its descriptors are.
    pub config_base: PathBuf,
    /// The applications.
    pub apps: Vec<App>,
}

impl Host {
    pub(super) fn read(tomcat: &Tomcat, engine: &Node, node: Node, report: &mut Report) -> Self {
        let mut attribute = |node: &Node, name: &str| tomcat.attribute(node, name, report);
        let name = attribute(&node, "name").unwrap_or_default().to_ascii_lowercase();
        let engine_name = attribute(engine, "name").unwrap_or_else(|| "Catalina".into());
        let default = attribute(engine, "defaultHost").unwrap_or_default().to_ascii_lowercase();
        let app_base = attribute(&node, "appBase").unwrap_or_else(|| "webapps".into());
        let xml_base = attribute(&node, "xmlBase").map(PathBuf::from);
        let is_off = |name: &str| node.get(name).is_some_and(|value| value.eq_ignore_ascii_case("false"));
        let deploys = !(is_off("autoDeploy") && is_off("deployOnStartup"));
        let reads_meta_inf = !is_off("deployXML");
        let ignored = attribute(&node, "deployIgnore").and_then(|p| Regex::new(&format!("^(?:{p})$")).ok());
        let mut host = Self {
            aliases: node.children("Alias").map(|alias| alias.element.text.to_ascii_lowercase()).collect(),
            is_default: name == default,
            app_base: tomcat.base.join(app_base),
            config_base: tomcat
                .base
                .join(xml_base.unwrap_or_else(|| Path::new("conf").join(engine_name).join(&name))),
            engine: engine.clone(),
            apps: Vec::new(),
            name,
            node,
        };
        let shared: Vec<Definition> =
            [tomcat.base.join("conf/context.xml"), host.config_base.join("context.xml.default")]
                .iter()
                .filter_map(|path| Definition::shared(read_xml(path, report)?))
                .collect();
        host.of_server_xml(tomcat, &shared, report);
        if deploys {
            host.of_descriptors(tomcat, &shared, report);
            host.of_app_base(&shared, reads_meta_inf, ignored.as_ref(), report);
        }
        host
    }

    /// Those are read first, and what all contexts have comes over them.
    fn of_server_xml(&mut self, tomcat: &Tomcat, shared: &[Definition], report: &mut Report) {
        let nodes: Vec<_> = self.node.children("Context").collect();
        for node in nodes {
            let doc_base = tomcat.attribute(&node, "docBase", report);
            // Without one Tomcat takes the name of the docBase.
            let name = match (node.get("path"), &doc_base) {
                (None, Some(doc_base)) => {
                    Some(Name::of_file(file_name(Path::new(doc_base)).trim_end_matches(".war")))
                }
                _ => tomcat.attribute(&node, "path", report).map(|path| Name::of_path(&path)),
            };
            let Some(name) = name else { continue };
            let doc_base = self.doc_base(doc_base.as_deref(), &name);
            let mut app = App::new(name, doc_base);
            let overrides = node.get("override").is_some_and(|value| value.eq_ignore_ascii_case("true"));
            app.definitions.push(Definition::own(node));
            app.definitions.extend(shared.iter().filter(|_| !overrides).cloned());
            self.apps.push(app);
        }
    }

    fn of_descriptors(&mut self, tomcat: &Tomcat, shared: &[Definition], report: &mut Report) {
        for path in listed(&self.config_base, report) {
            let Some(base_name) = file_name(&path).strip_suffix(".xml").map(str::to_owned) else { continue };
            let name = Name::of_file(&base_name);
            if self.has(&name) {
                continue;
            }
            let Some(file) = read_xml(&path, report) else { continue };
            let node = Node { element: file.root.clone(), file };
            // One inside of appBase counts for nothing (HostConfig.deployDescriptor).
            let doc_base = tomcat.attribute(&node, "docBase", report);
            let doc_base = doc_base.filter(|at| !self.app_base.join(at).starts_with(&self.app_base));
            let doc_base = self.doc_base(doc_base.as_deref(), &name);
            let mut app = App::new(name, doc_base);
            app.define(Definition::own(node), shared);
            self.apps.push(app);
        }
    }

    fn of_app_base(
        &mut self,
        shared: &[Definition],
        reads_meta_inf: bool,
        ignored: Option<&Regex>,
        report: &mut Report,
    ) {
        let names: BTreeSet<String> = listed(&self.app_base, report)
            .iter()
            .filter(|path| !ignored.is_some_and(|ignored| ignored.is_match(&file_name(path))))
            .filter_map(|path| {
                let name = file_name(path);
                let archive = name.strip_suffix(".war").map(str::to_owned);
                archive.or_else(|| path.is_dir().then_some(name))
            })
            .filter(|name| !matches!(name.to_ascii_uppercase().as_str(), "META-INF" | "WEB-INF"))
            .collect();
        for base_name in names {
            let name = Name::of_file(&base_name);
            if self.has(&name) {
                continue;
            }
            let doc_base = self.doc_base(None, &name);
            let mut app = App::new(name, doc_base);
            match app.packed("META-INF/context.xml", report).filter(|_| reads_meta_inf) {
                Some(mut file) => {
                    file.instead = Some(self.descriptor(&app.name));
                    let file = Rc::new(file);
                    app.define(Definition::own(Node { element: file.root.clone(), file }), shared);
                }
                None => app.definitions.extend(shared.iter().cloned()),
            }
            self.apps.push(app);
        }
    }

    /// The file that says what an application's alone is, before what comes with it.
    pub fn descriptor(&self, name: &Name) -> PathBuf {
        self.config_base.join(format!("{}.xml", name.file()))
    }

    /// A directory, or an archive.
    fn doc_base(&self, told: Option<&str>, name: &Name) -> Option<PathBuf> {
        let path = self.app_base.join(told.unwrap_or(&name.file()));
        let archive = PathBuf::from(format!("{}.war", path.display()));
        [path, archive].into_iter().find(|path| path.exists())
    }

    fn has(&self, name: &Name) -> bool {
        self.apps.iter().any(|app| app.name == *name)
    }

    /// Whether a request for this name of a `[[context]]`'s `hosts` comes here.
    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}

fn listed(directory: &Path, report: &mut Report) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            report.unchecked(directory.display().to_string(), error.to_string());
            return Vec::new();
        }
        entries => entries.into_iter().flatten().flatten(),
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
