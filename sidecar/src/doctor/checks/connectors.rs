//! Connectors: which one the sidecar uses, for how long it keeps connections, and who else can reach Tomcat.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use super::{Finding, Report, Severity, Subject, is_true};
use crate::config::defaults;
use crate::doctor::edit::Node;
use crate::past;

const LOOPBACK: &str = "127.0.0.1";
/// Tomcat's defaults, in ms.
const CONNECTION_TIMEOUT: i64 = 60_000;
const KEEP_ALIVE_REQUESTS: i64 = 100;

/// What a `<Connector>` says.
struct Connector<'a> {
    node: &'a Node,
    port: Option<u16>,
    /// `None`: all addresses.
    address: Option<String>,
    is_ajp: bool,
    is_tls: bool,
}

pub(super) fn check(subject: Subject<'_>, report: &mut Report) {
    let connectors: Vec<_> =
        subject.tomcat.connectors.iter().map(|node| Connector::read(subject, node, report)).collect();
    if connectors.is_empty() {
        return;
    }
    for connector in &connectors {
        reach(subject, connector, report);
    }
    let used = match subject.config {
        // Without a configuration any that it could use.
        None => connectors.iter().filter(|one| !one.is_ajp && !one.is_tls).collect(),
        Some(config) => {
            let used: Vec<_> = connectors.iter().filter(|one| one.port == Some(config.tomcat.port)).collect();
            let shown = config.tomcat.to_string();
            used_one(&shown, &connectors, &used, report);
            used
        }
    };
    for connector in used {
        keep_alive(subject, connector, report);
    }
}

impl<'a> Connector<'a> {
    fn read(subject: Subject<'_>, node: &'a Node, report: &mut Report) -> Self {
        let protocol = node.get("protocol").unwrap_or_default().to_ascii_lowercase();
        let port = subject.tomcat.number(node, "port", report).unwrap_or(-1);
        let offset = subject.tomcat.number(node, "portOffset", report).unwrap_or(0);
        let is_ajp = protocol.contains("ajp");
        let address = subject.tomcat.attribute(node, "address", report);
        Self {
            node,
            port: (port > 0).then(|| u16::try_from(port.checked_add(offset)?).ok()).flatten(),
            // AJP's default is the loopback address.
            address: address.or_else(|| is_ajp.then(|| LOOPBACK.to_owned())),
            is_ajp,
            is_tls: is_true(node.get("SSLEnabled")),
        }
    }
}

/// The one at the address that the sidecar has been told.
fn used_one(address: &str, all: &[Connector<'_>], used: &[&Connector<'_>], report: &mut Report) {
    let Some(first) = used.first() else {
        let http: Vec<_> =
            all.iter().filter(|one| !one.is_ajp && !one.is_tls).filter_map(|one| one.port).collect();
        let fix = match http.first() {
            Some(port) => {
                format!("write in the sidecar's configuration:\n[tomcat]\naddress = \"127.0.0.1:{port}\"")
            }
            None => "give server.xml a <Connector> for HTTP, on the address that tomcat.address names".into(),
        };
        let finding = Finding::new(
            "connector.none",
            Severity::Error,
            format!("no <Connector> has the port of tomcat.address, {address}"),
            "the sidecar does not reach its Tomcat",
            fix,
        );
        return report
            .add(all.first().into_iter().fold(finding, |finding, one| finding.at(one.node.place())));
    };
    if first.is_tls || first.is_ajp {
        let speaks = if first.is_tls { "TLS" } else { "AJP" };
        report.add(
            Finding::new(
                "connector.protocol",
                Severity::Error,
                format!("the <Connector> at tomcat.address, {address}, speaks {speaks}"),
                "the sidecar speaks HTTP with the Tomcat beside it",
                "add a <Connector> for HTTP on 127.0.0.1, and write its port in tomcat.address",
            )
            .at(first.node.place()),
        );
    }
}

