//! How attributes of sessions are filtered and serialized, and what Tomcat's own manager takes over.

use satchel_common::import::outcome::{Outcome, changed, not, nothing};

use super::Scope;
use crate::import::manager::Line;

pub(super) const SERIALIZABLE: &str = "Java's own serialization takes its place: attributes have to be Serializable, and Tomcat drops what is \
    not; msm's serializers and their jars can go";

/// Bytes of an id; twice as many characters have to fit with a node's name.
const LONGEST_ID: u32 = 40;

const NAME_FILTER: &str = "sessionAttributeNameFilter";

pub(super) fn attribute_filter(scope: &mut Scope, value: &str) -> Outcome {
    if value.is_empty() {
        return nothing("filters nothing");
    }
    if !keep_filter(scope, value) {
        return not(
            "sessionAttributeNameFilter is here too, and there is one filter in Tomcat: write one for both",
        );
    }
    match scope.sticky {
        true => changed(
            "is sessionAttributeNameFilter: what does not match is gone with the next request, as in msm with sticky=\"false\"",
        ),
        false => Outcome::Carried,
    }
}

pub(super) fn attribute_name_filter(scope: &mut Scope, value: &str) -> Outcome {
    match keep_filter(scope, value) {
        true => Outcome::Carried,
        false => {
            not("sessionAttributeFilter is here too, and there is one filter in Tomcat: write one for both")
        }
    }
}

fn keep_filter(scope: &mut Scope, value: &str) -> bool {
    let is_first = scope.kept.iter().all(|(name, _)| name != NAME_FILTER);
    if is_first {
        scope.keep(NAME_FILTER, value);
    }
    is_first
}

pub(super) fn class_filter(scope: &mut Scope, value: &str) -> Outcome {
    scope.keep("sessionAttributeValueClassNameFilter", value);
    changed(
        "is checked for every class of a session's file here, Tomcat's own too: docs/security.md has what it must let through",
    )
}

pub(super) fn transcoder(_: &mut Scope, value: &str) -> Outcome {
    match value.ends_with(".JavaSerializationTranscoderFactory") {
        true => nothing("what Tomcat serializes is stored as it is"),
        false => changed(SERIALIZABLE),
    }
}

pub(super) fn id_length(scope: &mut Scope, value: &str) -> Outcome {
    if scope.generator.is_some() {
        return nothing("its <SessionIdGenerator> says it");
    }
    match value.parse::<u32>() {
        Ok(length) if (1..=LONGEST_ID).contains(&length) => {
            scope.generator = Some(vec![("sessionIdLength".into(), length.to_string())]);
            Outcome::Carried
        }
        _ => not(format!("1 to {LONGEST_ID} bytes are possible; Tomcat's own is 16")),
    }
}

pub(super) fn persist(_: &mut Scope, value: &str) -> Outcome {
    match value.eq_ignore_ascii_case("true") {
        true => Outcome::Carried,
        false => changed("is true here: otherwise who has logged in would be nobody at his next request"),
    }
}

pub(super) fn activity_check(scope: &mut Scope, value: &str) -> Outcome {
    match (scope.line, value.eq_ignore_ascii_case("true")) {
        (Line::V9_0, _) => not(
            "is a system property in Tomcat 9: -Dorg.apache.catalina.session.StandardSession.ACTIVITY_CHECK=true",
        ),
        (_, true) => Outcome::Carried,
        (_, false) => changed("is true here: otherwise a session may expire under a running request"),
    }
}

pub(super) fn last_access(scope: &mut Scope, value: &str) -> Outcome {
    match scope.line {
        Line::V9_0 => not(
            "is a system property in Tomcat 9: -Dorg.apache.catalina.session.StandardSession.LAST_ACCESS_AT_START=true",
        ),
        _ => {
            scope.keep("sessionLastAccessAtStart", value);
            Outcome::Carried
        }
    }
}
