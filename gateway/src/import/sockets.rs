//! What belongs to a socket is said by one server in nginx, and by each of its servers here.

use std::collections::HashMap;
use std::net::SocketAddr;

use satchel_common::import::block::{Block, Value};

use super::listen::Listen;
use super::scope::Context;
use super::server::Server;

/// Each socket, and the index of its default server.
type Sockets = HashMap<SocketAddr, (Listen, usize)>;

/// Their certificates; a server that listens with ssl needs both.
const CERTIFICATE: [&str; 2] = ["ssl_certificate", "ssl_certificate_key"];

/// The servers as they are printed.
pub(super) fn join(mut servers: Vec<Server>, context: &mut Context) -> Vec<Block> {
    lend_certificates(&mut servers, context);
    let sockets = sockets(&servers);
    let of = |listen: &Listen| sockets.get(&listen.address);
    let mut blocks = Vec::new();
    for (index, server) in servers.iter_mut().enumerate() {
        let defaults = || server.listens.iter().filter_map(of).map(|(_, default)| *default);
        let is_never_reached = server.only_as_default.is_some() && defaults().all(|default| default != index);
        let is_no_use =
            server.listens.is_empty() || server.is_behind && defaults().all(|default| default + 1 == index);
        if is_never_reached || is_no_use {
            context.notes.extend(server.only_as_default.take().filter(|_| is_never_reached));
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

fn sockets(servers: &[Server]) -> Sockets {
    let mut sockets = Sockets::new();
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
    sockets.values_mut().for_each(|(socket, _)| socket.http2 &= socket.ssl);
    sockets
}

/// A server without one gets that of the first that has one and shares a socket; else it does not listen with ssl.
fn lend_certificates(servers: &mut [Server], context: &mut Context) {
    let sockets = sockets(servers);
    let has_ssl = |listen: &Listen| sockets.get(&listen.address).is_some_and(|(socket, _)| socket.ssl);
    let owners: Vec<(Vec<SocketAddr>, [Value; 2])> = servers
        .iter()
        .filter_map(|server| {
            let addresses =
                server.listens.iter().filter(|listen| has_ssl(listen)).map(|listen| listen.address);
            let [chain, key] = CERTIFICATE.map(|name| server.block.get(name).cloned());
            Some((addresses.collect(), [chain?, key?]))
        })
        .collect();
    for server in servers.iter_mut() {
        let has_own = CERTIFICATE.iter().all(|name| server.block.has(name));
        if has_own || !server.listens.iter().any(has_ssl) {
            if !has_own {
                server.block.entries.retain(|entry| !CERTIFICATE.contains(&entry.key));
            }
            continue;
        }
        let shared = |addresses: &[SocketAddr]| {
            server.listens.iter().any(|listen| addresses.contains(&listen.address))
        };
        let lent = owners.iter().find(|(addresses, _)| shared(addresses)).map(|(_, pair)| pair.clone());
        server.block.entries.retain(|entry| !CERTIFICATE.contains(&entry.key));
        context.notes.extend(server.without_certificate.take());
        match lent {
            Some(pair) => CERTIFICATE.into_iter().zip(pair).for_each(|(name, value)| {
                server.block.set_because(name, value, "of another server: it has none of its own");
            }),
            None => server.listens.retain(|listen| !has_ssl(listen)),
        }
    }
}
