//! Tomcat's version against what the README says of each.

use super::Subject;
use crate::doctor::tomcat::Version;
use crate::doctor::{Finding, Report, Severity};

/// What is known of a line.
struct Line {
    /// `10.1.x`.
    line: (u32, u32),
    /// From here on everything that is promised.
    floor: u32,
    /// Before it session files are written in place and asynchronous requests are not saved.
    whole: u32,
    /// The oldest that can be used.
    oldest: u32,
    /// Cannot load its `FileStore`: a class was left out of its jars.
    broken: Option<u32>,
}

const LINES: [Line; 3] = [
    Line { line: (9, 0), floor: 122, whole: 119, oldest: 76, broken: Some(109) },
    Line { line: (10, 1), floor: 60, whole: 56, oldest: 10, broken: Some(45) },
    Line { line: (11, 0), floor: 26, whole: 23, oldest: 0, broken: None },
];

pub(super) fn check(subject: Subject<'_>, report: &mut Report) {
    match &subject.tomcat.version {
        Ok(version) => {
            if let Some(finding) = judge(*version) {
                let jar = subject.tomcat.home.as_ref().map(|home| home.join("lib/catalina.jar"));
                report.add(jar.into_iter().fold(finding, Finding::of));
            }
        }
        Err(why) => report.unchecked("Tomcat's version", why.clone()),
    }
}

fn judge(version: Version) -> Option<Finding> {
    let what = format!("this is Tomcat {version}");
    let Some(line) = LINES.iter().find(|line| line.line == version.line) else {
        let newest = LINES.iter().map(|line| line.line).max().unwrap_or_default();
        return Some(if version.line > newest {
            let why = "nobody has tried it with Satchel yet";
            Finding::new(
                "version.unknown",
                Severity::Note,
                what,
                why,
                "watch the sidecar's log and its counters",
            )
        } else {
            let why = "PersistentValve of this line lets several requests of one session run at a time, or cannot keep a login";
            Finding::new("version.line", Severity::Error, what, why, upgrade(None))
        });
    };
    if line.broken == Some(version.patch) {
        let why =
            "its FileStore cannot be loaded (a class was left out of its jars), so no session is ever stored";
        return Some(Finding::new("version.broken", Severity::Error, what, why, upgrade(Some(line))));
    }
    if version.patch < line.oldest {
        let why = "its PersistentValve lets several requests of one session run at a time, and the sidecar's probe does not work";
        return Some(Finding::new("version.old", Severity::Error, what, why, upgrade(Some(line))));
    }
    if version.patch < line.whole {
        let why = "it does not save asynchronous requests, and writes session files in place: each request with a session costs a second, \
                   tiny one, and a save that breaks off half-way is not told from a whole one";
        return Some(Finding::new("version.in_place", Severity::Warning, what, why, upgrade(Some(line))));
    }
    let why =
        "it has everything that Satchel needs, but not yet every repair of PersistentValve and FileStore";
    (version.patch < line.floor)
        .then(|| Finding::new("version.floor", Severity::Note, what, why, upgrade(Some(line))))
}

fn upgrade(line: Option<&Line>) -> String {
    let all: Vec<String> = match line {
        Some(one) => vec![format!("{}.{}.{}", one.line.0, one.line.1, one.floor)],
        None => LINES.iter().map(|one| format!("{}.{}.{}", one.line.0, one.line.1, one.floor)).collect(),
    };
    format!(
        "install Tomcat {} or newer (https://tomcat.apache.org), and let CATALINA_HOME name it; CATALINA_BASE stays as it is",
        all.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_what_the_readme_says() {
        for (version, found) in [
            ("8.5.100", Some("version.line")),
            ("10.0.27", Some("version.line")),
            ("9.0.75", Some("version.old")),
            ("9.0.76", Some("version.in_place")),
            ("9.0.109", Some("version.broken")),
            ("9.0.118", Some("version.in_place")),
            ("9.0.119", Some("version.floor")),
            ("9.0.122", None),
            ("10.1.9", Some("version.old")),
            ("10.1.45", Some("version.broken")),
            ("10.1.55", Some("version.in_place")),
            ("10.1.59", Some("version.floor")),
            ("10.1.60", None),
            ("11.0.22", Some("version.in_place")),
            ("11.0.25", Some("version.floor")),
            ("11.0.26", None),
            ("12.0.0", Some("version.unknown")),
        ] {
            let finding = judge(version.parse().unwrap());
            assert_eq!(finding.as_ref().map(|finding| finding.id), found, "{version}");
            assert!(finding.is_none_or(|finding| finding.what.contains(version)));
        }
        let readme = include_str!("../../../../README.md");
        for line in &LINES {
            let of = |patch| format!("{}.{}.{patch}", line.line.0, line.line.1);
            for version in
                [Some(line.floor), Some(line.whole), Some(line.oldest), line.broken].into_iter().flatten()
            {
                assert!(readme.contains(&of(version)), "the README does not say {}", of(version));
            }
        }
    }
}
