//! Wiring: from a configuration to a running server.

use std::sync::Arc;

use pingora_core::apps::HttpServerOptions;
use pingora_core::server::Server;
use pingora_proxy::ProxyServiceBuilder;
use satchel_common::server::{InFlight, conf, run as run_server};

use crate::access_log::{AccessLogError, Writer};
use crate::config::Config;
use crate::proxy::Proxy;
use crate::upstream::Upstream;

/// Idle connections that are kept to all servers together.
const UPSTREAM_POOL: usize = 512;

/// Runs until it is told to stop.
///
/// # Errors
/// When the access log can't be opened.
pub fn run(config: Config) -> Result<(), AccessLogError> {
    let access_log = Writer::open(&config.access_log)?;
    let upstreams: Vec<_> = config
        .upstreams
        .into_iter()
        .map(|one| Arc::new(Upstream::new(one.name, one.keepalive_timeout, one.peers)))
        .collect();
    // Each server once, and one more for a connection that was closed just then.
    let tries = upstreams.iter().map(|upstream| upstream.len()).max().unwrap_or(1) + 1;
    let in_flight = InFlight::default();
    let mut server =
        Server::new_with_opt_and_conf(None, conf(config.threads, tries, UPSTREAM_POOL, config.stop_timeout));
    server.bootstrap();
    for one in config.servers {
        let mut options = HttpServerOptions::default();
        options.keepalive_request_limit = Some(one.keepalive_requests);
        let listen = one.listen.clone();
        let upstream = upstreams[one.upstream].clone();
        log::info!("Listening on {listen:?} for upstream {}", upstream.name);
        let proxy =
            Proxy { server: one, upstream, access_log: access_log.clone(), in_flight: in_flight.clone() };
        let mut service = ProxyServiceBuilder::new(&server.configuration, proxy)
            .name("gateway")
            .server_options(options)
            .build();
        for address in &listen {
            service.add_tcp(&address.to_string());
        }
        server.add_service(service);
    }
    run_server(server, in_flight);
    Ok(())
}
