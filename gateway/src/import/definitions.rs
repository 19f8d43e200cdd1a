//! What `http` defines by a name and other directives use.

use std::collections::HashMap;

use super::parser::Directive;
use super::upstream;

/// A `log_format`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogFormat {
    pub(super) text: String,
    /// `escape=json`.
    pub(super) is_json: bool,
}

/// Everything that has a name.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    pub(super) formats: HashMap<String, LogFormat>,
    /// The rate of each `limit_req_zone`, or why it cannot be used.
    pub(super) request_zones: HashMap<String, Result<String, String>>,
    /// Each `limit_conn_zone`.
    pub(super) connection_zones: HashMap<String, Result<(), String>>,
    /// Each upstream, or why it cannot be used.
    pub(super) upstreams: HashMap<String, Result<(), String>>,
    /// `proxy_next_upstream` is off in `http`, and on nowhere.
    pub(super) never_retries: bool,
    /// The `map` or another directive that sets a variable, by the variable's name.
    variables: HashMap<String, (String, usize)>,
    /// What a variable that is made here is made of; `None`: of more than one thing, or of what is not known.
    sources: HashMap<String, Option<String>>,
    /// The variables that stand for `upgrade` or `close`.
    upgrade: Vec<String>,
}

impl Definitions {
    /// Of `http`'s directives.
    pub(super) fn collect(directives: &[Directive]) -> Self {
        let mut all = Self::default();
        for directive in directives {
            all.variable(directive);
            match directive.name() {
                "upstream" => {
                    let name = directive.arg(0).to_owned();
                    all.upstreams.entry(name).or_insert_with(|| upstream::usable(directive));
                }
                "proxy_next_upstream" if directive.arg(0) == "off" => {
                    all.never_retries = retries(directives).all(|word| word == "off")
                }
                "log_format" => {
                    let args = directive.args();
                    let is_option = |text: &str| text.starts_with("escape=");
                    let parts: Vec<_> =
                        args.iter().skip(1).filter(|text| !is_option(text)).copied().collect();
                    let format = LogFormat { text: parts.concat(), is_json: args.contains(&"escape=json") };
                    all.formats.insert(directive.arg(0).to_owned(), format);
                }
                "limit_req_zone" => {
                    let zone = by_address(directive).and_then(|()| {
                        let rate = option(directive, "rate=").filter(|rate| rate.contains("r/"));
                        rate.map(str::to_owned).ok_or_else(|| "has no rate".into())
                    });
                    all.request_zones.insert(zone_name(directive), zone);
                }
                "limit_conn_zone" => {
                    all.connection_zones.insert(zone_name(directive), by_address(directive));
                }
                _ => {}
            }
        }
        all
    }

    /// Also in servers and locations.
    fn variable(&mut self, directive: &Directive) {
        let at = match directive.name() {
            "set" | "set_by_lua_block" | "js_set" | "perl_set" | "auth_request_set" => 0,
            "map" | "geo" | "split_clients" | "geoip2" => directive.args().len().saturating_sub(1),
            _ => {
                directive.inner().iter().for_each(|inner| self.variable(inner));
                return;
            }
        };
        let name = directive.arg(at).trim_start_matches('$').to_owned();
        if is_upgrade_map(directive) {
            self.upgrade.push(name.clone());
        }
        let is_plain =
            directive.name() == "map" && !directive.inner().iter().any(|line| line.arg(0).contains('$'));
        let source = directive.arg(0).trim_start_matches('$').trim_matches(['{', '}']);
        let source = (is_plain && !self.sources.contains_key(&name)).then(|| source.to_owned());
        self.sources.insert(name.clone(), source);
        self.variables.insert(name, (directive.name().to_owned(), directive.line));
    }

    /// `$http_upgrade`, or what a map makes of it.
    pub(super) fn is_upgrade(&self, value: &str) -> bool {
        let name = value.trim_start_matches('$').trim_matches(['{', '}']);
        matches!(name, "http_upgrade" | "http_connection") || self.upgrade.iter().any(|known| known == name)
    }

