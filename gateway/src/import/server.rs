//! `server`: where it listens, for which hosts, and what it does.

use satchel_common::import::block::{Block, Value};
use satchel_common::import::{Kind, Note};

use super::answers::Answers;
use super::listen::{self, Listen};
use super::nested::{self, Flat, Flattened};
use super::note;
use super::parser::Directive;
use super::scope::{Level, Outcome, Scope, changed, not, nothing};
use super::{access, closed, error_page, location, regex};
use crate::routing::PathMatch;

/// A server of ours. One of nginx's can be several.
pub(super) struct Server {
    pub(super) listens: Vec<Listen>,
    pub(super) block: Block,
    /// It has no names, so that only a socket's default is ever reached. What to say if it is none.
    pub(super) only_as_default: Option<Note>,
    /// It stands behind another one, for hosts that only that one's regular expression knows; not if that one is the default.
    pub(super) is_behind: bool,
    /// What to say if it listens with ssl and has none.
    pub(super) without_certificate: Option<Note>,
}

/// A server's name, for what no other name is for.
const ANY_HOST: &str = "~.";

/// Translates one.
pub(super) fn translate(http: &mut Scope<'_>, directive: &Directive) -> Vec<Server> {
    let inner = directive.inner();
    let mut scope = http.inner(Level::Server, [inner]);
    let mut listens = listens(&mut scope);
    if listens.is_empty() {
        scope.context.report_whole(directive, &not("is left out: none of its addresses can be used"));
        return Vec::new();
    }
    let (mut names, is_unsure) = names(&mut scope);
    let mut refusing = None;
    if scope.nearest("ssl_reject_handshake").is_some_and(|one| one.arg(0) == "on") {
        let (tls, rest): (Vec<_>, Vec<_>) = listens.into_iter().partition(|listen| listen.ssl);
        listens = rest;
        refusing = (!tls.is_empty()).then(|| without_handshake(directive, tls, &names));
        if listens.is_empty() {
            report_handshake(&mut scope);
            return refusing.into_iter().collect();
        }
    }
    let answers = Answers::find(&mut scope, &names, &listens);
    let (plain, listens): (Vec<_>, Vec<_>) = match answers.plain {
        Some(_) => listens.into_iter().partition(|listen| !listen.ssl),
        None => (Vec::new(), listens),
    };
    names.retain(|name| answers.hosts.iter().all(|(host, _)| host != name));
    let all = answers.all.clone();
    scope.refusing = answers.refusing;
    if let Some(answer) = &all {
        add_answer(&mut scope, answer);
    }
    let Flattened { locations, lost, replaced } = match all {
        Some(_) => Flattened::default(),
        None => nested::flatten(inner),
    };
    for (one, outcome) in &lost {
        scope.context.report_whole(one, outcome);
    }
    for one in replaced {
        let why = nothing("is never reached: a location of the same path is in it");
        scope.context.report_location(one, &why);
    }
    for one in inner {
        match one.name() {
            "listen" | "server_name" | "http2" | "ssl" | "return" | "rewrite" | "if" | "set" | "break" => {}
            "location" if all.is_some() => {
                scope
                    .context
                    .report_whole(one, &nothing("is never reached: 'return' of the server answers before"));
            }
            "location" => {}
            _ => scope.apply(one),
        }
    }
    for one in &locations {
        add_location(&mut scope, one);
    }
    error_page::inherit(&mut scope);
    certificates(&mut scope, &listens);
    if all.is_none() && scope.block.children.is_empty() {
        let why = "nothing that it does could be carried over; it answers 404, so that its hosts do not reach another server";
        scope.context.report(directive, not(why));
        scope.block.set("return", Value::Text("404".into()));
    }
    let note = note::about(
        directive,
        Kind::NeedsNothing,
        "no other host reaches it, so what it answers to them is left out",
    );
    let only_as_default = (names.is_empty() && !answers.hosts.is_empty()).then_some(note);
    let block = with_names(scope.block, &names);
    let mut servers = Vec::new();
    let redirects = answers.hosts.iter().map(|(host, answer)| {
        answering(without_default(&listens), std::slice::from_ref(host), answer, &block)
    });
    let redirects: Vec<_> = redirects.collect();
    if let Some(answer) = &answers.plain {
        servers.push(answering(plain, &names, answer, &Block::default()));
    }
    let closed = is_unsure.then(|| {
        let listens = without_default(&listens);
        let mut closed = answering(listens, &[ANY_HOST.to_owned()], closed::ANSWER, &block);
        closed
            .block
            .comment
            .push("Closed: for whom a regular expression of the server before is, cannot be said.".into());
        Server { is_behind: true, ..closed }
    });
    servers.push(Server { listens, block, only_as_default, is_behind: false, without_certificate: None });
    servers.extend(closed);
    servers.extend(redirects);
    servers.extend(refusing);
    servers.iter_mut().for_each(|server| server.without_certificate = Some(without_certificate(directive)));
    servers
}

