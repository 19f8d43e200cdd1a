//! What the gateway itself says about keys, so that none is printed that it refuses.

use satchel_common::import::block::{Block, Entry, Value};

use super::toml;
use crate::config::{Config, raw};

/// They depend on the machine that the gateway runs on, or are checked where they are written.
const ELSEWHERE: [&str; 6] =
    ["path", "proxy_pass", "error_page", "ssl_certificate", "ssl_certificate_key", "proxy_temp_path"];

/// Whether a server could have these keys.
pub(super) fn check(block: &Block) -> Result<(), String> {
    let is_here = |entry: &&Entry| !ELSEWHERE.contains(&entry.key);
    let mut server =
        Block { entries: block.entries.iter().filter(is_here).cloned().collect(), ..Block::default() };
    server.set("listen", Value::List(vec!["127.0.0.1:80".into()]));
    server.set("return", Value::Text("204".into()));
    let mut text = String::new();
    toml::array(&mut text, "server", "location", &server);
    let file = ::toml::from_str::<raw::File>(&text).map_err(|error| error.message().to_owned())?;
    Config::of_raw(file).map(drop).map_err(|invalid| invalid.message)
}

#[cfg(test)]
mod tests {
    use crate::import::tests::imported;

    #[test]
    fn what_the_gateway_refuses_is_not_carried_over() {
        for (directive, why) in [
            ("gzip_comp_level 0;", "1 to 9 are allowed"),
            ("charset 'a b';", "no name of a character set"),
            ("keepalive_timeout 0m;", "more than zero"),
            ("limit_req_status 200;", "400 to 599"),
            ("proxy_set_header X ${host;", "must end with }"),
        ] {
            let result = imported(&format!("server {{ listen 80; {directive} return 204; }}"));
            let key = directive.split(' ').next().unwrap_or_default();
            assert!(!result.toml.contains(&format!("{key} = ")) && !result.is_complete(), "{}", result.toml);
            assert!(result.notes.iter().any(|note| note.text.contains(why)), "{:?}", result.notes);
        }
    }
}
