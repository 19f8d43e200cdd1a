//! `${name}` in Tomcat's XML: the Digester replaces it by a system property, which `-D` options of the JVM and
//! `conf/catalina.properties` set (`org.apache.tomcat.util.IntrospectionUtils.replaceProperties`). Neither is known here.

/// A text with what could be replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) text: String,
    /// Names that nobody has given a value.
    pub(super) unknown: Vec<String>,
    /// Names whose default was taken: `${name:-default}`.
    pub(super) defaulted: Vec<String>,
}

/// Replaces what is known; the later of two values of a name counts.
pub(super) fn resolve(text: &str, known: &[(String, String)]) -> Resolved {
    let value = |name: &str| known.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value);
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

/// What is said of a name without a value.
pub(super) fn asked_for(name: &str) -> String {
    format!(
        "{name} is a property of Tomcat's, with a value that this file does not have (-D{name}=… in bin/setenv.sh or CATALINA_OPTS, or {name}=… \
         in conf/catalina.properties): import once more with -D {name}=VALUE"
    )
}

/// What is said of a name whose default was taken.
pub(super) fn default_taken(name: &str) -> String {
    format!(
        "{name} may have another value in Tomcat; taken is the default that stands here. With -D {name}=VALUE it is that one"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_replaced_as_tomcat_does() {
        let known = [("a".into(), "old".into()), ("a".into(), "1".into()), ("x.y".into(), "${a}".into())];
        for (text, to, unknown, defaulted) in [
            (".*\\.(png|css)$", ".*\\.(png|css)$", &[][..], &[][..]),
            ("n1:${a}:${x.y}", "n1:1:${a}", &[], &[]),
            ("${b}-${a:-2}-${c:-3}", "${b}-1-3", &["b"], &["c"]),
            ("${a", "${a", &[], &[]),
            ("$${a}", "$1", &[], &[]),
            ("${}", "${}", &[""], &[]),
        ] {
            let found = resolve(text, &known);
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
