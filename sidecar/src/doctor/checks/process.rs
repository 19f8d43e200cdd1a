//! The Tomcat that runs: whether it has read its files as they are now.

use std::time::Duration;

use super::{Finding, Report, Severity, Subject};

/// The kernel counts a process's start in hundredths of seconds, and the clock may have been set since.
const TOLERANCE: Duration = Duration::from_secs(2);

pub(super) fn check(subject: Subject<'_>, report: &mut Report) {
    let tomcat = subject.tomcat;
    let Some(process) = &tomcat.process else {
        return report.unchecked(
            "the running Tomcat: its user, its umask, where it listens",
            "no running Tomcat of this CATALINA_BASE can be seen; run doctor again while it runs, on its machine (in its pod)",
        );
    };
    let Some(started) = process.started else { return };
    for file in ["conf/server.xml", "conf/context.xml", "conf/catalina.properties", "bin/setenv.sh"] {
        let path = tomcat.base.join(file);
        let changed = std::fs::metadata(&path).and_then(|found| found.modified());
        if changed.is_ok_and(|changed| changed > started + TOLERANCE) {
            report.add(
                Finding::new(
                    "process.stale",
                    Severity::Warning,
                    format!("{file} was changed after Tomcat (process {}) was started", process.pid),
                    "Tomcat reads it only when it starts: what is found here need not be what runs",
                    "restart Tomcat",
                )
                .of(path),
            );
        }
    }
}
