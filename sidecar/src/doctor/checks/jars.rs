//! Jars of memcached-session-manager that were left behind.

use std::path::PathBuf;

use super::{Finding, Report, Severity, Subject};
use crate::doctor::tomcat::app::jars_in;
use crate::shown::word;

/// msm's own, and its client of memcached.
const MSM: [&str; 3] = ["memcached-session-manager", "msm-", "spymemcached"];
/// What it drew in. Applications may have these for themselves: they count only beside msm's, in Tomcat's own `lib`.
const DRAWN_IN: [&str; 9] = [
    "kryo",
    "minlog",
    "reflectasm",
    "asm-",
    "objenesis",
    "javolution",
    "xstream",
    "flexjson",
    "couchbase-client",
];

pub(super) fn check(subject: Subject<'_>, report: &mut Report) {
    let tomcat = subject.tomcat;
    let mut directories: Vec<PathBuf> =
        [Some(&tomcat.base), tomcat.home.as_ref()].into_iter().flatten().map(|at| at.join("lib")).collect();
    directories.dedup();
    for directory in directories {
        let jars = jars_in(&directory);
        let is_one_of = |name: &str, of: &[&str]| of.iter().any(|prefix| name.starts_with(prefix));
        if !jars.iter().any(|(name, _)| is_one_of(name, &MSM)) {
            continue;
        }
        let left = jars.iter().filter(|(name, _)| is_one_of(name, &MSM) || is_one_of(name, &DRAWN_IN));
        let left: Vec<_> = left.collect();
        report.add(
            Finding::new(
                "jars.msm",
                Severity::Warning,
                format!(
                    "jars of msm are left: {}",
                    left.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
                ),
                "Tomcat has no use for them: they are old code with known flaws in every application's reach, and keep newer versions of the \
                 same libraries out",
                left.iter().fold("remove them, and restart Tomcat:".to_owned(), |fix, (_, path)| {
                    format!("{fix}\n$ rm {}", word(path))
                }),
            )
            .of(directory),
        );
    }
    for (_, app) in tomcat.apps() {
        let jars = app.jars();
        let left: Vec<_> =
            jars.iter().filter(|(name, _)| MSM.iter().any(|prefix| name.starts_with(prefix))).collect();
        let Some((_, path)) = left.first() else { continue };
        let names: Vec<_> = left.iter().map(|(name, _)| name.as_str()).collect();
        let is_archive = Some(path) == app.doc_base.as_ref();
        let fix = if is_archive {
            format!("build the application without {}", names.join(", "))
        } else {
            left.iter()
                .fold("remove them, and build the application without them:".to_owned(), |fix, (_, path)| {
                    format!("{fix}\n$ rm {}", word(path))
                })
        };
        report.add(
            Finding::new(
                "jars.msm_in_app",
                Severity::Warning,
                format!("jars of msm are left in application {}: {}", app.shown(), names.join(", ")),
                "the application has no use for them: they are old code with known flaws",
                fix,
            )
            .of(path),
        );
    }
}
