//! What Tomcat would take for a session id, after its sources.

/// The cookies called `name` in one line (`Cookie.parseCookieRfc6265`).
pub fn cookies(line: &[u8], name: &[u8]) -> Vec<Vec<u8>> {
    line.split(|b| *b == b';').filter_map(|pair| cookie(pair, name)).collect()
}

fn cookie(pair: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let pair = blank_start(pair);
    let end = pair.iter().position(|b| !is_token(*b)).unwrap_or(pair.len());
    let value = blank_start(blank_start(&pair[end..]).strip_prefix(b"=")?);
    if &pair[..end] != name {
        return None;
    }
    let (value, quoted) = value.strip_prefix(b"\"").map_or((value, false), |rest| (rest, true));
    let end = value.iter().position(|b| !is_octet(*b)).unwrap_or(value.len());
    let rest = match &value[end..] {
        [b'"', rest @ ..] if quoted => rest,
        rest @ ([] | [b' ' | b'\t', ..]) => rest,
        _ => return None,
    };
    (blank_start(rest).is_empty() && end > 0).then(|| value[..end].to_vec())
}

/// The path parameters called one of `names` (`CoyoteAdapter.parsePathParameters`).
pub fn path_parameters(target: &[u8], names: &[String]) -> Vec<Vec<u8>> {
    let path = target.split(|b| *b == b'?').next().unwrap_or_default();
    let mut found = Vec::new();
    for parameter in path.split(|b| *b == b'/').flat_map(|segment| segment.split(|b| *b == b';').skip(1)) {
        let Some(at) = parameter.iter().position(|b| *b == b'=') else { continue };
        if names.iter().any(|name| name.as_bytes() == &parameter[..at]) {
            found.push(parameter[at + 1..].to_vec());
        }
    }
    found
}

fn blank_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|b| !matches!(b, b' ' | b'\t')).unwrap_or(text.len());
    &text[start..]
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_octet(byte: u8) -> bool {
    byte > 0x20 && byte != 0x7f && !b"\",;\\".contains(&byte)
}
