//! `conf/server.xml`: the connector that the sidecar takes the place of, the hosts, and the valve in each of them.

use std::net::{IpAddr, SocketAddr};

use roxmltree::Node;
use satchel_common::address::HostPort;
use satchel_common::import::{Kind, Note};

use super::Options;
use super::find::At;
use super::manager::VALVE;
use super::source::{APP_BASE, File, Folder, Place};
use super::xml::{attribute, children};
use crate::stock::xml::{Edits, Tag, escaped, indentation, newline};

/// A `<Host>`.
pub(super) struct Host<'a> {
    pub(super) at: At<'a>,
    pub(super) engine: String,
    pub(super) name: String,
    /// Its name and its aliases.
    pub(super) names: Vec<String>,
    /// Its applications' folder, without those above.
    base: String,
    /// Requests for unknown hosts go there.
    is_default: bool,
}

/// All of them, in the order of the file.
pub(super) struct Hosts<'a> {
    pub(super) all: Vec<Host<'a>>,
}

/// Who listens where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ports {
    /// The sidecar: where Tomcat listened.
    pub(super) listen: String,
    /// Tomcat from now on.
    pub(super) tomcat: String,
    /// How long the sidecar may keep a connection, if its default is too long.
    pub(super) keepalive: Option<String>,
}

/// Tomcat's own port, where the file does not say it.
const USUAL_PORT: u16 = 8080;
/// How far away Tomcat's port moves: beyond those of its neighbours on one machine.
const STEP_ASIDE: u16 = 10_000;
/// `tomcat.keepalive_timeout`, in milliseconds.
const KEEPALIVE: u64 = 15_000;

// === impl Host ===

impl Host<'_> {
    pub(super) fn folder(&self) -> Folder {
        Folder { engine: self.engine.clone(), host: self.name.clone() }
    }
}

// === impl Hosts ===

impl<'a> Hosts<'a> {
    pub(super) fn of(files: &'a [File<'a>]) -> Self {
        let mut all = Vec::new();
        for (number, file) in files.iter().enumerate().filter(|(_, file)| file.place == Place::Server) {
            let root = file.document.root_element();
            let engines = children(root, "Service").flat_map(|service| children(service, "Engine"));
            for engine in engines {
                let of = |name, other: &str| attribute(engine, name).unwrap_or(other).to_owned();
                let (name, default) = (of("name", "Catalina"), of("defaultHost", "localhost"));
                for node in children(engine, "Host") {
                    let own = attribute(node, "name").unwrap_or("localhost").to_owned();
                    let aliases = children(node, "Alias").filter_map(|alias| alias.text());
                    let aliases =
                        aliases.map(|alias| alias.trim().to_owned()).filter(|alias| !alias.is_empty());
                    let mut names = vec![own.clone()];
                    names.extend(aliases);
                    let is_default = own.eq_ignore_ascii_case(&default);
                    let at = At { file: number, node };
                    let base = attribute(node, "appBase").unwrap_or(APP_BASE).trim_end_matches('/');
                    let base = base.rsplit('/').next().unwrap_or_default().to_owned();
                    all.push(Host { at, engine: name.clone(), name: own, names, base, is_default });
                }
            }
        }
        Self { all }
    }

    /// Where an application without a host is.
    pub(super) fn default_host(&self) -> Option<&Host<'a>> {
        self.all.iter().find(|host| host.is_default).or(self.all.first())
    }

    /// The one with this `appBase`, if it is one.
    pub(super) fn of_base(&self, base: &str) -> Option<&Host<'a>> {
        let mut of_base = self.all.iter().filter(|host| host.base == base);
        of_base.next().filter(|_| of_base.next().is_none())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Host<'a>> {
        self.all.iter().find(|host| host.name.eq_ignore_ascii_case(name))
    }

    pub(super) fn is_default(&self, name: &str) -> bool {
        match self.default_host() {
            Some(host) => host.name.eq_ignore_ascii_case(name),
            None => name == "localhost",
        }
    }
}

