//! `sidecar.toml`: what the managers want, printed.

use std::collections::BTreeSet;

use satchel_common::import::block::{Block, Value};
use satchel_common::import::note::comments;
use satchel_common::import::toml;
use satchel_common::import::{Kind, Note};

use super::attributes::{Manager, NO_NODE, Wanted};
use super::find::{Application, At};
use super::manager::floor;
use super::server::{Hosts, Ports};
use super::source::File;
use super::{Options, has_server, server, valid};
use crate::stock::name::Name;
use crate::stock::store;

/// Where msm's counters were, and ours are.
const ADMIN: &str = "127.0.0.1:8091";

/// A `[[context]]`.
pub(super) struct Context<'a> {
    pub(super) application: &'a Application<'a>,
    pub(super) directory: String,
    /// One cookie for several applications.
    pub(super) shares_cookie: bool,
    block: Block,
}

/// A `[[context]]` for each application that can have one.
pub(super) fn contexts<'a>(
    files: &[File<'_>],
    hosts: &Hosts<'_>,
    applications: &'a [Application<'a>],
    options: &Options,
    notes: &mut Vec<Note>,
) -> Vec<Context<'a>> {
    let own_host = |one: &'a Application<'a>| one.host.as_deref().filter(|host| !hosts.is_default(host));
    let names: BTreeSet<Option<String>> =
        applications.iter().map(|one| own_host(one).map(str::to_ascii_lowercase)).collect();
    let mut contexts: Vec<Context<'a>> = Vec::new();
    for application in applications {
        // One host is all that there are.
        let host = own_host(application).filter(|_| names.len() > 1);
        let at = application.own.or(application.above.first().copied()).unwrap_or(application.manager);
        let file = &files[at.file];
        let written = format!("<Context> of {}", application.name.shown());
        let directory = directory(&application.name, host, &contexts, options);
        let mut block = Block::default();
        block.comment.push(file.place_of(at.node));
        block.set("path", Value::Text(application.name.shown().to_owned()));
        block.set_because("directory", Value::Text(directory.clone()), "that of the <Store>");
        match host.map(|host| (host, hosts.get(host))) {
            Some((_, Some(known))) => known.names.iter().for_each(|name| block.add("hosts", name)),
            Some((host, None)) => {
                block.add("hosts", host);
                let why = "its <Host> may have aliases, which server.xml would say: import it too, or add them to hosts";
                notes.push(file.note_of(at.node, &written, Kind::Assumed, why));
            }
            None => {}
        }
        let mut of = |name| {
            let (at, _) = application.context_attribute(name)?;
            files[at.file].value(at.node, name, &options.properties, notes).flatten()
        };
        if let Some(cookie) = of("sessionCookieName").filter(|cookie| !cookie.is_empty()) {
            block.set("cookie_name", Value::Text(cookie));
        }
        let shares_cookie = of("sessionCookiePath").as_deref() == Some("/");
        if shares_cookie {
            block.set("session_cookie_path", Value::Text("/".into()));
        }
        let before: Vec<&Block> = contexts.iter().map(|context| &context.block).collect();
        match valid::context(&before, &block) {
            Ok(()) => contexts.push(Context { application, directory, shares_cookie, block }),
            Err(why) => {
                let why = format!("it gets no [[context]]: {why}");
                notes.push(file.note_of(at.node, &written, Kind::NotCarried, why));
            }
        }
    }
    contexts
}

