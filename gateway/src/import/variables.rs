//! nginx's variables that the gateway has.

/// Where a text with variables is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Before the answer.
    Request,
    /// When the answer is logged.
    Log,
}

const REQUEST: [&str; 21] = [
    "args",
    "document_uri",
    "host",
    "https",
    "is_args",
    "proxy_add_x_forwarded_for",
    "proxy_host",
    "query_string",
    "remote_addr",
    "remote_port",
    "remote_user",
    "request",
    "request_id",
    "request_method",
    "request_uri",
    "scheme",
    "server_addr",
    "server_name",
    "server_port",
    "server_protocol",
    "uri",
];

const LOG: [&str; 9] = [
    "body_bytes_sent",
    "msec",
    "request_time",
    "status",
    "time_iso8601",
    "time_local",
    "upstream_addr",
    "upstream_response_time",
    "upstream_status",
];

/// The first variable of `text` that the gateway does not have, without its `$`.
pub(super) fn unknown(text: &str, known: Known) -> Option<String> {
    names(text).into_iter().find(|name| !is_known(name, known))
}

/// The variables of `text`: `$name`, `${name}`, and `$1`.
pub(super) fn names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        let (name, tail) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}').unwrap_or((braced, "")),
            None => {
                let end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
                after.split_at(after.find(end).unwrap_or(after.len()))
            }
        };
        names.push(name.to_owned());
        rest = tail;
    }
    names
}

fn is_known(name: &str, known: Known) -> bool {
    let has = |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty());
    REQUEST.contains(&name)
        || has("http_")
        || has("cookie_")
        || has("arg_")
        || (known == Known::Log && (LOG.contains(&name) || has("sent_http_")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_variables_are_found() {
        for (text, name) in [
            ("https://$host$request_uri", None),
            ("a${host}b $http_x_y $cookie_A $arg_b", None),
            ("$1", Some("1")),
            ("$host $my_map", Some("my_map")),
            ("$status", Some("status")),
            ("$", Some("")),
            ("${host", None),
        ] {
            assert_eq!(unknown(text, Known::Request).as_deref(), name, "{text}");
        }
        assert_eq!(unknown("$status $sent_http_etag", Known::Log), None);
    }
}
