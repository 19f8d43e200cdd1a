//! Java's modified UTF-8: as UTF-8, but characters beyond the first plane are two surrogates of three bytes each, and NUL has two.

/// What can't be decoded becomes a replacement character.
pub fn decode(bytes: &[u8]) -> String {
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    let low = |byte: u8| u16::from(byte & 0x3F);
    while let Some((&first, tail)) = rest.split_first() {
        let (unit, used) = match (first, tail) {
            (0..=0x7F, _) => (u16::from(first), 1),
            (0xC0..=0xDF, [a, ..]) if a >> 6 == 2 => (u16::from(first & 0x1F) << 6 | low(*a), 2),
            (0xE0..=0xEF, [a, b, ..]) if a >> 6 == 2 && b >> 6 == 2 => {
                (u16::from(first & 0x0F) << 12 | low(*a) << 6 | low(*b), 3)
            }
            _ => (0xFFFD, 1),
        };
        units.push(unit);
        rest = &rest[used..];
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_differs_from_utf_8_in_two_things() {
        assert_eq!(decode("a\u{e9}\u{20ac}".as_bytes()), "a\u{e9}\u{20ac}");
        assert_eq!(decode(b"\xC0\x80"), "\0");
        assert_eq!(decode(b"\xED\xA0\xBD\xED\xB8\x80"), "\u{1F600}");
        assert_eq!(decode(b"x\xFF\xC3"), "x\u{FFFD}\u{FFFD}");
    }

    proptest! {
        #[test]
        fn texts_of_the_first_plane_are_utf_8(text in "[\u{1}-\u{d7ff}]{0,20}", bytes: Vec<u8>) {
            prop_assert_eq!(decode(text.as_bytes()), text);
            let _ = decode(&bytes);
        }
    }
}
