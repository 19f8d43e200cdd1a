//! What is logged first: which program this is, and what it has been told. Nothing secret. Which servers an upstream has it says itself.

use std::path::Path;

use crate::balancer::Method;
use crate::config::{Action, CheckConfig, CheckKind, Config, Listen, ServerConfig, UpstreamConfig};

/// One line each. `path` is where the configuration was read.
pub fn lines(config: &Config, path: &Path) -> Vec<String> {
    let mut lines =
        vec![format!("Satchel gateway {}, configured by {}", env!("CARGO_PKG_VERSION"), path.display())];
    lines.extend(config.upstreams.iter().map(upstream));
    lines.extend(config.servers.iter().map(|one| server(one, &config.upstreams)));
    if let Some(admin) = config.admin {
        let drained = match &config.admin_token {
            Some(token) => {
                format!("; servers are drained there by who has the token in {}", token.file.display())
            }
            None => String::new(),
        };
        lines.push(format!("Status page: http://{admin}/{drained}"));
    }
    lines
}

fn upstream(one: &UpstreamConfig) -> String {
    let method = match one.method {
        Method::RoundRobin => "round_robin",
        Method::LeastConn => "least_conn",
        Method::RandomTwo => "random two",
    };
    let checks = match &one.check {
        None => "no active checks".to_owned(),
        Some(CheckConfig { kind: CheckKind::Tcp, interval, .. }) => {
            format!("a connection is tried every {interval:?}")
        }
        Some(CheckConfig { uri, interval, .. }) => format!("{uri} is asked for every {interval:?}"),
    };
    format!("upstream {}: {method}, {checks}", one.name)
}

fn server(one: &ServerConfig, upstreams: &[UpstreamConfig]) -> String {
    let listen: Vec<_> = one.listen.iter().map(listens).collect();
    let mut to: Vec<&str> = Vec::new();
    for location in &one.locations {
        let name = match &location.action {
            Action::Proxy { upstream, .. } => upstreams.get(*upstream).map_or("", |one| one.name.as_str()),
            Action::Return { .. } => continue,
        };
        if !to.contains(&name) {
            to.push(name);
        }
    }
    let to = match to.as_slice() {
        [] => "answers by itself".to_owned(),
        names => format!("passes on to {}", names.join(", ")),
    };
    format!("server {}: on {} {to}", one.name(), listen.join(", "))
}

fn listens(listen: &Listen) -> String {
    let words = [(listen.ssl, " ssl"), (listen.http2, " http2"), (listen.proxy_protocol, " proxy_protocol")];
    let words = words.into_iter().filter_map(|(said, word)| said.then_some(word));
    listen.address.to_string() + &words.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_is_configured_and_nothing_secret() {
        let secret = "0123456789abcdef0123456789abcdef";
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), secret).unwrap();
        let text = format!(
            "admin = \"127.0.0.1:8090\"\nadmin_token_file = \"{}\"\n\
             [[upstream]]\nname = \"tomcats\"\nmethod = \"least_conn\"\ncheck = {{ uri = \"/ready\" }}\n\
             [[upstream.server]]\naddress = \"127.0.0.1:8081\"\n\
             [[server]]\nlisten = [\"0.0.0.0:80\", \"[::]:80 proxy_protocol\"]\nserver_name = [\"shop.example\"]\n\
             trusted_proxies = [\"10.0.0.0/8\"]\nproxy_pass = \"http://tomcats\"\n\
             [[server.location]]\npath = \"/old\"\nreturn = \"404\"\n\
             [[server]]\nlisten = [\"0.0.0.0:81\"]\nreturn = \"204\"\n",
            token.path().display()
        );
        let path = Path::new("/etc/satchel/gateway.toml");
        let config = Config::parse(path, &text).unwrap();
        let said = lines(&config, path).join("\n");
        for part in [
            concat!("gateway ", env!("CARGO_PKG_VERSION"), ", configured by /etc/satchel/gateway.toml"),
            "upstream tomcats: least_conn, /ready is asked for every 5s",
            "server shop.example: on 0.0.0.0:80, [::]:80 proxy_protocol passes on to tomcats",
            "server _: on 0.0.0.0:81 answers by itself",
            "Status page: http://127.0.0.1:8090/; servers are drained",
        ] {
            assert!(said.contains(part), "{part}\nis not in\n{said}");
        }
        assert!(!said.contains(secret), "{said}");
    }
}
