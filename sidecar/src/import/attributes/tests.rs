use satchel_common::import::Kind;

use super::*;
use crate::import::tests::{Imported, imported, with_attributes};

fn said(imported: &Imported, start: &str) -> Option<(Kind, String)> {
    let note = imported.notes.iter().find(|note| note.written.starts_with(start));
    note.map(|note| (note.kind, note.text.clone()))
}

/// The table that people read has a row for each attribute that the import knows.
#[test]
fn every_attribute_is_in_the_table() {
    let told = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/from-msm.md")).unwrap();
    for (name, _) in RULES {
        assert!(told.contains(&format!("`{name}`")), "docs/from-msm.md does not have {name}");
    }
    let mut names: Vec<_> = RULES.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RULES.len());
}

#[test]
fn what_has_a_counterpart_is_carried_over() {
    for (attributes, line) in [
        ("memcachedNodes=\"n1:a:1,n2:b:2 \n n3:10.0.0.1:3\"", "nodes = \"n1:a:1, n2:b:2, n3:10.0.0.1:3\""),
        ("lockingMode=\"NONE\"", "locking = \"none\""),
        ("", "locking = \"none\""),
        ("lockingMode=\"Auto\"", "locking = \"auto\""),
        ("lockingMode=\"all\"", "locking = \"all\""),
        ("lockingMode=\"uriPattern:.* /a|POST .*\"", "locking = \"uri:.* /a|POST .*\""),
        ("requestUriIgnorePattern=\".*\\.(png|css)$\"", "ignore_uri = '.*\\.(png|css)$'"),
        ("sessionBackupAsync=\"true\"", "unheld_uri = \".*\""),
        ("sessionBackupTimeout=\"250\"", "backup_timeout = \"250ms\""),
        ("operationTimeout=\"1500\"", "timeout = \"1500ms\""),
        ("operationTimeout=\"9000\"", "timeout = \"2000ms\""),
        ("storageKeyPrefix=\"static:live\"", "farm = \"live\""),
        ("", "admin = \"127.0.0.1:8091\""),
        ("", "node_suffix = \"visible\""),
    ] {
        let result = with_attributes(attributes);
        assert!(result.toml.contains(&format!("\n{line}")), "{line}\n{}", result.toml);
        assert!(result.is_complete(), "{:?}", result.notes);
    }
    let without_name = with_attributes("memcachedNodes=\"cache:11211\"");
    assert!(without_name.toml.contains("nodes = \"n1:cache:11211\""));
    assert!(!without_name.toml.contains("node_suffix"), "as before");
    assert!(!with_attributes("enableStatistics=\"false\"").toml.contains("admin"));
}

#[test]
fn what_tomcat_has_too_goes_on_to_its_own_manager() {
    for (attributes, written) in [
        ("sessionAttributeFilter=\"user|cart\"", "sessionAttributeNameFilter=\"user|cart\""),
        ("sessionAttributeNameFilter=\"&lt;a&gt;\"", "sessionAttributeNameFilter=\"&lt;a>\""),
        ("secureRandomClass=\"${x}\"", "secureRandomClass=\"${x}\""),
        (
            "notifyBindingListenerOnUnchangedValue=\"false\"",
            "notifyBindingListenerOnUnchangedValue=\"false\"",
        ),
        ("sessionIdLength=\"32\"", "<SessionIdGenerator sessionIdLength=\"32\"/>"),
    ] {
        let result = with_attributes(attributes);
        let xml = String::from_utf8(result.files[0].bytes.clone()).unwrap();
        assert!(xml.contains(written), "{written}\n{xml}");
        assert!(result.is_complete(), "{:?}", result.notes);
    }
}

