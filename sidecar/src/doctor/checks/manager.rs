//! `<Manager>`: Tomcat's PersistentManager, with the attributes of `conf/tomcat-*.xml`.

use regex::Regex;

use super::{App, Finding, Host, Report, Severity, Subject, has_msm, is_persistent, is_true};
use crate::doctor::edit::Node;
use crate::doctor::told::{self, is_msm};

/// `StandardSession` looks at it when the Manager says nothing.
const ACTIVITY_CHECK: &str = "org.apache.catalina.session.StandardSession.ACTIVITY_CHECK";
/// 10 s each: from here on Tomcat's background task does not come before the Tomcat's next start.
const NEVER: i64 = 1_000_000;

/// Why each attribute is as `conf/tomcat-*.xml` has it.
const WHY: [(&str, Severity, &str); 8] = [
    (
        "saveOnRestart",
        Severity::Error,
        "when Tomcat stops it writes what is left in its memory over the sessions that the sidecar has placed",
    ),
    (
        "maxIdleBackup",
        Severity::Error,
        "Tomcat writes sessions on its own, beside the requests that the sidecar watches",
    ),
    (
        "maxIdleSwap",
        Severity::Error,
        "Tomcat writes sessions on its own, beside the requests that the sidecar watches",
    ),
    (
        "minIdleSwap",
        Severity::Error,
        "Tomcat writes sessions on its own, beside the requests that the sidecar watches",
    ),
    (
        "processExpiresFrequency",
        Severity::Error,
        "Tomcat's background task loads every file of the store directory, and deletes those that it takes for expired or can't read, also \
      those of requests that run",
    ),
    (
        "persistAuthentication",
        Severity::Warning,
        "who is logged in is not part of the session: a container login (FORM, BASIC) is lost with the next request",
    ),
    ("persistAuthenticationNotes", Severity::Warning, "a FORM login is answered 408"),
    ("sessionActivityCheck", Severity::Warning, "a session can expire while one of its requests runs"),
];
/// Classes of every session file, and of one with a login.
const CLASSES: [&str; 5] =
    ["java.lang.Boolean", "java.lang.Integer", "java.lang.Long", "java.lang.Number", "java.lang.String"];
const CLASSES_OF_LOGINS: [&str; 2] =
    ["org.apache.catalina.realm.GenericPrincipal$SerializablePrincipal", "[Ljava.lang.String;"];

pub(super) fn check(subject: Subject<'_>, report: &mut Report) {
    let mut any = false;
    for (host, app) in subject.shared() {
        any = true;
        match app.last("Manager") {
            Some((_, manager)) if is_persistent(app) => {
                attributes(subject, &manager, report);
                class_filter(subject, &manager, report);
                if has_msm(app) {
                    report.add(other(subject, host, app, report_place(app)));
                }
            }
            _ => report.add(other(subject, host, app, report_place(app))),
        }
    }
    if !any && subject.config.is_none() && subject.tomcat.apps().next().is_some() {
        report.add(Finding::new(
            "manager.none",
            Severity::Error,
            "no application has a PersistentManager",
            "without one Tomcat keeps sessions to itself",
            "give each application that has sessions the <Manager> of conf/tomcat-*.xml; with --config doctor knows which, and prints it",
        ));
    }
    strict(subject, report);
}

/// Another manager than Tomcat's persistent one, or none.
fn other(subject: Subject<'_>, host: &Host, app: &App, manager: Option<Node>) -> Finding {
    let version = subject.tomcat.version.as_ref().ok().copied();
    let directory = subject.directory_of(host, app);
    let shown = app.shown();
    let class = manager.as_ref().and_then(|manager| manager.get("className")).map(str::to_owned);
    let (id, what, why) = match &class {
        Some(class) if is_msm(class) => (
            "manager.msm",
            format!("application {shown} has msm's Manager"),
            "it would share sessions beside the sidecar, and does not start without msm's jars",
        ),
        Some(class) => (
            "manager.class",
            format!("application {shown} has another Manager, {class}"),
            "it keeps sessions in this Tomcat's memory, and hands none over",
        ),
        None => (
            "manager.missing",
            format!("application {shown} has no PersistentManager"),
            "Tomcat's own keeps sessions in this Tomcat's memory, and hands none over",
        ),
    };
    let told = told::manager(version, &directory);
    let fix = format!("write in the application's <Context>, in place of any other <Manager>:\n{told}");
    let place = match (&manager, app.own()) {
        (Some(manager), _) => manager.place(),
        (None, Some(own)) => own.node.place(),
        (None, None) => crate::doctor::Place { path: host.descriptor(&app.name), at: None },
    };
    Finding::new(id, Severity::Error, what, why, fix)
        .at(place)
        .with(told::give_manager(host, app, version, &directory))
}

