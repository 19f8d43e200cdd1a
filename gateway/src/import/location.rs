//! `location`: its path, and what it does.

use satchel_common::import::block::{Block, Value};

use super::nested::Flat;
use super::parser::Directive;
use super::path::Path;
use super::scope::{Context, Level, Outcome, Scope, changed, not, nothing};
use super::{access, closed, error_page, redirect, upstream};

#[cfg(test)]
mod closed_tests;

/// What a location does, and the directives that say so.
struct Action<'a> {
    key: &'static str,
    value: String,
    by: Vec<(&'a Directive, Outcome)>,
    comment: Option<String>,
}

/// Translates one.
pub(super) fn translate(server: &mut Scope<'_>, of: &Flat<'_>) -> Block {
    if let Some(why) = &of.closed {
        return closed::location(server.context, of, why);
    }
    let chain = server.chain.clone();
    let [http, of_server, ..] = chain[..] else {
        return closed::location(server.context, of, "it is in no server");
    };
    let directive = of.directive;
    let inner = directive.inner();
    if error_page::serves(directive, of_server, http) && is_for_pages(directive) {
        return for_pages(server.context, of);
    }
    let around = of.around.iter().map(|outer| outer.inner()).chain([inner]);
    let mut scope = server.inner(Level::Location, around);
    let action = match action(&scope, &of.path, inner) {
        Ok(action) => action,
        Err(why) => return closed::location(scope.context, of, &why),
    };
    if let Some(why) = of.takes_more.as_ref().filter(|_| !action.refuses()) {
        return closed::location(scope.context, of, why);
    }
    if let Some(why) = &of.takes_more {
        scope.context.report(directive, changed(format!("{why}; what they get is refused, too")));
    }
    scope.block.comment.extend(action.comment);
    scope.block.set("path", Value::Text(of.path.clone()));
    scope.block.set(action.key, Value::Text(action.value));
    for one in inner {
        if let Some((_, outcome)) = action.by.iter().find(|(by, _)| std::ptr::eq(*by, one)) {
            scope.context.report_whole(one, outcome);
            continue;
        }
        match one.name() {
            "proxy_pass" | "return" => {
                let why = "is never reached: another directive of this location answers before";
                scope.context.report(one, nothing(why));
            }
            // It is one of the server's.
            "location" => {}
            _ => scope.apply(one),
        }
    }
    scope.inherit();
    scope.block
}

/// A location that is there for error pages and nothing else, as far as that can be seen.
fn is_for_pages(location: &Directive) -> bool {
    is_internal(location.inner()) || matches!(Path::of(location), Ok(Path::Exact(_)))
}

fn is_internal(location: &[Directive]) -> bool {
    location.iter().any(|one| one.name() == "internal")
}

/// The page is a file; who asks for its address does not get it.
fn for_pages(context: &mut Context, of: &Flat<'_>) -> Block {
    let (answer, outcome) = match is_internal(of.directive.inner()) {
        true => ("404", nothing("is there for an error page, which is a file here")),
        false => (
            closed::ANSWER,
            changed("is there for an error page, which is a file here; its address itself is closed (403)"),
        ),
    };
    context.report_location(of.directive, &outcome);
    let mut block = Block::default();
    block.set("path", Value::Text(of.path.clone()));
    block.set("return", Value::Text(answer.into()));
    block
}

impl<'a> Action<'a> {
    /// An answer by itself.
    fn answer(by: &'a Directive, (value, outcome): redirect::Answer) -> Self {
        Action { key: "return", value, by: vec![(by, outcome)], comment: None }
    }

    /// Whether nobody gets anything by it.
    fn refuses(&self) -> bool {
        self.key == "return" && self.value.starts_with(['4', '5'])
    }

