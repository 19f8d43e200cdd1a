//! `%S` and its like in access logs: what is written after PersistentValve brings the session back into Tomcat's memory.

use super::{Finding, Report, Severity, Subject};
use crate::doctor::edit::Node;

pub(super) fn check(subject: Subject<'_>, report: &mut Report) {
    let mut valves = Vec::new();
    for host in &subject.tomcat.hosts {
        valves.extend(host.engine.children("Valve"));
        valves.extend(host.node.children("Valve"));
        valves.extend(host.apps.iter().flat_map(|app| app.all("Valve").collect::<Vec<_>>()));
    }
    for valve in valves.iter().filter(|valve| is_access_log(valve)) {
        let Some(pattern) = valve.get("pattern") else { continue };
        let Some((found, without)) = without_session(pattern) else { continue };
        report.add(
            Finding::new(
                "access_log.session",
                Severity::Error,
                format!("the access log's pattern has {found}"),
                "it is written after the session was saved: Tomcat loads the session once more and keeps it in memory, where it can outlive a \
                 logout",
                format!("write pattern=\"{without}\": the cookie is known without the session"),
            )
            .at(valve.place_of("pattern"))
            .with([valve.set("pattern", &without)]),
        );
    }
}

fn is_access_log(valve: &Node) -> bool {
    valve.get("className").is_some_and(|class| class.ends_with("AccessLogValve"))
}

/// What of a pattern asks for the session, and the pattern without it. `None`: nothing does.
fn without_session(pattern: &str) -> Option<(String, String)> {
    let mut out = String::new();
    let mut found = None;
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        // %S is the session's id, %{NAME}s one of its attributes.
        let braces = item.strip_prefix("%{").and_then(|inside| inside.find('}'));
        let len = match braces {
            Some(close) => 3 + close + item[3 + close..].chars().next().map_or(0, char::len_utf8),
            None => 1 + item[1..].chars().next().map_or(0, char::len_utf8),
        };
        let (item, after) = item.split_at(len.min(item.len()));
        let is_session = item == "%S" || braces.is_some() && item.ends_with("}s");
        if is_session {
            found.get_or_insert_with(|| item.to_owned());
            out.push_str(if item == "%S" { "%{JSESSIONID}c" } else { "-" });
        } else {
            out.push_str(item);
        }
        rest = after;
    }
    out.push_str(rest);
    // ExtendedAccessLogValve: x-S(NAME) is an attribute of the session.
    while let Some(at) = out.find("x-S(") {
        let end = out[at..].find(')').map_or(out.len(), |close| at + close + 1);
        found.get_or_insert_with(|| out[at..end].to_owned());
        out.replace_range(at..end, "cs(Cookie)");
    }
    Some((found?, out))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_asks_for_the_session_is_found() {
        let without =
            |pattern| without_session(pattern).map(|(found, without)| format!("{found} | {without}"));
        for harmless in ["common", "%h %s \"%r\" %{JSESSIONID}c %{S}i %%", "%", "%{x", "date x-C(JSESSIONID)"]
        {
            assert_eq!(without(harmless), None, "{harmless}");
        }
        assert_eq!(without("%h %S %s").as_deref(), Some("%S | %h %{JSESSIONID}c %s"));
        assert_eq!(without("%{user}s %S").as_deref(), Some("%{user}s | - %{JSESSIONID}c"));
        assert_eq!(without("time x-S(user) x").as_deref(), Some("x-S(user) | time cs(Cookie) x"));
    }

    proptest! {
        #[test]
        fn what_is_left_asks_for_nothing(pattern in "[%{}sSx()c\u{e9}-]{0,20}") {
            if let Some((_, without)) = without_session(&pattern) {
                prop_assert!(without_session(&without).is_none() || without.contains("x-S("), "{without}");
            }
        }
    }
}
