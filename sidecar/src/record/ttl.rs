//! How long memcached keeps a session.

/// Seconds; zero: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl(pub u32);

/// memcached ends an item up to a second early, and Tomcat must see the session's last seconds itself (it
/// is Tomcat that ends a session, from the times in the file).
const MARGIN: u32 = 5;

/// memcached takes a larger number for seconds since 1970 (`protocol.txt`, "Expiration times").
const RELATIVE_MAX: u32 = 30 * 24 * 3600;

impl Ttl {
    /// From the session's own `maxInactiveInterval`; zero or less never ends.
    pub fn of(max_inactive_interval: i32) -> Self {
        match u32::try_from(max_inactive_interval) {
            Ok(0) | Err(_) => Self(0),
            Ok(seconds) => Self(seconds + MARGIN),
        }
    }

    /// How long it is remembered that a session has ended: as long as the session could have lived, and 30 days for one
    /// without end.
    pub fn of_tombstone(self) -> Self {
        if self.0 == 0 { Self(RELATIVE_MAX) } else { self }
    }

    /// Of a record's chunks. They are renewed with the second copy, at the latest every quarter of the record's life, and have to
    /// outlive it.
    pub fn of_chunk(self) -> Self {
        Self(self.0.saturating_add(self.0 / 2))
    }

    /// What goes over the wire. `now` is in seconds since 1970.
    pub fn on_the_wire(self, now: u64) -> u32 {
        if self.0 <= RELATIVE_MAX {
            return self.0;
        }
        // Past the year 2106 the protocol has no number; such an item never ends.
        u32::try_from(now + u64::from(self.0)).unwrap_or(0)
    }

    /// When an item ends that is stored at `now` with what went [over the wire](Self::on_the_wire), in seconds since 1970.
    pub fn end_of(on_the_wire: u32, now: u64) -> u64 {
        let wire = u64::from(on_the_wire);
        if on_the_wire <= RELATIVE_MAX { now + wire } else { wire }
    }

    /// How long nobody has used the session, from the remaining time that memcached tells (R8). `None` if
    /// the item never ends.
    pub fn idle(self, remaining: i64) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let remaining = u32::try_from(remaining).ok()?;
        Some(self.0.saturating_sub(remaining))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_less_never_end() {
        for interval in [0, -1, i32::MIN] {
            assert_eq!(Ttl::of(interval), Ttl(0));
            assert_eq!(Ttl::of(interval).on_the_wire(1_800_000_000), 0);
        }
    }

    #[test]
    fn more_than_thirty_days_becomes_absolute() {
        assert_eq!(Ttl::of(1800).on_the_wire(1_800_000_000), 1805);
        let month = Ttl::of(RELATIVE_MAX as i32);
        assert_eq!(u64::from(month.on_the_wire(1_800_000_000)), 1_800_000_000 + u64::from(month.0));
        assert_eq!(Ttl::of(i32::MAX).on_the_wire(4_000_000_000), 0);
    }

    #[test]
    fn r08_idle_time_is_what_memcached_says() {
        assert_eq!(Ttl(1805).idle(1805), Some(0));
        assert_eq!(Ttl(1805).idle(5), Some(1800));
        assert_eq!(Ttl(0).idle(-1), None);
        assert_eq!(Ttl(10).idle(11), Some(0));
    }
}