    /// The same, closed because of `guard`.
    fn behind(self, guard: &'a Directive) -> Self {
        let what = format!("'{}' in line {} restricts it", guard.name(), guard.line);
        let open = format!("{} = \"{}\"", self.key, self.value);
        let why = format!("is closed (403): {what}, which the gateway cannot; write {open} to open it");
        let mut by: Vec<_> = self.by.iter().map(|(by, _)| (*by, not(why.clone()))).collect();
        if guard.name() == "if" {
            by.push((guard, not("the gateway has no conditions; what this one refuses is closed (403) with all else of its block")));
        }
        Action {
            key: "return",
            value: closed::ANSWER.into(),
            by,
            comment: Some(format!("Closed: {what} in nginx. To open it: {open}")),
        }
    }
}

fn action<'a>(scope: &Scope<'a>, path: &str, inner: &'a [Directive]) -> Result<Action<'a>, String> {
    if let Some(by) = inner.iter().find(|one| one.name() == "internal") {
        let text = "clients get 404, as in nginx; that error_page, auth_request or X-Accel-Redirect leads here is not carried over";
        return Ok(Action::answer(by, ("404".into(), not(text))));
    }
    // As nginx does it: first what answers or refuses by itself, in the order of the file, then who may come in.
    let mut refusing = scope.refusing;
    let mut answer = None;
    for one in inner {
        let found = match one.name() {
            "return" => Some(redirect::of_return(one)?),
            "rewrite" => redirect::of_rewrite(one),
            _ => None,
        };
        if let Some(found) = found {
            answer = Some(Action::answer(one, found));
            break;
        }
        if one.name() == "if" && access::refuses(one, &scope.context.definitions) {
            refusing = refusing.or(Some(one));
        }
    }
    let first = refusing.or_else(|| access::guard_of_answer(&scope.chain));
    if let Some(answer) = answer {
        return Ok(match first {
            Some(guard) => answer.behind(guard),
            None => answer,
        });
    }
    if let Some(by) = access::denies_all(inner) {
        return Ok(Action::answer(by, (closed::ANSWER.into(), Outcome::Carried)));
    }
    let by = inner
        .iter()
        .find(|one| one.name() == "proxy_pass")
        .ok_or("it has no proxy_pass or return, and the gateway serves no files")?;
    let (target, outcome) = target(scope, by, path)?;
    let mut action = Action { key: "proxy_pass", value: target, by: vec![(by, outcome)], comment: None };
    let rewrites: Vec<_> = inner.iter().filter(|one| one.name() == "rewrite").collect();
    let prefix = path.strip_prefix("^~ ").unwrap_or(path);
    if let ([rewrite], false) = (&rewrites[..], has_uri(&action.value))
        && let Some(new) = redirect::new_prefix(rewrite, prefix)
    {
        action.value.push_str(&new);
        action
            .by
            .push((rewrite, changed("is the path of proxy_pass; Location headers get the old path back")));
    }
    Ok(match first.or_else(|| access::guard(&scope.chain)) {
        Some(guard) => action.behind(guard),
        None => action,
    })
}

fn has_uri(target: &str) -> bool {
    target.trim_start_matches("http://").contains('/')
}

/// What `proxy_pass` says, with a port where it names no upstream.
fn target(scope: &Scope<'_>, directive: &Directive, path: &str) -> Result<(String, Outcome), String> {
    let text = directive.arg(0);
    if let Some(name) = super::variables::names(text).first() {
        return Err(format!(
            "proxy_pass has a variable, ${name}; write a location and an upstream for each of its values"
        ));
    }
    let rest = match text.split_once("://") {
        Some(("http", rest)) => rest,
        Some(("https", _)) => return Err("servers are spoken to in plain HTTP, and not https".into()),
        _ => {
            return Err(format!(
                "'{}' is no address for proxy_pass",
                text.split('@').next_back().unwrap_or_default()
            ));
        }
    };
    let (name, uri) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if path.starts_with('~') && !uri.is_empty() {
        return Err("proxy_pass cannot have a path in a location that is a regular expression".into());
    }
    match scope.context.definitions.upstreams.get(name) {
        Some(Ok(())) => return Ok((text.to_owned(), Outcome::Carried)),
        Some(Err(why)) => return Err(why.clone()),
        None => {}
    }
    let address = upstream::address(name).ok_or_else(|| format!("'{name}' is no host with a port"))?;
    let outcome = match address == name {
        true => Outcome::Carried,
        false => changed(format!(
            "there is no upstream '{name}', so it is a host; its port is written, and is in Host too"
        )),
    };
    Ok((format!("http://{address}{uri}"), outcome))
}

