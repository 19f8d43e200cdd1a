//! PersistentValve: in each `<Host>`, before other valves, and as Tomcat has it by default.

use super::{App, Finding, Host, Report, Severity, Subject};
use crate::doctor::edit::{Edit, Node};
use crate::doctor::told::VALVE;

const PERSISTENT_VALVE: &str = "org.apache.catalina.valves.PersistentValve";
/// They neither answer requests nor look at sessions: they may stand before it.
const HARMLESS: [&str; 6] = [
    "org.apache.catalina.valves.AccessLogValve",
    "org.apache.catalina.valves.ExtendedAccessLogValve",
    "org.apache.catalina.valves.JsonAccessLogValve",
    "org.apache.catalina.valves.RemoteIpValve",
    "org.apache.catalina.valves.StuckThreadDetectionValve",
    "org.apache.catalina.valves.ErrorReportValve",
];
/// Those that keep or use sessions on their own.
const STUBBORN: [(&str, &str); 4] = [
    (
        "org.apache.catalina.authenticator.SingleSignOn",
        "it keeps who is logged in in the memory of this Tomcat: at another one the user is not",
    ),
    (
        "org.apache.catalina.valves.CrawlerSessionManagerValve",
        "it gives crawlers sessions from the memory of this Tomcat, which are not there",
    ),
    (
        "org.apache.catalina.ha.tcp.ReplicationValve",
        "sessions are shared twice, by the cluster and by the sidecar",
    ),
    (
        "org.apache.catalina.ha.session.JvmRouteBinderValve",
        "it changes ids when a request comes to another Tomcat, which any request does here",
    ),
];

fn is_persistent(valve: &Node) -> bool {
    valve.get("className") == Some(PERSISTENT_VALVE)
}

pub(super) fn check(subject: Subject<'_>, report: &mut Report) {
    for host in &subject.tomcat.hosts {
        let in_engine: Vec<_> = host.engine.children("Valve").collect();
        let in_host: Vec<_> = host.node.children("Valve").collect();
        let first = in_host.iter().find(|valve| is_persistent(valve));
        let misplaced = misplaced(host);
        let shares = subject.shared().any(|(of, _)| std::ptr::eq(of, host));
        let add = || first.is_none().then(|| host.node.prepend(VALVE));
        for (valve, where_, why) in &misplaced {
            let edits = [valve.remove()].into_iter().chain(add());
            report.add(
                Finding::new(
                    "valve.level",
                    Severity::Error,
                    format!("PersistentValve is in {where_}"),
                    *why,
                    format!(
                        "remove it there, and write it as the first line of <Host name=\"{}\">:\n{VALVE}",
                        host.name
                    ),
                )
                .at(valve.place())
                .with(edits),
            );
        }
        match first {
            Some(valve) => {
                attributes(valve, report);
                order(host, valve, &in_engine, &in_host, report);
                for second in in_host.iter().filter(|valve| is_persistent(valve)).skip(1) {
                    report.add(
                        Finding::new(
                            "valve.twice",
                            Severity::Error,
                            "a second PersistentValve",
                            "the inner one saves the session and takes it out of memory; the outer one then saves what is left",
                            "remove it",
                        )
                        .at(second.place())
                        .with([second.remove()]),
                    );
                }
            }
            None if shares && misplaced.is_empty() => report.add(
                Finding::new(
                    "valve.missing",
                    Severity::Error,
                    format!("<Host name=\"{}\"> has no PersistentValve", host.name),
                    "Tomcat neither loads the sessions that the sidecar brings nor hands over its own",
                    format!("write it as the first line of <Host name=\"{}\">:\n{VALVE}", host.name),
                )
                .at(host.node.place())
                .with(add()),
            ),
            None => {}
        }
        stubborn(host, report);
    }
}

/// Those that stand in a `<Context>` or in the `<Engine>`, with why they must not.
fn misplaced(host: &Host) -> Vec<(Node, &'static str, &'static str)> {
    let of_app = |app: &App| app.all("Valve").collect::<Vec<_>>();
    let context = host.apps.iter().flat_map(of_app).map(|valve| {
        let why = "error pages are made outside of <Context>: what they do to the session is lost, and a copy of it stays in Tomcat's memory, \
                   which can bring a session back that has ended";
        (valve, "<Context>", why)
    });
    let engine = host.engine.children("Valve").map(|valve| {
        let why = "it is made for <Host>: in <Engine> it stands outside of what the hosts' own valves do";
        (valve, "<Engine>", why)
    });
    let mut found: Vec<_> = context.chain(engine).filter(|(valve, ..)| is_persistent(valve)).collect();
    // What all contexts share comes with each.
    found.dedup_by_key(|(valve, ..)| valve.place().to_string());
    found
}

