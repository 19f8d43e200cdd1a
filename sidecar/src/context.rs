//! Which web application a request is for: Tomcat's context, by the longest matching path prefix.
//!
//! A browser sends ROOT's cookie to `/app` too. Everything about a session is therefore by context, and a
//! path that no configured context covers gets no session work.

use std::path::PathBuf;

/// One web application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// `""` for ROOT, else `/app`, as in Tomcat.
    pub path: String,
    /// The virtual hosts that it is for, in lower case; a name that begins with `*.` stands for all below it. Empty: every host.
    pub hosts: Vec<String>,
    /// Its cookie goes to every context (`sessionCookiePath="/"`): one id, a session in each.
    pub shares_cookie: bool,
    /// Tomcat's `FileStore` directory.
    pub directory: PathBuf,
    /// The session cookie's name, `JSESSIONID` by default.
    pub cookie_name: String,
    /// The path parameters that go with it.
    pub param_names: Vec<String>,
}

impl Context {
    /// What its sessions belong to: the path, behind the first of its hosts if it has some.
    pub fn name(&self) -> String {
        match self.hosts.first() {
            Some(host) => format!("//{host}{}", self.path),
            None => self.path.clone(),
        }
    }

    fn is_for(&self, host: &str) -> bool {
        let below =
            |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1);
        self.hosts.is_empty()
            || self.hosts.iter().any(|own| match own.strip_prefix("*.") {
                Some(name) => below(name),
                None => own == host,
            })
    }
}

/// All of them.
#[derive(Debug, Clone)]
pub struct Contexts(Vec<Context>);

impl Contexts {
    /// Longest path first, so that the first match is the right one; of equal ones those of one host before those of every host.
    pub fn new(mut contexts: Vec<Context>) -> Self {
        let wildcard = |context: &Context| context.hosts.iter().any(|host| host.starts_with('*'));
        contexts.sort_by_key(|context| {
            (std::cmp::Reverse(context.path.len()), context.hosts.is_empty(), wildcard(context))
        });
        Self(contexts)
    }

    /// The context that Tomcat will map `target` to, `host` being the request's `Host`. `None`: no session work.
    pub fn of(&self, target: &[u8], host: &str) -> Option<usize> {
        let path = normalise(target)?;
        let name = without_port(host).to_ascii_lowercase();
        self.0.iter().position(|context| {
            context.is_for(&name)
                && path
                    .strip_prefix(context.path.as_bytes())
                    .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        })
    }

    /// The context that [`of`](Self::of) named.
    pub fn get(&self, index: usize) -> &Context {
        &self.0[index]
    }

    /// All, longest path first.
    pub fn iter(&self) -> impl Iterator<Item = &Context> {
        self.0.iter()
    }
}

/// `host:port` or `[address]:port`, without the port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The path as Tomcat maps it (`CoyoteAdapter.postParseRequest`): parameters removed, percent-decoded,
/// `//`, `/./` and `/../` resolved. `None` for what Tomcat answers with 400.
fn normalise(target: &[u8]) -> Option<Vec<u8>> {
    let end = target.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(target.len());
    let mut path = &target[..end];
    // "GET http://host/path": Tomcat takes it as it is.
    if let Some(rest) = path.strip_prefix(b"http://").or_else(|| path.strip_prefix(b"https://")) {
        path = rest.iter().position(|b| *b == b'/').map_or(b"/".as_slice(), |at| &rest[at..]);
    }
    if path.first() != Some(&b'/') {
        return None;
    }
    let mut segments: Vec<Vec<u8>> = Vec::new();
    let mut directory = false;
    for segment in path[1..].split(|b| *b == b'/') {
        let name = segment.split(|b| *b == b';').next().unwrap_or_default();
        let name = decode(name)?;
        directory = false;
        match name.as_slice() {
            b"" | b"." => directory = true,
            b".." => {
                segments.pop()?;
                directory = true;
            }
            _ => segments.push(name),
        }
    }
    let mut out = Vec::with_capacity(path.len());
    for segment in segments {
        out.push(b'/');
        out.extend_from_slice(&segment);
    }
    if directory || out.is_empty() {
        out.push(b'/');
    }
    Some(out)
}

/// Percent-decodes one segment. `None` if it holds what Tomcat refuses by default: a bad escape, a zero
/// byte, an encoded slash or a backslash.
fn decode(segment: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((first, tail)) = rest.split_first() {
        let byte = if *first == b'%' {
            let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
            let byte = digit(0)? * 16 + digit(1)?;
            rest = &tail[2..];
            byte as u8
        } else {
            rest = tail;
            *first
        };
        if matches!(byte, 0 | b'/' | b'\\') {
            return None;
        }
        out.push(byte);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contexts() -> Contexts {
        let context = |path: &str| Context {
            path: path.into(),
            hosts: Vec::new(),
            shares_cookie: false,
            directory: format!("/dev/shm{path}").into(),
            cookie_name: "JSESSIONID".into(),
            param_names: vec!["jsessionid".into()],
        };
        Contexts::new(vec![context(""), context("/app"), context("/app/admin")])
    }

    fn path_of(target: &str) -> Option<String> {
        let all = contexts();
        all.of(target.as_bytes(), "test").map(|index| all.get(index).path.clone())
    }

    #[test]
    fn r01_the_longest_prefix_wins_as_tomcat_maps_it() {
        for (target, path) in [
            ("/", ""),
            ("/x", ""),
            ("/application", ""),
            ("/app", "/app"),
            ("/app/x?y", "/app"),
            ("/app;jsessionid=A/x", "/app"),
            ("/%61pp/x", "/app"),
            ("//app//x", "/app"),
            ("/app/admin/x", "/app/admin"),
            ("/app/admin/../x", "/app"),
            ("/app/..", ""),
            ("/app/../application", ""),
        ] {
            assert_eq!(path_of(target).as_deref(), Some(path), "{target}");
        }
    }

    #[test]
    fn r01_what_tomcat_refuses_has_no_context() {
        for target in ["*", "", "app", "/../app", "/a%2fb", "/a%00", "/a%zz", "/a%2", "/a\\b", "/a%5cb"] {
            assert_eq!(path_of(target), None, "{target}");
        }
    }

    #[test]
    fn r01_without_root_other_paths_get_no_session_work() {
        let only = Contexts::new(vec![contexts().get(1).clone()]);
        assert_eq!(only.of(b"/elsewhere", "test"), None);
    }

    #[test]
    fn r01_hosts_are_told_apart_as_tomcat_does() {
        let context = |path: &str, hosts: &[&str]| Context {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            path: path.into(),
            ..contexts().get(0).clone()
        };
        let all = Contexts::new(vec![
            context("", &[]),
            context("", &["*.example.com"]),
            context("", &["shop.example.com", "shop"]),
            context("/app", &["shop.example.com"]),
        ]);
        let name =
            |target: &str, host: &str| all.of(target.as_bytes(), host).map(|index| all.get(index).name());
        for (target, host, expected) in [
            ("/", "other:8080", ""),
            ("/", "example.com", ""),
            ("/", "WWW.Example.com:443", "//*.example.com"),
            ("/", "shop.example.com", "//shop.example.com"),
            ("/", "shop", "//shop.example.com"),
            ("/app/x", "shop.example.com:80", "//shop.example.com/app"),
            ("/app/x", "shop", "//shop.example.com"),
            ("/", "[::1]:8080", ""),
        ] {
            assert_eq!(name(target, host).as_deref(), Some(expected), "{host}{target}");
        }
    }
}
