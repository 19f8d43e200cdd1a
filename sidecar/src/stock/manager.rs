//! The `<Manager>` that Tomcat is to have, from the very files in `conf/` that tell users so.

use std::path::Path;

use super::xml::{STEP, escaped};

const TOLD: [((u32, u32), &str); 3] = [
    ((9, 0), include_str!("../../../conf/tomcat-9.0.xml")),
    ((10, 1), include_str!("../../../conf/tomcat-10.1.xml")),
    ((11, 0), include_str!("../../../conf/tomcat-11.0.xml")),
];

/// What an application has besides.
#[derive(Debug, Clone, Copy, Default)]
pub struct More<'a> {
    /// Attributes.
    pub attributes: &'a [(String, String)],
    /// Of `<SessionIdGenerator>`.
    pub generator: Option<&'a [(String, String)]>,
}

/// What `conf/tomcat-LINE.xml` says; of a line without one, what the nearest older says.
pub fn told(line: (u32, u32)) -> &'static str {
    let older = TOLD.iter().rev().find(|(told, _)| *told <= line);
    older.unwrap_or(&TOLD[0]).1
}

/// The attributes, a line of text each.
fn lines(line: (u32, u32)) -> impl Iterator<Item = &'static str> {
    let text = told(line);
    let start = text.find("<Manager ").map_or(text.len(), |at| at + "<Manager ".len());
    let inner = text[start..].split('>').next().unwrap_or_default();
    inner.lines().map(str::trim)
}

/// The element for this line of Tomcat, with its `<Store>` in `directory`; its further lines indented.
pub fn element(line: (u32, u32), directory: &Path, more: More<'_>, indent: &str, newline: &str) -> String {
    let written = |name: &str, value: &str| format!("{name}=\"{}\"", escaped(value));
    let own = more.attributes.iter().map(|(name, value)| written(name, value));
    let all: Vec<String> = lines(line).map(str::to_owned).chain(own).collect();
    let further = format!("{newline}{indent}         ");
    let inner = format!("{newline}{indent}{STEP}");
    let directory = written("directory", &directory.display().to_string());
    let mut out = format!("<Manager {}>{inner}{}", all.join(&further), store(&directory));
    if let Some(generator) = more.generator {
        let attributes: String =
            generator.iter().map(|(name, value)| format!(" {}", written(name, value))).collect();
        out.push_str(&format!("{inner}<SessionIdGenerator{attributes}/>"));
    }
    out.push_str(&format!("{newline}{indent}</Manager>"));
    out
}

fn store(directory: &str) -> String {
    format!("<Store className=\"org.apache.catalina.session.FileStore\" {directory}/>")
}

#[cfg(test)]
mod tests {
    use super::super::xml::parse;
    use super::*;

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
        for (line, _) in TOLD {
            let told = parse(told(line)).unwrap();
            let theirs = told.descendants().find(|node| node.has_tag_name("Manager")).unwrap();
            let ours = element(line, Path::new("/dev/shm/satchel/ROOT"), More::default(), "  ", "\n");
            assert_eq!(content(parse(&ours).unwrap().root_element()), content(theirs));
        }
    }

    #[test]
    fn each_line_is_told_its_own() {
        for (line, has, lacks) in [
            ((9, 0), "persistAuthenticationNotes", "sessionActivityCheck"),
            ((10, 1), "sessionActivityCheck", "persistAuthenticationNotes"),
            ((11, 0), "sessionActivityCheck", "persistAuthenticationNotes"),
            ((12, 0), "sessionActivityCheck", "persistAuthenticationNotes"),
        ] {
            let manager = element(line, Path::new("/dev/shm/a&b"), More::default(), "", "\n");
            assert!(manager.contains(has) && !manager.contains(lacks), "{manager}");
            assert!(manager.contains("directory=\"/dev/shm/a&amp;b\"/>"), "{manager}");
            assert!(parse(&manager).is_ok());
        }
    }

    #[test]
    fn what_an_application_has_besides_comes_with_it() {
        let attributes = [("sessionAttributeNameFilter".to_owned(), "<a>|\"b&c\"".to_owned())];
        let generator = [("sessionIdLength".to_owned(), "32".to_owned())];
        let more = More { attributes: &attributes, generator: Some(&generator) };
        let text = element((9, 0), Path::new("/x"), more, "", "\n");
        let document = parse(&text).unwrap();
        assert_eq!(document.root_element().attribute("sessionAttributeNameFilter"), Some("<a>|\"b&c\""));
        assert!(text.contains("\n    <SessionIdGenerator sessionIdLength=\"32\"/>\n</Manager>"), "{text}");
    }
}
