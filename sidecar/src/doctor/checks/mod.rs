//! What is looked at, one group to a file.

mod access_log;
mod agreement;
mod apps;
mod configuration;
mod connectors;
mod cookies;
mod directories;
mod jars;
mod manager;
mod nodes;
mod process;
mod store;
mod valve;
mod version;

use std::path::{Path, PathBuf};

use super::told::is_msm;
use super::tomcat::{App, Host, Tomcat};
use super::{Finding, Report, Severity};
use crate::config::Config;
use crate::context::Context;
use crate::stock;

pub use agreement::check as agreement;
pub use configuration::check as configuration;
pub use directories::check as directories;
pub use nodes::check as nodes;

/// `className` of Tomcat's own manager that can hand sessions over.
const PERSISTENT_MANAGER: &str = "org.apache.catalina.session.PersistentManager";

/// What is looked at.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The Tomcat.
    pub tomcat: &'a Tomcat,
    /// The configuration of its sidecar, if it is known.
    pub config: Option<&'a Config>,
}

/// Everything about a Tomcat's files.
pub fn tomcat(subject: Subject<'_>, report: &mut Report) {
    let groups: [fn(Subject<'_>, &mut Report); 10] = [
        version::check,
        valve::check,
        manager::check,
        store::check,
        cookies::check,
        apps::check,
        access_log::check,
        connectors::check,
        jars::check,
        process::check,
    ];
    for check in groups {
        check(subject, report);
    }
}

impl<'a> Subject<'a> {
    /// What the configuration says of an application.
    pub fn context_of(self, host: &Host, app: &App) -> Option<&'a Context> {
        let of_path = self.config?.contexts.iter().filter(|context| context.path == app.name.path);
        let mut of_path = of_path.collect::<Vec<_>>();
        // One that names the host before one for all.
        of_path.sort_by_key(|context| context.hosts.is_empty());
        // A name that no host has comes to the default one.
        let nobody = |name: &str| !self.tomcat.hosts.iter().any(|other| other.answers_to(name));
        let is_here = |name: &String| host.answers_to(name) || host.is_default && nobody(name);
        of_path.into_iter().find(|context| context.hosts.is_empty() || context.hosts.iter().any(is_here))
    }

    /// The applications whose sessions are to be shared: those that the configuration names; without one, those that are set up for it.
    pub fn shared(self) -> impl Iterator<Item = (&'a Host, &'a App)> {
        self.tomcat.apps().filter(move |(host, app)| match self.config {
            Some(_) => self.context_of(host, app).is_some(),
            None => is_persistent(app) || has_msm(app),
        })
    }

    /// The store directory that an application is to have.
    pub fn directory_of(self, host: &Host, app: &App) -> PathBuf {
        match self.context_of(host, app) {
            Some(context) => context.directory.clone(),
            None => Path::new(stock::store::BELOW).join(stock::store::directory(None, &app.name)),
        }
    }

    /// With a known property of the running Tomcat, or the one that will run.
    pub fn property(self, name: &str) -> Option<&'a str> {
        self.tomcat.properties.get(name)
    }
}

/// Whether it has Tomcat's PersistentManager.
fn is_persistent(app: &App) -> bool {
    app.last("Manager").is_some_and(|(_, manager)| manager.get("className") == Some(PERSISTENT_MANAGER))
}

/// Whether it still has msm's.
fn has_msm(app: &App) -> bool {
    app.all("Manager").any(|manager| manager.get("className").is_some_and(is_msm))
}

/// Whether a switch is on. Tomcat's are `true` and `false`, in any case.
fn is_true(value: Option<&str>) -> bool {
    value.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}
