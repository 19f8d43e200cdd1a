//! `proxy_*`, but for headers.

use satchel_common::import::block::Value;

use super::Rule::{self, By, Flag, Not, Nothing, Number, Only, Size, Time};
use crate::config::replacement;
use crate::import::parser::Directive;
use crate::import::scope::{Outcome, Scope, changed, not, nothing};
use crate::import::units;

const BUFFERS: &str = "buffers are the gateway's own";

pub(super) const RULES: &[(&str, Rule)] = &[
    ("proxy_connect_timeout", Time("proxy_connect_timeout")),
    ("proxy_read_timeout", Time("proxy_read_timeout")),
    ("proxy_send_timeout", Time("proxy_send_timeout")),
    ("proxy_next_upstream", By(proxy_next_upstream)),
    ("proxy_next_upstream_tries", Number("proxy_next_upstream_tries")),
    ("proxy_next_upstream_timeout", By(proxy_next_upstream_timeout)),
    ("proxy_buffering", Flag("proxy_buffering")),
    ("proxy_request_buffering", Only("on", "the sidecar takes uploads in whole before its Tomcat gets them")),
    ("proxy_intercept_errors", Flag("proxy_intercept_errors")),
    ("proxy_redirect", By(proxy_redirect)),
    ("proxy_cookie_path", By(proxy_cookie_path)),
    ("proxy_http_version", By(proxy_http_version)),
    ("proxy_buffers", Nothing(BUFFERS)),
    ("proxy_buffer_size", Nothing(BUFFERS)),
    ("proxy_busy_buffers_size", Nothing(BUFFERS)),
    ("proxy_max_temp_file_size", Size("proxy_max_temp_file_size")),
    ("proxy_temp_file_write_size", Nothing(BUFFERS)),
    ("proxy_temp_path", Nothing(BUFFERS)),
    ("proxy_socket_keepalive", Nothing("sockets are the gateway's own business")),
    ("proxy_send_lowat", Nothing("sockets are the gateway's own business")),
    ("proxy_cookie_domain", Not("let Tomcat set it: sessionCookieDomain of the context")),
    (
        "proxy_cookie_flags",
        Not("let Tomcat set them: useHttpOnly of the context, cookie-config in web.xml, sameSiteCookies"),
    ),
    ("proxy_ignore_client_abort", Only("off", "a request whose client is gone is ended")),
    ("proxy_pass_request_body", Only("on", "bodies are always passed on")),
    ("proxy_force_ranges", Only("off", "ranges are the servers' business")),
    ("proxy_bind", Not("connections come from the address that the system chooses")),
    ("proxy_method", Not("methods are passed on as they are")),
    ("proxy_set_body", Not("bodies are passed on as they are")),
    ("proxy_limit_rate", Not("the speed of a response cannot be limited")),
];

fn proxy_next_upstream(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    const KNOWN: [&str; 12] = [
        "error",
        "timeout",
        "invalid_header",
        "http_500",
        "http_502",
        "http_503",
        "http_504",
        "http_403",
        "http_404",
        "http_429",
        "non_idempotent",
        "off",
    ];
    let (known, other): (Vec<_>, Vec<_>) =
        directive.args().into_iter().partition(|word| KNOWN.contains(word));
    let list = Value::List(known.into_iter().map(str::to_owned).collect());
    match scope.set("proxy_next_upstream", list) {
        Outcome::Carried if !other.is_empty() => {
            not(format!("without {}, which is not known here", other.join(" ")))
        }
        outcome => outcome,
    }
}

/// Zero is no limit, in nginx and here.
fn proxy_next_upstream_timeout(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    match units::time(directive.arg(0)) {
        Some(time) => scope.set("proxy_next_upstream_timeout", Value::Text(time)),
        None => not(format!("'{}' is no time", directive.arg(0))),
    }
}

fn proxy_redirect(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    match directive.args()[..] {
        ["off"] => scope.set("proxy_redirect", Value::Pairs(Vec::new())),
        ["default"] if scope.siblings().iter().filter(|one| one.name() == "proxy_redirect").count() == 1 => {
            match scope.outer("proxy_redirect") {
                None => nothing("it is the default"),
                Some(_) => not("an outer proxy_redirect holds here too; write the pair that is meant"),
            }
        }
        ["default"] => not("beside others it is not possible; write the pair that is meant"),
        [from, to] => match pattern(from).and_then(|()| scope.lacks(to).map_or(Ok(()), Err)) {
            Ok(()) if from.contains('$') && !from.starts_with('~') => {
                not("variables are possible in its second part only")
            }
            Ok(()) => {
                scope.block.add_pair("proxy_redirect", from, to);
                Outcome::Carried
            }
            Err(why) => not(why),
        },
        _ => not("off, default, or two parts are expected"),
    }
}

fn proxy_cookie_path(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    match directive.args()[..] {
        ["off"] => scope.set("proxy_cookie_path", Value::Pairs(Vec::new())),
        [from, to] => match pattern(from) {
            Ok(()) if !from.starts_with('~') && from.contains('$') => not("variables are not possible in it"),
            Ok(()) => match groups(from, to) {
                Ok(()) => {
                    scope.block.add_pair("proxy_cookie_path", from, to);
                    Outcome::Carried
                }
                Err(why) => not(why),
            },
            Err(why) => not(why),
        },
        _ => not("off or two parts are expected"),
    }
}

/// A replacement may have the groups that the regular expression has found.
fn groups(from: &str, to: &str) -> Result<(), String> {
    let regex = match from.strip_prefix('~') {
        Some(regex) => regex.trim_start_matches('*').trim_start().to_owned(),
        None => regex::escape(from),
    };
    let regex = regex::Regex::new(&regex).map_err(|error| error.to_string())?;
    replacement(&regex, to).map(drop)
}

/// nginx's regular expressions can do more than ours: look-around and back references.
fn pattern(from: &str) -> Result<(), String> {
    match from.strip_prefix('~') {
        Some(regex) => crate::import::regex::check(regex.trim_start_matches('*')),
        None => Ok(()),
    }
}

fn proxy_http_version(_: &mut Scope<'_>, directive: &Directive) -> Outcome {
    match directive.arg(0) {
        "1.1" => nothing("servers are always spoken to in HTTP/1.1"),
        "1.0" => changed("servers are always spoken to in HTTP/1.1"),
        _ => not("servers are always spoken to in HTTP/1.1"),
    }
}
