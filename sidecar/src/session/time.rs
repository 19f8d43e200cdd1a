//! Times for people.

use std::time::Duration;

use jiff::Timestamp;

/// Milliseconds since 1970, as a date (UTC).
pub fn date(millis: i64) -> String {
    match Timestamp::from_millisecond(millis) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => format!("{millis} ms since 1970"),
    }
}

/// Seconds, in the two largest units.
pub fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// What memcached says of an item's life.
pub fn life(ttl: i64) -> String {
    match u64::try_from(ttl) {
        Ok(seconds) => format!("in {}", span(seconds)),
        Err(_) if ttl == -1 => "never".into(),
        Err(_) => "not known".into(),
    }
}

/// Bytes.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// `5s`, `500ms` or `2m`, as in configurations.
pub fn parse(text: &str) -> Result<Duration, String> {
    text.parse::<satchel_common::units::Time>().map(|time| time.0).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_for_people() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert!(date(i64::MAX).contains("ms since"));
        for (seconds, text) in [(59, "59 s"), (61, "1 min 1 s"), (3_660, "1 h 1 min"), (90_000, "1 d 1 h")] {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(
            (life(61), life(-1), life(-2)),
            ("in 1 min 1 s".into(), "never".into(), "not known".into())
        );
        assert_eq!(
            (size(100), size(20_480), size(30 << 20)),
            ("100 B".into(), "20 KiB".into(), "30 MiB".into())
        );
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert!(parse("5").is_err());
    }
}