/// Puts the valve into a host, before any other but access logs.
pub(super) fn add_valve(host: &Host<'_>, file: &File<'_>, edits: &mut Edits, notes: &mut Vec<Note>) {
    let text = file.text.text.as_str();
    let class = |node: Node<'_, '_>| attribute(node, "className").unwrap_or_default().to_owned();
    if let Some(valve) = children(host.at.node, "Valve").find(|node| class(*node) == VALVE) {
        if attribute(valve, "filter").is_some() {
            let why = "take the filter out: what it passes by keeps its session in Tomcat's memory; the sidecar has ignore_uri for that";
            notes.push(file.note_of(valve, "<Valve> with a filter", Kind::NotCarried, why));
        }
        return;
    }
    let valve = format!("<Valve className=\"{VALVE}\"/>");
    match children(host.at.node, "Valve").find(|node| !class(*node).contains("AccessLog")) {
        Some(first) => {
            let at = first.range().start;
            edits.add((at..at, format!("{valve}{}{}", newline(text), indentation(text, at))));
        }
        None => edits.add(Tag::of(host.at.node).insert_first(text, &valve)),
    }
}

/// What else in the file does not go together with the sidecar.
pub(super) fn look_around(file: &File<'_>, notes: &mut Vec<Note>) {
    let mut say = |node: Node<'_, '_>, written: &str, kind, text: &str| {
        notes.push(file.note_of(node, written, kind, text));
    };
    for node in file.document.descendants().filter(Node::is_element) {
        let class = attribute(node, "className").unwrap_or_default();
        match node.tag_name().name() {
            "Valve" if class.contains("AccessLog") => {
                if let Some(pattern) = attribute(node, "pattern").filter(|pattern| pattern.contains("%S")) {
                    let why = "take %S out: it keeps each session in Tomcat's memory, where it grows old";
                    say(node, &format!("pattern=\"{pattern}\""), Kind::NotCarried, why);
                }
            }
            "Valve" if class.ends_with(".SingleSignOn") => {
                let why = "keeps who has logged in in one Tomcat's memory; behind a balancer users log in again at each";
                say(node, "<Valve> SingleSignOn", Kind::Changed, why);
            }
            "Engine" => {
                if let Some(route) = attribute(node, "jvmRoute") {
                    let why = "no request needs a route to its server any more; it may stay";
                    say(node, &format!("jvmRoute=\"{route}\""), Kind::NeedsNothing, why);
                }
            }
            "Connector" if attribute(node, "emptySessionPath") == Some("true") => {
                let why = "newer Tomcats have it in each <Context>: sessionCookiePath=\"/\"; write that and import once more";
                say(node, "emptySessionPath=\"true\"", Kind::NotCarried, why);
            }
            _ => {}
        }
    }
}

