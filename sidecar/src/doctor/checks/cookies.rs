//! The session cookie: its name and path, as the sidecar expects them.

use std::rc::Rc;

use super::{App, Finding, Report, Severity, Subject};
use crate::config::defaults;
use crate::context::Context;
use crate::doctor::edit::Node;

pub(super) fn check(subject: Subject<'_>, report: &mut Report) {
    for (host, app) in subject.shared() {
        let Some(context) = subject.context_of(host, app) else { continue };
        name(context, app, report);
        path(subject, context, app, report);
    }
}

/// `sessionCookieName` counts before `web.xml`.
fn name(context: &Context, app: &App, report: &mut Report) {
    let told = app
        .attribute("sessionCookieName")
        .map(|(definition, name)| (name.to_owned(), definition.node.place_of("sessionCookieName")));
    let found = told.or_else(|| cookie_config(app, "name", report));
    let name = found.as_ref().map_or(defaults::COOKIE_NAME, |(name, _)| name);
    if name == context.cookie_name {
        return;
    }
    let finding = Finding::new(
        "cookie.name",
        Severity::Error,
        format!(
            "the session cookie of application {} is {name}, its [[context]] has {}",
            app.shown(),
            context.cookie_name
        ),
        "the sidecar looks for the session in another cookie: it finds none",
        format!("write cookie_name = \"{name}\" in the [[context]] of {}", app.shown()),
    );
    report.add(found.into_iter().fold(finding, |finding, (_, place)| finding.at(place)));
}

/// `sessionCookiePath="/"`: one cookie, and so one id, for several applications.
fn path(subject: Subject<'_>, context: &Context, app: &App, report: &mut Report) {
    let mut at = None;
    let mut found = None;
    if let Some((definition, _)) = app.attribute("sessionCookiePath") {
        found = subject.tomcat.attribute(&definition.node, "sessionCookiePath", report);
        at = Some(definition.node.place_of("sessionCookiePath"));
    } else if let Some((path, place)) = cookie_config(app, "path", report) {
        (found, at) = (Some(path), Some(place));
    }
    let shares = found.as_deref() == Some("/") && !context.path.is_empty();
    let add = |finding: Finding, report: &mut Report| {
        report.add(at.iter().fold(finding, |finding, place| finding.at(place.clone())));
    };
    if shares && !context.shares_cookie {
        let finding = Finding::new(
            "cookie.path",
            Severity::Error,
            format!(
                "application {} has sessionCookiePath=\"/\", its [[context]] does not say so",
                app.shown()
            ),
            "other applications get its cookie too, and each would take the other's id for an unknown one and replace it",
            format!("write session_cookie_path = \"/\" in the [[context]] of {}", app.shown()),
        );
        add(finding, report);
    }
    if context.shares_cookie && found.as_deref() != Some("/") {
        let finding = Finding::new(
            "cookie.path",
            Severity::Error,
            format!(
                "the [[context]] of {} has session_cookie_path = \"/\", the application has not",
                app.shown()
            ),
            "each application then has a cookie of its own, and the sidecar expects one for all",
            format!("write sessionCookiePath=\"/\" in the <Context> of {}", app.shown()),
        );
        let node = own(app);
        let edits = node.iter().map(|node| node.set("sessionCookiePath", "/"));
        add(finding.with(edits), report);
    }
    validates(context, app, shares, report);
}

/// Whether Tomcat takes over an id that a client shows it. It is to, if several applications share one.
fn validates(context: &Context, app: &App, shares: bool, report: &mut Report) {
    let name = "validateClientProvidedNewSessionId";
    let said = app.attribute(name).filter(|(_, value)| value.eq_ignore_ascii_case("false"));
    match said {
        None if context.shares_cookie => {
            let finding = Finding::new(
                "cookie.validate",
                Severity::Error,
                format!("application {} shares its cookie and has no {name}=\"false\"", app.shown()),
                "Tomcat does not make its session under the id that another application has given",
                format!("write {name}=\"false\" in its <Context>; the sidecar shows Tomcat only ids that exist"),
            );
            let node = own(app);
            let finding = finding.with(node.iter().map(|node| node.set(name, "false")));
            report.add(node.iter().fold(finding, |finding, node| finding.at(node.place())));
        }
        Some((definition, _)) if !context.shares_cookie && !shares => report.add(
            Finding::new(
                "cookie.takes_any",
                Severity::Warning,
                format!("application {} has {name}=\"false\"", app.shown()),
                "who reaches Tomcat past the sidecar can make a session under an id of his choice, and plant that in somebody's browser",
                "remove the attribute: only applications that share one cookie (sessionCookiePath=\"/\") need it",
            )
            .at(definition.node.place_of(name))
            .with(definition.node.unset(name)),
        ),
        _ => {}
    }
}

fn own(app: &App) -> Option<Node> {
    app.own().map(|own| own.node.clone())
}

/// `<session-config><cookie-config>` of the application's `web.xml`.
fn cookie_config(app: &App, name: &str, report: &mut Report) -> Option<(String, crate::doctor::Place)> {
    let file = Rc::new(app.packed("WEB-INF/web.xml", report)?);
    let root = Node { element: file.root.clone(), file };
    let config = root.children("session-config").next()?;
    let cookie = config.children("cookie-config").next()?;
    let node = cookie.children(name).next()?;
    let text = node.element.text.clone();
    (!text.is_empty()).then(|| (text, node.place()))
}
