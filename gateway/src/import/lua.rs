//! Where Lua code in a `*_by_lua_block` ends: braces in its strings and comments do not count.

/// The length of the code with the `}` that ends it.
pub(super) fn length(code: &[u8]) -> Option<usize> {
    let mut depth = 1_usize;
    let mut at = 0;
    while let Some(byte) = code.get(at) {
        let rest = &code[at..];
        at += match byte {
            b'{' => {
                depth += 1;
                1
            }
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
                1
            }
            b'"' | b'\'' => string(rest)?,
            b'[' => long_bracket(rest).unwrap_or(1),
            b'-' if rest.starts_with(b"--") => {
                long_bracket(&rest[2..]).map_or_else(|| line(rest), |length| length + 2)
            }
            _ => 1,
        };
    }
    None
}

fn string(rest: &[u8]) -> Option<usize> {
    let quote = rest.first()?;
    let mut at = 1;
    loop {
        match rest.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

fn line(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

/// `[[ … ]]`, `[=[ … ]=]` and so on.
fn long_bracket(rest: &[u8]) -> Option<usize> {
    let level = rest.get(1..)?.iter().take_while(|byte| **byte == b'=').count();
    if rest.first() != Some(&b'[') || rest.get(level + 1) != Some(&b'[') {
        return None;
    }
    let end = [&b"]"[..], &vec![b'='; level], b"]"].concat();
    let body = level + 2;
    let found = rest[body..].windows(end.len()).position(|window| window == end)?;
    Some(body + found + end.len())
}

#[cfg(test)]
mod tests {
    use super::length;

    #[test]
    fn the_last_brace_is_found() {
        for code in [
            "}",
            "a = {1, {2}} }",
            "s = '}\\'}' .. \"}\" }",
            "-- }\n x() }",
            "--[[ } ]] [==[ } ]] } ]==] a[1] = 2 }",
        ] {
            assert_eq!(length(format!("{code} rest }}").as_bytes()), Some(code.len()), "{code}");
        }
        assert_eq!(length(b"{ }"), None);
        assert_eq!(length(b"'}"), None);
    }
}
