//! The set-up that users are told to make, from the very files in `conf/` that tell them.

use std::path::Path;

use super::edit::Edit;
use super::tomcat::{App, Host, Version, app::Scope};
use super::xml::XmlFile;
use crate::stock::manager::{More, element};

/// The one that Tomcat is to have.
pub const VALVE: &str = r#"<Valve className="org.apache.catalina.valves.PersistentValve"/>"#;

/// The `<Manager>` for this version, with its `<Store>` in `directory`.
pub fn manager(version: Option<Version>, directory: &Path) -> String {
    let line = version.map_or((10, 1), |version| version.line);
    element(line, directory, More::default(), "", "\n")
}

/// The attributes of that `<Manager>`.
pub fn manager_attributes(version: Option<Version>) -> Vec<(String, String)> {
    let told = XmlFile::parse(Path::new("conf"), manager(version, Path::new("/")));
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
    use crate::stock::manager::told;

    #[test]
    fn it_is_what_users_are_told() {
        let names: Vec<_> = manager_attributes(None).into_iter().map(|(name, _)| name).collect();
        assert!(names.contains(&"processExpiresFrequency".to_owned()), "{names:?}");
        for line in [(9, 0), (10, 1), (11, 0)] {
            assert!(told(line).contains(VALVE));
        }
    }
}
