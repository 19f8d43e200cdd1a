//! `server`: where it listens, for which hosts, and what it does.

use super::answers::Answers;
use super::block::{Block, Value};
use super::listen::{self, Listen};
use super::note::{Kind, Note};
use super::parser::Directive;
use super::scope::{Level, Outcome, Scope, changed, not, nothing};
use super::{error_page, location, regex};

/// A server of ours. One of nginx's can be several.
pub(super) struct Server {
    pub(super) listens: Vec<Listen>,
    pub(super) block: Block,
    /// It has no names, so that only a socket's default is ever reached. What to say if it is none.
    pub(super) only_as_default: Option<Note>,
}

/// Translates one.
pub(super) fn translate(http: &mut Scope<'_>, directive: &Directive) -> Vec<Server> {
    let inner = directive.inner();
    let mut scope = http.inner(Level::Server, inner);
    let mut listens = listens(&mut scope);
    let rejects = inner.iter().any(|one| one.name() == "ssl_reject_handshake" && one.arg(0) == "on");
    if rejects {
        listens.retain(|listen| !listen.ssl);
    }
    if listens.is_empty() {
        let why = match rejects {
            true => "a host that no server names gets the certificate of the default server, and its answer",
            false => "none of its addresses can be used",
        };
        scope.context.report_whole(directive, &not(format!("is left out: {why}")));
        return Vec::new();
    }
    let mut names = names(&mut scope);
    let answers = Answers::find(&mut scope, &names, &listens);
    let (plain, listens): (Vec<_>, Vec<_>) = match answers.plain {
        Some(_) => listens.into_iter().partition(|listen| !listen.ssl),
        None => (Vec::new(), listens),
    };
    names.retain(|name| answers.hosts.iter().all(|(host, _)| host != name));
    let all = answers.all.clone();
    if let Some(answer) = &all {
        scope.block.set("return", Value::Text(answer.clone()));
    }
    for one in inner {
        match one.name() {
            "listen" | "server_name" | "http2" | "ssl" | "return" | "rewrite" | "if" | "set" | "break" => {}
            "location" if all.is_some() => {
                scope
                    .context
                    .report_whole(one, &nothing("is never reached: 'return' of the server answers before"));
            }
            "location" => add_location(&mut scope, one),
            _ => scope.apply(one),
        }
    }
    error_page::inherit(&mut scope);
    certificates(&mut scope, &listens);
    if all.is_none() && scope.block.children.is_empty() {
        let why = "nothing that it does could be carried over; it answers 404, so that its hosts do not reach another server";
        scope.context.report(directive, not(why));
        scope.block.set("return", Value::Text("404".into()));
    }
    let note = Note::new(
        directive,
        Kind::NeedsNothing,
        "no other host reaches it, so what it answers to them is left out",
    );
    let only_as_default = (names.is_empty() && !answers.hosts.is_empty()).then_some(note);
    let block = with_names(scope.block, &names);
    let mut servers = Vec::new();
    let redirects = answers.hosts.iter().map(|(host, answer)| {
        let listens =
            listens.iter().map(|listen| Listen { default_server: false, ..listen.clone() }).collect();
        answering(listens, std::slice::from_ref(host), answer, &block)
    });
    let redirects: Vec<_> = redirects.collect();
    if let Some(answer) = &answers.plain {
        servers.push(answering(plain, &names, answer, &Block::default()));
    }
    servers.push(Server { listens, block, only_as_default });
    servers.extend(redirects);
    servers
}

