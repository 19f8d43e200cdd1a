//! nginx's times and sizes in our units: a whole number with one unit.

const UNITS: [(&str, u64); 8] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
    ("M", 2_592_000_000),
    ("y", 31_536_000_000),
];

/// `60` is seconds in nginx, and `1m30s` one time.
pub(super) fn time(text: &str) -> Option<String> {
    let (total, parts) = millis(text)?;
    let ours = &UNITS[..5];
    let as_written =
        parts == 1 && ours.iter().any(|(unit, _)| text.strip_suffix(unit).is_some_and(is_number));
    if as_written {
        return Some(text.to_owned());
    }
    // Seconds are read most easily; more than a day is not.
    let fits = |millis: u64| total.is_multiple_of(millis);
    let (unit, millis) = match () {
        () if total > 0 && fits(86_400_000) => ("d", 86_400_000),
        () if fits(1_000) => ("s", 1_000),
        () => ("ms", 1),
    };
    Some(format!("{}{unit}", total / millis))
}

/// In seconds.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let (total, _) = millis(text)?;
    total.is_multiple_of(1_000).then_some(total / 1_000)
}

/// In milliseconds, and in how many parts it is written.
fn millis(text: &str) -> Option<(u64, usize)> {
    let mut total = 0_u64;
    let mut rest = text.trim();
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let millis = match unit {
            "" => 1_000,
            unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
        };
        total = number.parse::<u64>().ok()?.checked_mul(millis)?.checked_add(total)?;
        rest = tail.trim_start();
        parts += 1;
    }
    (parts > 0).then_some((total, parts))
}

/// `1024` is bytes in nginx.
pub(super) fn size(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    if is_number(&lower) {
        return Some(format!("{lower}b"));
    }
    let number = lower.strip_suffix(['k', 'm', 'g'])?;
    is_number(number).then_some(lower)
}

/// In bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, shift) = match text.to_ascii_lowercase().strip_suffix(['k', 'm', 'g']) {
        None => (text.to_owned(), 0),
        Some(number) => (
            number.to_owned(),
            if text.ends_with(['k', 'K']) {
                10
            } else if text.ends_with(['m', 'M']) {
                20
            } else {
                30
            },
        ),
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The largest unit that divides it.
pub(super) fn of_bytes(bytes: u64) -> String {
    for (unit, shift) in [("g", 30), ("m", 20), ("k", 10)] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}b")
}

fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_unit() {
        for (nginx, ours) in [
            ("60", "60s"),
            ("60s", "60s"),
            ("100ms", "100ms"),
            ("1m", "1m"),
            ("1m30s", "90s"),
            ("1h 30m", "5400s"),
            ("1s500ms", "1500ms"),
            ("1w", "7d"),
            ("1M", "30d"),
            ("0", "0s"),
        ] {
            assert_eq!(time(nginx).as_deref(), Some(ours), "{nginx}");
        }
        for wrong in ["", "s", "1x", "-1", "1.5s", "99999999999999999999", "max", "9999999999999999y"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_have_a_unit() {
        for (nginx, ours) in [("0", "0b"), ("1000", "1000b"), ("8k", "8k"), ("10M", "10m"), ("1g", "1g")] {
            assert_eq!(size(nginx).as_deref(), Some(ours), "{nginx}");
        }
        for wrong in ["", "k", "1t", "-1", "1.5m", "99999999999999999999k"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
        assert_eq!(bytes("8k"), Some(8192));
        assert_eq!((of_bytes(32 << 10), of_bytes(1000)), ("32k".into(), "1000b".into()));
    }
}
