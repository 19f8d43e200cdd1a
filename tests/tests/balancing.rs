//! Weighted round robin is nginx's, byte for byte: the same weights in a real nginx and in our gateway, request by request.

use std::fmt::Write as _;
use std::net::SocketAddr;

use satchel_tests::{Client, Gateway, Nginx, ports};

const SETS: usize = 100;
const SERVERS: usize = 8;
/// No set is asked more often: a debug build has to answer all of them.
const REQUESTS_MAX: u64 = 120;

/// SplitMix64: the same sets in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// Small weights, large ones, and sets in which one server has nearly all.
fn weight_sets() -> Vec<Vec<u64>> {
    let mut random = Random(4);
    let mut sets = Vec::new();
    for _ in 0..SETS {
        let servers = 2 + random.below(SERVERS as u64 - 1);
        let limit = [3, 10, 100, 1000][random.below(4) as usize];
        sets.push((0..servers).map(|_| 1 + random.below(limit)).collect());
    }
    sets
}

fn chosen(client: &mut Client, set: usize, requests: u64) -> String {
    (0..requests)
        .map(|_| {
            let response = client.get(&format!("/{set}"));
            assert_eq!(response.status, 200, "set {set}: {}", response.text());
            response.text()
        })
        .collect()
}

#[test]
fn a_hundred_weight_sets_have_nginxs_order() {
    let sets = weight_sets();
    let servers: Vec<u16> = (0..SERVERS).map(|_| ports::free()).collect();
    let (nginx_port, gateway_port) = (ports::free(), ports::free());

    let mut config = String::from("events { }\nhttp {\naccess_log off;\n");
    for (number, port) in servers.iter().enumerate() {
        let _ = writeln!(config, "server {{ listen 127.0.0.1:{port}; return 200 {number}; }}");
    }
    let _back_ends = Nginx::start(&format!("{config}}}\n"), &servers);

    let mut config = String::from("events { }\nhttp {\naccess_log off;\n");
    let mut locations = String::new();
    let mut toml = String::from("[access_log]\npath = \"off\"\n");
    let mut toml_locations = String::new();
    for (set, weights) in sets.iter().enumerate() {
        let _ = write!(config, "upstream u{set} {{ ");
        let _ = write!(toml, "[[upstream]]\nname = \"u{set}\"\n");
        for (weight, port) in weights.iter().zip(&servers) {
            let _ = write!(config, "server 127.0.0.1:{port} weight={weight}; ");
            let _ = write!(toml, "[[upstream.server]]\naddress = \"127.0.0.1:{port}\"\nweight = {weight}\n");
        }
        config.push_str("}\n");
        let _ = writeln!(locations, "location = /{set} {{ proxy_pass http://u{set}; }}");
        let _ = write!(
            toml_locations,
            "[[server.location]]\npath = \"= /{set}\"\nproxy_pass = \"http://u{set}\"\n"
        );
    }
    let _ = write!(config, "server {{ listen 127.0.0.1:{nginx_port};\n{locations}}}\n}}\n");
    let _ = write!(toml, "[[server]]\nlisten = [\"127.0.0.1:{gateway_port}\"]\n{toml_locations}");
    let nginx = Nginx::start(&config, &[nginx_port]);
    let gateway = Gateway::run(&toml, SocketAddr::from(([127, 0, 0, 1], gateway_port)));

    let (mut of_nginx, mut of_gateway) = (nginx.client(nginx_port), gateway.client());
    for (set, weights) in sets.iter().enumerate() {
        // A whole round and the beginning of the next, where that is not too much.
        let requests = (weights.iter().sum::<u64>() + 5).min(REQUESTS_MAX);
        let expected = chosen(&mut of_nginx, set, requests);
        assert_eq!(expected.len() as u64, requests);
        assert_eq!(chosen(&mut of_gateway, set, requests), expected, "set {set}: weights {weights:?}");
    }
}