#[test]
fn what_has_none_is_said() {
    for (attributes, start, kind, why) in [
        ("memcachedNodes=\"http://a:8091/pools\"", "memcachedNodes", Kind::NotCarried, "Couchbase"),
        ("memcachedNodes=\"redis://a:6379\"", "memcachedNodes", Kind::NotCarried, "Redis"),
        (
            "memcachedNodes=\"rediss://user:SECRET@a:6379\"",
            "memcachedNodes=\"rediss://***a:6379\"",
            Kind::NotCarried,
            "Redis",
        ),
        ("memcachedNodes=\"n1:a\"", "memcachedNodes", Kind::NotCarried, "write name:host:port"),
        ("memcachedNodes=\"${nodes}\"", "memcachedNodes", Kind::NotCarried, "-D nodes=VALUE"),
        ("memcachedNodes=\"${nodes:-n1:a:1}\"", "memcachedNodes", Kind::Changed, "taken is the default"),
        ("username=\"u\"", "username=\"***\"", Kind::NotCarried, "SASL"),
        ("password=\"p\"", "password=\"***\"", Kind::NotCarried, "SASL"),
        ("lockingMode=\"uriPattern:/path1|/path2\"", "lockingMode", Kind::NotCarried, "METHOD URI?query"),
        ("lockingMode=\"app\"", "lockingMode", Kind::NotCarried, "uriPattern:REGEX"),
        ("lockingMode=\"all\"", "lockingMode", Kind::Changed, "lock_timeout"),
        ("requestUriIgnorePattern=\"(?!a).*\"", "requestUriIgnorePattern", Kind::NotCarried, "look-around"),
        ("requestUriIgnorePattern=\".*+a\"", "requestUriIgnorePattern", Kind::NotCarried, "possessive"),
        ("requestUriIgnorePattern=\"\"", "requestUriIgnorePattern", Kind::NeedsNothing, "no request"),
        ("sessionBackupTimeout=\"0\"", "sessionBackupTimeout", Kind::NotCarried, "1 or more"),
        ("operationTimeout=\"x\"", "operationTimeout", Kind::NotCarried, "1 or more"),
        ("storageKeyPrefix=\"static:a b\"", "storageKeyPrefix", Kind::NotCarried, "session.farm"),
        ("storageKeyPrefix=\"webappVersion\"", "storageKeyPrefix", Kind::Changed, "parallel deployment"),
        (
            "storageKeyPrefix=\"context\"",
            "storageKeyPrefix",
            Kind::NeedsNothing,
            "belongs to its application",
        ),
        ("transcoderFactoryClass=\"x.KryoTranscoderFactory\"", "transcoder", Kind::Changed, "Serializable"),
        (
            "maxInactiveInterval=\"1000\"",
            "maxInactive",
            Kind::NotCarried,
            "<session-timeout>17</session-timeout>",
        ),
        (
            "maxInactiveInterval=\"-1\"",
            "maxInactive",
            Kind::NotCarried,
            "<session-timeout>-1</session-timeout>",
        ),
        ("enabled=\"false\"", "enabled", Kind::NotCarried, "switched off"),
        ("sessionIdLength=\"64\"", "sessionIdLength", Kind::NotCarried, "1 to 40"),
        ("sessionActivityCheck=\"true\"", "sessionActivityCheck", Kind::NotCarried, "ACTIVITY_CHECK"),
        ("persistAuthentication=\"false\"", "persistAuthentication", Kind::Changed, "nobody"),
        ("memcachedNode=\"x\"", "memcachedNode=\"x\"", Kind::NotCarried, "no such attribute"),
        ("failoverNodes=\"${x}\"", "failoverNodes", Kind::NeedsNothing, "stands in"),
        (
            "sessionAttributeFilter=\"a\" sessionAttributeNameFilter=\"b\"",
            "sessionAttributeNameFilter",
            Kind::NotCarried,
            "one for both",
        ),
    ] {
        let result = with_attributes(attributes);
        let found = said(&result, start);
        let (is, text) = found.unwrap_or_else(|| panic!("{attributes}: {:?}", result.notes));
        assert!(is == kind && text.contains(why), "{attributes}: {is:?} {text}");
        assert_eq!(result.is_complete(), kind != Kind::NotCarried, "{attributes}");
    }
}

#[test]
fn sticky_sessions_are_locked_and_waited_for() {
    for attributes in
        ["", "sticky=\"true\" sessionBackupAsync=\"true\" lockingMode=\"none\"", "sticky=\"${x}\""]
    {
        let text = format!(
            "<Context><Manager className=\"de.javakaffee.web.msm.MemcachedBackupSessionManager\" memcachedNodes=\"n1:a:1\" {attributes}/></Context>"
        );
        let result = imported(&[("conf/context.xml", &text)]);
        assert!(
            !result.toml.contains("\nlocking") && !result.toml.contains("\nunheld_uri"),
            "{}",
            result.toml
        );
        assert!(
            said(&result, if attributes.is_empty() { "<Manager> without sticky" } else { "sticky" })
                .is_some()
        );
    }
}

#[test]
fn properties_come_from_the_command_line() {
    let text = "<Context><Manager className=\"de.javakaffee.web.msm.MemcachedBackupSessionManager\" memcachedNodes=\"n1:${host}:1\"
        sticky=\"${sticky}\" sessionBackupAsync=\"false\"/></Context>";
    let mut options = crate::import::tests::options();
    options.properties = vec![("host".into(), "10.0.0.9".into()), ("sticky".into(), "false".into())];
    let result = crate::import::tests::with(&[("conf/context.xml", text)], &options).unwrap();
    assert!(result.toml.contains("nodes = \"n1:10.0.0.9:1\"") && result.is_complete(), "{}", result.toml);
    assert!(result.toml.contains("locking = \"none\""));
}
