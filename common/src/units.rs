//! Times and sizes as people write them in nginx's configuration: `"100ms"`, `"30s"`, `"64k"`, `"1m"`.
//!
//! A bare number is refused: the reader of a file should never have to guess the unit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};

/// A span of time, written with a unit: `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

/// A number of bytes, written with a unit: `b`, `k` (1024), `m` or `g`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Why a time or a size could not be read; the text says what is allowed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "'{text}' is not a {what}: write a whole number with one of the units {units}, for example \"{example}\""
)]
pub struct UnitError {
    text: String,
    what: &'static str,
    units: &'static str,
    example: &'static str,
}

// === impl Time ===

impl Time {
    /// `n` milliseconds.
    pub const fn millis(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }

    /// `n` seconds.
    pub const fn secs(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }
}

impl FromStr for Time {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error =
            || UnitError { text: text.into(), what: "time", units: "ms, s, m, h, d", example: "100ms" };
        let (number, unit) = split(text).ok_or_else(error)?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(error()),
        };
        number.checked_mul(millis).map(Self::millis).ok_or_else(error)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        text(d)?.parse().map_err(D::Error::custom)
    }
}

// === impl Size ===

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError { text: text.into(), what: "size", units: "b, k, m, g", example: "64k" };
        let (number, unit) = split(text).ok_or_else(error)?;
        let bytes = match unit {
            "b" => 1,
            "k" => 1 << 10,
            "m" => 1 << 20,
            "g" => 1 << 30,
            _ => return Err(error()),
        };
        number.checked_mul(bytes).map(Self).ok_or_else(error)
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}b", self.0)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        text(d)?.parse().map_err(D::Error::custom)
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

/// Accepts a number only to name it in the error: `5` becomes the text "5", which has no unit.
fn text<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    struct Text;
    impl serde::de::Visitor<'_> for Text {
        type Value = String;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number with its unit, in quotes")
        }
        fn visit_str<E>(self, v: &str) -> Result<String, E> {
            Ok(v.to_owned())
        }
        fn visit_i64<E>(self, v: i64) -> Result<String, E> {
            Ok(v.to_string())
        }
        fn visit_u64<E>(self, v: u64) -> Result<String, E> {
            Ok(v.to_string())
        }
    }
    d.deserialize_any(Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read_with_their_unit() {
        assert_eq!("100ms".parse(), Ok(Time::millis(100)));
        assert_eq!("2m".parse(), Ok(Time::secs(120)));
        assert_eq!("1d".parse(), Ok(Time::secs(86_400)));
        assert_eq!("64k".parse(), Ok(Size(65_536)));
        assert_eq!("16m".parse(), Ok(Size(16 << 20)));
    }

    #[test]
    fn what_has_no_unit_or_overflows_is_refused_by_name() {
        for text in
            ["", "5", "s", "-1s", "1.5s", "5 s", "5x", "99999999999999999999s", "18446744073709551615d"]
        {
            let error = text.parse::<Time>().unwrap_err().to_string();
            assert!(error.contains("ms, s, m, h, d"), "{error}");
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
