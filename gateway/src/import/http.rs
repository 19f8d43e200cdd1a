//! `http`: what holds for all servers, the upstreams, the servers.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::block::{Block, Value};
use super::definitions::is_upgrade_map;
use super::listen::Listen;
use super::parser::Directive;
use super::scope::{Context, Level, Scope, not, nothing};
use super::server::{self, Server};
use super::upstream;

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
    let mut upstreams = Vec::new();
    for one in directives {
        match one.name() {
            "server" => {}
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
    let mut servers = join(servers, context);
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

/// What belongs to a socket is said by one server in nginx, and by each of its servers here.
fn join(mut servers: Vec<Server>, context: &mut Context) -> Vec<Block> {
    let mut sockets: HashMap<SocketAddr, (Listen, usize)> = HashMap::new();
    for (index, server) in servers.iter().enumerate() {
        for listen in &server.listens {
            let (socket, default) = sockets.entry(listen.address).or_insert_with(|| (listen.clone(), index));
            socket.ssl |= listen.ssl;
            socket.http2 |= listen.http2;
            socket.proxy_protocol |= listen.proxy_protocol;
            if listen.default_server {
                *default = index;
            }
        }
    }
    let mut blocks = Vec::new();
    for (index, server) in servers.iter_mut().enumerate() {
        let of = |listen: &Listen| sockets.get(&listen.address);
        if let Some(note) = server.only_as_default.take()
            && !server.listens.iter().filter_map(of).any(|(_, default)| *default == index)
        {
            context.notes.push(note);
            continue;
        }
        if server.is_behind && server.listens.iter().filter_map(of).all(|(_, default)| *default + 1 == index)
        {
            continue;
        }
        let text = |listen: &Listen| {
            let socket = of(listen).map_or(listen, |(socket, _)| socket);
            Listen { default_server: listen.default_server, ..socket.clone() }.text()
        };
        let mut block = Block { comment: std::mem::take(&mut server.block.comment), ..Block::default() };
        block.set("listen", Value::List(server.listens.iter().map(text).collect()));
        block.entries.append(&mut server.block.entries);
        block.children.append(&mut server.block.children);
        blocks.push(block);
    }
    blocks
}