/// Moves Tomcat's connector to the loopback address, so that the sidecar can take its place.
pub(super) fn connectors(
    file: &File<'_>,
    options: &Options,
    edits: &mut Edits,
    notes: &mut Vec<Note>,
) -> Option<Ports> {
    let root = file.document.root_element();
    let all = || children(root, "Service").flat_map(|service| children(service, "Connector"));
    let shown = |node| format!("<Connector port=\"{}\">", attribute(node, "port").unwrap_or_default());
    let first = all().find(|node| is_plain_http(*node) && attribute(*node, "port").is_some());
    for other in all().filter(|node| Some(*node) != first) {
        let why = "stays as it is; who comes in there passes the sidecar by and has no session. Take it out, or let it listen on 127.0.0.1 only";
        notes.push(file.note_of(other, &shown(other), Kind::Changed, why));
    }
    let Some(node) = first else {
        let tomcat = options.tomcat.clone().unwrap_or_else(|| aside(USUAL_PORT));
        let why = format!(
            "there is no <Connector> for plain HTTP, which the sidecar needs: add {}",
            written(&tomcat)
        );
        notes.push(file.note_of(root, "<Server>", Kind::NotCarried, why));
        return None;
    };
    let mut of = |name| file.value(node, name, &options.properties, notes);
    let [port, address, keepalive, timeout] =
        ["port", "address", "keepAliveTimeout", "connectionTimeout"].map(&mut of);
    let port = port.flatten().and_then(|port| port.parse::<u16>().ok()).filter(|port| *port != 0);
    let Some(port) = port else {
        let why = format!(
            "the port is not known here: taken is {USUAL_PORT}, and the connector stays as it is. It has to become {}",
            written(&options.tomcat.clone().unwrap_or_else(|| aside(USUAL_PORT)))
        );
        notes.push(file.note_of(node, &shown(node), Kind::NotCarried, why));
        return None;
    };
    let tomcat = options.tomcat.clone().unwrap_or_else(|| aside(port));
    let every = IpAddr::from([0, 0, 0, 0]);
    let says_none = address.is_none();
    let address = match address.flatten().as_deref() {
        None | Some("") => every,
        Some("localhost") => IpAddr::from([127, 0, 0, 1]),
        Some(address) => address.parse().unwrap_or_else(|_| {
            let why = "the sidecar listens on an address and not on a name: taken is every address; write yours into listen";
            notes.push(file.note_of(node, &format!("address=\"{address}\""), Kind::Assumed, why));
            every
        }),
    };
    let listen = SocketAddr::from((address, port)).to_string();
    let ipv4 = match says_none {
        true => format!(
            ". Where it is reached by IPv6 too (nginx takes localhost for ::1 first), write [::]:{port} into listen"
        ),
        false => String::new(),
    };
    let why = format!(
        "the sidecar takes its place ({listen}), so that nothing changes for nginx; Tomcat listens on {tomcat} from now on, where only this \
         machine reaches it{ipv4}"
    );
    notes.push(file.note_of(node, &shown(node), Kind::Changed, why));
    let (tag, port) = (Tag::of(node), tomcat.port.to_string());
    for (name, value) in [("port", port.as_str()), ("address", &tomcat.host), ("maxKeepAliveRequests", "-1")]
    {
        edits.add(tag.set(name, value));
    }
    // Tomcat takes the one for the other.
    let kept = keepalive.or(timeout).flatten().and_then(|time| time.parse::<u64>().ok());
    let keepalive =
        kept.filter(|time| (1..=KEEPALIVE).contains(time)).map(|time| format!("{}ms", (time * 3 / 4).max(1)));
    Some(Ports { listen, tomcat: tomcat.to_string(), keepalive })
}

/// Where there is no file that says it.
pub(super) fn assumed_ports(options: &Options) -> Ports {
    Ports {
        listen: format!("0.0.0.0:{USUAL_PORT}"),
        tomcat: options.tomcat.as_ref().unwrap_or(&aside(USUAL_PORT)).to_string(),
        keepalive: None,
    }
}

/// What has to be done to a server.xml that is not here.
pub(super) fn by_hand(options: &Options) -> String {
    let tomcat = options.tomcat.clone().unwrap_or_else(|| aside(USUAL_PORT));
    format!(
        "conf/server.xml is not among these files: import it too, or change it by hand. The sidecar takes the place of its <Connector> (taken to \
         be port {USUAL_PORT}, so that nothing changes for nginx), which becomes {}; and into <Host>, before any other valve but access \
         logs, comes <Valve className=\"{VALVE}\"/>",
        written(&tomcat)
    )
}

fn written(tomcat: &HostPort) -> String {
    let (port, address) = (tomcat.port, escaped(&tomcat.host));
    format!("<Connector port=\"{port}\" address=\"{address}\" maxKeepAliveRequests=\"-1\"/>")
}

fn aside(port: u16) -> HostPort {
    let port = port.checked_add(STEP_ASIDE).unwrap_or(port.saturating_sub(STEP_ASIDE));
    HostPort { host: "127.0.0.1".into(), port }
}

/// No AJP, no TLS, no file.
fn is_plain_http(node: Node<'_, '_>) -> bool {
    let is =
        |name: &str, what: &str| attribute(node, name).is_some_and(|value| value.eq_ignore_ascii_case(what));
    let protocol = attribute(node, "protocol").unwrap_or("HTTP/1.1").to_ascii_lowercase();
    protocol.contains("http")
        && !is("SSLEnabled", "true")
        && attribute(node, "unixDomainSocketPath").is_none()
}
