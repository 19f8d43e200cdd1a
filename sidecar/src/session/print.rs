//! What was found, as text and as JSON. Ids are shown only by their first characters, and values only when they were asked for.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::list::{Listed, Record};
use super::show::{Living, Shown};
use super::time::{date, life, size, span};
use crate::exchange::operate::{OnNode, Stored};
use crate::memcached::node::TTL_UNKNOWN;
use crate::record::{self, Ended, flags};
use crate::shown::harmless;

/// Of `session list`.
pub fn list(listed: &Listed) -> String {
    let mut out = String::new();
    for node in &listed.nodes {
        let _ = match &node.told {
            Ok(totals) => writeln!(
                out,
                "{}: {} records, {} parts of large ones, {} locks, {}",
                node.name,
                totals.records,
                totals.parts,
                totals.locks,
                size(totals.bytes)
            ),
            Err(error) => writeln!(out, "{}: not known: {error}", node.name),
        };
    }
    let _ = writeln!(
        out,
        "\n{:10}  {:9}  {:10}  {:7}  {:>9}  {:>9}  {:>14}  {:>14}",
        "PLACE", "STATE", "NODES", "VERSION", "SIZE", "KEY", "LAST USED", "ENDS"
    );
    for record in &listed.records {
        let _ = writeln!(out, "{}", row(listed, record));
    }
    let left = listed.count - listed.records.len();
    if left > 0 {
        let _ = writeln!(out, "… and {left} more (--limit)");
    }
    out.push_str(
        "\nA record's place is a hash, and its content is sealed with the session's id: whose it is can't be told from it, nor of which \
         application or farm. `session show` takes the value of a session cookie.\n",
    );
    out
}

fn row(listed: &Listed, record: &Record) -> String {
    let nodes: Vec<_> =
        record.on.iter().filter_map(|node| listed.nodes.get(*node)).map(|node| node.name.as_str()).collect();
    let item = record.item.as_ref();
    let state = match item {
        None => "gone",
        Some(item) if item.ended => "ended",
        Some(_) if record.locked => "in use",
        Some(_) => "session",
    };
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    let ago = span(listed.now.saturating_sub(record.used));
    let ends =
        record.ends.map_or("never".into(), |ends| format!("in {}", span(ends.saturating_sub(listed.now))));
    let id = item.and_then(|item| item.id.as_ref()).map(|id| format!("  {id:?}")).unwrap_or_default();
    format!(
        "{:10}  {:9}  {:10}  {:7}  {:>9}  {:>9}  {:>14}  {:>14}{id}",
        record.place.get(..10).unwrap_or_default(),
        state,
        nodes.join(" "),
        text(item.map(|item| item.counter.to_string())),
        text(item.map(|item| size(item.size as u64))),
        text(item.and_then(|item| item.key.clone())),
        format!("{ago} ago"),
        ends,
    )
}

/// The same for programs.
pub fn list_json(listed: &Listed) -> Value {
    let nodes = listed.nodes.iter().map(|node| match &node.told {
        Ok(totals) => json!({
            "name": node.name, "records": totals.records, "parts": totals.parts, "locks": totals.locks, "bytes": totals.bytes,
        }),
        Err(error) => json!({"name": node.name, "error": error.to_string()}),
    });
    let records = listed.records.iter().map(|record| {
        let on = record.on.iter().filter_map(|node| listed.nodes.get(*node)).map(|node| &node.name);
        let item = record.item.as_ref();
        json!({
            "place": record.place,
            "nodes": on.collect::<Vec<_>>(),
            "locked": record.locked,
            "ended": item.map(|item| item.ended),
            "version": item.map(|item| item.counter),
            "bytes": item.map(|item| item.size),
            "key": item.and_then(|item| item.key.clone()),
            "last_used": record.used,
            "ends": record.ends,
        })
    });
    json!({"nodes": nodes.collect::<Vec<_>>(), "records": records.collect::<Vec<_>>(), "count": listed.count})
}

/// Of `session show`; `values`: also those of texts and numbers.
pub fn show(shown: &Shown, values: bool) -> String {
    let mut out = String::new();
    let context = if shown.context.is_empty() { "/" } else { &shown.context };
    let _ = writeln!(out, "session {:?} of context {context}", shown.id);
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "  {:14} {}", format!("{name}:"), text.replace('\n', "\n                 "));
    };
    line("state", state(shown));
    for (copy, node) in shown.copies.iter().zip(&shown.nodes) {
        line(&format!("on {node}"), on_node(copy));
    }
    let Some(newest) = shown.newest() else { return out };
    let Ok(payload) = &newest.payload else { return out };
    line(
        "node",
        match &shown.suffix {
            Some(suffix) if *suffix != payload.primary.as_str() => {
                format!("{} (the suffix says {suffix})", payload.primary)
            }
            _ => payload.primary.to_string(),
        },
    );
    line("version", format!("{} of writer {:016x}", payload.counter, payload.writer));
    line("ends", life(newest.ttl));
    let Some(living) = &shown.living else { return out };
    line("created", date(living.file.created()));
    line("last changed", date(living.file.changed()));
    line(
        "last request",
        shown.idle().map_or("not known".into(), |idle| format!("{} ago", span(idle.into()))),
    );
    line(
        "may be idle for",
        match u64::try_from(living.file.max_inactive_interval()) {
            Ok(0) | Err(_) => "ever".into(),
            Ok(seconds) => span(seconds),
        },
    );
    line(
        "size",
        format!(
            "{} ({} in Tomcat)",
            size(newest.size.unwrap_or(0) as u64),
            size(living.file.bytes().len() as u64)
        ),
    );
    if let record::Stored::Session { cookie_attributes, .. } = &payload.stored {
        line("cookie", harmless(String::from_utf8_lossy(cookie_attributes).trim_start_matches([';', ' '])));
    }
    if let Some(authentication) = &living.contents.authentication {
        let class = living.contents.principal.as_deref().unwrap_or("null");
        line("logged in", format!("by {}, {}", harmless(authentication), harmless(class)));
    }
    line("attributes", attributes(living, values));
    out
}

