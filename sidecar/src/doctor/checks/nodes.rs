//! The memcached nodes: whether they answer, what they are, and what has become of what they held.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::{Finding, Report, Severity};
use crate::config::{Config, NodeConfig, Protocol};
use crate::memcached::NodeError;
use crate::memcached::connection::Statistics;
use crate::memcached::wire::lost;

/// The shortest of the round trips within this time counts: a busy machine makes single ones long.
const TRIPS_WITHIN: Duration = Duration::from_secs(3);
/// A request with a session waits for two round trips.
const TRIP_MAX: Duration = Duration::from_millis(10);
/// memcached tells whole seconds, and of a clock that is up to one behind.
const CLOCK_MAX: u64 = 5;
/// The first with the meta commands as they are used here.
const OLDEST: (u32, u32) = (1, 6);
/// memcached's own default. Larger records are cut into parts.
const ITEM_SIZE: u64 = 1 << 20;

/// What a node has told.
struct Told {
    statistics: Statistics,
    /// The shortest round trip, as far as it was looked for.
    trip: Option<Duration>,
    /// Seconds since 1970, here, when it was asked.
    now: u64,
}

/// Asks all nodes at once.
pub async fn check(config: &Config, report: &mut Report) {
    let all: Vec<&NodeConfig> = config.nodes.iter().chain(&config.retired_nodes).collect();
    let told = futures_util::future::join_all(all.iter().map(|node| ask(node, config.node_timeout))).await;
    let mut addresses: Vec<(SocketAddr, &NodeConfig)> = Vec::new();
    for (node, told) in all.into_iter().zip(told) {
        match told {
            Ok(told) => {
                for finding in judge(node, &told) {
                    report.add(finding);
                }
            }
            Err(NodeError::Protocol(error)) if node.protocol == Protocol::Text => report.unchecked(
                format!("memcached node {}: its version, size and evictions", node.name),
                format!("it speaks the text protocol and tells no statistics ({error})"),
            ),
            Err(error) => report.add(unreachable(node, &error)),
        }
        let resolved = (node.address.host.as_str(), node.address.port).to_socket_addrs();
        for address in resolved.into_iter().flatten() {
            if let Some((_, other)) =
                addresses.iter().find(|(known, other)| *known == address && other.name != node.name)
            {
                report.add(same(node, other, address));
                break;
            }
            addresses.push((address, node));
        }
    }
    if config.settings.copies < 2 {
        let why =
            "a session is gone with its node, and requests of its users are answered 503 while that is down";
        let fix = "add a node to memcached.nodes on every sidecar, and write copies = 2";
        let what = "each session is on one memcached node only";
        report.add(Finding::new("memcached.single", Severity::Note, what, why, fix));
    }
}

async fn ask(node: &NodeConfig, limit: Duration) -> Result<Told, NodeError> {
    let statistics = async {
        let address = (node.address.host.as_str(), node.address.port);
        let mut stream = TcpStream::connect(address).await.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        let statistics = Statistics::ask(&mut stream).await?;
        Ok((statistics, stream))
    };
    let (statistics, mut stream) = timeout(limit * 2, statistics).await.unwrap_or(Err(NodeError::Timeout))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut trip = None;
    let _ = timeout(TRIPS_WITHIN, trips(&mut stream, &mut trip)).await;
    Ok(Told { statistics, trip, now })
}

/// Asks until one round trip was short enough.
async fn trips(stream: &mut TcpStream, shortest: &mut Option<Duration>) -> std::io::Result<()> {
    while shortest.is_none_or(|trip| trip > TRIP_MAX) {
        let began = Instant::now();
        stream.write_all(b"version\r\n").await?;
        if stream.read(&mut [0; 256]).await? == 0 {
            return Ok(());
        }
        *shortest = Some(shortest.map_or(began.elapsed(), |trip| trip.min(began.elapsed())));
    }
    Ok(())
}

fn unreachable(node: &NodeConfig, error: &NodeError) -> Finding {
    Finding::new(
        "memcached.unreachable",
        Severity::Error,
        format!("memcached node {} at {}: {error}", node.name, node.address),
        "its sessions are read from their second copies, and new ones have one only",
        format!(
            "start memcached there (1.6 or newer, listening on an address that this machine reaches: its option -l, port {}), and let firewalls \
             pass it; or take the node out of memcached.nodes on every sidecar",
            node.address.port
        ),
    )
}

fn same(node: &NodeConfig, other: &NodeConfig, address: SocketAddr) -> Finding {
    Finding::new(
        "memcached.same",
        Severity::Error,
        format!("memcached nodes {} and {} are one, {address}", other.name, node.name),
        "both copies of a session are in one process, and gone with it",
        "give each node a memcached of its own",
    )
}

