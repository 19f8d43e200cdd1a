//! `${name}` in Tomcat's XML, with the values that the command line has (`-D`): those that Tomcat has are not known here.

use crate::stock::property;
pub(super) use crate::stock::property::Resolved;

/// Replaces what is known; the later of two values of a name counts.
pub(super) fn resolve(text: &str, known: &[(String, String)]) -> Resolved {
    let value = |name: &str| known.iter().rev().find(|(other, _)| other == name);
    property::resolve(text, |name| value(name).map(|(_, value)| value.as_str()))
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
    fn of_two_values_the_later_counts() {
        let known = [("a".into(), "old".into()), ("b".into(), "2".into()), ("a".into(), "1".into())];
        assert_eq!(resolve("${a}${b}", &known).text, "12");
    }
}
