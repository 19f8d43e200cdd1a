//! Values with nginx's variables in them: headers, redirects, lines of the access log.

mod user;
mod variables;

use variables::Variable;
pub use variables::{Answered, Variables};
pub(crate) use variables::{protocol, without_port};

/// A value, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(Variable),
}

/// Why a value can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TemplateError {
    /// There is no such variable.
    #[error("there is no variable ${0}; there are: {known}", known = variables::known())]
    Unknown(String),
    /// `${` without `}`.
    #[error("a variable that begins with ${{ must end with }}")]
    Unclosed,
    /// It would end the header.
    #[error("must not have control characters")]
    Control,
}

impl Template {
    /// Reads `text`; variables are `$name` and `${name}`.
    ///
    /// # Errors
    /// Names the variable that does not exist.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Self::parse_with(text, &['\t'])
    }

    /// The same for a body, which may have several lines.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_body(text: &str) -> Result<Self, TemplateError> {
        Self::parse_with(text, &['\t', '\n', '\r'])
    }

    fn parse_with(text: &str, allowed: &[char]) -> Result<Self, TemplateError> {
        if text.chars().any(|c| c.is_control() && !allowed.contains(&c)) {
            return Err(TemplateError::Control);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            let (name, tail) = match after.strip_prefix('{') {
                Some(braced) => braced.split_once('}').ok_or(TemplateError::Unclosed)?,
                None => {
                    let end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
                    after.split_at(after.find(end).unwrap_or(after.len()))
                }
            };
            let variable = Variable::find(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Variable(variable));
            rest = tail;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Self(parts))
    }

    /// The value for a request.
    pub fn render(&self, variables: &Variables<'_>) -> String {
        self.render_with(variables, |out, value| out.push_str(value))
    }

    /// The same for a header: what could end it is escaped. `$uri` is decoded, so that a client can have any byte in it.
    pub fn render_field(&self, variables: &Variables<'_>) -> String {
        self.render_with(variables, |out, value| {
            for c in value.chars() {
                if c.is_ascii_control() && c != '\t' {
                    out.push_str(&format!("%{:02X}", u32::from(c)));
                } else {
                    out.push(c);
                }
            }
        })
    }

    /// The same, with `put` to write what a variable stands for.
    pub fn render_with(&self, variables: &Variables<'_>, put: impl Fn(&mut String, &str)) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Variable(variable) => put(&mut out, &variables.get(variable)),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pingora_http::RequestHeader;

    #[test]
    fn variables_are_put_in() {
        let mut request = RequestHeader::build("GET", b"/a%20b?c=d&x=y", None).unwrap();
        request.insert_header("Host", "Shop.example:8080").unwrap();
        request.insert_header("Cookie", "a=1; JSESSIONID=ABC-n1").unwrap();
        request.insert_header("X-Some-Thing", "s").unwrap();
        let variables = Variables {
            proxy_host: "tomcats",
            forwarded_for: "192.0.2.7, 192.0.2.1",
            uri: "/a b",
            ..Variables::of(&request, "192.0.2.1".parse().unwrap())
        };
        for (text, value) in [
            ("$host", "shop.example"),
            ("$http_host", "Shop.example:8080"),
            ("$scheme://$host:$server_port/", "http://shop.example:80/"),
            ("$proxy_host", "tomcats"),
            ("plain", "plain"),
            ("", ""),
            ("a${remote_addr}b", "a192.0.2.1b"),
            ("$proxy_add_x_forwarded_for", "192.0.2.7, 192.0.2.1"),
            ("$request_uri|$uri|$args|$arg_x|$arg_none", "/a%20b?c=d&x=y|/a b|c=d&x=y|y|"),
            ("$cookie_JSESSIONID $http_x_some_thing", "ABC-n1 s"),
            ("$request_method$is_args", "GET?"),
        ] {
            assert_eq!(Template::parse(text).unwrap().render(&variables), value, "{text}");
        }
    }

    #[test]
    fn nothing_ends_a_header() {
        let request = RequestHeader::build("GET", b"/", None).unwrap();
        let variables = Variables {
            uri: "/a\r\nb\0\x7f\t\u{e9}",
            ..Variables::of(&request, "192.0.2.1".parse().unwrap())
        };
        let template = Template::parse("<$uri>").unwrap();
        assert_eq!(template.render_field(&variables), "</a%0D%0Ab%00%7F\t\u{e9}>");
    }

    #[test]
    fn unknown_variables_are_named() {
        assert_eq!(Template::parse("$hots").unwrap_err(), TemplateError::Unknown("hots".into()));
        assert_eq!(Template::parse("a\r\nb").unwrap_err(), TemplateError::Control);
        assert!(Template::parse("a\nb").is_err() && Template::parse_body("a\r\n\tb").is_ok());
        assert_eq!(Template::parse_body("a\0b").unwrap_err(), TemplateError::Control);
        assert_eq!(Template::parse("${host").unwrap_err(), TemplateError::Unclosed);
        assert!(Template::parse("$").is_err() && Template::parse("$http_").is_err());
    }
}
