//! Tomcat's names of web applications: what a file's name says about the path (`org.apache.catalina.util.ContextName`).

/// The name that stands for `/`.
const ROOT: &str = "ROOT";

/// An application's path and what comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// `/` or `/app`, as in `sidecar.toml`.
    pub(super) path: String,
    /// Of a parallel deployment: what stands behind `##`.
    pub(super) version: Option<String>,
}

impl Name {
    /// `app#sub` of `app#sub.xml` is `/app/sub`, `ROOT` is `/`.
    pub(super) fn of_file(stem: &str) -> Self {
        let (base, version) = match stem.split_once("##") {
            Some((base, version)) => (base, Some(version.to_owned())),
            None => (stem, None),
        };
        let path = match base {
            "" | ROOT => "/".to_owned(),
            base => format!("/{}", base.replace('#', "/")),
        };
        Self { path, version }
    }

    /// A path as a person writes it: `""`, `/`, `app` or `/app/`.
    pub(super) fn of_path(path: &str) -> Self {
        Self { path: format!("/{}", path.trim_matches('/')), version: None }
    }

    /// The name of its file or folder, without an extension.
    pub(super) fn file(&self) -> String {
        match &self.version {
            Some(version) => format!("{}##{version}", self.base()),
            None => self.base(),
        }
    }

    /// The same without a version.
    pub(super) fn base(&self) -> String {
        match self.path.trim_start_matches('/') {
            "" => ROOT.to_owned(),
            path => path.replace('/', "#"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_tomcat_does() {
        for (stem, path, version) in [
            ("ROOT", "/", None),
            ("shop", "/shop", None),
            ("shop#admin", "/shop/admin", None),
            ("shop##2", "/shop", Some("2")),
            ("ROOT##001", "/", Some("001")),
            ("##001", "/", Some("001")),
            ("root", "/root", None),
        ] {
            let name = Name::of_file(stem);
            assert_eq!((name.path.as_str(), name.version.as_deref()), (path, version), "{stem}");
        }
        for (path, base) in [("", "ROOT"), ("/", "ROOT"), ("/shop", "shop"), ("shop/admin/", "shop#admin")] {
            assert_eq!(Name::of_path(path).base(), base);
        }
    }
}