/// A store directory that no other context has.
fn directory(name: &Name, host: Option<&str>, others: &[Context<'_>], options: &Options) -> String {
    let name = store::directory(host, name);
    let path = format!("{}/{name}", options.store.trim_end_matches('/'));
    let is_free = |path: &String| others.iter().all(|other| other.directory != *path);
    let numbered = (2..=others.len() + 2).map(|number| format!("{path}-{number}"));
    std::iter::once(path.clone()).chain(numbered).find(is_free).unwrap_or(path)
}

/// What is not in the files, about the first of the managers.
pub(super) fn say_what_is_assumed(
    files: &[File<'_>],
    managers: &[(At<'_>, Manager)],
    options: &Options,
    notes: &mut Vec<Note>,
) {
    let Some((at, _)) = managers.first() else { return };
    let mut say = |text: String| {
        notes.push(files[at.file].note_of(at.node, "<Manager>", Kind::Assumed, text));
    };
    if !has_server(files) {
        say(server::by_hand(options));
    }
    if options.keys.new {
        say("the keys in [record] are new. Every sidecar needs the same: give all of them this file, and where you import once more take \
             them over with --keys FILE. A sidecar with others refuses to start beside one that runs"
            .into());
    }
}

const HEAD: [&str; 8] = [
    "Imported from NAMES. Check it with: sidecar --test --config FILE",
    "The same file is for every sidecar whose Tomcat has the same files, with the same keys: they are secrets (mode 0640).",
    "Tomcat LINE, FLOOR or newer, without msm's jars.",
    "",
    "Other than msm, and without being told, the sidecar",
    "- waits with an answer until its session is stored, on two nodes if there are two;",
    "- answers 503 with Retry-After when no node can be reached, and gives nobody an empty session in place of his own;",
    "- encrypts and signs what memcached holds.",
];

/// Prints it.
pub(super) fn print(
    files: &[File<'_>],
    contexts: &[Context<'_>],
    wanted: &Wanted,
    ports: &Ports,
    options: &Options,
    notes: &[Note],
) -> String {
    let mut out = String::new();
    let names: Vec<String> = files.iter().map(|file| file.source.path.display().to_string()).collect();
    let floor = floor(options.line);
    let line = floor.rsplit_once('.').map_or(floor, |(line, _)| line);
    for text in HEAD {
        // Names last: what stands in them is theirs.
        let text = text.replace("LINE", line).replace("FLOOR", floor).replace("NAMES", &names.join(", "));
        toml::comment(&mut out, &text);
    }
    out.push('\n');
    let mut top = Block::default();
    let listen = Value::Text(ports.listen.clone());
    top.set_because("listen", listen, "Tomcat's place until now: nothing changes for nginx or the gateway");
    if wanted.statistics {
        top.set_because("admin", Value::Text(ADMIN.into()), "/metrics, in place of msm's statistics");
    }
    toml::body(&mut out, "", &top);
    let mut tomcat = Block::default();
    let address = Value::Text(ports.tomcat.clone());
    tomcat.set_because("address", address, "where Tomcat's <Connector> listens from now on");
    if let Some(time) = &ports.keepalive {
        let below = "below the connector's keepAliveTimeout";
        tomcat.set_because("keepalive_timeout", Value::Text(time.clone()), below);
    }
    toml::table(&mut out, "tomcat", &tomcat);
    contexts.iter().for_each(|context| toml::array(&mut out, "context", "", &context.block));
    toml::table(&mut out, "session", &session(contexts, wanted));
    toml::table(&mut out, "memcached", &memcached(wanted));
    toml::table(&mut out, "record", &record(options));
    comments(&mut out, notes, |note| format!("{}:{}", note.file.display(), note.line));
    out
}

fn session(contexts: &[Context<'_>], wanted: &Wanted) -> Block {
    let mut block = Block::default();
    if let Some(farm) = &wanted.farm {
        block.set("farm", Value::Text(farm.clone()));
    }
    if wanted.suffix && !contexts.iter().any(|context| context.shares_cookie) {
        let why = "session.getId() ends with -n1, as with msm; leave it out, and only the cookie does";
        block.set_because("node_suffix", Value::Text("visible".into()), why);
    }
    if let Some(time) = wanted.backup_timeout {
        block.set("backup_timeout", Value::Text(format!("{time}ms")));
    }
    match wanted.locking.as_deref() {
        Some("none") => {
            let why = "msm's default; leave it out for the sidecar's \"all\", and of two requests at once none undoes what the other did";
            block.set_because("locking", Value::Text("none".into()), why);
        }
        Some(locking) => {
            block.set("locking", Value::Text(locking.to_owned()));
        }
        None => {}
    }
    if let Some(pattern) = &wanted.ignore {
        block.set("ignore_uri", Value::Text(pattern.clone()));
    }
    if wanted.unheld {
        let why = "sessionBackupAsync=\"true\"; leave it out, and what a client has seen is stored";
        block.set_because("unheld_uri", Value::Text(".*".into()), why);
    }
    block
}

fn memcached(wanted: &Wanted) -> Block {
    let mut block = Block::default();
    match &wanted.nodes {
        Some(nodes) => block.set("nodes", Value::Text(nodes.clone())),
        None => block.set_because("nodes", Value::Text(NO_NODE.into()), "write yours: see below"),
    };
    if let Some(time) = wanted.timeout {
        block.set("timeout", Value::Text(format!("{time}ms")));
    }
    block
}

fn record(options: &Options) -> Block {
    let mut block = Block::default();
    if options.keys.new {
        block
            .comment
            .push("New, and the same for every sidecar: elsewhere import with --keys THIS-FILE.".into());
    }
    options.keys.keys.iter().for_each(|key| block.add("keys", key.encoded()));
    block.set("index_key", Value::Text(options.keys.index_key.encoded()));
    block
}