fn listens(scope: &mut Scope<'_>) -> Vec<Listen> {
    let directives = scope.siblings();
    let mut listens: Vec<Listen> = Vec::new();
    for directive in directives.iter().filter(|one| one.name() == "listen") {
        let (new, outcome) = listen::parse(directive);
        scope.context.report(directive, outcome);
        for one in new {
            if listens.iter().all(|known| known.address != one.address) {
                listens.push(one);
            }
        }
    }
    if directives.iter().all(|one| one.name() != "listen") {
        listens.push(Listen::default_port());
    }
    let is_on = |name| scope.nearest(name).is_some_and(|one: &Directive| one.arg(0) == "on");
    let (ssl, http2) = (is_on("ssl"), is_on("http2"));
    for listen in &mut listens {
        listen.ssl |= ssl;
        listen.http2 |= http2 && listen.ssl;
    }
    let has_plain = listens.iter().any(|listen| !listen.ssl);
    for one in directives.iter().filter(|one| matches!(one.name(), "http2" | "ssl")) {
        let outcome = match (one.name(), one.arg(0)) {
            (_, "off") => nothing("it is the default"),
            ("http2", _) if has_plain => changed(
                "HTTP/2 is offered by TLS only; write http2 behind the other address too for clients that begin with it",
            ),
            _ => Outcome::Carried,
        };
        scope.context.report(one, outcome);
    }
    listens
}

fn names(scope: &mut Scope<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for directive in scope.siblings().iter().filter(|one| one.name() == "server_name") {
        let mut outcome = Outcome::Carried;
        for name in directive.args() {
            match check_name(name) {
                Ok(()) => names.push(if name.starts_with('~') {
                    name.to_owned()
                } else {
                    name.to_ascii_lowercase()
                }),
                Err(why) => outcome = not(format!("without {name}: {why}")),
            }
        }
        scope.context.report(directive, outcome);
    }
    names.dedup();
    names
}

fn check_name(name: &str) -> Result<(), String> {
    if let Some(regex) = name.strip_prefix('~') {
        return regex::check(regex);
    }
    let plain = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    let plain = plain.strip_suffix(".*").unwrap_or(plain);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    match plain.chars().all(allowed) {
        true => Ok(()),
        false => Err("write the name itself".into()),
    }
}

fn add_location(scope: &mut Scope<'_>, directive: &Directive) {
    for block in location::translate(scope, directive) {
        let children = &mut scope.block.children;
        let is_closed =
            |block: &Block| matches!(block.get("return"), Some(Value::Text(text)) if text.starts_with('4'));
        match children.iter_mut().find(|known| known.get("path") == block.get("path")) {
            Some(known) if is_closed(&block) => *known = block,
            Some(_) => scope.context.report(directive, not("is here twice; the first one counts")),
            // One in a location comes before those beside it.
            None if block.is_inner => children.insert(0, block),
            None => children.push(block),
        }
    }
}

/// Those of `http`, if the server has none.
fn certificates(scope: &mut Scope<'_>, listens: &[Listen]) {
    if !listens.iter().any(|listen| listen.ssl) {
        return;
    }
    for key in ["ssl_certificate", "ssl_certificate_key"] {
        let path = scope.outer(key).map(|outer| outer.arg(0)).filter(|path| !path.contains('$'));
        let path = path.map(|path| scope.context.whole_path(path));
        if let (false, Some(path)) = (scope.block.has(key), path) {
            scope.block.set(key, Value::Text(path));
        }
    }
}

fn with_names(mut block: Block, names: &[String]) -> Block {
    if !names.is_empty() {
        let mut front = Block::default();
        front.set("server_name", Value::List(names.to_vec()));
        front.entries.append(&mut block.entries);
        block.entries = front.entries;
    }
    block
}

/// A server that only answers; with the certificate of another one, should it have TLS.
fn answering(listens: Vec<Listen>, names: &[String], answer: &str, other: &Block) -> Server {
    let mut block = with_names(Block::default(), names);
    block.set("return", Value::Text(answer.to_owned()));
    for key in ["ssl_certificate", "ssl_certificate_key"] {
        if let Some(value) = other.get(key) {
            block.set(key, value.clone());
        }
    }
    Server { listens, block, only_as_default: None }
}

#[cfg(test)]
mod tests {
    use crate::import::tests::imported;

