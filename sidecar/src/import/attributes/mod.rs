//! The attributes of msm's `<Manager>`: one row of a table for each, as in docs/from-msm.md.
//!
//! The names are the setters of msm 2.3.2 (tc6 to tc9) and of the `ManagerBase` that it extends there, Tomcat 6.0 to 9.0.

mod kept;
mod nodes;
mod sessions;
mod times;

use roxmltree::Node;
use satchel_common::import::Note;
use satchel_common::import::note::url_without_credentials;
use satchel_common::import::outcome::{Outcome, changed, not};

use super::manager::Line;
use super::property::{Resolved, asked_for, default_taken, resolve};
use super::source::File;
use super::xml::{attribute, children};

pub(in crate::import) use nodes::NO_NODE;

/// What a `<Manager>` wants of the sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// As in `memcached.nodes`; nothing, if the file has none that can be used.
    pub(super) nodes: Option<String>,
    /// The application sees the node's name behind the id.
    pub(super) suffix: bool,
    /// `session.locking`; nothing is the sidecar's own.
    pub(super) locking: Option<String>,
    /// `session.ignore_uri`.
    pub(super) ignore: Option<String>,
    /// Responses go out before their session is stored.
    pub(super) unheld: bool,
    /// `session.backup_timeout`, in milliseconds.
    pub(super) backup_timeout: Option<u64>,
    /// `memcached.timeout`, in milliseconds.
    pub(super) timeout: Option<u64>,
    /// `session.farm`.
    pub(super) farm: Option<String>,
    /// Counters are to be seen.
    pub(super) statistics: bool,
}

/// A `<Manager>` of msm's, read.
pub(super) struct Manager {
    pub(super) wanted: Wanted,
    /// What Tomcat's own takes over: attributes as they are written.
    pub(super) kept: Vec<(String, String)>,
    /// The attributes of a `<SessionIdGenerator>` in it.
    pub(super) generator: Option<Vec<(String, String)>>,
    pub(super) notes: Vec<Note>,
}

/// What rules may look at and change.
struct Scope {
    /// Every session stays at its server, as far as msm knows.
    sticky: bool,
    line: Line,
    wanted: Wanted,
    kept: Vec<(String, String)>,
    /// What is in its `<SessionIdGenerator>`.
    generator: Option<Vec<(String, String)>>,
}

