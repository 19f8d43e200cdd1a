//! `limit_req` and `limit_conn`, and the zones that they count in.

use std::collections::HashMap;

use satchel_common::config::Invalid;

use super::raw;

/// nginx's `limit_req`, for one client.
#[derive(Debug, Clone, PartialEq)]
pub struct RateLimit {
    /// Where it is counted; all that name it count together.
    pub zone: String,
    /// Requests in a second.
    pub rate: f64,
    /// How many may come early.
    pub burst: u32,
    /// Those that come early are not held back.
    pub nodelay: bool,
}

/// nginx's `limit_conn`, for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimit {
    /// Where it is counted; all that name it count together.
    pub zone: String,
    /// Requests at one time.
    pub limit: u32,
}

/// Reads `limit_req`. Without a `zone=` the zone is `place`, where it is written; no name of a zone can be that, since a place has blanks.
pub(crate) fn rate_limit(text: &str, place: &str) -> Result<Option<RateLimit>, String> {
    let mut words = text.split_ascii_whitespace();
    let rate = words.next().unwrap_or_default();
    if rate == "off" {
        return Ok(None);
    }
    let per = |unit, seconds: f64| {
        let count: u32 = rate.strip_suffix(unit)?.parse().ok().filter(|count| *count > 0)?;
        Some(f64::from(count) / seconds)
    };
    let wrong = || {
        format!(
            "'{text}' is not a limit; write \"10r/s\" or \"30r/m\", then burst=20, nodelay and zone=NAME if wanted, or \"off\""
        )
    };
    let rate = per("r/s", 1.0).or_else(|| per("r/m", 60.0)).ok_or_else(wrong)?;
    let mut limit = RateLimit { zone: place.to_owned(), rate, burst: 0, nodelay: false };
    for word in words {
        match word.split_once('=') {
            Some(("burst", burst)) => limit.burst = burst.parse().map_err(|_| wrong())?,
            Some(("zone", name)) => limit.zone = zone(name)?,
            None if word == "nodelay" => limit.nodelay = true,
            _ => return Err(wrong()),
        }
    }
    Ok(Some(limit))
}

/// Reads `limit_conn`; its zone as that of [`rate_limit`].
pub(super) fn connection_limit(
    written: &raw::LimitConn,
    place: &str,
) -> Result<Option<ConnectionLimit>, String> {
    let text = match written {
        raw::LimitConn::Number(number) => number.to_string(),
        raw::LimitConn::Text(text) => text.clone(),
    };
    let wrong = || format!("'{text}' is not a limit; write 10 or \"10 zone=NAME\"; 0 is no limit");
    let mut words = text.split_ascii_whitespace();
    let limit: u32 = words.next().unwrap_or_default().parse().map_err(|_| wrong())?;
    let zone = match (words.next(), words.next()) {
        (None, _) => place.to_owned(),
        (Some(word), None) => zone(word.strip_prefix("zone=").ok_or_else(wrong)?)?,
        _ => return Err(wrong()),
    };
    Ok((limit > 0).then_some(ConnectionLimit { zone, limit }))
}

fn zone(name: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(format!("zone={name} is no name; A-Z a-z 0-9 . _ - are allowed"));
    }
    Ok(name.to_owned())
}

/// A zone has one rate, as in nginx; bursts may differ. Also where an inner word counts in its stead: it is a mistake there too.
pub(super) fn check_zones(http: &raw::Block, servers: &[raw::Block]) -> Result<(), Invalid> {
    let mut rates: HashMap<String, (RateLimit, &str, String)> = HashMap::new();
    for (place, text) in written(http, servers) {
        // Where it is wrong has been said already.
        let Ok(Some(limit)) = rate_limit(text, &place) else { continue };
        let word = text.split_ascii_whitespace().next().unwrap_or_default();
        match rates.get(&limit.zone) {
            Some((other, there, elsewhere)) if other.rate != limit.rate => {
                return Err(Invalid::new(
                    place,
                    format!(
                        "zone {} has {word} here and {there} in {elsewhere}, but a zone has one rate; write the same, or another zone=NAME",
                        limit.zone
                    ),
                ));
            }
            Some(_) => {}
            None => drop(rates.insert(limit.zone.clone(), (limit, word, place))),
        }
    }
    Ok(())
}

/// Each `limit_req` with its place.
fn written<'a>(http: &'a raw::Block, servers: &'a [raw::Block]) -> Vec<(String, &'a str)> {
    let mut blocks = vec![("http".to_owned(), http)];
    for (number, server) in servers.iter().enumerate() {
        let place = server.place_of_server(number + 1);
        blocks.push((place.clone(), server));
        for (number, location) in server.location.iter().enumerate() {
            blocks.push((location.place_of_location(&place, number + 1), location));
        }
    }
    let limits = blocks.into_iter().filter_map(|(place, block)| Some((place, block.limit_req.as_deref()?)));
    limits.map(|(place, text)| (format!("{place}: limit_req"), text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_a_burst_and_a_zone() {
        let limit = rate_limit("30r/m burst=20 nodelay zone=login", "here").unwrap().unwrap();
        assert_eq!(limit, RateLimit { zone: "login".into(), rate: 0.5, burst: 20, nodelay: true });
        assert_eq!(rate_limit("1r/s", "http: limit_req").unwrap().unwrap().zone, "http: limit_req");
        assert_eq!(rate_limit("off", ""), Ok(None));
        for wrong in ["", "10", "0r/s", "1r/s burst=x", "1r/s delay=5", "1r/s zone=", "1r/s zone=a:b"] {
            assert!(rate_limit(wrong, "").is_err(), "{wrong}");
        }
    }

    #[test]
    fn so_many_at_one_time_are_a_number_or_a_text_with_a_zone() {
        let text = |text: &str| connection_limit(&raw::LimitConn::Text(text.into()), "here");
        let limit = |zone: &str, limit| Ok(Some(ConnectionLimit { zone: zone.into(), limit }));
        assert_eq!(text("10 zone=a"), limit("a", 10));
        assert_eq!(text("10"), limit("here", 10));
        assert_eq!(connection_limit(&raw::LimitConn::Number(3), "here"), limit("here", 3));
        assert_eq!(connection_limit(&raw::LimitConn::Number(0), "here"), Ok(None));
        for wrong in ["", "x", "-1", "10 a", "10 zone=", "10 zone=a zone=b"] {
            assert!(text(wrong).is_err(), "{wrong}");
        }
    }
}
