//! `expires`: as Cache-Control among the fields of `add_header`. nginx inherits the two each by itself; here they are one table.

use super::Rule::{self, By};
use super::headers::add_header;
use crate::import::parser::Directive;
use crate::import::scope::{Outcome, Scope, changed, not, nothing};
use crate::import::units;

pub(super) const RULES: &[(&str, Rule)] = &[("expires", By(expires))];

const FIELD: &str = "Cache-Control";

fn expires(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    let (value, outcome) = match value(directive) {
        Ok(None) => (None, nothing("no Cache-Control is added")),
        Ok(value) => {
            let how = "is add_header.Cache-Control here; Expires is not sent, and a Cache-Control of the server's stays";
            (value, changed(how))
        }
        Err(why) => {
            let instead = "write add_header.Cache-Control = \"max-age=…\", or use Tomcat's ExpiresFilter";
            (None, not(format!("{why}; {instead}")))
        }
    };
    if value.is_none() && of_outer(scope).is_none() {
        return outcome;
    }
    // The table replaces the outer one whole.
    let fields = fields(scope);
    scope.block.table("add_header");
    if !has(scope.siblings(), "add_header") {
        fields.iter().for_each(|one| drop(add_header(scope, one)));
    }
    let Some(value) = value else { return outcome };
    match fields.iter().any(|one| one.arg(0).eq_ignore_ascii_case(FIELD)) {
        true => not("a header can be added once; put this into the add_header Cache-Control that is there"),
        false => {
            scope.block.add_row("add_header", FIELD, value);
            outcome
        }
    }
}

/// Beside an `add_header`, whose table replaces that in which an outer `expires` is.
pub(super) fn beside_fields(scope: &mut Scope<'_>) {
    if has(scope.siblings(), "expires")
        || fields(scope).iter().any(|one| one.arg(0).eq_ignore_ascii_case(FIELD))
    {
        return;
    }
    if let Some(value) = of_outer(scope) {
        scope.block.add_row("add_header", FIELD, value);
    }
}

/// What an outer block says.
fn of_outer(scope: &Scope<'_>) -> Option<String> {
    scope.outer("expires").and_then(|outer| value(outer).ok().flatten())
}

/// The fields that hold here.
fn fields<'a>(scope: &Scope<'a>) -> Vec<&'a Directive> {
    let block = scope.chain.iter().rev().find(|block| has(block, "add_header")).copied().unwrap_or_default();
    block.iter().filter(|one| one.name() == "add_header").collect()
}

fn has(block: &[Directive], name: &str) -> bool {
    block.iter().any(|one| one.name() == name)
}

/// What nginx says in Cache-Control; nothing if it is off.
fn value(directive: &Directive) -> Result<Option<String>, String> {
    let text = match directive.args()[..] {
        ["off"] => return Ok(None),
        ["epoch"] => return Ok(Some("no-cache".into())),
        // Ten years.
        ["max"] => return Ok(Some("max-age=315360000".into())),
        ["modified", ..] => return Err("a time since the last change cannot be said".into()),
        [text] if text.starts_with('@') => return Err("a time of the day cannot be said".into()),
        [text] if text.contains('$') => return Err("variables are not possible in it".into()),
        [text] => text,
        _ => return Err("one time is expected".into()),
    };
    let (is_past, time) = match text.strip_prefix('-') {
        Some(time) => (true, time),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    match units::seconds(time) {
        Some(seconds) if is_past && seconds > 0 => Ok(Some("no-cache".into())),
        Some(seconds) => Ok(Some(format!("max-age={seconds}"))),
        None => Err(format!("'{text}' is no time")),
    }
}

#[cfg(test)]
mod tests {
    use crate::import::tests::imported;

    /// The fields of the server and of its location, and whether all was carried over.
    fn fields(http: &str, server: &str, location: &str) -> (Vec<String>, bool) {
        let result = imported(&format!(
            "{http} server {{ listen 80; {server} location / {{ {location} proxy_pass http://127.0.0.1:1; }} }}"
        ));
        let of_blocks =
            ["[http.add_header]", "[server.add_header]", "[server.location.add_header]"].map(|table| {
                let rows = result.toml.split(table).nth(1).unwrap_or("none");
                let rows: Vec<_> = rows.trim().lines().take_while(|line| !line.is_empty()).collect();
                rows.join("; ")
            });
        (of_blocks.into(), result.is_complete())
    }

    #[test]
    fn times_are_ages() {
        for (nginx, ours) in [
            ("1d", "max-age=86400"),
            ("+1h30m", "max-age=5400"),
            ("0", "max-age=0"),
            ("-1", "no-cache"),
            ("epoch", "no-cache"),
            ("max", "max-age=315360000"),
        ] {
            let (found, complete) = fields("", "", &format!("expires {nginx};"));
            assert_eq!((found[2].as_str(), complete), (format!("Cache-Control = \"{ours}\"").as_str(), true));
        }
        for wrong in ["modified +1d", "@18h", "$x", "soon", "1d 2d", "500ms"] {
            assert_eq!(
                fields("", "", &format!("expires {wrong};")),
                (vec!["none".to_owned(); 3], false),
                "{wrong}"
            );
        }
    }

    #[test]
    fn it_is_inherited_by_itself() {
        let add = "add_header X-A a;";
        // The location keeps the fields of the server …
        let (found, complete) = fields("", add, "expires 1s;");
        assert_eq!((found[2].as_str(), complete), ("X-A = \"a\"; Cache-Control = \"max-age=1\"", true));
        // … and the age where it has fields of its own.
        let (found, _) = fields("expires 1s;", "", add);
        assert_eq!(found[0], "Cache-Control = \"max-age=1\"");
        assert_eq!(found[2], "X-A = \"a\"; Cache-Control = \"max-age=1\"");
        // An inner word counts, whatever it is.
        for inner in ["off", "$x"] {
            let (found, _) = fields("", &format!("{add} expires 1s;"), &format!("expires {inner};"));
            assert_eq!(found[1..], ["X-A = \"a\"; Cache-Control = \"max-age=1\"", "X-A = \"a\""]);
        }
        // Two of one name cannot be.
        let (found, complete) = fields("", "", "add_header Cache-Control public; expires 1s;");
        assert_eq!((found[2].as_str(), complete), ("Cache-Control = \"public\"", false));
    }
}
