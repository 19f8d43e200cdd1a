//! nginx's `server_name`.

use regex::Regex;

/// A host, or hosts.
#[derive(Debug, Clone)]
pub enum ServerName {
    /// This one; the empty name is that of requests without `Host`.
    Exact(String),
    /// `*.example.com`, or `.example.com`, which is `example.com` too. Without the star.
    Suffix {
        /// `.example.com`
        suffix: String,
        /// Whether `example.com` itself is one.
        bare: bool,
    },
    /// `www.example.*`, without the star.
    Prefix(String),
    /// `~regex`
    Regex(Regex),
}

impl ServerName {
    /// Reads a name as it is written.
    ///
    /// # Errors
    /// Says what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(regex) = text.strip_prefix('~') {
            let regex = Regex::new(&format!("(?i){regex}")).map_err(|error| error.to_string())?;
            return Ok(Self::Regex(regex));
        }
        let name = text.to_ascii_lowercase();
        let (kind, rest) = if let Some(rest) = name.strip_prefix('*') {
            (Self::Suffix { suffix: rest.to_owned(), bare: false }, rest)
        } else if name.starts_with('.') {
            (Self::Suffix { suffix: name.clone(), bare: true }, name.as_str())
        } else if let Some(rest) = name.strip_suffix(".*") {
            (Self::Prefix(format!("{rest}.")), rest)
        } else {
            (Self::Exact(name.clone()), name.as_str())
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        let wildcard_without_dot = matches!(&kind, Self::Suffix { suffix, .. } if !suffix.starts_with('.'));
        if !rest.chars().all(allowed) || wildcard_without_dot {
            return Err(format!(
                "'{text}' is not a name; write \"example.com\", \"*.example.com\", \"example.*\" or \"~regex\""
            ));
        }
        Ok(kind)
    }

    /// How well it fits `host`, which is in lower case and without a port; `None`: not at all. More is better.
    pub(super) fn rank(&self, host: &str) -> Option<(u8, usize)> {
        match self {
            Self::Exact(name) => (name == host).then_some((4, 0)),
            Self::Suffix { suffix, bare } => {
                let fits = (host.len() > suffix.len() && host.ends_with(suffix.as_str()))
                    || (*bare && host == &suffix[1..]);
                fits.then_some((3, suffix.len()))
            }
            Self::Prefix(prefix) => host.starts_with(prefix.as_str()).then_some((2, prefix.len())),
            Self::Regex(regex) => regex.is_match(host).then_some((1, 0)),
        }
    }

    /// As it is told to the servers; a regular expression is not.
    pub fn text(&self) -> String {
        match self {
            Self::Exact(name) => name.clone(),
            Self::Suffix { suffix, bare: true } => suffix.clone(),
            Self::Suffix { suffix, .. } => format!("*{suffix}"),
            Self::Prefix(prefix) => format!("{prefix}*"),
            Self::Regex(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_as_nginxs_do() {
        let best = |host: &str| {
            let names =
                ["example.com", "*.example.com", ".shop.example.com", "www.example.*", "~^(a|b)\\.net$"];
            let names: Vec<_> = names.iter().map(|name| (*name, ServerName::parse(name).unwrap())).collect();
            names
                .iter()
                .filter_map(|(text, name)| Some((name.rank(host)?, *text)))
                .max()
                .map_or("", |(_, text)| text)
        };
        for (host, name) in [
            ("example.com", "example.com"),
            ("www.example.com", "*.example.com"),
            ("shop.example.com", ".shop.example.com"),
            ("eu.shop.example.com", ".shop.example.com"),
            ("www.example.org", "www.example.*"),
            ("a.net", "~^(a|b)\\.net$"),
            ("notexample.com", ""),
            ("", ""),
        ] {
            assert_eq!(best(host), name, "{host}");
        }
        assert!(ServerName::parse("a b").is_err() && ServerName::parse("*x.com").is_err());
    }
}