fn state(shown: &Shown) -> String {
    let locked = shown.copies.iter().any(|copy| copy.locked);
    match shown.newest().and_then(|stored| stored.payload.as_ref().ok()).map(|payload| &payload.stored) {
        Some(record::Stored::Ended(Ended::Invalidated)) => "ended".into(),
        Some(record::Stored::Ended(Ended::IdChanged)) => "goes on under another id (login)".into(),
        Some(record::Stored::Session { .. }) if locked => "in use by a request".into(),
        Some(record::Stored::Session { .. }) => "living".into(),
        None => "can't be read".into(),
    }
}

fn on_node(copy: &OnNode) -> String {
    let locked = if copy.locked { ", locked" } else { "" };
    let text = match &copy.record {
        Err(error) => format!("not known: {error}"),
        Ok(None) => "nothing".into(),
        Ok(Some(Stored { payload: Err(error), .. })) => format!("a record that can't be opened: {error}"),
        Ok(Some(stored)) => {
            let parts = stored.parts.map(|parts| format!(" in {parts} parts")).unwrap_or_default();
            let ended = match stored.payload.as_ref().map(|payload| &payload.stored) {
                Ok(record::Stored::Ended(_)) => "tombstone, ",
                _ => "",
            };
            let version = stored.payload.as_ref().map_or(0, |payload| payload.counter);
            format!(
                "{ended}version {version}, {}{parts}, ends {}",
                size(stored.size.unwrap_or(0) as u64),
                life(stored.ttl)
            )
        }
    };
    format!("{text}{locked}")
}

fn attributes(living: &Living, values: bool) -> String {
    let contents = &living.contents;
    let mut out = contents.count.map_or("not known".into(), |count| count.to_string());
    let width = contents.attributes.iter().map(|one| harmless(&one.name).chars().count()).max().unwrap_or(0);
    for one in &contents.attributes {
        let _ = write!(out, "\n{:width$}  {}", harmless(&one.name), harmless(&one.class));
        if let Some(value) = one.value.as_ref().filter(|_| values) {
            let _ = write!(out, " = {}", harmless(value));
        }
    }
    if let Some(why) = contents.incomplete {
        let _ = write!(out, "\n(the rest can't be read: {why})");
    }
    out
}

/// The same for programs.
pub fn show_json(shown: &Shown, values: bool) -> Value {
    let copies = shown.copies.iter().zip(&shown.nodes).map(|(copy, node)| match &copy.record {
        Err(error) => json!({"node": node, "locked": copy.locked, "error": error.to_string()}),
        Ok(None) => json!({"node": node, "locked": copy.locked, "record": null}),
        Ok(Some(stored)) => json!({"node": node, "locked": copy.locked, "record": {
            "version": stored.payload.as_ref().ok().map(|payload| payload.counter),
            "counter": stored.flags >> flags::TAG_BITS,
            "bytes": stored.size,
            "parts": stored.parts,
            "ttl": (stored.ttl != TTL_UNKNOWN).then_some(stored.ttl),
            "ended": stored.payload.as_ref().ok().map(|payload| matches!(payload.stored, record::Stored::Ended(_))),
            "error": stored.payload.as_ref().err(),
        }}),
    });
    let payload = shown.newest().and_then(|stored| stored.payload.as_ref().ok());
    let living = shown.living.as_ref().map(|living| {
        let one = |one: &crate::file::java::Attribute| {
            let value = one.value.as_ref().filter(|_| values);
            json!({"name": one.name, "class": one.class, "value": value})
        };
        json!({
            "created": living.file.created(),
            "last_changed": living.file.changed(),
            "idle": shown.idle(),
            "max_inactive_interval": living.file.max_inactive_interval(),
            "bytes": living.file.bytes().len(),
            "authentication": living.contents.authentication,
            "principal": living.contents.principal,
            "count": living.contents.count,
            "attributes": living.contents.attributes.iter().map(one).collect::<Vec<_>>(),
            "incomplete": living.contents.incomplete.map(|why| why.to_string()),
        })
    });
    json!({
        "context": if shown.context.is_empty() { "/" } else { &shown.context },
        "id": format!("{:?}", shown.id),
        "state": state(shown),
        "node": payload.map(|payload| payload.primary.to_string()),
        "version": payload.map(|payload| payload.counter),
        "copies": copies.collect::<Vec<_>>(),
        "session": living,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(harmless("a\x1b[31m\n\u{e9}\u{9b}"), "a\\u{1b}[31m\\n\u{e9}\\u{9b}");
    }
}