    /// Which variable of nginx's own one is made of by a single `map`, or is itself; `None`: that is not known.
    pub(super) fn source<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        match self.sources.get(name) {
            None => Some(name),
            Some(source) => source.as_deref().filter(|source| !self.sources.contains_key(*source)),
        }
    }

    /// For notes.
    pub(super) fn why_unknown(&self, name: &str) -> String {
        match self.variables.get(name) {
            Some((by, line)) => {
                format!("${name} comes from '{by}' in line {line}, which the gateway does not have")
            }
            None if name.chars().all(|c| c.is_ascii_digit()) => {
                format!("${name}: what a regular expression has found cannot be used here")
            }
            None => format!("the gateway has no variable ${name}"),
        }
    }
}

/// The first word of each `proxy_next_upstream`.
fn retries(directives: &[Directive]) -> Box<dyn Iterator<Item = &str> + '_> {
    let own = directives.iter().filter(|one| one.name() == "proxy_next_upstream").map(|one| one.arg(0));
    Box::new(own.chain(directives.iter().flat_map(|one| retries(one.inner()))))
}

/// `map $http_upgrade $connection_upgrade { default upgrade; '' close; }`
pub(super) fn is_upgrade_map(directive: &Directive) -> bool {
    let lines = directive.inner().iter();
    directive.name() == "map"
        && directive.arg(0) == "$http_upgrade"
        && lines.map(|line| (line.name(), line.arg(0))).all(|line| {
            matches!(
                line,
                ("default" | "websocket", "upgrade") | ("", "close" | "") | ("default", "close" | "")
            )
        })
}

fn by_address(zone: &Directive) -> Result<(), String> {
    match zone.arg(0) {
        "$binary_remote_addr" | "$remote_addr" => Ok(()),
        key => Err(format!("the gateway limits by the client's address only, and not by {key}")),
    }
}

fn zone_name(zone: &Directive) -> String {
    let name = option(zone, "zone=").unwrap_or_default();
    name.split(':').next().unwrap_or_default().to_owned()
}

/// The value of `name=value`.
pub(super) fn option<'a>(directive: &'a Directive, name: &str) -> Option<&'a str> {
    directive.words.iter().find_map(|word| word.text.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::tests::directives;

    #[test]
    fn zones_and_formats_are_found_by_name() {
        let all = Definitions::collect(&directives(
            "log_format main escape=json '$a ' '$b'; limit_req_zone $binary_remote_addr zone=one:10m rate=5r/s;
             limit_req_zone $server_name zone=two:10m rate=5r/s; limit_conn_zone $remote_addr zone=c:1m;
             upstream tomcats { server a; } upstream none { server unix:/s; } map $http_x $y { default 1; } server { set $z 1; }",
        ));
        assert_eq!(all.formats["main"], LogFormat { text: "$a $b".into(), is_json: true });
        assert_eq!(all.request_zones["one"], Ok("5r/s".into()));
        assert!(all.request_zones["two"].is_err() && all.connection_zones["c"].is_ok());
        assert_eq!(all.upstreams["tomcats"], Ok(()));
        assert!(all.upstreams["none"].is_err());
        assert!(all.why_unknown("y").contains("'map' in line 3") && all.why_unknown("z").contains("'set'"));
        assert!(all.why_unknown("1").contains("regular expression"));
    }

    #[test]
    fn the_upgrade_map_is_known_in_its_forms() {
        for (text, yes) in [
            ("map $http_upgrade $c { default upgrade; '' close; }", true),
            ("map $http_upgrade $c { default upgrade; \"\" \"\"; }", true),
            ("map $http_upgrade $c { default close; websocket upgrade; }", true),
            ("map $http_upgrade $c { default other; }", false),
            ("map $http_x $c { default upgrade; }", false),
        ] {
            let parsed = directives(text);
            assert_eq!(is_upgrade_map(&parsed[0]), yes, "{text}");
            assert_eq!(Definitions::collect(&parsed).is_upgrade("$c"), yes);
        }
    }
}
