//! Which applications there are, and which `<Manager>` each of them has: its own, or that of a file for all.

use roxmltree::Node;
use satchel_common::import::{Kind, Note};

use super::attributes::is_msm;
use super::server::{Host, Hosts};
use super::source::{APP_BASE, File, Folder, Place};
use super::xml::{attribute, children};
use super::{ImportError, Options};
use crate::stock::name::Name;

/// An element and the number of its file.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) file: usize,
    pub(super) node: Node<'a, 'a>,
}

/// A web application whose manager is msm's.
pub(super) struct Application<'a> {
    pub(super) name: Name,
    /// The name of its `<Host>`, if it is said.
    pub(super) host: Option<String>,
    /// `ENGINE/HOST` of its file.
    pub(super) folder: Option<Folder>,
    /// Its own `<Context>`.
    pub(super) own: Option<At<'a>>,
    /// The `<Context>`s for all that it is under, the nearest first.
    pub(super) above: Vec<At<'a>>,
    /// msm's `<Manager>`.
    pub(super) manager: At<'a>,
}

/// A `<Context>` for all, or for all of a host.
struct Default<'a> {
    host: Option<String>,
    context: At<'a>,
}

/// What was found.
pub(super) struct Found<'a> {
    pub(super) applications: Vec<Application<'a>>,
    pub(super) notes: Vec<Note>,
}

/// The `<Manager>` that counts in a `<Context>`: the last of msm's.
fn manager<'a>(context: At<'a>) -> Option<At<'a>> {
    let node = children(context.node, "Manager").filter(|node| is_msm(*node)).last()?;
    Some(At { node, ..context })
}

impl<'a> Application<'a> {
    /// Whether its manager stands in a file for all.
    pub(super) fn inherits(&self) -> bool {
        self.own.and_then(manager).is_none()
    }

    /// An attribute of its `<Context>`, with the element that has it.
    pub(super) fn context_attribute(&self, name: &str) -> Option<(At<'a>, &'a str)> {
        let of = |at: At<'a>| attribute(at.node, name).map(|value| (at, value));
        self.own.and_then(of).or_else(|| self.above.iter().copied().find_map(of))
    }
}

/// Finds them.
///
/// # Errors
/// When there is none, or `--app` has nothing to be for.
pub(super) fn applications<'a>(
    files: &'a [File<'a>],
    hosts: &Hosts<'a>,
    options: &Options,
) -> Result<Found<'a>, ImportError> {
    let mut finder = Finder {
        files,
        options,
        defaults: Vec::new(),
        found: Vec::new(),
        others: Vec::new(),
        notes: Vec::new(),
    };
    for (number, file) in files.iter().enumerate() {
        let context = At { file: number, node: file.document.root_element() };
        match &file.place {
            Place::Everywhere => finder.defaults.push(Default { host: None, context }),
            Place::Host(folder) => finder.defaults.push(Default { host: Some(folder.host.clone()), context }),
            _ => {}
        }
    }
    // What stands in conf goes before what an application brings.
    for inside in [false, true] {
        for (number, file) in files.iter().enumerate() {
            let context = At { file: number, node: file.document.root_element() };
            match &file.place {
                Place::Application(folder, name) if !inside => {
                    finder.add(name.clone(), folder.clone(), context)
                }
                Place::Inside(base, name) if inside => {
                    let host = hosts.of_base(base);
                    if host.is_none() && base != APP_BASE {
                        let why = format!(
                            "deployed under another name than {} it needs a copy that is called so, NAME.xml",
                            name.shown()
                        );
                        finder.say(context, "<Context>", Kind::Assumed, why);
                    }
                    finder.add(name.clone(), host.map(Host::folder), context);
                }
                _ => {}
            }
        }
        for host in hosts.all.iter().filter(|_| !inside) {
            let folder = host.folder();
            for node in children(host.at.node, "Context") {
                let context = At { file: host.at.file, node };
                if let Some(name) = finder.name_in_server_xml(context) {
                    finder.add(name, Some(folder.clone()), context);
                }
            }
        }
    }
    finder.inherit()?;
    match finder.found.is_empty() {
        true => Err(ImportError::NoManager),
        false => Ok(Found { applications: finder.found, notes: finder.notes }),
    }
}

struct Finder<'a, 'o> {
    files: &'a [File<'a>],
    options: &'o Options,
    defaults: Vec<Default<'a>>,
    found: Vec<Application<'a>>,
    /// Those that have a manager of another kind.
    others: Vec<(Name, At<'a>)>,
    notes: Vec<Note>,
}

