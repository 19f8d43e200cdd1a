//! Headers of requests and responses.

use super::Rule::{self, By, Not, Text};
use crate::import::parser::Directive;
use crate::import::scope::{Outcome, Scope, changed, not, nothing};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("proxy_set_header", By(proxy_set_header)),
    ("add_header", By(add_header_rule)),
    ("proxy_hide_header", By(proxy_hide_header)),
    ("charset", Text("charset")),
    ("charset_types", Not("charset is added to texts that have none")),
    ("override_charset", Not("a charset that Tomcat has set stays")),
    ("source_charset", Not("the gateway does not recode; let Tomcat send the charset that is wanted")),
    ("charset_map", Not("the gateway does not recode; let Tomcat send the charset that is wanted")),
    ("add_trailer", Not("trailers are passed on, and none is added")),
    ("add_header_inherit", Not("an inner add_header replaces the outer ones, as in nginx by default")),
    ("proxy_pass_header", Not("the gateway hides no header but those in proxy_hide_header")),
    ("proxy_ignore_headers", Not("the gateway has no cache; X-Accel-Buffering is always honoured")),
    (
        "proxy_pass_request_headers",
        super::Rule::Only(
            "on",
            "headers are always passed on; remove some with proxy_set_header.NAME = \"\"",
        ),
    ),
    ("more_set_headers", Not("write add_header, with ' always' at the end of the value")),
    ("more_clear_headers", Not("write proxy_hide_header")),
    ("more_set_input_headers", Not("write proxy_set_header")),
    ("more_clear_input_headers", Not("write proxy_set_header.NAME = \"\"")),
];

/// What frames a message is the gateway's business.
const RESERVED: [&str; 6] =
    ["connection", "content-length", "transfer-encoding", "upgrade", "te", "x-satchel-unsent"];

/// The gateway says something itself in these, whatever a client says.
const OURS: [&str; 5] = ["host", "x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];

fn proxy_set_header(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    let [name, value] = directive.args()[..] else { return not("a name and a value are expected") };
    // As soon as there is one here, those of the outer blocks do not hold, even if this one needs nothing.
    scope.block.table("proxy_set_header");
    if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
        return framing(scope, name, value);
    }
    // Whoever had checked the password, the gateway has not.
    let unchecked = value
        .contains("$remote_user")
        .then(|| "the gateway checks no passwords, so that $remote_user is what anybody says".to_owned());
    if let Some(why) = unchecked.or_else(|| unusable(scope, name, value)) {
        // Servers believe what nginx says in it; a client must not say it in its place.
        let is_ours = OURS.iter().any(|own| own.eq_ignore_ascii_case(name));
        if is_ours || !is_name(name) || !scope.block.add_row("proxy_set_header", name, String::new()) {
            return not(why);
        }
        return not(format!("{why}; what clients say in {name} is removed"));
    }
    if !scope.block.add_row("proxy_set_header", name, value.to_owned()) {
        return not("is here twice; the first one counts");
    }
    match value.contains("proxy_add_x_forwarded_for") {
        true => changed("what a client says that is not in trusted_proxies is dropped instead of added to"),
        false => Outcome::Carried,
    }
}

fn framing(scope: &Scope<'_>, name: &str, value: &str) -> Outcome {
    let websocket =
        "WebSocket works by itself: Upgrade and Connection are passed on when a client asks for it";
    match (name.to_ascii_lowercase().as_str(), value) {
        ("upgrade" | "connection", value) if scope.context.definitions.is_upgrade(value) => {
            nothing(websocket)
        }
        ("connection", value) if value.eq_ignore_ascii_case("upgrade") => nothing(websocket),
        ("connection", "" | "keep-alive") => nothing("connections to the servers are always kept"),
        ("connection", value) if value.eq_ignore_ascii_case("close") => {
            changed("connections to the servers are always kept")
        }
        ("content-length" | "te" | "transfer-encoding" | "upgrade", "") => {
            changed("the gateway frames messages itself; the header is sent where it is needed")
        }
        _ => not("the gateway sets this header itself"),
    }
}

fn add_header_rule(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    let outcome = add_header(scope, directive);
    super::expires::beside_fields(scope);
    outcome
}

pub(super) fn add_header(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    let (name, value, always) = match directive.args()[..] {
        [name, value] => (name, value, ""),
        [name, value, "always"] => (name, value, " always"),
        _ => return not("a name, a value and perhaps 'always' are expected"),
    };
    scope.block.table("add_header");
    if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
        return not("the gateway sets this header itself");
    }
    if let Some(why) = unusable(scope, name, value) {
        return not(why);
    }
    if value.is_empty() {
        return nothing("an empty header is not sent");
    }
    match scope.block.add_row("add_header", name, format!("{value}{always}")) {
        true => Outcome::Carried,
        false => not(format!("a header can be added once; put both values of {name} into one")),
    }
}

/// Why a header cannot be as it is written.
fn unusable(scope: &Scope<'_>, name: &str, value: &str) -> Option<String> {
    if !is_name(name) {
        return Some(format!("'{name}' is no name of a header"));
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Some("the value has a line break or another control character".into());
    }
    scope.lacks(value)
}

fn is_name(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token)
}

fn proxy_hide_header(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    scope.block.add("proxy_hide_header", directive.arg(0));
    Outcome::Carried
}
