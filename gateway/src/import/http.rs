//! `http`: what holds for all servers, the upstreams, the servers.

use satchel_common::import::block::{Block, Value};

use super::definitions::is_upgrade_map;
use super::parser::Directive;
use super::scope::{Context, Level, Scope, not, nothing};
use super::server::{self, Server};
use super::{believed, sockets, upstream};

/// The blocks of our configuration.
#[derive(Default)]
pub(super) struct Translated {
    pub(super) http: Block,
    pub(super) upstreams: Vec<Block>,
    pub(super) servers: Vec<Block>,
}

/// Translates all directives but `http` itself, whose content stands in its place.
pub(super) fn translate(
    directives: &[Directive],
    context: &mut Context,
    place: impl Fn(&Directive) -> String,
) -> Translated {
    let mut scope = Scope {
        level: Level::Http,
        chain: vec![directives],
        block: Block::default(),
        refusing: None,
        context,
    };
    let mut upstreams: Vec<Block> = Vec::new();
    for one in directives {
        let is_known = |block: &Block| block.get("name") == Some(&Value::Text(one.arg(0).to_owned()));
        match one.name() {
            "server" => {}
            "upstream" if upstreams.iter().any(is_known) => {
                scope.context.report_whole(one, &not("is here twice; the first one counts"));
            }
            "upstream" => upstreams.extend(upstream::translate(one, scope.context).map(|mut block| {
                block.comment.insert(0, place(one));
                block
            })),
            "map" if is_upgrade_map(one) => scope.context.report(one, nothing("WebSocket works by itself")),
            "location" => scope
                .context
                .report_whole(one, &not("belongs into a server; import the file that includes this one")),
            "http2" => scope.context.report(one, nothing("is written behind the addresses with ssl")),
            _ => scope.apply(one),
        }
    }
    let mut servers: Vec<Server> = Vec::new();
    let with_headers = believed::sockets(directives);
    for one in directives.iter().filter(|one| one.name() == "server") {
        for mut server in server::translate(&mut scope, one) {
            server.block.comment.insert(0, place(one));
            believed::write(&mut server, &with_headers, (directives, &scope.block), one, scope.context);
            servers.push(server);
        }
    }
    let mut http = scope.block;
    for (key, value) in [("proxy_connect_timeout", "60s"), ("proxy_read_timeout", "60s")] {
        http.set_because(key, Value::Text(value.into()), "nginx's default; leave it out for the gateway's");
    }
    Translated { http, upstreams, servers: sockets::join(servers, context) }
}
