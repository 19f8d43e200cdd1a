//! One of each command, and what its reply may be.

use sidecar::memcached::{Command, Mode, Reply};

/// As an exchange sends them.
pub fn commands() -> Vec<Command> {
    let key = || "sAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned();
    let set = |mode| Command::Set { key: key(), value: b"value"[..].into(), flags: 1, ttl: 5, mode };
    vec![
        Command::Get { key: key(), value: true },
        Command::Touch { key: key(), ttl: 5 },
        set(Mode::Add),
        set(Mode::Cas(7)),
        set(Mode::Set),
        Command::Delete { key: key(), cas: Some(7) },
        Command::Delete { key: key(), cas: None },
    ]
}

/// No reply is of another command, and no value longer than what was `told`.
pub fn fits(batch: &[Command], replies: &[Reply], told: &[u8]) {
    for (command, reply) in batch.iter().zip(replies) {
        let fits = match (command, reply) {
            (Command::Get { .. } | Command::Touch { .. }, Reply::Hit(item)) => {
                item.value.as_ref().is_none_or(|value| value.len() <= told.len())
            }
            (Command::Get { .. } | Command::Touch { .. }, Reply::Miss) => true,
            (Command::Set { .. }, Reply::Stored(_)) | (Command::Delete { .. }, Reply::Deleted) => true,
            (_, Reply::Exists | Reply::NotFound) => true,
            _ => false,
        };
        assert!(fits, "{command:?}: {reply:?}");
    }
}