    /// The servers as they are printed, each with its lines joined.
    fn servers(text: &str) -> Vec<String> {
        let result = imported(text);
        let toml = result.toml.split("\n# Carried").next().unwrap_or_default();
        let toml = toml.split("\n# NOT").next().unwrap_or_default();
        let blocks = toml.split("[[server]]\n").skip(1);
        blocks
            .map(|block| {
                block
                    .lines()
                    .filter(|line| !line.is_empty() && !line.starts_with('#'))
                    .collect::<Vec<_>>()
                    .join("; ")
            })
            .collect()
    }

    const PROXY: &str = "location / { proxy_pass http://t:1; }";
    const PROXY_TOML: &str = "[[server.location]]; path = \"/\"; proxy_pass = \"http://t:1\"";

    #[test]
    fn plain_requests_are_redirected_by_a_server_of_their_own() {
        let found = servers(&format!(
            "server {{ listen 80; listen 443 ssl; server_name a.example; ssl_certificate /c; ssl_certificate_key /k;
               if ($scheme = http) {{ return 301 https://$host$request_uri; }} {PROXY} }}"
        ));
        let names = "server_name = [\"a.example\"]";
        assert_eq!(
            found[0],
            format!("listen = [\"0.0.0.0:80\"]; {names}; return = \"301 https://$host$request_uri\"")
        );
        assert!(
            found[1].starts_with(&format!("listen = [\"0.0.0.0:443 ssl\"]; {names}; "))
                && found[1].ends_with(PROXY_TOML)
        );
    }

    #[test]
    fn certbots_server_becomes_one_for_each_host() {
        let certbot = "server { if ($host = a.example) { return 301 https://$host$request_uri; }
               listen 80; server_name a.example; return 404; }";
        let redirect = "listen = [\"0.0.0.0:80\"]; server_name = [\"a.example\"]; return = \"301 https://$host$request_uri\"";
        // It is the default, so what it answers to others counts.
        let rest = "listen = [\"0.0.0.0:80\"]; return = \"404\"";
        assert_eq!(servers(certbot), [rest, redirect]);
        // Another one is the default.
        let found = servers(&format!("server {{ listen 80; {PROXY} }} {certbot}"));
        assert_eq!(found, [&format!("listen = [\"0.0.0.0:80\"]; {PROXY_TOML}"), redirect]);
    }

    #[test]
    fn an_answer_to_all_hides_the_locations() {
        let result = imported(&format!("server {{ listen 80; return 301 https://a; {PROXY} }}"));
        assert!(result.is_complete() && !result.toml.contains("[[server.location]]"), "{}", result.toml);
        assert!(
            result.notes.iter().any(|note| note.directive == "proxy_pass http://t:1"),
            "{:?}",
            result.notes
        );
    }

    #[test]
    fn a_server_that_has_nothing_left_answers_404() {
        let result = imported("server { listen 80; server_name x; root /srv; }");
        assert!(result.toml.contains("return = \"404\"") && !result.is_complete());
        assert_eq!(servers("server { listen unix:/x; location / { return 204; } }"), [""; 0]);
    }

    #[test]
    fn what_belongs_to_a_socket_is_said_by_each_of_its_servers() {
        let found = servers(&format!(
            "http2 on; ssl_certificate /c; ssl_certificate_key /k; server {{ listen 443 ssl proxy_protocol; {PROXY} }}
             server {{ listen 443 default_server; {PROXY} }} server {{ {PROXY} }}"
        ));
        assert!(
            found[0]
                .starts_with("listen = [\"0.0.0.0:443 ssl http2 proxy_protocol\"]; ssl_certificate = \"/c\"")
        );
        assert!(
            found[1].starts_with("listen = [\"0.0.0.0:443 ssl http2 proxy_protocol default_server\"]"),
            "{found:?}"
        );
        assert!(found[2].starts_with("listen = [\"0.0.0.0:80\"]"));
    }
}
