//! `sidecar doctor`: looks for what goes wrong in practice, says why it matters and how it is mended.
//!
//! It changes nothing, and needs neither a running sidecar, nor a running Tomcat, nor root. What it can't look at it says.

mod checks;
pub mod command;
mod edit;
mod finding;
mod print;
mod process;
mod told;
mod tomcat;
mod xml;

use std::path::PathBuf;

use satchel_common::progress::Progress;

pub use finding::{Finding, Place, Report, Severity, Unchecked};

use checks::Subject;
use tomcat::Tomcat;

/// What is to be looked at.
#[derive(Debug, Default)]
pub struct Patient {
    /// CATALINA_BASE: Tomcat's `conf`, `webapps` and the rest.
    pub catalina_base: Option<PathBuf>,
    /// CATALINA_HOME, if it is not found by itself.
    pub catalina_home: Option<PathBuf>,
    /// The sidecar's configuration.
    pub config: Option<PathBuf>,
}

/// Looks at everything.
///
/// # Errors
/// No runtime to ask memcached on.
pub fn examine(patient: &Patient, progress: &Progress) -> std::io::Result<Report> {
    let mut report = Report::default();
    let config = patient.config.as_deref().and_then(|path| checks::configuration(path, &mut report));
    if patient.config.is_none() {
        report.unchecked(
            "the sidecar's configuration, memcached, other sidecars",
            "name the configuration with --config",
        );
    }
    let home = patient.catalina_home.as_deref();
    let tomcat = patient.catalina_base.as_deref().map(|base| Tomcat::read(base, home, &mut report));
    match &tomcat {
        Some(tomcat) => checks::tomcat(Subject { tomcat, config: config.as_ref() }, &mut report),
        None => report.unchecked("Tomcat", "name its CATALINA_BASE with --catalina-base"),
    }
    progress.on("looking at the store directories");
    checks::directories(tomcat.as_ref(), config.as_ref(), &mut report);
    if let Some(config) = &config {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            progress.on("asking memcached");
            checks::nodes(config, &mut report).await;
            progress.on("asking what other sidecars have");
            checks::agreement(config, &mut report).await;
        });
    }
    report.tidy();
    Ok(report)
}