/// The location that nginx chooses for a path.
pub(super) fn of_path<'a>(uri: &str, server: &'a [Directive]) -> Result<Option<&'a Directive>, String> {
    let mut best: Option<(&Directive, Path<'_>)> = None;
    let mut has_regex = false;
    for location in server.iter().filter(|one| one.name() == "location") {
        let Ok(path) = Path::of(location) else { continue };
        if path == Path::Exact(uri) {
            return Ok(Some(location));
        }
        has_regex |= matches!(path, Path::Regex(..));
        let length = |path: Path<'_>| path.prefix().map(str::len);
        let fits = path.prefix().is_some_and(|prefix| uri.starts_with(prefix));
        if fits && best.is_none_or(|(_, known)| length(known) < length(path)) {
            best = Some((location, path));
        }
    }
    match best {
        Some((location, Path::Final(_))) => Ok(Some(location)),
        _ if has_regex => Err(format!("a regular expression may take {uri}")),
        best => Ok(best.map(|(location, _)| location)),
    }
}

#[cfg(test)]
mod tests {
    use crate::import::tests::imported;

    fn location(text: &str) -> (String, String) {
        let result = imported(&format!("upstream t {{ server a:1; }} server {{ listen 80; {text} }}"));
        let notes = result.notes.iter().map(|note| format!("{note}\n")).collect();
        (result.toml.split("[[server.location]]").nth(1).unwrap_or_default().trim().to_owned(), notes)
    }

    #[test]
    fn paths_and_targets_are_nginxs() {
        for (nginx, ours) in [
            ("location / { proxy_pass http://t; }", "path = \"/\"\nproxy_pass = \"http://t\""),
            ("location =/a { proxy_pass http://t/b; }", "path = \"= /a\"\nproxy_pass = \"http://t/b\""),
            (
                "location ^~ /a { proxy_pass http://h:81/; }",
                "path = \"^~ /a\"\nproxy_pass = \"http://h:81/\"",
            ),
            (
                "location ~* \\.jsp$ { proxy_pass http://h; }",
                "path = '~* \\.jsp$'\nproxy_pass = \"http://h:80\"",
            ),
            ("location /x { return 204; proxy_pass http://t; }", "path = \"/x\"\nreturn = \"204\""),
            ("location ~ /\\.ht { deny all; }", "path = '~ /\\.ht'\nreturn = \"403\""),
            (
                "location /old/ { rewrite ^/old/(.*)$ /new/$1 break; proxy_pass http://t; }",
                "path = \"/old/\"\nproxy_pass = \"http://t/new/\"",
            ),
        ] {
            let (toml, notes) = location(nginx);
            assert!(toml.starts_with(ours), "{nginx}\n{toml}\n{notes}");
        }
    }

    #[test]
    fn what_is_closed_says_why_line_by_line() {
        for (nginx, path, why) in [
            ("location /s { root /srv; expires 1d; gzip on; }", "/s", "serves no files"),
            ("location / { proxy_pass https://t; }", "/", "not https"),
            ("location = /x { proxy_pass http://$host; }", "= /x", "variable, $host"),
            ("location ^~ /x { return 200 $nothing; }", "^~ /x", "no variable $nothing"),
            ("location ~ ^/(?!a) { proxy_pass http://t; }", "~ ^/", "AND SO IS EVERY OTHER PATH"),
            ("location ~* (?<!x)a { deny all; }", "~ ^/", "look-around"),
            ("location ~ ^/priv(?!ate) { deny all; }", "~ ^/priv", "as \"~ ^/priv\""),
            ("location ~ a { proxy_pass http://t/x; }", "~ a", "cannot have a path"),
            ("location ~ ^/(a|b) { location /a { return 204; } }", "~ ^/(a|b)", "in line 1 cannot be said"),
        ] {
            let (toml, notes) = location(nginx);
            assert!(
                toml.contains(&format!("path = \"{path}\"\nreturn = \"403\"")),
                "{nginx}\n{toml}\n{notes}"
            );
            assert!(notes.contains(why), "{nginx}\n{toml}\n{notes}");
            let inner = nginx.matches(';').count() + nginx.matches("location").count();
            assert_eq!(notes.lines().count(), inner, "{notes}");
        }
        // Nothing leads to it.
        let (toml, notes) = location("location @x { proxy_pass http://t; }");
        assert!(toml.is_empty() && notes.contains("named location"), "{toml}");
    }