/// What has to be said if a server has no certificate.
fn without_certificate(directive: &Directive) -> Note {
    let why = "ssl: it has no certificate that can be used; that of another server of the socket is written, and without one it does not listen with ssl";
    note::about(directive, Kind::NotCarried, why)
}

/// In place of a server that refuses handshakes: without it, who names no host would reach another server.
fn without_handshake(directive: &Directive, listens: Vec<Listen>, names: &[String]) -> Server {
    let mut server = answering(listens, names, closed::ANSWER, &Block::default());
    let why = "Closed: in nginx, ssl_reject_handshake refuses the handshake.";
    server.block.comment.push(why.into());
    server.without_certificate = Some(without_certificate(directive));
    server
}

/// Nothing of such a server is ever reached.
fn report_handshake(scope: &mut Scope<'_>) {
    for one in scope.siblings() {
        match one.name() {
            "listen" | "server_name" | "http2" | "ssl" => {}
            "ssl_reject_handshake" => scope.apply(one),
            _ => scope.context.report_whole(one, &nothing("is never reached: no handshake succeeds")),
        }
    }
}

fn listens(scope: &mut Scope<'_>) -> Vec<Listen> {
    let directives = scope.siblings();
    let chain = scope.chain.clone();
    let is_on = |name: &str| {
        let nearest = chain.iter().rev().find_map(|block| block.iter().find(|one| one.name() == name));
        nearest.is_some_and(|one| one.arg(0) == "on")
    };
    let mut listens: Vec<Listen> = Vec::new();
    for directive in directives.iter().filter(|one| one.name() == "listen") {
        let (new, outcome) = listen::parse(directive);
        let http2 = new.iter().any(|listen| listen.http2 && !listen.ssl) && !is_on("ssl");
        let outcome = match outcome {
            Outcome::Carried if http2 => changed("HTTP/2 is offered by TLS only"),
            outcome => outcome,
        };
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
    let http2 = is_on("http2");
    for listen in &mut listens {
        listen.ssl |= is_on("ssl");
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

/// Its names, and whether there is a regular expression among them that the gateway cannot use.
fn names(scope: &mut Scope<'_>) -> (Vec<String>, bool) {
    let mut names = Vec::new();
    let mut is_unsure = false;
    for directive in scope.siblings().iter().filter(|one| one.name() == "server_name") {
        let mut outcome = Outcome::Carried;
        for name in directive.args() {
            match check_name(name) {
                Ok(()) => names.push(if name.starts_with('~') {
                    name.to_owned()
                } else {
                    name.to_ascii_lowercase()
                }),
                Err(why) if name.starts_with('~') => {
                    let instead = "so hosts that no other name takes are closed (403), unless this is the default server";
                    outcome = not(format!("without {name}: {why}; {instead}"));
                    is_unsure = true;
                }
                Err(why) => outcome = not(format!("without {name}: {why}")),
            }
        }
        scope.context.report(directive, outcome);
    }
    names.dedup();
    (names, is_unsure)
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

/// What all of the server answers, unless something restricts it first.
fn add_answer(scope: &mut Scope<'_>, answer: &str) {
    let guard = scope.refusing.or_else(|| access::guard_of_answer(&scope.chain));
    let value = match guard {
        Some(guard) => {
            let what = format!("'{}' in line {} restricts it", guard.name(), guard.line);
            scope.block.comment.push(format!("Closed: {what} in nginx. To open it: return = \"{answer}\""));
            closed::ANSWER
        }
        None => answer,
    };
    scope.block.set("return", Value::Text(value.to_owned()));
}

fn add_location(scope: &mut Scope<'_>, of: &Flat<'_>) {
    let block = location::translate(scope, of);
    let path = |block: &Block| match block.get("path") {
        Some(Value::Text(path)) => PathMatch::parse(path).ok(),
        _ => None,
    };
    if scope.block.children.iter().any(|known| path(known) == path(&block)) {
        scope.context.report(of.directive, not("is here twice; the first one counts"));
    } else {
        scope.block.children.push(block);
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
    Server { listens, block, only_as_default: None, is_behind: false, without_certificate: None }
}

fn without_default(listens: &[Listen]) -> Vec<Listen> {
    listens.iter().map(|listen| Listen { default_server: false, ..listen.clone() }).collect()
}

#[cfg(test)]
mod tests;
