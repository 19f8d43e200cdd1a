//! A sidecar has one of each setting, and its Tomcat may have several `<Manager>`s: what they agree on is taken, and what they do not is said.

use satchel_common::import::Note;
use satchel_common::import::outcome::{Outcome, changed, not};

use super::attributes::{Manager, Wanted};
use super::find::At;
use super::source::File;

/// What all of them want, or the more careful of what they want.
pub(super) fn merged(
    files: &[File<'_>],
    managers: &[(At<'_>, Manager)],
    notes: &mut Vec<Note>,
) -> Option<Wanted> {
    let ((first_at, first), rest) = managers.split_first()?;
    let first_place = files[first_at.file].place_of(first_at.node);
    let mut all = first.wanted.clone();
    for (at, other) in rest {
        let other = &other.wanted;
        let mut say = |attribute: &str, outcome: Outcome| {
            if let Some((kind, text)) = outcome.said() {
                let written = format!("<Manager>, {attribute}");
                notes.push(files[at.file].note_of(at.node, &written, kind, text));
            }
        };
        match (&all.nodes, &other.nodes) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                let why = format!(
                    "a sidecar has one list of nodes for all its contexts: taken is that of {first_place}"
                );
                say("memcachedNodes", not(why));
            }
            (None, Some(_)) => all.nodes.clone_from(&other.nodes),
            _ => {}
        }
        if all.locking != other.locking {
            let why = format!(
                "differs from {first_place}, and a sidecar has one for all: every request locks its session (locking = \"all\")"
            );
            say("lockingMode", changed(why));
            all.locking = None;
        }
        if all.ignore != other.ignore {
            let why = format!(
                "differs from {first_place}, and a sidecar has one ignore_uri for all its contexts: none is taken, since a request that needs \
                 its session must not be ignored; write one that is right for all"
            );
            say("requestUriIgnorePattern", not(why));
            all.ignore = None;
        }
        if all.unheld != other.unheld {
            say(
                "sessionBackupAsync",
                changed(format!("differs from {first_place}: answers wait until their session is stored")),
            );
            all.unheld = false;
        }
        if all.farm != other.farm {
            say(
                "storageKeyPrefix",
                changed(format!(
                    "differs from {first_place}, whose farm is taken: sessions of two applications never mix"
                )),
            );
            all.farm = all.farm.take().or_else(|| other.farm.clone());
        }
        all.backup_timeout = longer(all.backup_timeout, other.backup_timeout, || {
            say(
                "sessionBackupTimeout",
                changed(format!("differs from {first_place}: the longer one is taken")),
            );
        });
        all.timeout = longer(all.timeout, other.timeout, || {
            say("operationTimeout", changed(format!("differs from {first_place}: the longer one is taken")));
        });
        all.suffix |= other.suffix;
        all.statistics |= other.statistics;
    }
    Some(all)
}

fn longer(one: Option<u64>, other: Option<u64>, differs: impl FnOnce()) -> Option<u64> {
    if one != other {
        differs();
    }
    one.max(other)
}