fn attributes(valve: &Node, report: &mut Report) {
    if let Some(filter) = valve.get("filter") {
        report.add(
            Finding::new(
                "valve.filter",
                Severity::Error,
                format!("PersistentValve has filter=\"{filter}\""),
                "a request that matches and still asks for its session leaves a copy of it in Tomcat's memory, where it can outlive a logout",
                "remove the attribute. In the sidecar's [session] ignore_uri does the same without that (a pattern of METHOD URI?query, so \
                 with '.*' in front)",
            )
            .at(valve.place_of("filter"))
            .with(valve.unset("filter")),
        );
    }
    for name in ["semaphoreBlockOnAcquire", "semaphoreAcquireUninterruptibly"] {
        if valve.get(name).is_some_and(|value| value.eq_ignore_ascii_case("false")) {
            report.add(
                Finding::new(
                    "valve.semaphore",
                    Severity::Error,
                    format!("PersistentValve has {name}=\"false\""),
                    "the sidecar learns that a request has ended from a second one that waits for the first: with this it does not wait, or \
                     is answered 429",
                    "remove the attribute",
                )
                .at(valve.place_of(name))
                .with(valve.unset(name)),
            );
        }
    }
}

/// Others that a request comes to first.
fn order(host: &Host, valve: &Node, in_engine: &[Node], in_host: &[Node], report: &mut Report) {
    let class = |other: &Node| other.get("className").unwrap_or_default().to_owned();
    let before = in_host.iter().take_while(|other| !is_persistent(other));
    let meddles = |other: &&Node| {
        let class = class(other);
        !HARMLESS.contains(&class.as_str()) && !STUBBORN.iter().any(|(name, _)| *name == class)
    };
    for other in before.filter(meddles) {
        report.add(
            Finding::new(
                "valve.order",
                Severity::Warning,
                format!("{} stands before PersistentValve", class(other)),
                "what it answers itself, or does to a session, PersistentValve does not see; the sidecar's probes may not come through",
                format!("write PersistentValve as the first line of <Host name=\"{}\">", host.name),
            )
            .at(valve.place())
            .with([valve.remove(), host.node.prepend(VALVE)]),
        );
    }
    for other in in_engine.iter().filter(|other| !is_persistent(other)).filter(meddles) {
        report.add(
            Finding::new(
                "valve.order",
                Severity::Warning,
                format!("{} is in <Engine>, before PersistentValve", class(other)),
                "what it answers itself, or does to a session, PersistentValve does not see; the sidecar's probes may not come through",
                format!("move it into <Host name=\"{}\">, behind PersistentValve", host.name),
            )
            .at(other.place())
            .with(moved(other, valve)),
        );
    }
}

/// The element, behind another one.
fn moved(node: &Node, behind: &Node) -> [Edit; 2] {
    [node.remove(), behind.become_text(&format!("{}\n{}", behind.written(), node.written()))]
}

fn stubborn(host: &Host, report: &mut Report) {
    let of_apps = host.apps.iter().flat_map(|app| app.all("Valve").collect::<Vec<_>>());
    let all = host.engine.children("Valve").chain(host.node.children("Valve")).chain(of_apps);
    for valve in all {
        let class = valve.get("className").unwrap_or_default();
        if let Some((_, why)) = STUBBORN.iter().find(|(name, _)| *name == class) {
            report.add(
                Finding::new(
                    "valve.session",
                    Severity::Warning,
                    format!("there is a {class}"),
                    *why,
                    "remove it",
                )
                .at(valve.place())
                .with([valve.remove()]),
            );
        }
    }
    for cluster in host.engine.children("Cluster").chain(host.node.children("Cluster")) {
        report.add(
            Finding::new(
                "valve.cluster",
                Severity::Warning,
                "there is a <Cluster>",
                "it replicates sessions beside the sidecar, which does not know of it",
                "remove it",
            )
            .at(cluster.place())
            .with([cluster.remove()]),
        );
    }
}
