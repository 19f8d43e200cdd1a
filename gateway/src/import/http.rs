//! `http`: what holds for all servers, the upstreams, the servers.

use super::block::{Block, Value};
use super::definitions::is_upgrade_map;
use super::parser::Directive;
use super::scope::{Context, Level, Scope, not, nothing};
use super::server::{self, Server};
use super::{sockets, upstream};

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
    for one in directives.iter().filter(|one| one.name() == "server") {
        servers.extend(server::translate(&mut scope, one).into_iter().map(|mut server| {
            server.block.comment.insert(0, place(one));
            server
        }));
    }
    let mut http = scope.block;
    for (key, value) in [("proxy_connect_timeout", "60s"), ("proxy_read_timeout", "60s")] {
        http.set_because(key, Value::Text(value.into()), "nginx's default; leave it out for the gateway's");
    }
    let mut servers = sockets::join(servers, context);
    if !http.has("trusted_proxies") {
        servers.iter_mut().for_each(believe_nobody);
    }
    Translated { http, upstreams, servers }
}

/// A PROXY protocol header has to be somebody's whose word counts; without set_real_ip_from nginx reads it and believes nobody.
fn believe_nobody(server: &mut Block) {
    let reads_headers = matches!(server.get("listen"), Some(Value::List(listens))
        if listens.iter().any(|listen| listen.contains(" proxy_protocol")));
    if reads_headers && !server.has("trusted_proxies") {
        let nobody = Value::List(vec!["255.255.255.255/32".into()]);
        server.set_because("trusted_proxies", nobody, "nobody, as nginx without set_real_ip_from");
    }
}
