//! The set-up that users are told to make, from the very files in `conf/` that tell them.

use std::path::Path;

use super::edit::Edit;
use super::tomcat::{App, Host, Version, app::Scope};
use super::xml::XmlFile;
use crate::stock::xml::escaped;

const TOLD: [((u32, u32), &str); 3] = [
    ((9, 0), include_str!("../../../conf/tomcat-9.0.xml")),
    ((10, 1), include_str!("../../../conf/tomcat-10.1.xml")),
    ((11, 0), include_str!("../../../conf/tomcat-11.0.xml")),
];
/// The directory that they name.
const DIRECTORY: &str = "/dev/shm/satchel/ROOT";

/// The one that Tomcat is to have.
pub const VALVE: &str = r#"<Valve className="org.apache.catalina.valves.PersistentValve"/>"#;

/// What `conf/tomcat-LINE.xml` says for this version; of a line without one, what the nearest says.
fn file(version: Option<Version>) -> &'static str {
    let line = version.map_or((10, 1), |version| version.line);
    let older = TOLD.iter().rev().find(|(told, _)| *told <= line);
    older.unwrap_or(&TOLD[0]).1
}

/// The `<Manager>` for this version, with its `<Store>` in `directory`.
pub fn manager(version: Option<Version>, directory: &Path) -> String {
    let text = file(version);
    let start = text.find("<Manager ").unwrap_or_default();
    let end = text.find("</Manager>").map_or(start, |at| at + "</Manager>".len());
    let line = &text[text[..start].rfind('\n').map_or(0, |at| at + 1)..start];
    let outdented = text[start..end].replace(&format!("\n{line}"), "\n");
    outdented.replace(DIRECTORY, &escaped(&directory.display().to_string()))
}

/// The attributes of that `<Manager>`.
pub fn manager_attributes(version: Option<Version>) -> Vec<(String, String)> {
    let told = XmlFile::parse(Path::new("conf"), manager(version, Path::new(DIRECTORY)));
    let attributes = told.as_ref().map(|file| file.root.tag.attributes.as_slice()).unwrap_or_default();
    attributes.iter().map(|attribute| (attribute.name.clone(), attribute.value.clone())).collect()
}

/// The files in which the application has this `<Manager>`, and no other.
pub fn give_manager(host: &Host, app: &App, version: Option<Version>, directory: &Path) -> Vec<Edit> {
    let manager = manager(version, directory);
    let mut edits = Vec::new();
    let own = app.definitions.iter().position(|definition| definition.scope == Scope::Own);
    for (at, definition) in app.definitions.iter().enumerate() {
        // One that all have is read for this one too: it comes over what server.xml says, and one that can't be loaded keeps the application
        // from starting.
        let comes_later = own.is_some_and(|own| at > own);
        if definition.scope == Scope::Shared {
            let others = definition.node.children("Manager");
            let wrong = others.filter(|other| comes_later || other.get("className").is_some_and(is_msm));
            edits.extend(wrong.map(|other| other.remove()));
        }
    }
    match own.map(|own| &app.definitions[own].node) {
        Some(context) => edits.push(match context.children("Manager").next() {
            Some(other) => other.become_text(&manager),
            None => context.prepend(&manager),
        }),
        None => {
            let indented = manager.replace('\n', "\n  ");
            let text = format!("<Context>\n  {indented}\n</Context>\n");
            edits.push(Edit::Create { path: host.descriptor(&app.name), text });
        }
    }
    edits
}

/// Whether a Manager's class is one of memcached-session-manager's.
pub fn is_msm(class: &str) -> bool {
    class.starts_with("de.javakaffee.web.msm.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_told_its_own() {
        let told = |major, minor| manager(Some(Version::new(major, minor, 0)), Path::new("/dev/shm/a&b"));
        for (line, has, lacks) in [
            ((9, 0), "persistAuthenticationNotes", "sessionActivityCheck"),
            ((10, 1), "sessionActivityCheck", "persistAuthenticationNotes"),
            ((11, 0), "sessionActivityCheck", "persistAuthenticationNotes"),
            ((12, 0), "sessionActivityCheck", "persistAuthenticationNotes"),
        ] {
            let manager = told(line.0, line.1);
            assert!(manager.contains(has) && !manager.contains(lacks), "{manager}");
            assert!(
                manager.starts_with("<Manager className=") && manager.ends_with("\n</Manager>"),
                "{manager}"
            );
            assert!(manager.contains("directory=\"/dev/shm/a&amp;b\"/>"), "{manager}");
            assert!(XmlFile::parse(Path::new("x"), manager).is_ok());
        }
        let names: Vec<_> = manager_attributes(None).into_iter().map(|(name, _)| name).collect();
        assert!(names.contains(&"processExpiresFrequency".to_owned()), "{names:?}");
        for (_, text) in TOLD {
            assert!(text.contains(VALVE));
        }
    }
}