impl<'a> Finder<'a, '_> {
    fn say(&mut self, at: At<'a>, written: &str, kind: Kind, text: String) {
        self.notes.push(self.files[at.file].note_of(at.node, written, kind, text));
    }

    /// What is for all of this host, and then what is for all.
    fn above(&self, host: Option<&str>) -> Vec<At<'a>> {
        let of_host = self.defaults.iter().filter(|one| one.host.is_some() && one.host.as_deref() == host);
        of_host.chain(self.defaults.iter().filter(|one| one.host.is_none())).map(|one| one.context).collect()
    }

    fn add(&mut self, name: Name, folder: Option<Folder>, context: At<'a>) {
        let host = folder.as_ref().map(|folder| folder.host.clone());
        let written = format!("<Context> of {}", name.shown());
        let above = self.above(host.as_deref());
        let own = manager(context);
        let has_other = own.is_none() && children(context.node, "Manager").next().is_some();
        let inherited = || above.iter().copied().find_map(manager);
        let manager = match own.or_else(|| inherited().filter(|_| !has_other)) {
            Some(manager) => manager,
            None => {
                let why = "has no <Manager> of msm's: its sessions are not shared, and get lost behind a sidecar; leave it to another server or \
                           give it one";
                self.others.push((name, context));
                return self.say(context, &written, Kind::NeedsNothing, why.into());
            }
        };
        let versions = "parallel deployment (app##2) is not supported: Tomcat picks the version that has the session in memory, and here it has \
                        none there between requests. Run the versions in two Tomcats, with a farm each if they must not share sessions";
        if !name.version.is_empty() {
            self.say(context, &written, Kind::NotCarried, versions.into());
        }
        let same = |other: &&Application<'_>| {
            let same_host = match (&other.host, &host) {
                (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
                _ => true,
            };
            other.name.path == name.path && same_host
        };
        if let Some(other) = self.found.iter().find(same) {
            if name.version.is_empty() || other.name.version.is_empty() {
                let first = other.own.map_or_else(String::new, |at| self.files[at.file].place_of(at.node));
                let why = format!("is there already: {first} goes before it");
                self.say(context, &written, Kind::NotCarried, why);
            }
            return;
        }
        self.found.push(Application { name, host, folder, own: Some(context), above, manager });
    }

    /// A `<Context>` in server.xml says its path, or Tomcat takes it from `docBase`.
    fn name_in_server_xml(&mut self, context: At<'a>) -> Option<Name> {
        let (file, known) = (&self.files[context.file], &self.options.properties);
        match file.value(context.node, "path", known, &mut self.notes) {
            Some(path) => path.map(|path| Name::of_path(&path)),
            None => match file.value(context.node, "docBase", known, &mut self.notes) {
                Some(base) => base.map(|base| {
                    let folder = base.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
                    Name::of_file(folder.strip_suffix(".war").unwrap_or(folder))
                }),
                None => Some(Name::of_path("/")),
            },
        }
    }

    /// The applications of the files for all.
    fn inherit(&mut self) -> Result<(), ImportError> {
        let with_msm: Vec<(At<'a>, At<'a>, Option<String>)> = self
            .defaults
            .iter()
            .filter_map(|one| Some((one.context, manager(one.context)?, one.host.clone())))
            .collect();
        let Some((context, manager, host)) =
            with_msm.iter().find(|(.., host)| host.is_none()).or(with_msm.first()).cloned()
        else {
            return match self.options.apps.is_empty() {
                true => Ok(()),
                false => Err(ImportError::Usage(
                    "--app says which applications conf/context.xml is for; none of these files is one with msm's <Manager>".into(),
                )),
            };
        };
        let nothing_said = self.found.is_empty() && self.options.apps.is_empty();
        let root = [String::from("/")];
        let apps = if nothing_said { &root[..] } else { &self.options.apps[..] };
        for app in apps {
            let name = Name::of_path(app);
            if let Some((_, other)) = self.others.iter().find(|(other, _)| other.path == name.path) {
                let why = "--app names it, but it has another <Manager>: take that out and import once more";
                self.say(*other, &format!("<Context> of {}", name.shown()), Kind::NotCarried, why.into());
                continue;
            }
            if self.found.iter().all(|other| other.name.path != name.path) {
                let folder = host.clone().map(|host| Folder { host, ..Folder::default() });
                let (host, above) = (host.clone(), vec![context]);
                self.found.push(Application { name, host, folder, own: None, above, manager });
            }
        }
        let who: Vec<&str> = self.found.iter().map(|one| one.name.shown()).collect();
        let text = match nothing_said {
            true => "it is for every application, and which there are is not said: taken is / (ROOT) alone. Import with --app /NAME for each \
                     that has sessions"
                .into(),
            false => format!(
                "it is for every application: here for {}. Each other that has sessions needs --app /NAME",
                who.join(", ")
            ),
        };
        self.say(manager, "<Manager>", Kind::Assumed, text);
        Ok(())
    }
}
