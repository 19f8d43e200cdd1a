//! Which encoding a response is sent in, of those that are offered and those that the client takes.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;
use pingora_core::modules::http::compression::ResponseCompression;
use pingora_proxy::Session;

use crate::config::Compression;

/// The one that the client likes most; of equal ones the tightest. RFC 9110, 12.5.3.
pub(super) fn choose(headers: &HeaderMap, compression: &Compression) -> Option<&'static str> {
    let offered = [("zstd", compression.zstd), ("br", compression.brotli), ("gzip", compression.gzip)];
    let lines: Vec<_> =
        headers.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok()).collect();
    let quality = |name: &str| -> f32 {
        let of = |wanted: &str| {
            lines.iter().flat_map(|line| line.split(',')).find_map(|part| {
                let mut words = part.split(';').map(str::trim);
                let this = words.next()?.eq_ignore_ascii_case(wanted);
                let quality =
                    words.find_map(|word| word.strip_prefix("q=").or_else(|| word.strip_prefix("Q=")));
                this.then(|| quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0)))
            })
        };
        of(name).or_else(|| of("*")).unwrap_or(0.0)
    };
    let mut best = None;
    for (name, _) in offered.into_iter().filter(|(_, on)| *on) {
        let quality = quality(name);
        if quality > best.map_or(0.0, |(_, best)| best) {
            best = Some((name, quality));
        }
    }
    best.map(|(name, _)| name)
}

/// This response is sent as it is.
pub(super) fn switch_off(session: &mut Session) {
    if let Some(module) = session.downstream_modules_ctx.get_mut::<ResponseCompression>()
        && module.is_header_phase()
    {
        module.adjust_level(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use proptest::prelude::*;

    fn chosen(accepted: &str, offered: &str) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, accepted.parse().ok()?);
        let has = |name| offered.contains(name);
        let compression = Compression {
            gzip: has("gzip"),
            brotli: has("br"),
            zstd: has("zstd"),
            ..Settings::defaults().compression
        };
        choose(&headers, &compression)
    }

    #[test]
    fn the_client_is_heard() {
        for (accepted, offered, encoding) in [
            ("gzip", "gzip br", Some("gzip")),
            ("br, gzip", "gzip", Some("gzip")),
            ("br, gzip", "gzip br", Some("br")),
            ("br;q=0.5, gzip", "gzip br", Some("gzip")),
            ("gzip;q=0", "gzip", None),
            ("gzip;q=0, *", "gzip br", Some("br")),
            ("*", "gzip", Some("gzip")),
            ("identity", "gzip br zstd", None),
            ("GZIP; Q=0.1", "gzip", Some("gzip")),
            ("deflate", "gzip", None),
            ("gzip", "", None),
        ] {
            assert_eq!(chosen(accepted, offered), encoding, "{accepted}");
        }
    }

    proptest! {
        #[test]
        fn anything_can_be_asked_for(accepted in "[a-z;=,. q0-9*]{0,40}") {
            let _ = chosen(&accepted, "gzip br zstd");
        }
    }
}
