//! Tomcat's files with its own manager in the place of msm's, and otherwise as they were.

use std::collections::HashSet;
use std::path::Path;

use roxmltree::{Node, NodeId};
use satchel_common::import::{Kind, Note};

use super::attributes::{Manager, is_msm};
use super::configuration::Context;
use super::find::{Application, At};
use super::manager::VALVE;
use super::server::{self, Host, Hosts, Ports};
use super::source::{File, Place, descriptor, is_below};
use super::xml::children;
use super::{Options, Rewritten, has_server};
use crate::stock::manager::{More, element};
use crate::stock::xml::{Edits, STEP, Tag, indentation, newline};

/// In the place of a manager that no application has any more.
const GONE: &str = "<!-- The <Manager> of memcached-session-manager stood here; applications with sessions have their own now -->";

/// All files that change and those that are new, and who listens where.
pub(super) fn rewrite(
    files: &[File<'_>],
    hosts: &Hosts<'_>,
    contexts: &[Context<'_>],
    managers: &[(At<'_>, Manager)],
    options: &Options,
    notes: &mut Vec<Note>,
) -> (Vec<Rewritten>, Ports) {
    let edits = files.iter().map(|_| Edits::default()).collect();
    let mut rewriter = Rewriter {
        files,
        options,
        edits,
        new: Vec::new(),
        replaced: HashSet::new(),
        validated: HashSet::new(),
    };
    for context in contexts {
        rewriter.give_manager(context, contexts, managers, hosts, notes);
        rewriter.let_ids_be_shared(context);
    }
    rewriter.take_others_out();
    let mut ports = None;
    for (file, edits) in files.iter().zip(&mut rewriter.edits).filter(|(file, _)| file.place == Place::Server)
    {
        ports = server::connectors(file, options, edits, notes);
    }
    for host in
        hosts.all.iter().filter(|host| contexts.iter().any(|context| is_on(context.application, host, hosts)))
    {
        let file = host.at.file;
        server::add_valve(host, &files[file], &mut rewriter.edits[file], notes);
    }
    for context in contexts.iter().filter(|_| has_server(files)) {
        let application = context.application;
        if !hosts.all.iter().any(|host| is_on(application, host, hosts)) {
            let at = application.own.unwrap_or(application.manager);
            let name = application.host.as_deref().unwrap_or("localhost");
            let why = format!(
                "server.xml has no <Host name=\"{name}\"> for it: where it is, put <Valve className=\"{VALVE}\"/> into it"
            );
            let written = format!("<Context> of {}", application.name.shown());
            notes.push(files[at.file].note_of(at.node, &written, Kind::NotCarried, why));
        }
    }
    (rewriter.files(), ports.unwrap_or_else(|| server::assumed_ports(options)))
}

struct Rewriter<'a> {
    files: &'a [File<'a>],
    options: &'a Options,
    edits: Vec<Edits>,
    new: Vec<Rewritten>,
    /// Managers that have one of Tomcat's in their place.
    replaced: HashSet<(usize, NodeId)>,
    /// Contexts that take over the ids that they are shown.
    validated: HashSet<(usize, NodeId)>,
}

impl Rewriter<'_> {
    fn give_manager(
        &mut self,
        context: &Context<'_>,
        contexts: &[Context<'_>],
        managers: &[(At<'_>, Manager)],
        hosts: &Hosts<'_>,
        notes: &mut Vec<Note>,
    ) {
        let application = context.application;
        let at = application.manager;
        let own = managers.iter().find(|(other, _)| other.node == at.node).map_or_else(
            More::default,
            |(_, manager)| More { attributes: &manager.kept, generator: manager.generator.as_deref() },
        );
        let (line, directory) = (self.options.line.numbers(), Path::new(&context.directory));
        let written = |text: &str, indent: &str| element(line, directory, own, indent, newline(text));
        let is_alone = application.own.is_none()
            && contexts.iter().filter(|other| other.application.manager.node == at.node).count() == 1;
        if !application.inherits() || is_alone {
            let text = self.files[at.file].text.text.as_str();
            let indent = indentation(text, at.node.range().start);
            self.edits[at.file].add((at.node.range(), written(text, indent)));
            self.replaced.insert((at.file, at.node.id()));
        } else if let Some(own) = application.own {
            let text = self.files[own.file].text.text.as_str();
            let tag = Tag::of(own.node);
            let manager = written(text, &tag.inner_indentation(text));
            self.edits[own.file].add(tag.insert_first(text, &manager));
        } else {
            let folder =
                application.folder.clone().or(hosts.default_host().map(Host::folder)).unwrap_or_default();
            let path = descriptor(&folder, &application.name);
            if !is_below(&path) {
                let why = format!(
                    "the file for {} would be {}, which is not below CATALINA_BASE: the names of <Engine> and <Host> are folders there. Write it \
                     by hand",
                    application.name.shown(),
                    path.display()
                );
                return notes.push(self.files[at.file].note_of(at.node, "<Manager>", Kind::NotCarried, why));
            }
            let why = format!(
                "{} is new, and Tomcat does not look at an application's META-INF/context.xml beside it: if {} has one, import that too",
                path.display(),
                application.name.shown()
            );
            notes.push(self.files[at.file].note_of(at.node, "<Manager>", Kind::Assumed, why));
            let bytes = own_file(&written("", STEP)).into_bytes();
            self.new.push(Rewritten { path, bytes, of: None });
        }
    }

    /// With one cookie for several applications each takes over the id that another has made; the sidecar shows Tomcat only ids that exist.
    fn let_ids_be_shared(&mut self, context: &Context<'_>) {
        let at = context.application.context_attribute("sessionCookiePath").filter(|_| context.shares_cookie);
        if let Some((at, _)) = at.filter(|(at, _)| self.validated.insert((at.file, at.node.id()))) {
            self.edits[at.file].add(Tag::of(at.node).set("validateClientProvidedNewSessionId", "false"));
        }
    }

    /// What is left of msm would keep Tomcat from starting when its jars are gone.
    fn take_others_out(&mut self) {
        for (number, file) in self.files.iter().enumerate() {
            let all = file.document.descendants().filter(|node| node.tag_name().name() == "Context");
            let managers = all.flat_map(|context| children(context, "Manager")).filter(|node| is_msm(*node));
            let left: Vec<Node<'_, '_>> =
                managers.filter(|node| !self.replaced.contains(&(number, node.id()))).collect();
            for node in left {
                self.edits[number].add((node.range(), GONE.into()));
            }
        }
    }

    fn files(self) -> Vec<Rewritten> {
        let changed = self.files.iter().zip(self.edits).filter(|(_, edits)| !edits.is_empty());
        let rewritten = changed.map(|(file, edits)| Rewritten {
            path: file.target(),
            bytes: file.text.encode(&edits.apply(&file.text.text)),
            of: Some(file.source.path.clone()),
        });
        rewritten.chain(self.new).collect()
    }
}

/// A file for one application.
fn own_file(manager: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Context>\n{STEP}{manager}\n</Context>\n")
}

fn is_on(application: &Application<'_>, host: &Host<'_>, hosts: &Hosts<'_>) -> bool {
    match &application.host {
        Some(name) => host.name.eq_ignore_ascii_case(name),
        None => hosts.is_default(&host.name),
    }
}
