//! Whose PROXY protocol header is believed. The gateway wants it said where `listen` has `proxy_protocol`.

use std::collections::HashSet;
use std::net::SocketAddr;

use satchel_common::import::block::{Block, Value};

use super::listen;
use super::parser::Directive;
use super::rules::real_ip;
use super::scope::{Context, changed};
use super::server::Server;

/// Nobody comes from there.
const NOBODY: &str = "255.255.255.255/32";

/// The sockets with `proxy_protocol`, which one server says for all that share one.
pub(super) fn sockets(http: &[Directive]) -> HashSet<SocketAddr> {
    let servers = http.iter().filter(|one| one.name() == "server");
    let listens = servers.flat_map(|server| server.inner()).filter(|one| one.name() == "listen");
    let all = listens.flat_map(|one| listen::parse(one).0);
    all.filter(|listen| listen.proxy_protocol).map(|listen| listen.address).collect()
}

/// Writes it into a server of ours that comes of `directive`.
pub(super) fn write(
    server: &mut Server,
    sockets: &HashSet<SocketAddr>,
    (http, http_block): (&[Directive], &Block),
    directive: &Directive,
    context: &mut Context,
) {
    let reads_headers = server.listens.iter().any(|listen| sockets.contains(&listen.address));
    if !reads_headers || server.block.has("trusted_proxies") {
        return;
    }
    let networks = real_ip::believed(http, directive.inner());
    if networks.is_empty() {
        let why = "nobody's PROXY protocol header is believed, as in nginx without set_real_ip_from and 'real_ip_header proxy_protocol'; write the balancer's networks into trusted_proxies to have its clients' addresses";
        context.report(directive, changed(why));
        let nobody = Value::List(vec![NOBODY.into()]);
        server.block.set_because("trusted_proxies", nobody, "nobody, as nginx without set_real_ip_from");
        return;
    }
    let networks = Value::List(networks);
    if http_block.get("trusted_proxies") != Some(&networks) {
        server.block.set("trusted_proxies", networks);
    }
}

#[cfg(test)]
mod tests {
    use crate::import::tests::imported;

    const REST: &str = "location / { proxy_pass http://127.0.0.1:1; } }";

    /// What `http` and each server says.
    fn trusted(text: &str) -> Vec<String> {
        let toml = imported(text).toml;
        let blocks = toml.split("[[server]]");
        let line =
            |block: &str| block.lines().find(|line| line.starts_with("trusted_proxies")).map(str::to_owned);
        blocks.map(|block| line(block).unwrap_or_default()).collect()
    }

    #[test]
    fn those_of_set_real_ip_from_are_for_the_sockets_with_headers() {
        let ten = "trusted_proxies = [\"10.0.0.0/8\"]";
        let by_header = "set_real_ip_from 10.0.0.0/8; real_ip_header proxy_protocol;";
        let listens = "listen 80 proxy_protocol;";
        assert_eq!(trusted(&format!("server {{ {listens} {by_header} {REST}")), ["", ten]);
        // Where there is no such header, X-Forwarded-For would be believed.
        let servers =
            format!("server {{ {listens} {REST} server {{ listen 80; {REST} server {{ listen 81; {REST}");
        assert_eq!(trusted(&format!("{by_header} {servers}")), ["", ten, ten, ""]);
        let by_field = by_header.replace("proxy_protocol", "X-Forwarded-For");
        assert_eq!(trusted(&format!("{by_field} {servers}")), [ten, "", "", ""]);
        // What redirects has the same clients.
        let redirects = "if ($host = a) { return 301 https://a; } server_name a b;";
        for by in [by_header, &by_field] {
            assert_eq!(trusted(&format!("server {{ {listens} {by} {redirects} {REST}")), ["", ten, ten]);
        }
    }

    #[test]
    fn nobody_is_believed_of_whom_nothing_is_said() {
        let nobody = "trusted_proxies = [\"255.255.255.255/32\"] # nobody, as nginx without set_real_ip_from";
        let server = format!("server {{ listen 80 proxy_protocol; {REST}");
        assert_eq!(trusted(&server), ["", nobody]);
        assert_eq!(
            trusted(
                &server
                    .replace("80", "80 default_server")
                    .replace("; location", "; set_real_ip_from 10.0.0.1; location")
            ),
            ["", nobody]
        );
        let notes = imported(&server).notes;
        assert!(notes.iter().any(|note| note.text.contains("nobody's PROXY protocol header")), "{notes:?}");
    }
}