    #[test]
    fn what_clients_cannot_reach_is_not_there_for_them() {
        let (toml, notes) = location("location /x { internal; proxy_pass http://t; return 200 a; }");
        assert!(
            toml.starts_with("path = \"/x\"\nreturn = \"404\"") && notes.contains("X-Accel-Redirect"),
            "{toml}"
        );
        let page = "error_page 404 /e.html; root /srv; location = /e.html { OPTION } location / { proxy_pass http://t; }";
        let (toml, _) = location(&page.replace("OPTION", "internal;"));
        assert!(toml.starts_with("path = \"= /e.html\"\nreturn = \"404\""), "{toml}");
        let (toml, notes) = location(&page.replace("OPTION", ""));
        assert!(
            toml.starts_with("path = \"= /e.html\"\nreturn = \"403\"") && notes.contains("itself is closed"),
            "{toml}"
        );
    }

    #[test]
    fn what_was_protected_stays_closed() {
        for protection in [
            "auth_basic x;",
            "limit_except GET { deny all; }",
            "allow 10.0.0.0/8; deny all;",
            "deny 192.0.2.1; allow all;",
            "auth_request /auth;",
            "satisfy any; allow 10.0.0.0/8; deny all; auth_basic x;",
            "if ($request_method = POST) { return 405; }",
            "valid_referers none; if ($invalid_referer) { return 403; }",
            "secure_link $arg_a; if ($secure_link = \"\") { return 403; }",
            "access_by_lua_block { ngx.exit(403) }",
        ] {
            let (toml, notes) =
                location(&format!("location /manager {{ {protection} proxy_pass http://t; }}"));
            assert!(toml.contains("return = \"403\"") && !toml.contains("\nproxy_pass"), "{toml}");
            assert!(notes.contains("is closed (403)"), "{notes}");
        }
        // These come before an answer, the others behind it.
        for (protection, closed) in [
            ("limit_except GET { deny all; }", true),
            ("if ($x) { return 403; }", true),
            ("auth_basic x;", false),
            ("deny all;", false),
            ("if ($x) { set $y 1; }", false),
        ] {
            let (toml, _) = location(&format!("location /a {{ {protection} return 200 a; }}"));
            let answer = if closed { "\"403\"" } else { "\"200 a\"" };
            assert!(toml.contains(&format!("return = {answer}")), "{protection}: {toml}");
        }
        let (toml, _) = location("auth_basic x; location / { auth_basic off; proxy_pass http://t; }");
        assert!(toml.contains("\nproxy_pass"), "{toml}");
        for (outer, closed) in [
            ("deny all;", true),
            ("if ($request_method = POST) { return 405; }", true),
            ("if ($arg_a = b) { return 444; }", true),
            ("if ($http_user_agent ~ bot) { return 444; }", false),
            ("ssl_verify_client on;", true),
            ("return 403 $nothing;", true),
            ("if ($host = a) { return 301 https://b; }", false),
        ] {
            let (toml, notes) = location(&format!("{outer} location / {{ proxy_pass http://t; }}"));
            assert_eq!(!toml.contains("\nproxy_pass"), closed, "{outer}\n{toml}");
            assert_eq!(notes.contains("closed (403)"), closed, "{outer}\n{notes}");
        }
    }
}
