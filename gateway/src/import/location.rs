//! `location`: its path, and what it does.

use super::block::{Block, Value};
use super::parser::Directive;
use super::scope::{Level, Outcome, Scope, changed, not, nothing};
use super::{access, error_page, redirect, regex, upstream};

#[cfg(test)]
mod closed_tests;
mod inner;

/// What a location does, and the directives that say so.
struct Action<'a> {
    key: &'static str,
    value: String,
    by: Vec<(&'a Directive, Outcome)>,
    comment: Option<String>,
}

/// Translates one with those in it, which then stand beside it. None if it is left out.
pub(super) fn translate(server: &mut Scope<'_>, directive: &Directive) -> Vec<Block> {
    translate_in(server, directive, None)
}

/// `outer`: the path of the location that it is in.
fn translate_in(server: &mut Scope<'_>, directive: &Directive, outer: Option<&str>) -> Vec<Block> {
    let [http, of_server, ..] = server.chain[..] else { return Vec::new() };
    if error_page::serves(directive, of_server, http) {
        server.context.report_whole(directive, &nothing("is there for an error page, which is a file here"));
        return Vec::new();
    }
    let inner = directive.inner();
    let mut scope = server.inner(Level::Location, inner);
    let chosen = path(directive).and_then(|path| {
        let action = action(&scope, &path, inner)?;
        let is_closed = action.key == "return" && action.value.starts_with('4');
        let path = match outer {
            Some(outer) => inner::path(path, outer, of_server, is_closed)?,
            None => path,
        };
        Ok((action, path))
    });
    let (action, path) = match chosen {
        Ok(chosen) => chosen,
        Err(why) => return left_out(&mut scope, directive, &why),
    };
    let mut blocks = Vec::new();
    scope.block.is_inner = outer.is_some();
    scope.block.comment.extend(action.comment);
    scope.block.set("path", Value::Text(path.clone()));
    scope.block.set(action.key, Value::Text(action.value));
    for one in inner {
        if let Some((_, outcome)) = action.by.iter().find(|(by, _)| std::ptr::eq(*by, one)) {
            scope.context.report(one, outcome.clone());
            continue;
        }
        match one.name() {
            "proxy_pass" | "return" => {
                let why = "is never reached: another directive of this location answers before";
                scope.context.report(one, nothing(why));
            }
            "internal" => scope.context.report(one, nothing("is what makes it answer 404")),
            "location" => blocks.extend(translate_in(&mut scope, one, Some(&path))),
            _ => scope.apply(one),
        }
    }
    blocks.iter_mut().for_each(|block| inner::inherit(block, &scope.block));
    blocks.push(scope.block);
    blocks
}

/// One that can't be as it is. If it keeps somebody out, it keeps everybody out.
fn left_out(scope: &mut Scope<'_>, directive: &Directive, why: &str) -> Vec<Block> {
    let inner = directive.inner();
    let definitions = &scope.context.definitions;
    let closes = access::denies_all(inner).or_else(|| inner.iter().find(|one| access::refuses(one)));
    let by = closes.or_else(|| access::guard(&scope.chain, definitions));
    let closed = by.and_then(|by| {
        let mut block = Block::default();
        let (path, what) =
            (enclosing(directive)?, format!("'{}' in line {} protects it", by.name(), by.line));
        block.set("path", Value::Text(path.clone()));
        block.set("return", Value::Text("403".into()));
        block.comment.push(format!("Closed: {what} in nginx."));
        Some((block, not(format!("is closed (403, for {path}): {what}, and {why}"))))
    });
    let is_named = directive.arg(0).starts_with('@');
    let where_to = if is_named { "" } else { ", and its paths go to the locations around it" };
    let around = || not(format!("is left out{where_to}: {why}"));
    let (block, outcome) = closed.map_or_else(|| (None, around()), |(block, outcome)| (Some(block), outcome));
    scope.context.report(directive, outcome.clone());
    let path = path(directive).unwrap_or_default();
    let mut blocks = Vec::new();
    for one in inner {
        match one.name() {
            "location" => blocks.extend(translate_in(scope, one, Some(&path))),
            _ => scope.context.report_inner(directive, one, &outcome),
        }
    }
    blocks.extend(block);
    blocks
}

/// The path, or for a regular expression that cannot be used what takes all of its paths.
fn enclosing(directive: &Directive) -> Option<String> {
    path(directive).ok().or_else(|| {
        let (modifier, regex) = words(directive)?;
        modifier.starts_with('~').then(|| regex::enclosing(modifier, regex))
    })
}

/// The path with its modifier, as the gateway reads it.
fn path(directive: &Directive) -> Result<String, String> {
    let (modifier, path) = words(directive).ok_or("a path is expected")?;
    match modifier {
        "~" | "~*" => regex::check(path).map(|()| format!("{modifier} {path}")),
        _ if path.starts_with('@') => {
            Err("a named location can only be reached by what the gateway does not have".into())
        }
        _ if !path.starts_with('/') => Err(format!("'{path}' does not begin with /")),
        "" => Ok(path.to_owned()),
        "=" | "^~" => Ok(format!("{modifier} {path}")),
        _ => Err(format!("'{modifier}' is not known")),
    }
}

