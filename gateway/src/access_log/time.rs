//! The time as lines have it.

use std::cell::RefCell;
use std::rc::Rc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// One point in time. What has no fractions of a second is written once a second, as in nginx.
pub struct Stamp {
    /// nginx's `$time_local`.
    pub local: Rc<str>,
    /// nginx's `$time_iso8601`.
    pub iso8601: Rc<str>,
    /// nginx's `$msec`.
    pub msec: String,
}

struct Written {
    second: i64,
    local: Rc<str>,
    iso8601: Rc<str>,
}

thread_local! {
    static LAST: RefCell<Option<Written>> = const { RefCell::new(None) };
}

impl Stamp {
    /// The time of this machine, in its time zone.
    pub fn now() -> Self {
        Self::of(Timestamp::now(), TimeZone::system)
    }

    fn of(time: Timestamp, zone: fn() -> TimeZone) -> Self {
        let (second, millis) = (time.as_second(), time.subsec_millisecond());
        LAST.with_borrow_mut(|last| {
            if last.as_ref().is_none_or(|last| last.second != second) {
                let zoned = time.to_zoned(zone());
                let local = zoned.strftime("%d/%b/%Y:%H:%M:%S %z").to_string().into();
                let iso8601 = zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string().into();
                *last = Some(Written { second, local, iso8601 });
            }
            let (local, iso8601) =
                last.as_ref().map(|last| (last.local.clone(), last.iso8601.clone())).unwrap_or_default();
            Self { local, iso8601, msec: format!("{second}.{millis:03}") }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_written_as_nginx_does_and_goes_on() {
        let at = |millis| Stamp::of(Timestamp::from_millisecond(millis).unwrap(), || TimeZone::UTC);
        let first = at(1_700_000_000_007);
        assert_eq!(&*first.local, "14/Nov/2023:22:13:20 +0000");
        assert_eq!(&*first.iso8601, "2023-11-14T22:13:20+00:00");
        assert_eq!(first.msec, "1700000000.007");
        assert_eq!(at(1_700_000_000_999).msec, "1700000000.999");
        assert_eq!(&*at(1_700_000_001_000).local, "14/Nov/2023:22:13:21 +0000");
        assert_eq!(&*at(1_700_000_000_000).local, "14/Nov/2023:22:13:20 +0000");
    }
}
