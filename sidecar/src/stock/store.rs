//! What store directories are called.

use super::name::Name;

/// Below it each application has its own, unless somebody says otherwise: a tmpfs on every Linux.
pub const BELOW: &str = "/dev/shm/satchel";

/// The directory of an application: `ROOT`, `shop`, `shop#new`; with a host where several have one of this name. No part of it leads
/// elsewhere.
pub fn directory(host: Option<&str>, name: &Name) -> String {
    match host {
        Some(host) => format!("{}-{}", plain(host), plain(&name.file())),
        None => plain(&name.file()),
    }
}

fn plain(name: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() || "._-#".contains(c) { c } else { '_' };
    let name: String = name.chars().map(kept).collect();
    if name.starts_with('.') { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_application_has_its_own_and_none_leads_elsewhere() {
        for (host, path, directory_) in [
            (None, "/", "ROOT"),
            (None, "/shop/new", "shop#new"),
            (Some("a.example"), "/shop", "a.example-shop"),
            (Some("../x"), "/é b", "_.._x-__b"),
            (None, "/..", "_.."),
        ] {
            assert_eq!(directory(host, &Name::of_path(path)), directory_);
        }
        assert_ne!(directory(None, &Name::of_path("/a/b")), directory(None, &Name::of_path("/a-b")));
    }
}
