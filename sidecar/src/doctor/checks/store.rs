//! `<Store>`: Tomcat's FileStore, in a directory of each application's own, the same as the sidecar's.

use std::path::{Path, PathBuf};

use super::{App, Finding, Host, Report, Severity, Subject, is_persistent};
use crate::doctor::edit::{Edit, Node};
use crate::doctor::told;
use crate::stock;
use crate::stock::xml::escaped;

const FILE_STORE: &str = "org.apache.catalina.session.FileStore";

/// An application with a `<Store>`.
struct Kept<'a> {
    host: &'a Host,
    app: &'a App,
    store: Node,
    /// The directory that it is to have.
    wanted: PathBuf,
}

pub(super) fn check(subject: Subject<'_>, report: &mut Report) {
    let mut all: Vec<Kept<'_>> = Vec::new();
    for (host, app) in subject.shared().filter(|(_, app)| is_persistent(app)) {
        let Some((_, manager)) = app.last("Manager") else { continue };
        let wanted = subject.directory_of(host, app);
        let Some(store) = manager.children("Store").next_back() else {
            let xml = element(&wanted);
            let why = "the Manager has nowhere to hand sessions over";
            report.add(
                Finding::new(
                    "store.missing",
                    Severity::Error,
                    format!("the Manager of application {} has no <Store>", app.shown()),
                    why,
                    format!("write in it:\n{xml}"),
                )
                .at(manager.place())
                .with([manager.prepend(&xml)]),
            );
            continue;
        };
        if store.get("className") != Some(FILE_STORE) {
            let class = store.get("className").unwrap_or("no class");
            report.add(
                Finding::new(
                    "store.class",
                    Severity::Error,
                    format!("the <Store> of application {} is {class}", app.shown()),
                    "the sidecar hands sessions over in files",
                    format!("write:\n{}", element(&wanted)),
                )
                .at(store.place())
                .with([store.become_text(&element(&wanted))]),
            );
            continue;
        }
        all.push(Kept { host, app, store, wanted });
    }
    let mut known: Vec<(usize, PathBuf)> = Vec::new();
    for (n, kept) in all.iter().enumerate() {
        let Some(found) = directory(subject, kept, &all, report) else { continue };
        let first =
            known.iter().find(|(_, other)| same(other) == same(&found)).map(|(first, _)| &all[*first]);
        if let Some(first) = first {
            shared_directory(subject, first, kept, &found, &all, report);
        }
        known.push((n, found));
    }
}

/// How the application's sessions come into its own directory. A `<Store>` that several applications have can't say a directory of one: each
/// gets a `<Manager>` of its own.
fn own_directory(subject: Subject<'_>, kept: &Kept<'_>, wanted: &Path, all: &[Kept<'_>]) -> Vec<Edit> {
    let place = kept.store.place();
    let others: Vec<_> = all.iter().filter(|other| other.store.place() == place).collect();
    if others.len() < 2 {
        return vec![kept.store.set("directory", &wanted.display().to_string())];
    }
    let version = subject.tomcat.version.as_ref().ok().copied();
    let give = |other: &&Kept<'_>| {
        let is_it = std::ptr::eq(*other, kept);
        told::give_manager(other.host, other.app, version, if is_it { wanted } else { &other.wanted })
    };
    others.iter().flat_map(give).collect()
}

/// The directories that Tomcat's files name.
pub(super) fn store_directories(subject: Subject<'_>) -> Vec<PathBuf> {
    // What is wrong with them has been said.
    let mut said = Report::default();
    let mut found = Vec::new();
    for (_, app) in subject.shared().filter(|(_, app)| is_persistent(app)) {
        let store = app.last("Manager").and_then(|(_, manager)| manager.children("Store").next_back());
        let directory = store.and_then(|store| subject.tomcat.attribute(&store, "directory", &mut said));
        found.extend(directory.map(PathBuf::from).filter(|path| path.is_absolute()));
    }
    found.sort();
    found.dedup();
    found
}

