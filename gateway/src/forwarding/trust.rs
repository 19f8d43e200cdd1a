//! Who the client is: the peer, or what trusted proxies in front of us say (nginx's `real_ip_recursive`).

use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

/// Bits before the IPv4 address in `::ffff:192.0.2.1`.
const MAPPED: u8 = 96;

/// The right-most address of `X-Forwarded-For` that is not a trusted proxy, if the peer is one.
pub fn client_address<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[IpNet],
) -> IpAddr {
    let mut client = peer;
    for hop in forwarded_for.rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(client, trusted) {
            break;
        }
        // What is not an address was not written by a proxy that we trust.
        let Some(address) = hop_address(hop) else { break };
        client = address;
    }
    client
}

/// Whether an address is in one of the networks.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// A network of IPv4 that is written in IPv6 (`::ffff:10.0.0.0/104`), as the addresses in it are seen.
pub fn canonical_network(network: IpNet) -> IpNet {
    match (network, network.addr().to_canonical()) {
        (IpNet::V6(six), IpAddr::V4(address)) if six.prefix_len() >= MAPPED => {
            Ipv4Net::new(address, six.prefix_len() - MAPPED).map_or(network, IpNet::V4)
        }
        _ => network,
    }
}

/// As proxies write it: an address, in brackets or not, with a port or not, in quotes or not.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim().trim_matches('"');
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address =
        bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client(peer: &str, forwarded_for: &[&str]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "2001:db8:f::/48".parse().unwrap()];
        client_address(peer.parse().unwrap(), forwarded_for.iter().copied(), &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["1.2.3.4, 198.51.100.1, 10.0.0.2"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["1.2.3.4", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn hops_may_have_ports() {
        for (hop, address) in [
            ("192.0.2.9:4711", "192.0.2.9"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("\"[2001:db8::1]:443\"", "2001:db8::1"),
            ("::ffff:192.0.2.9", "192.0.2.9"),
            ("[::ffff:192.0.2.9]:1", "192.0.2.9"),
            ("192.0.2.9:port", "10.0.0.1"),
            ("[2001:db8::1", "10.0.0.1"),
            ("unknown", "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[hop]), address, "{hop}");
        }
        assert_eq!(client("10.0.0.1", &["192.0.2.9:1, 10.0.0.7:80, [2001:db8:f::1]:80"]), "192.0.2.9");
    }

    #[test]
    fn ipv4_is_the_same_in_ipv6() {
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1, ::ffff:10.0.0.2"]), "198.51.100.1");
        for (written, meant) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
        ] {
            assert_eq!(canonical_network(written.parse().unwrap()).to_string(), meant);
        }
    }

    proptest! {
        #[test]
        fn anything_may_be_sent(hops in "[0-9a-f.:\\[\\]\", ]{0,60}") {
            let _ = client("10.0.0.1", &[&hops]);
        }
    }
}