/// Whether others than this machine can come past the sidecar.
fn reach(subject: Subject<'_>, connector: &Connector<'_>, report: &mut Report) {
    let Some(port) = connector.port else { return };
    let is_own = |ip: IpAddr| ip.to_canonical().is_loopback();
    let listens_to_all = match &connector.address {
        None => true,
        Some(address) => match (address.as_str(), port).to_socket_addrs() {
            Ok(mut found) => found.any(|found| !is_own(found.ip())),
            Err(_) => {
                report.unchecked(
                    connector.node.place_of("address").to_string(),
                    format!("{address} does not resolve to an address"),
                );
                false
            }
        },
    };
    let why = "who reaches Tomcat there passes the sidecar by: he has no session and no limits, and says of himself what he likes";
    if listens_to_all {
        report.add(
            Finding::new(
                "connector.address",
                Severity::Error,
                format!(
                    "Tomcat can be reached past the sidecar, on port {port} of {}",
                    match &connector.address {
                        Some(address) => address,
                        None => "every address",
                    }
                ),
                why,
                format!("write address=\"{LOOPBACK}\" in the <Connector>"),
            )
            .at(connector.node.place_of("address"))
            .with([connector.node.set("address", LOOPBACK)]),
        );
        return;
    }
    // The file says one thing, and the Tomcat that runs may still do another.
    let listening = past::listening(SocketAddr::from(([127, 0, 0, 1], port)));
    if subject.tomcat.process.is_some()
        && let Some(ip) = listening.filter(|ip| !is_own(*ip))
    {
        report.add(
            Finding::new(
                "connector.listens",
                Severity::Error,
                format!("the running Tomcat listens on port {port} of every address ({ip}), although server.xml says otherwise"),
                why,
                "restart Tomcat, so that it reads server.xml",
            )
            .at(connector.node.place()),
        );
    }
}

fn keep_alive(subject: Subject<'_>, connector: &Connector<'_>, report: &mut Report) {
    let node = connector.node;
    let tomcat = subject.tomcat;
    let requests = tomcat.number(node, "maxKeepAliveRequests", report).unwrap_or(KEEP_ALIVE_REQUESTS);
    if requests >= 0 {
        report.add(
            Finding::new(
                "connector.requests",
                Severity::Warning,
                format!("Tomcat closes a connection after {requests} requests"),
                "the sidecar keeps its connections: each that Tomcat closes is made anew, and a request may meet one that is just being closed",
                "write maxKeepAliveRequests=\"-1\" in the <Connector>",
            )
            .at(node.place_of("maxKeepAliveRequests"))
            .with([node.set("maxKeepAliveRequests", "-1")]),
        );
    }
    let ours = subject
        .config
        .map_or(defaults::KEEPALIVE_TIMEOUT.0, |config| config.settings.tomcat.keepalive_timeout);
    let connection = tomcat.number(node, "connectionTimeout", report).unwrap_or(CONNECTION_TIMEOUT);
    let theirs = tomcat.number(node, "keepAliveTimeout", report).unwrap_or(connection);
    let closes_first = u128::try_from(theirs).is_ok_and(|theirs| theirs <= ours.as_millis());
    if closes_first {
        let ms = (ours.as_millis() + 5_000).to_string();
        report.add(
            Finding::new(
                "connector.timeout",
                Severity::Warning,
                format!("Tomcat closes idle connections after {theirs} ms, the sidecar only after {} ms", ours.as_millis()),
                "a request may meet a connection that Tomcat is just closing; one that must not be sent twice is then answered 502 or 503",
                format!(
                    "write keepAliveTimeout=\"{ms}\" in the <Connector>, or a shorter keepalive_timeout in the sidecar's [tomcat]"
                ),
            )
            .at(node.place_of(if node.get("keepAliveTimeout").is_some() { "keepAliveTimeout" } else { "connectionTimeout" }))
            .with([node.set("keepAliveTimeout", &ms)]),
        );
    }
}