/// What is to be done with an attribute.
enum Rule {
    /// Its value says what becomes of it.
    Value(fn(&mut Scope, &str) -> Outcome),
    /// Tomcat's own manager has it too.
    Kept,
    /// Whatever it says, for this reason.
    Nothing(&'static str),
}

/// Not shown in notes.
const SECRET: [&str; 2] = ["username", "password"];

const COUNTER: &str = "is a counter and no setting";
const TOMCAT_6: &str = "is how Tomcat 6 made ids; newer ones take secureRandomClass, secureRandomAlgorithm and secureRandomProvider";
const PERSISTENT: &str = "is PersistentManager's, and set as the sidecar needs it";

const RULES: &[(&str, Rule)] = &[
    ("memcachedNodes", Rule::Value(nodes::memcached_nodes)),
    ("failoverNodes", Rule::Nothing("every node stands in for the one before it")),
    ("username", Rule::Value(|_, _| not(nodes::SASL))),
    ("password", Rule::Value(|_, _| not(nodes::SASL))),
    ("memcachedProtocol", Rule::Value(nodes::memcached_protocol)),
    ("storageKeyPrefix", Rule::Value(nodes::storage_key_prefix)),
    ("enableStatistics", Rule::Value(nodes::enable_statistics)),
    ("backupThreadCount", Rule::Nothing("stores do not wait in threads")),
    ("sticky", Rule::Value(sessions::sticky)),
    ("lockingMode", Rule::Value(sessions::locking_mode)),
    (
        "lockExpiration",
        Rule::Nothing("a lock is renewed for as long as its request runs, and ends with its sidecar"),
    ),
    ("requestUriIgnorePattern", Rule::Value(sessions::ignore_pattern)),
    ("sessionBackupAsync", Rule::Value(sessions::backup_async)),
    ("enabled", Rule::Value(sessions::enabled)),
    ("sessionBackupTimeout", Rule::Value(times::backup_timeout)),
    ("operationTimeout", Rule::Value(times::operation_timeout)),
    ("maxInactiveInterval", Rule::Value(times::max_inactive_interval)),
    ("sessionAttributeFilter", Rule::Value(kept::attribute_filter)),
    ("transcoderFactoryClass", Rule::Value(kept::transcoder)),
    (
        "copyCollectionsForSerialization",
        Rule::Nothing("one request of a session runs at a time, and Tomcat saves at its end"),
    ),
    ("customConverter", Rule::Value(|_, _| changed(kept::SERIALIZABLE))),
    // Tomcat's own, from here on.
    ("sessionAttributeNameFilter", Rule::Value(kept::attribute_name_filter)),
    ("sessionAttributeValueClassNameFilter", Rule::Value(kept::class_filter)),
    ("warnOnSessionAttributeFilterFailure", Rule::Kept),
    ("notifyAttributeListenerOnUnchangedValue", Rule::Kept),
    ("notifyBindingListenerOnUnchangedValue", Rule::Kept),
    ("secureRandomClass", Rule::Kept),
    ("secureRandomAlgorithm", Rule::Kept),
    ("secureRandomProvider", Rule::Kept),
    ("randomClass", Rule::Nothing(TOMCAT_6)),
    ("randomFile", Rule::Nothing(TOMCAT_6)),
    ("algorithm", Rule::Nothing(TOMCAT_6)),
    ("entropy", Rule::Nothing(TOMCAT_6)),
    ("sessionIdLength", Rule::Value(kept::id_length)),
    ("persistAuthentication", Rule::Value(kept::persist)),
    ("persistAuthenticationNotes", Rule::Value(kept::persist)),
    ("sessionActivityCheck", Rule::Value(kept::activity_check)),
    ("sessionLastAccessAtStart", Rule::Value(kept::last_access)),
    ("maxActiveSessions", Rule::Nothing("Tomcat has sessions only while their requests run")),
    ("processExpiresFrequency", Rule::Nothing(PERSISTENT)),
    ("saveOnRestart", Rule::Nothing(PERSISTENT)),
    ("maxIdleBackup", Rule::Nothing(PERSISTENT)),
    ("maxIdleSwap", Rule::Nothing(PERSISTENT)),
    ("minIdleSwap", Rule::Nothing(PERSISTENT)),
    ("pathname", Rule::Nothing("is StandardManager's: the sessions are in memcached when Tomcat restarts")),
    ("distributable", Rule::Nothing("is for Tomcat's own cluster")),
    ("duplicates", Rule::Nothing(COUNTER)),
    ("expiredSessions", Rule::Nothing(COUNTER)),
    ("maxActive", Rule::Nothing(COUNTER)),
    ("processingTime", Rule::Nothing(COUNTER)),
    ("rejectedSessions", Rule::Nothing(COUNTER)),
    ("sessionAverageAliveTime", Rule::Nothing(COUNTER)),
    ("sessionCounter", Rule::Nothing(COUNTER)),
    ("sessionMaxAliveTime", Rule::Nothing(COUNTER)),
];

/// The package of all of msm's managers, for any Tomcat.
const PACKAGE: &str = "de.javakaffee.web.msm.";

/// Whether a `<Manager>` is msm's.
pub(super) fn is_msm(node: Node<'_, '_>) -> bool {
    attribute(node, "className").is_some_and(|class| class.trim().starts_with(PACKAGE))
}

/// Reads a `<Manager>` of msm's.
pub(super) fn read(file: &File<'_>, node: Node<'_, '_>, line: Line, known: &[(String, String)]) -> Manager {
    let is_false = |value: &str| value.eq_ignore_ascii_case("false");
    let of = |name: &str| attribute(node, name).map(|value| resolve(value, known));
    let sticky = !of("sticky").is_some_and(|found| found.unknown.is_empty() && is_false(&found.text));
    let wanted = Wanted {
        nodes: None,
        suffix: true,
        // msm's own; where sessions stay at their server they need no lock there, and do here.
        locking: (!sticky).then(|| "none".into()),
        ignore: None,
        unheld: false,
        backup_timeout: None,
        timeout: None,
        farm: None,
        statistics: true,
    };
    let generator = children(node, "SessionIdGenerator").next().map(|inner| {
        let plain = inner.attributes().filter(|one| one.namespace().is_none());
        plain.map(|one| (one.name().to_owned(), one.value().to_owned())).collect()
    });
    let mut scope = Scope { sticky, line, wanted, kept: Vec::new(), generator };
    let mut notes = Vec::new();
    let mut say = |at: usize, written: &str, outcome: Outcome| {
        if let Some((kind, text)) = outcome.said() {
            notes.push(file.note(at, written, kind, text));
        }
    };
    let element = node.range().start;
    if attribute(node, "className").is_some_and(|class| class.contains(".Dummy")) {
        let why = "msm's dummy stores no session anywhere; the sidecar does";
        say(element, "<Manager className=\"…Dummy…\">", changed(why));
    }
    for (name, why) in sessions::DEFAULTS {
        if let Some(why) = why(scope.sticky).filter(|_| of(name).is_none()) {
            say(element, &format!("<Manager> without {name}"), changed(why));
        }
    }
    if of("memcachedNodes").is_none() {
        say(element, "<Manager> without memcachedNodes", not(nodes::PLACEHOLDER));
    }
    for one in node.attributes().filter(|one| one.name() != "className") {
        let written = written(one.name(), one.value());
        let at = one.range().start;
        let is_plain = one.namespace().is_none();
        let rule = RULES.iter().find(|(name, _)| is_plain && *name == one.name()).map(|(_, rule)| rule);
        let Resolved { text, unknown, defaulted } = resolve(one.value(), known);
        let outcome = match rule {
            Some(Rule::Nothing(why)) => Outcome::Nothing((*why).into()),
            Some(Rule::Kept) => {
                scope.keep(one.name(), one.value());
                Outcome::Carried
            }
            Some(Rule::Value(rule)) => match unknown.first() {
                Some(property) => not(asked_for(property)),
                None => rule(&mut scope, text.trim()),
            },
            None => not("msm has no such attribute and ignores it: is its name right?"),
        };
        say(at, &written, outcome);
        for property in defaulted.iter().filter(|_| matches!(rule, Some(Rule::Value(_)))) {
            say(at, &written, changed(default_taken(property)));
        }
    }
    for inner in node.children().filter(Node::is_element) {
        let name = inner.tag_name().name();
        if name != "SessionIdGenerator" {
            let why = "msm's <Manager> has no such element";
            say(inner.range().start, &format!("<{name}>"), not(why));
        }
    }
    let Scope { wanted, kept, generator, .. } = scope;
    Manager { wanted, kept, generator, notes }
}

/// An attribute as notes show it.
pub(super) fn written(name: &str, value: &str) -> String {
    match url_without_credentials(value) {
        _ if SECRET.contains(&name) => format!("{name}=\"***\""),
        Some(url) => format!("{name}=\"{url}\""),
        None => format!("{name}=\"{value}\""),
    }
}

impl Scope {
    fn keep(&mut self, name: &str, value: &str) {
        self.kept.push((name.to_owned(), value.to_owned()));
    }
}

/// All that are known.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests;
