//! `${name}` and `${name:-default}` in Tomcat's XML: the Digester replaces them by system properties, which `-D` options of the JVM and
//! `conf/catalina.properties` set (`org.apache.tomcat.util.IntrospectionUtils.replaceProperties`).

/// A text with what could be replaced.
#[derive(Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What is not known stands in it as it was.
    pub text: String,
    /// Names that nobody has given a value.
    pub unknown: Vec<String>,
    /// Names whose default was taken.
    pub defaulted: Vec<String>,
}

/// Replaces what has a `value`.
pub fn resolve<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> Resolved {
    let mut resolved = Resolved { text: String::new(), unknown: Vec::new(), defaulted: Vec::new() };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else { break };
        resolved.text.push_str(before);
        let (plain, default) = name.split_once(":-").map_or((name, None), |(name, text)| (name, Some(text)));
        match (value(name).or_else(|| value(plain)), default) {
            (Some(value), _) => resolved.text.push_str(value),
            (None, Some(default)) => {
                resolved.text.push_str(default);
                resolved.defaulted.push(plain.to_owned());
            }
            (None, None) => {
                resolved.text.push_str("${");
                resolved.text.push_str(name);
                resolved.text.push('}');
                resolved.unknown.push(plain.to_owned());
            }
        }
        rest = tail;
    }
    resolved.text.push_str(rest);
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_replaced_as_tomcat_does() {
        let known = |name: &str| match name {
            "a" => Some("1"),
            "x.y" => Some("${a}"),
            _ => None,
        };
        for (text, to, unknown, defaulted) in [
            (".*\\.(png|css)$", ".*\\.(png|css)$", &[][..], &[][..]),
            ("n1:${a}:${x.y}", "n1:1:${a}", &[], &[]),
            ("${b}-${a:-2}-${c:-3}", "${b}-1-3", &["b"], &["c"]),
            ("${a", "${a", &[], &[]),
            ("$${a}", "$1", &[], &[]),
            ("${}", "${}", &[""], &[]),
        ] {
            let found = resolve(text, known);
            assert_eq!(
                (found.text.as_str(), &found.unknown[..], &found.defaulted[..]),
                (to, &strings(unknown)[..], &strings(defaulted)[..])
            );
        }
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }
}
