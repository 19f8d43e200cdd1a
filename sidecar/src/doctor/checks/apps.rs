//! Which applications there are, against which the sidecar knows; and two versions of one.

use super::{App, Finding, Host, Report, Severity, Subject, is_persistent, is_true};
use crate::shown::word;

pub(super) fn check(subject: Subject<'_>, report: &mut Report) {
    for host in &subject.tomcat.hosts {
        versions(host, report);
    }
    for (_, app) in subject.shared() {
        if let Some((definition, value)) = app.attribute("crossContext")
            && is_true(Some(value))
        {
            report.add(
                Finding::new(
                    "app.cross_context",
                    Severity::Warning,
                    format!("application {} has crossContext=\"{value}\"", app.shown()),
                    "of a request that is dispatched to another application only its own session is saved",
                    "remove the attribute, unless the applications only share code",
                )
                .at(definition.node.place_of("crossContext"))
                .with(definition.node.unset("crossContext")),
            );
        }
    }
    known(subject, report);
}

/// Parallel deployment.
fn versions(host: &Host, report: &mut Report) {
    for app in host.apps.iter().filter(|app| !app.name.version.is_empty()) {
        let mut others: Vec<&App> = host
            .apps
            .iter()
            .filter(|other| other.name.path == app.name.path && other.name != app.name)
            .collect();
        // Tomcat serves the greatest; "" is the least.
        others.retain(|other| other.name.version < app.name.version);
        let why = "Tomcat picks the version that has the request's session in memory, and here it has none there between requests: users come \
                   from one version to the other, and sessions may not be readable there";
        let Some(older) = others.last() else {
            if host.apps.iter().any(|other| other.name.path == app.name.path && other.name != app.name) {
                continue;
            }
            let what = format!("application {} is deployed with a version", app.shown());
            let fix = format!(
                "as long as there is no other version nothing is wrong. Take the application from the Tomcats one after the other, under the \
                 name {}, instead of beside its successor",
                app.name.base()
            );
            report.add(place(Finding::new("app.version", Severity::Note, what, why, fix), app));
            continue;
        };
        let what = format!("two versions of one application: {} and {}", older.shown(), app.shown());
        let mut fix = String::from("let only one be deployed:");
        for path in files(host, older) {
            let to =
                host.app_base.parent().unwrap_or(&host.app_base).join(path.file_name().unwrap_or_default());
            fix.push_str(&format!("\n$ mv {} {}.old", word(&path), word(&to)));
        }
        report.add(place(Finding::new("app.parallel", Severity::Error, what, why, fix), app));
    }
}

fn place(finding: Finding, app: &App) -> Finding {
    let own = app.own().map(|own| own.node.place());
    match (own, &app.doc_base) {
        (Some(place), _) => finding.at(place),
        (None, Some(path)) => finding.of(path),
        (None, None) => finding,
    }
}

/// What makes Tomcat deploy it.
fn files(host: &Host, app: &App) -> Vec<std::path::PathBuf> {
    let name = app.name.file();
    let all =
        [host.descriptor(&app.name), host.app_base.join(format!("{name}.war")), host.app_base.join(&name)];
    all.into_iter().filter(|path| path.exists()).collect()
}

/// Applications that only one side knows.
fn known(subject: Subject<'_>, report: &mut Report) {
    let Some(config) = subject.config else { return };
    for context in config.contexts.iter().filter(|_| subject.tomcat.is_whole) {
        let is_it = |(host, app): (&Host, &App)| subject.context_of(host, app) == Some(context);
        if subject.tomcat.apps().any(is_it) {
            continue;
        }
        let shown = if context.path.is_empty() { "/" } else { &context.path };
        report.add(Finding::new(
            "app.missing",
            Severity::Warning,
            format!(
                "the sidecar has a [[context]] of path \"{shown}\", and this Tomcat no application of it"
            ),
            "its requests are answered 404; or the path is misspelt, and the application has no sessions",
            "deploy the application, or take its [[context]] out",
        ));
    }
    let root = config.contexts.iter().any(|context| context.path.is_empty());
    for (host, app) in subject.tomcat.apps() {
        if subject.context_of(host, app).is_some() {
            continue;
        }
        let why = if root {
            "its requests are taken for ROOT's, so its sessions are lost"
        } else {
            "its requests reach Tomcat without a session id, so it has no sessions"
        };
        // Tomcat's own pages, or some that need no session.
        let severity = if is_persistent(app) { Severity::Error } else { Severity::Note };
        let path = app.name.shown();
        let fix = format!(
            "if it needs sessions, give it a [[context]] in the sidecar's configuration:\n[[context]]\npath = \"{path}\"\ndirectory = \"{}\"",
            subject.directory_of(host, app).display()
        );
        let what = format!("the sidecar knows no application {}", app.shown());
        report.add(place(Finding::new("app.unknown", severity, what, why, fix), app));
    }
}
