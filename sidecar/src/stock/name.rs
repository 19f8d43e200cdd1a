//! Tomcat's names of web applications: what the name of a file says about the path (`org.apache.catalina.util.ContextName`).

/// The name that stands for the path `/`.
const ROOT: &str = "ROOT";

/// An application's path and version: `shop#new##2` is version 2 of `/shop/new`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// `/shop`, as in `[[context]]`; `""` is ROOT.
    pub path: String,
    /// Of a parallel deployment, what stands behind `##`; mostly empty.
    pub version: String,
}

impl Name {
    /// Of a file or folder, without `.xml` or `.war`.
    pub fn of_file(stem: &str) -> Self {
        let (base, version) = stem.split_once("##").unwrap_or((stem, ""));
        let path = match base {
            "" | ROOT => String::new(),
            base => format!("/{}", base.replace('#', "/")),
        };
        Self { path, version: version.to_owned() }
    }

    /// Of a path as a person writes it: `""`, `/`, `app` or `/app/`.
    pub fn of_path(path: &str) -> Self {
        let path = match path.trim_matches('/') {
            "" => String::new(),
            path => format!("/{path}"),
        };
        Self { path, version: String::new() }
    }

    /// The path, for people: `/` is ROOT.
    pub fn shown(&self) -> &str {
        if self.path.is_empty() { "/" } else { &self.path }
    }

    /// The name of its file or folder, without `.xml` or `.war`.
    pub fn file(&self) -> String {
        match self.version.as_str() {
            "" => self.base(),
            version => format!("{}##{version}", self.base()),
        }
    }

    /// The same without a version.
    pub fn base(&self) -> String {
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
            ("ROOT", "", ""),
            ("shop", "/shop", ""),
            ("shop#admin", "/shop/admin", ""),
            ("shop##2", "/shop", "2"),
            ("shop#new##2.1", "/shop/new", "2.1"),
            ("ROOT##001", "", "001"),
            ("root", "/root", ""),
        ] {
            let name = Name::of_file(stem);
            assert_eq!((name.path.as_str(), name.version.as_str()), (path, version), "{stem}");
            assert_eq!(name.file(), stem);
        }
        assert_eq!(Name::of_file("##001"), Name::of_file("ROOT##001"));
        for (path, base) in [("", "ROOT"), ("/", "ROOT"), ("/shop", "shop"), ("shop/admin/", "shop#admin")] {
            assert_eq!(Name::of_path(path).base(), base);
        }
        assert_eq!((Name::of_path("/").shown(), Name::of_path("a").shown()), ("/", "/a"));
    }
}