/// The one that a finding is about: msm's before the one that counts.
fn report_place(app: &App) -> Option<Node> {
    let msm = app.all("Manager").find(|manager| manager.get("className").is_some_and(is_msm));
    msm.or_else(|| app.last("Manager").map(|(_, manager)| manager))
}

fn attributes(subject: Subject<'_>, manager: &Node, report: &mut Report) {
    let version = subject.tomcat.version.as_ref().ok().copied();
    for (name, told) in told::manager_attributes(version) {
        let Some((_, severity, why)) = WHY.iter().find(|(known, ..)| *known == name) else { continue };
        if manager.get(&name).is_some() && subject.tomcat.attribute(manager, &name, report).is_none() {
            continue;
        }
        let value = subject.tomcat.attribute(manager, &name, report);
        let number = value.as_deref().and_then(|value| value.trim().parse::<i64>().ok());
        let is_good = match name.as_str() {
            "maxIdleBackup" | "maxIdleSwap" | "minIdleSwap" => {
                value.is_none() || number.is_some_and(|n| n < 0)
            }
            "processExpiresFrequency" => number.is_some_and(|n| n >= NEVER),
            "sessionActivityCheck" => {
                is_true(value.as_deref()) || value.is_none() && is_true(subject.property(ACTIVITY_CHECK))
            }
            _ => value.as_deref().is_some_and(|value| value.trim().eq_ignore_ascii_case(&told)),
        };
        if is_good {
            continue;
        }
        let what = match &value {
            Some(value) => format!("the Manager has {name}=\"{value}\""),
            None => format!("the Manager has no {name}"),
        };
        report.add(
            Finding::new("manager.attribute", *severity, what, *why, format!("write {name}=\"{told}\""))
                .at(manager.place_of(&name))
                .with([manager.set(&name, &told)]),
        );
    }
}

/// `sessionAttributeValueClassNameFilter`, which must let Tomcat's own classes pass.
fn class_filter(subject: Subject<'_>, manager: &Node, report: &mut Report) {
    let name = "sessionAttributeValueClassNameFilter";
    let Some(filter) = subject.tomcat.attribute(manager, name, report) else { return };
    let Ok(pattern) = Regex::new(&format!("^(?:{filter})$")) else {
        return report.unchecked(
            format!("{}: {name}", manager.place_of(name)),
            "the regular expression is Java's, and not one of those that are understood here",
        );
    };
    let logins = is_true(manager.get("persistAuthentication"));
    let needed = CLASSES.iter().chain(CLASSES_OF_LOGINS.iter().filter(|_| logins));
    let lacking: Vec<&str> = needed.copied().filter(|class| !pattern.is_match(class)).collect();
    if lacking.is_empty() {
        return;
    }
    let escaped: Vec<String> = lacking.iter().map(|class| regex::escape(class)).collect();
    let with = format!("{filter}|{}", escaped.join("|"));
    report.add(
        Finding::new(
            "manager.class_filter",
            Severity::Error,
            format!("{name} does not let {} pass", lacking.join(", ")),
            "every session file has these, so Tomcat can't read what it has written",
            format!("write {name}=\"{with}\"; docs/security.md has one that lets logins pass"),
        )
        .at(manager.place_of(name))
        .with([manager.set(name, &with)]),
    );
}

/// What brings sessions back into memory after they were saved.
fn strict(subject: Subject<'_>, report: &mut Report) {
    const STRICT: &str = "org.apache.catalina.STRICT_SERVLET_COMPLIANCE";
    const ALWAYS: &str = "org.apache.catalina.core.ApplicationContext.ALWAYS_ACCESS_SESSION";
    let why = "Tomcat then looks at the session after it was saved, and keeps a copy in memory, where it can outlive a logout";
    for name in [STRICT, ALWAYS, "org.apache.catalina.core.StandardHostValve.ACCESS_SESSION"] {
        if is_true(subject.property(name)) {
            report.add(
                Finding::new(
                    "manager.strict",
                    Severity::Error,
                    format!("the system property {name} is set"),
                    why,
                    "remove it from conf/catalina.properties or bin/setenv.sh",
                )
                .of(subject.tomcat.base.join("conf/catalina.properties")),
            );
        }
    }
    for (_, app) in subject.shared() {
        let name = "alwaysAccessSession";
        if let Some((definition, value)) = app.attribute(name)
            && is_true(Some(value))
        {
            report.add(
                Finding::new(
                    "manager.always_access",
                    Severity::Error,
                    format!("application {} has {name}=\"{value}\"", app.shown()),
                    why,
                    "remove the attribute",
                )
                .at(definition.node.place_of(name))
                .with(definition.node.unset(name)),
            );
        }
    }
}
