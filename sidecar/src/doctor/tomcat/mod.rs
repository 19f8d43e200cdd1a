//! A Tomcat as its files describe it, and as it runs. Nothing is changed and nobody is asked.

pub mod app;
mod host;
pub mod properties;
pub mod version;

use std::path::{Path, PathBuf};
use std::rc::Rc;

pub use app::App;
pub use host::Host;
pub use properties::Properties;
pub use version::Version;

use super::edit::Node;
use super::process::Process;
use super::xml::{XmlError, XmlFile};
use super::{Place, Report};

/// A CATALINA_BASE.
#[derive(Debug)]
pub struct Tomcat {
    /// `conf`, `webapps` and the rest.
    pub base: PathBuf,
    /// Where its programs are; `None`: not found.
    pub home: Option<PathBuf>,
    /// Which it is, or why that is not known.
    pub version: Result<Version, String>,
    /// Its system properties, as far as they are known.
    pub properties: Properties,
    /// It, if it runs and can be seen.
    pub process: Option<Process>,
    /// `bin/setenv.sh`, and what it says.
    pub setenv: Option<(PathBuf, String)>,
    /// `conf/server.xml`'s connectors.
    pub connectors: Vec<Node>,
    /// Its virtual hosts, with their applications.
    pub hosts: Vec<Host>,
    /// Whether all of that could be read.
    pub is_whole: bool,
}

impl Tomcat {
    /// Reads what is there. What can't be read is said in `report`.
    pub fn read(base: &Path, home: Option<&Path>, report: &mut Report) -> Self {
        let base = std::path::absolute(base).unwrap_or_else(|_| base.to_owned());
        let process = Process::tomcat(&base);
        let home = find_home(&base, home, process.as_ref());
        let version = match &home {
            Some(home) => Version::of(home),
            None => Err("CATALINA_HOME is not known; name it with --catalina-home".into()),
        };
        let setenv = setenv(&base, home.as_deref());
        let properties = properties(&base, home.as_deref(), process.as_ref(), setenv.as_ref());
        let mut tomcat = Self {
            base,
            home,
            version,
            properties,
            process,
            setenv,
            connectors: Vec::new(),
            hosts: Vec::new(),
            is_whole: true,
        };
        let before = report.unchecked.len();
        let path = tomcat.base.join("conf/server.xml");
        match read_xml(&path, report) {
            Some(server) => tomcat.read_server(&server, report),
            None if path.exists() => {}
            None => report.unchecked(
                path.display().to_string(),
                "there is no such file; --catalina-base names the directory that has Tomcat's conf",
            ),
        }
        tomcat.is_whole = report.unchecked.len() == before;
        tomcat
    }

    fn read_server(&mut self, server: &Rc<XmlFile>, report: &mut Report) {
        let server = Node { file: server.clone(), element: server.root.clone() };
        for service in server.children("Service") {
            self.connectors.extend(service.children("Connector"));
            for engine in service.children("Engine") {
                let hosts: Vec<_> = engine.children("Host").collect();
                for host in hosts {
                    self.hosts.push(Host::read(self, &engine, host, report));
                }
            }
        }
    }

    /// All applications, with their hosts.
    pub fn apps(&self) -> impl Iterator<Item = (&Host, &App)> {
        self.hosts.iter().flat_map(|host| host.apps.iter().map(move |app| (host, app)))
    }

    /// An attribute with its properties replaced. Without it, or if one is not known, `None`; the latter is said in `report`.
    pub fn attribute(&self, node: &Node, name: &str, report: &mut Report) -> Option<String> {
        let value = node.get(name)?;
        match self.properties.resolve(value) {
            Ok(value) => Some(value),
            Err(property) => {
                report.unchecked(
                    format!("{}: {name}=\"{value}\"", node.place_of(name)),
                    format!("the property {property} is not known here; while Tomcat runs it is seen on its command line"),
                );
                None
            }
        }
    }

    /// A number.
    pub fn number(&self, node: &Node, name: &str, report: &mut Report) -> Option<i64> {
        self.attribute(node, name, report)?.trim().parse().ok()
    }

    /// The umask that it runs with, or will, and who says so.
    pub fn umask(&self) -> (Option<u32>, Option<Place>) {
        if let Some(process) = &self.process {
            return (process.umask, None);
        }
        let said = self.setenv.as_ref().and_then(|(path, text)| {
            let assigned = |line: &str| {
                let line = line.trim();
                let value =
                    line.strip_prefix("export ").unwrap_or(line).trim_start().strip_prefix("UMASK=")?;
                u32::from_str_radix(value.trim_matches(['"', '\'', ' ', ';']), 8).ok()
            };
            let found =
                text.lines().enumerate().filter_map(|(n, line)| Some((n + 1, assigned(line)?))).last();
            found.map(|(line, umask)| (umask, Place { path: path.clone(), at: Some((line, 1)) }))
        });
        said.map_or((None, None), |(umask, place)| (Some(umask), Some(place)))
    }
}

/// A file of XML; one that can't be used is said in `report`.
fn read_xml(path: &Path, report: &mut Report) -> Option<Rc<XmlFile>> {
    said(path, XmlFile::read(path), report).map(Rc::new)
}

/// What was read. Why it could not be is said in `report`.
fn said(path: &Path, read: Result<Option<XmlFile>, XmlError>, report: &mut Report) -> Option<XmlFile> {
    read.unwrap_or_else(|error| {
        report.unchecked(path.display().to_string(), error.to_string());
        None
    })
}

fn find_home(base: &Path, told: Option<&Path>, process: Option<&Process>) -> Option<PathBuf> {
    let running = process.and_then(|process| {
        process.arguments.iter().find_map(|word| word.strip_prefix("-Dcatalina.home=")).map(PathBuf::from)
    });
    let debian = base.file_name().map(|name| Path::new("/usr/share").join(name));
    let environment = std::env::var_os("CATALINA_HOME").map(PathBuf::from);
    let here = |home: &PathBuf| home.join("lib/catalina.jar").exists();
    told.map(Path::to_owned)
        .or(running)
        .or_else(|| [Some(base.to_owned()), environment, debian].into_iter().flatten().find(here))
}

/// `bin/setenv.sh` of the base, or else of the home, as `catalina.sh` takes it.
fn setenv(base: &Path, home: Option<&Path>) -> Option<(PathBuf, String)> {
    let paths = [Some(base), home].into_iter().flatten().map(|at| at.join("bin/setenv.sh"));
    paths.into_iter().find_map(|path| Some((path.clone(), std::fs::read_to_string(&path).ok()?)))
}

/// The file's, and over them those of the command line.
fn properties(
    base: &Path,
    home: Option<&Path>,
    process: Option<&Process>,
    setenv: Option<&(PathBuf, String)>,
) -> Properties {
    let mut properties = Properties::read(&base.join("conf/catalina.properties")).unwrap_or_default();
    properties.set("catalina.base", &base.display().to_string());
    if let Some(home) = home {
        properties.set("catalina.home", &home.display().to_string());
    }
    match (process, setenv) {
        (Some(process), _) => process.arguments.iter().for_each(|word| properties.define(word)),
        (None, Some((_, text))) => {
            let uncommented = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            let words = uncommented.flat_map(|line| line.split([' ', '\t', '"', '\'']));
            words.for_each(|word| properties.define(word));
        }
        (None, None) => {}
    }
    properties
}