/// Modifier and path. nginx does not need a blank between them.
fn words(directive: &Directive) -> Option<(&str, &str)> {
    match directive.args()[..] {
        [modifier, path] => Some((modifier, path)),
        [text] => ["^~", "~*", "=", "~"]
            .iter()
            .find_map(|modifier| Some((*modifier, text.strip_prefix(modifier)?)))
            .or(Some(("", text))),
        _ => None,
    }
}

fn action<'a>(scope: &Scope<'_>, path: &str, inner: &'a [Directive]) -> Result<Action<'a>, String> {
    let find = |name: &str| inner.iter().find(|one| one.name() == name);
    let redirect = inner
        .iter()
        .filter(|one| one.name() == "rewrite")
        .find_map(|one| Some((one, redirect::of_rewrite(one)?)));
    let answer =
        |by, (value, outcome)| Ok(Action { key: "return", value, by: vec![(by, outcome)], comment: None });
    if let Some(by) = find("internal") {
        return answer(by, ("404".into(), Outcome::Carried));
    }
    // What is tested and what is answered go together, before anybody is let in.
    if let Some(by) = find("return").or(redirect.as_ref().map(|(by, _)| *by)) {
        let found = match redirect {
            Some((_, found)) if by.name() == "rewrite" => found,
            _ => redirect::of_return(by)?,
        };
        if let (false, Some(test)) =
            (found.0.starts_with('4'), access::condition(&scope.chain, &scope.context.definitions))
        {
            let why = format!("is closed (403): 'if' in line {} refuses some requests", test.line);
            return answer(by, ("403".into(), not(why)));
        }
        return answer(by, found);
    }
    if let Some(by) = access::denies_all(inner) {
        return answer(by, ("403".into(), Outcome::Carried));
    }
    let by = find("proxy_pass").ok_or("it has no proxy_pass or return, and the gateway serves no files")?;
    let (target, outcome) = target(scope, by, path)?;
    if let Some(guard) = access::guard(&scope.chain, &scope.context.definitions) {
        let what = format!("'{}' in line {} protects it", guard.name(), guard.line);
        return Ok(Action {
            key: "return",
            value: "403".into(),
            by: vec![(
                by,
                not(format!(
                    "is closed (403): {what}, which the gateway cannot; write proxy_pass = \"{target}\" to open it"
                )),
            )],
            comment: Some(format!("Closed: {what} in nginx. To open it: proxy_pass = \"{target}\"")),
        });
    }
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
    Ok(action)
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
    if scope.context.definitions.upstreams.iter().any(|known| known == name) {
        return Ok((text.to_owned(), Outcome::Carried));
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
    let mut best: Option<(&Directive, String)> = None;
    let mut has_regex = false;
    for location in server.iter().filter(|one| one.name() == "location") {
        let Ok(path) = path(location) else {
            has_regex |= location.arg(0).starts_with('~');
            continue;
        };
        if path.strip_prefix("= ") == Some(uri) {
            return Ok(Some(location));
        }
        has_regex |= path.starts_with('~');
        let prefix = |path: &str| path.strip_prefix("^~ ").unwrap_or(path).len();
        let fits =
            !path.starts_with(['~', '=']) && uri.starts_with(path.strip_prefix("^~ ").unwrap_or(&path));
        if fits && best.as_ref().is_none_or(|(_, known)| prefix(known) < prefix(&path)) {
            best = Some((location, path));
        }
    }
    match best {
        Some((_, path)) if has_regex && !path.starts_with("^~") => {
            Err(format!("a regular expression may take {uri}"))
        }
        None if has_regex => Err(format!("a regular expression may take {uri}")),
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
    fn what_is_left_out_says_why_line_by_line() {
        for (nginx, why) in [
            ("location /s { root /srv; expires 1d; gzip on; }", "serves no files"),
            ("location @x { proxy_pass http://t; }", "named location"),
            ("location / { proxy_pass https://t; }", "not https"),
            ("location / { proxy_pass http://$host; }", "variable, $host"),
            ("location ~ ^/(?!a) { proxy_pass http://t; }", "look-around"),
            ("location ~ a { proxy_pass http://t/x; }", "cannot have a path"),
        ] {
            let (toml, notes) = location(nginx);
            assert!(toml.is_empty() && notes.contains(why), "{nginx}\n{toml}\n{notes}");
            let inner = nginx.matches(';').count();
            // The location, what is in it, and the server that has nothing left.
            assert_eq!(notes.lines().count(), inner + 2, "{notes}");
        }
    }

    #[test]
    fn what_was_protected_stays_closed() {
        for protection in [
            "auth_basic x;",
            "limit_except GET { deny all; }",
            "allow 10.0.0.0/8; deny all;",
            "auth_request /auth;",
        ] {
            let (toml, notes) =
                location(&format!("location /manager {{ {protection} proxy_pass http://t; }}"));
            assert!(toml.contains("return = \"403\"") && !toml.contains("\nproxy_pass"), "{toml}");
            assert!(notes.contains("is closed (403)"), "{notes}");
        }
        let (toml, _) = location("auth_basic x; location / { auth_basic off; proxy_pass http://t; }");
        assert!(toml.contains("\nproxy_pass"), "{toml}");
        let (toml, notes) = location("location / { deny 192.0.2.1; allow all; proxy_pass http://t; }");
        assert!(toml.contains("\nproxy_pass") && notes.contains("deny 192.0.2.1"), "{toml}");
    }
}