fn element(directory: &Path) -> String {
    format!("<Store className=\"{FILE_STORE}\" directory=\"{}\"/>", escaped(&directory.display().to_string()))
}

/// The directory, if it can be one.
fn directory(
    subject: Subject<'_>,
    kept: &Kept<'_>,
    all: &[Kept<'_>],
    report: &mut Report,
) -> Option<PathBuf> {
    let (tomcat, store, wanted) = (subject.tomcat, &kept.store, kept.wanted.as_path());
    let found = match (store.get("directory"), tomcat.attribute(store, "directory", report)) {
        (Some(_), None) => return None,
        (_, found) => found.map(PathBuf::from),
    };
    let shown = kept.app.shown();
    let edits = || own_directory(subject, kept, wanted, all);
    let fix = format!("write directory=\"{}\" in the <Store> of {shown}", wanted.display());
    let Some(found) = found.filter(|found| found.is_absolute()) else {
        report.add(
            Finding::new(
                "store.relative",
                Severity::Error,
                format!("the <Store> of application {shown} names no absolute directory"),
                "sessions are then in Tomcat's work directory: on a disk, where the sidecar does not look, and where attacks expect them \
                 (CVE-2025-24813)",
                fix,
            )
            .at(store.place_of("directory"))
            .with(edits()),
        );
        return None;
    };
    let inside = |of: &Path| same(&found).starts_with(same(of));
    let bases = tomcat.hosts.iter().map(|host| host.app_base.clone());
    if bases.chain(["work", "webapps", "temp"].map(|name| tomcat.base.join(name))).any(|of| inside(&of)) {
        report.add(
            Finding::new(
                "store.inside",
                Severity::Error,
                format!("the <Store> of application {shown} is among Tomcat's own files"),
                "who can write a file there (an upload, a PUT) can run code in Tomcat",
                fix.clone(),
            )
            .at(store.place_of("directory"))
            .with(edits()),
        );
    }
    if subject.config.is_some() && same(&found) != same(wanted) {
        report.add(
            Finding::new(
                "store.other",
                Severity::Error,
                format!("the <Store> of application {shown} is {}, the sidecar's [[context]] has {}", found.display(), wanted.display()),
                "Tomcat does not find the sessions that the sidecar places, nor the sidecar those that Tomcat saves",
                fix,
            )
            .at(store.place_of("directory"))
            .with(edits()),
        );
    }
    Some(found)
}

/// Two applications with one directory.
fn shared_directory(
    subject: Subject<'_>,
    first: &Kept<'_>,
    second: &Kept<'_>,
    directory: &Path,
    all: &[Kept<'_>],
    report: &mut Report,
) {
    // Two versions of one application are spoken of elsewhere.
    if first.app.name.path == second.app.name.path && std::ptr::eq(first.host, second.host) {
        return;
    }
    let mut wanted = second.wanted.clone();
    if same(&wanted) == same(&first.wanted) || subject.config.is_none() && same(&wanted) == same(directory) {
        let (host, name) = (&second.host.name, &second.app.name);
        wanted = directory.with_file_name(stock::store::directory(Some(host), name));
    }
    let fix = format!(
        "write directory=\"{}\" in the <Store> of {}, in a <Manager> of its own, and the same in its [[context]]",
        wanted.display(),
        second.app.shown()
    );
    report.add(
        Finding::new(
            "store.shared",
            Severity::Error,
            format!(
                "applications {} and {} have one directory, {}",
                first.app.shown(),
                second.app.shown(),
                directory.display()
            ),
            "a session of one could be loaded by the other: users would see each other's",
            fix,
        )
        .at(second.store.place_of("directory"))
        .with(own_directory(subject, second, &wanted, all)),
    );
}

/// As it is without links, if it is there.
fn same(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.components().collect())
}