fn judge(node: &NodeConfig, told: &Told) -> Vec<Finding> {
    let statistics = &told.statistics;
    let number = |name| statistics.number(name).unwrap_or(0);
    let name = &node.name;
    let mut found = Vec::new();
    let mut add = |id, severity, what: String, why: &str, fix: String| {
        found.push(Finding::new(id, severity, what, why, fix));
    };
    let version = statistics.get("version").unwrap_or_default();
    if node.protocol == Protocol::Meta && version_of(version).is_some_and(|version| version < OLDEST) {
        add(
            "memcached.version",
            Severity::Error,
            format!("memcached node {name} is {version}"),
            "it does not know the meta commands, or not all of them",
            format!(
                "upgrade it to 1.6 or newer; or, with fewer guarantees, write in every sidecar's configuration:\n[memcached.node.{name}]\nprotocol = \"text\""
            ),
        );
    }
    let item = number("item_size_max");
    if item > 0 && item < ITEM_SIZE {
        add(
            "memcached.item_size",
            Severity::Warning,
            format!("memcached node {name} takes items of at most {item} bytes"),
            "larger sessions are stored in parts, on every node: each part is a round trip",
            "start it without its option -I, or with -I 1m".into(),
        );
    }
    let evicted = number("evictions");
    let memory = number("limit_maxbytes") >> 20;
    if evicted > 0 {
        add(
            "memcached.evictions",
            Severity::Error,
            format!(
                "memcached node {name} has evicted {evicted} items since it was started, for want of memory ({memory} MiB)"
            ),
            "each may have been a session: its user has been logged out",
            format!(
                "give it more memory (its option -m {}), or let it refuse instead of evicting (-M)",
                (memory * 2).max(128)
            ),
        );
    } else if number("bytes") > number("limit_maxbytes") / 10 * 9 && memory > 0 {
        add(
            "memcached.full",
            Severity::Warning,
            format!("memcached node {name} has used {} of {memory} MiB", number("bytes") >> 20),
            "when it is full it evicts sessions",
            format!("give it more memory (its option -m {})", (memory * 2).max(128)),
        );
    }
    let refused = number("rejected_connections").max(number("listen_disabled_num"));
    if refused > 0 {
        add(
            "memcached.connections",
            Severity::Warning,
            format!("memcached node {name} has refused connections {refused} times"),
            "a sidecar whose connection is refused takes the node for down",
            format!("let it have more than {} connections (its option -c)", number("max_connections")),
        );
    }
    let theirs = statistics.number("time");
    if let Some(off) = theirs.map(|theirs| theirs.abs_diff(told.now)).filter(|off| *off > CLOCK_MAX) {
        add(
            "memcached.clock",
            Severity::Warning,
            format!("the clocks of memcached node {name} and of this machine differ by {off} s"),
            "sessions that live longer than 30 days, and the news of nodes that were away, end too early or too late; with the text protocol all \
             sessions do",
            "let NTP keep the clocks (timedatectl set-ntp true)".into(),
        );
    }
    if let Some(trip) = told.trip.filter(|trip| *trip > TRIP_MAX) {
        add(
            "memcached.slow",
            Severity::Warning,
            format!(
                "a round trip to memcached node {name} takes {:.1} ms at the least",
                trip.as_secs_f64() * 1e3
            ),
            "each request with a session waits for two",
            "let memcached run in the network of the Tomcats".into(),
        );
    }
    found
}

/// `1.6.18` or `1.5.6-Ubuntu`.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(change: &str) -> Vec<&'static str> {
        after(change, 1)
    }

    fn after(change: &str, trip: u64) -> Vec<&'static str> {
        let good = "STAT version 1.6.18\r\nSTAT time 1000\r\nSTAT bytes 10\r\nSTAT limit_maxbytes 67108864\r\nSTAT evictions 0\r\n\
                    STAT rejected_connections 0\r\nSTAT item_size_max 1048576\r\n";
        let statistics = Statistics::of(format!("{change}{good}"));
        let told = Told { statistics, trip: Some(Duration::from_millis(trip)), now: 1003 };
        let node = NodeConfig {
            name: crate::id::NodeName::parse("n1").unwrap(),
            address: "127.0.0.1:1".parse().unwrap(),
            protocol: Protocol::Meta,
        };
        judge(&node, &told).into_iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn what_a_node_tells_is_judged() {
        assert_eq!(found(""), Vec::<&str>::new());
        assert_eq!(after("", 11), ["memcached.slow"]);
        for (change, id) in [
            ("STAT version 1.5.22\r\n", "memcached.version"),
            ("STAT item_size_max 65536\r\n", "memcached.item_size"),
            ("STAT evictions 7\r\n", "memcached.evictions"),
            ("STAT bytes 67108000\r\n", "memcached.full"),
            ("STAT rejected_connections 7\r\n", "memcached.connections"),
            ("STAT time 900\r\n", "memcached.clock"),
            ("STAT time 1009\r\n", "memcached.clock"),
        ] {
            assert_eq!(found(change), [id], "{change}");
        }
    }
}
