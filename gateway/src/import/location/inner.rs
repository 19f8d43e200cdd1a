//! A location in a location: here it stands beside it.

use super::super::block::Block;
use super::super::parser::Directive;
use super::super::regex;

/// Its path when it stands beside the one with the path `outer`. `is_closed`: it may as well have more paths than in nginx.
pub(super) fn path(
    path: String,
    outer: &str,
    server: &[Directive],
    is_closed: bool,
) -> Result<String, String> {
    let Some((modifier, regex)) = path.split_once(' ').filter(|(modifier, _)| modifier.starts_with('~'))
    else {
        return Ok(path);
    };
    let prefix = outer.strip_prefix("^~ ").unwrap_or(outer);
    if is_closed {
        return Ok(path);
    }
    if !is_alone(prefix, server) {
        return Err(format!("it is for '{prefix}' alone, and other locations begin with that too"));
    }
    match regex::prefix(regex) {
        _ if prefix == "/" => Ok(path),
        literal if prefix.starts_with('/') && literal.starts_with(prefix) => Ok(path),
        _ if prefix.starts_with('/') && !regex.starts_with('^') => {
            Ok(format!("{modifier} ^{}.*(?:{regex})", ::regex::escape(prefix)))
        }
        _ => Err(format!("its path would have to match '{outer}' too")),
    }
}

/// Whether no other prefix is within this one: nginx would choose it first.
fn is_alone(prefix: &str, server: &[Directive]) -> bool {
    let mut others = server.iter().filter(|one| one.name() == "location");
    others.all(|other| {
        let path = super::path(other).unwrap_or_default();
        let path = path.strip_prefix("^~ ").unwrap_or(&path);
        !path.starts_with(prefix) || path == prefix
    })
}

/// What it does not say itself is as in the outer one.
pub(super) fn inherit(block: &mut Block, outer: &Block) {
    const OWN: [&str; 3] = ["path", "proxy_pass", "return"];
    let missing = outer.entries.iter().filter(|entry| !OWN.contains(&entry.key) && !block.has(entry.key));
    let missing: Vec<_> = missing.cloned().collect();
    block.entries.extend(missing);
}

#[cfg(test)]
mod tests {
    use crate::import::tests::imported;

    /// The locations, a line each.
    fn locations(text: &str) -> Vec<String> {
        let result =
            imported(&format!("upstream t {{ server 127.0.0.1:1; }} server {{ listen 80; {text} }}"));
        let locations = result.toml.split("[[server.location]]\n").skip(1);
        let lines = |one: &str| -> Vec<String> {
            one.lines().filter(|line| line.contains(" = ")).map(str::to_owned).collect()
        };
        locations.map(|one| lines(one).join("; ")).collect()
    }

    #[test]
    fn it_stands_beside_the_outer_one_and_has_its_settings() {
        assert_eq!(
            locations(
                "location /app/ { proxy_pass http://t; proxy_read_timeout 5s; location /app/slow/ { proxy_pass http://t; \
                 proxy_read_timeout 50s; } location = /app/x { proxy_pass http://t; } }"
            ),
            [
                "path = \"= /app/x\"; proxy_pass = \"http://t\"; proxy_read_timeout = \"5s\"",
                "path = \"/app/slow/\"; proxy_pass = \"http://t\"; proxy_read_timeout = \"50s\"",
                "path = \"/app/\"; proxy_pass = \"http://t\"; proxy_read_timeout = \"5s\"",
            ]
        );
    }

    #[test]
    fn a_regular_expression_is_for_the_outer_path() {
        let nested = |outer: &str, regex: &str| {
            locations(&format!(
                "location {outer} {{ proxy_pass http://t; location ~ {regex} {{ proxy_pass http://t; }} }}"
            ))[0]
                .clone()
        };
        assert_eq!(nested("/", "\\.jsp$"), "path = '~ \\.jsp$'; proxy_pass = \"http://t\"");
        assert_eq!(nested("/a.b/", "^/a\\.b/x"), "path = '~ ^/a\\.b/x'; proxy_pass = \"http://t\"");
        assert_eq!(nested("/a/", "x$"), "path = \"~ ^/a/.*(?:x$)\"; proxy_pass = \"http://t\"");
        // Where another prefix would be first, it is left out.
        let two = "location / { proxy_pass http://t; location ~ x$ { proxy_pass http://t; } } location /b { proxy_pass http://t; }";
        assert_eq!(locations(two).len(), 2);
    }
}
