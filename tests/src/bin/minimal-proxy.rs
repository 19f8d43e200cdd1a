//! The least that a Pingora proxy can be, built like the product: `minimal-proxy LISTEN SERVER`.

use std::process::ExitCode;

use async_trait::async_trait;
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Minimal {
    server: String,
}

#[async_trait]
impl ProxyHttp for Minimal {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.server.as_str(), false, String::new())))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, server] = arguments.as_slice() else {
        eprintln!("two addresses are wanted: where to listen, and the server");
        return ExitCode::from(64);
    };
    let conf = ServerConf { threads: 1, work_stealing: false, ..ServerConf::default() };
    let mut pingora = Server::new_with_opt_and_conf(None, conf);
    pingora.bootstrap();
    let mut proxy = http_proxy_service(&pingora.configuration, Minimal { server: server.clone() });
    proxy.add_tcp(listen);
    pingora.add_service(proxy);
    pingora.run_forever();
}
