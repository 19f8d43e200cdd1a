//! Tomcat's own `<Manager>`, as in `conf/tomcat-*.xml`.

use crate::stock::xml::{STEP, escaped};

/// Which Tomcat; what they take differs a little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Line {
    /// `javax.servlet`, as all of msm's Tomcats.
    #[default]
    #[value(name = "9.0")]
    V9_0,
    /// `jakarta.servlet`.
    #[value(name = "10.1")]
    V10_1,
    /// The newest.
    #[value(name = "11.0")]
    V11_0,
}

/// The first of a line with which everything is promised.
pub(super) fn floor(line: Line) -> &'static str {
    match line {
        Line::V9_0 => "9.0.122",
        Line::V10_1 => "10.1.60",
        Line::V11_0 => "11.0.26",
    }
}

/// The valve in each `<Host>`.
pub(super) const VALVE: &str = "org.apache.catalina.valves.PersistentValve";

const STORE: &str = "org.apache.catalina.session.FileStore";

/// The attributes, a line of text each.
fn attributes(line: Line) -> [&'static [(&'static str, &'static str)]; 4] {
    [
        &[("className", "org.apache.catalina.session.PersistentManager")],
        &[("saveOnRestart", "false"), ("maxIdleBackup", "-1"), ("maxIdleSwap", "-1"), ("minIdleSwap", "-1")],
        &[("processExpiresFrequency", "2147483647")],
        match line {
            Line::V9_0 => &[("persistAuthentication", "true"), ("persistAuthenticationNotes", "true")],
            Line::V10_1 | Line::V11_0 => {
                &[("persistAuthentication", "true"), ("sessionActivityCheck", "true")]
            }
        },
    ]
}

/// What comes from msm's.
#[derive(Default)]
pub(super) struct Own<'a> {
    /// Attributes.
    pub(super) kept: &'a [(String, String)],
    /// Of `<SessionIdGenerator>`.
    pub(super) generator: Option<&'a [(String, String)]>,
}

/// The element, with its further lines indented.
pub(super) fn element(line: Line, directory: &str, own: &Own<'_>, indent: &str, newline: &str) -> String {
    let further = format!("{newline}{indent}         ");
    let written = |name: &str, value: &str| format!("{name}=\"{}\"", escaped(value));
    let mut lines: Vec<String> = attributes(line)
        .iter()
        .map(|line| line.iter().map(|(name, value)| written(name, value)).collect::<Vec<_>>().join(" "))
        .collect();
    lines.extend(own.kept.iter().map(|(name, value)| written(name, value)));
    let inner = format!("{newline}{indent}{STEP}");
    let mut out = format!("<Manager {}>", lines.join(&further));
    out.push_str(&format!("{inner}<Store className=\"{STORE}\" {}/>", written("directory", directory)));
    if let Some(generator) = own.generator {
        let attributes: String =
            generator.iter().map(|(name, value)| format!(" {}", written(name, value))).collect();
        out.push_str(&format!("{inner}<SessionIdGenerator{attributes}/>"));
    }
    out.push_str(&format!("{newline}{indent}</Manager>"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::xml::parse;

    /// Tag names, attributes and their values.
    fn content(node: roxmltree::Node<'_, '_>) -> Vec<(String, Vec<(String, String)>)> {
        let all = node.descendants().filter(roxmltree::Node::is_element);
        let attributes = |one: roxmltree::Node<'_, '_>| -> Vec<(String, String)> {
            one.attributes().map(|a| (a.name().to_owned(), a.value().to_owned())).collect()
        };
        all.map(|one| (one.tag_name().name().to_owned(), attributes(one))).collect()
    }

    #[test]
    fn it_is_what_users_are_told() {
        for (line, name) in [(Line::V9_0, "9.0"), (Line::V10_1, "10.1"), (Line::V11_0, "11.0")] {
            let path = format!("{}/../conf/tomcat-{name}.xml", env!("CARGO_MANIFEST_DIR"));
            let told = std::fs::read_to_string(path).unwrap();
            let told = parse(&told).unwrap();
            let one = |name: &str| told.descendants().find(|node| node.tag_name().name() == name).unwrap();
            let ours = element(line, "/dev/shm/satchel/ROOT", &Own::default(), "  ", "\n");
            let ours = parse(&ours).unwrap();
            assert_eq!(content(ours.root_element()), content(one("Manager")));
            assert_eq!(one("Valve").attribute("className"), Some(VALVE));
            let top = told.root().first_child().unwrap().text().unwrap();
            assert!(top.contains(&format!("{} or newer", floor(line))), "{top}");
        }
    }

    #[test]
    fn what_msm_had_comes_with_it() {
        let kept = [("sessionAttributeNameFilter".to_owned(), "<a>|\"b&c\"".to_owned())];
        let generator = [("sessionIdLength".to_owned(), "32".to_owned())];
        let own = Own { kept: &kept, generator: Some(&generator) };
        let text = element(Line::V9_0, "/x", &own, "", "\n");
        let document = parse(&text).unwrap();
        assert_eq!(document.root_element().attribute("sessionAttributeNameFilter"), Some("<a>|\"b&c\""));
        assert!(text.contains("\n    <SessionIdGenerator sessionIdLength=\"32\"/>\n</Manager>"), "{text}");
    }
}
