//! One connection to a memcached in meta commands: dialled, identified, then spoken to. The words are the `memcache` crate's; it would read what it is
//! sent without bounds, so that is done [here](super::wire).

use async_trait::async_trait;
use bytes::Bytes;
use memcache::exp::{
    DeleteOptions, Error, GetOptions, MetaCommand, MetaCommandResult, MetaResponse, ReturnCode, SetMode,
    SetOptions, build_delete, build_get, build_set, parse_meta_result,
};
use satchel_common::address::HostPort;

use super::node::{Command, Incarnation, Item, Mode, NodeError, Reply};
use super::pool::Connection;
use super::wire::{Wire, protocol};

/// More lines than memcached's statistics ever have.
const STATISTICS_MAX: usize = 1000;
/// The smallest that memcached can be told (its option -I), in bytes.
const ITEM_SIZE_MIN: u64 = 1024;

/// A connection, and who is at its other end.
pub struct Meta {
    wire: Wire,
    /// Bytes of the largest value that is read.
    value_max: usize,
    /// Read from `stats` when the connection was made.
    incarnation: Incarnation,
    /// `item_size_max` of `stats settings`, in bytes.
    item_size_max: usize,
}

#[async_trait]
impl Connection for Meta {
    /// Asks who is there, too: [`NodeError::Protocol`] if it is not a memcached of at least 1.6.
    async fn dial(address: &HostPort, value_max: usize) -> Result<Self, NodeError> {
        let mut wire = Wire::connect(address).await?;
        wire.send(b"stats\r\nstats settings\r\n").await?;
        let text = read_statistics(&mut wire).await?;
        let number = |name| statistic(&text, name).ok_or_else(|| protocol(&format!("no '{name}' in stats")));
        let started = number("time")?.saturating_sub(number("uptime")?);
        let incarnation = Incarnation { pid: number("pid")?, started };
        let item_size_max = number("item_size_max")?;
        if item_size_max < ITEM_SIZE_MIN {
            return Err(protocol(&format!("an item_size_max of {item_size_max}")));
        }
        let item_size_max = usize::try_from(item_size_max).unwrap_or(usize::MAX);
        Ok(Self { wire, value_max: value_max.min(item_size_max), incarnation, item_size_max })
    }

    async fn run(&mut self, batch: &[Command]) -> Result<Vec<Reply>, NodeError> {
        let mut sent = Vec::new();
        for command in batch {
            encode(command).and_then(|command| command.encode_into(&mut sent)).map_err(translate)?;
        }
        self.wire.send(&sent).await?;
        let mut replies = Vec::with_capacity(batch.len());
        for command in batch {
            replies.push(decode(command, self.answer().await?)?);
        }
        if !self.wire.is_read_up() {
            return Err(protocol("more answers than questions"));
        }
        Ok(replies)
    }

    fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    fn item_size_max(&self) -> usize {
        self.item_size_max
    }

    fn is_usable(&self) -> bool {
        self.wire.is_usable()
    }
}

impl Meta {
    async fn answer(&mut self) -> Result<MetaCommandResult, NodeError> {
        let line = self.wire.line().await?;
        let response = MetaResponse::parse_header(&line).map_err(translate)?;
        let has_value = response.rc() == ReturnCode::Va;
        let mut result = parse_meta_result(response).map_err(translate)?;
        if has_value {
            let length = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).nth(1);
            let length = length.and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
            let length = length.ok_or_else(|| protocol("a value without a length"))?;
            result.value = Some(self.wire.value(length, self.value_max).await?);
        }
        Ok(result)
    }
}

/// Two lists, each ended by `END`.
async fn read_statistics(wire: &mut Wire) -> Result<String, NodeError> {
    let (mut text, mut ends) = (String::new(), 0);
    for _ in 0..STATISTICS_MAX {
        let line = wire.line().await?;
        if line.starts_with(b"ERROR") {
            break;
        }
        ends += usize::from(line == b"END");
        if ends == 2 {
            return Ok(text);
        }
        text.push_str(&String::from_utf8_lossy(&line));
        text.push('\n');
    }
    Err(protocol("not a memcached that answers 'stats'"))
}

fn statistic(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix("STAT ")?.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok()
    })
}

fn encode(command: &Command) -> Result<MetaCommand, Error> {
    match command {
        Command::Get { key, value } => build_get(key, &get_options(*value, None)),
        Command::Touch { key, ttl } => build_get(key, &get_options(false, Some(*ttl))),
        Command::Set { key, value, flags, ttl, mode } => {
            let mut options = SetOptions::default();
            options.client_flags = Some(*flags);
            options.ttl = Some(*ttl);
            options.return_cas = true;
            match mode {
                Mode::Add => options.mode = SetMode::Add,
                Mode::Cas(cas) => options.compare_cas = Some(*cas),
                Mode::Set => {}
            }
            build_set(key, value.to_vec(), &options)
        }
        Command::Delete { key, cas } => {
            let mut options = DeleteOptions::default();
            options.compare_cas = *cas;
            build_delete(key, &options)
        }
    }
}

fn get_options(value: bool, touch: Option<u32>) -> GetOptions {
    let mut options = GetOptions::default();
    options.value = value;
    options.return_client_flags = true;
    options.return_cas = true;
    options.return_ttl = true;
    options.touch = touch;
    options
}

fn decode(command: &Command, result: MetaCommandResult) -> Result<Reply, NodeError> {
    let unexpected = || NodeError::Protocol(format!("unexpected answer {:?}", result.rc));
    // What was not asked for is not an answer, and neither is what lacks what was asked for.
    let asked_for_value = matches!(command, Command::Get { value: true, .. });
    if matches!(result.rc, ReturnCode::Hd | ReturnCode::Va)
        && matches!(command, Command::Get { .. } | Command::Touch { .. })
        && asked_for_value != result.value.is_some()
    {
        return Err(unexpected());
    }
    Ok(match (command, result.rc) {
        (Command::Get { .. } | Command::Touch { .. }, ReturnCode::En) => Reply::Miss,
        (Command::Get { .. } | Command::Touch { .. }, ReturnCode::Hd | ReturnCode::Va) => Reply::Hit(Item {
            flags: result.client_flags.ok_or_else(unexpected)?,
            cas: result.cas.ok_or_else(unexpected)?,
            ttl: result.ttl.ok_or_else(unexpected)?,
            value: result.value.map(Bytes::from),
        }),
        (Command::Set { .. }, ReturnCode::Hd) => Reply::Stored(result.cas.ok_or_else(unexpected)?),
        (Command::Delete { .. }, ReturnCode::Hd) => Reply::Deleted,
        (_, ReturnCode::Ns | ReturnCode::Ex) => Reply::Exists,
        (_, ReturnCode::Nf) => Reply::NotFound,
        _ => return Err(unexpected()),
    })
}

fn translate(error: Error) -> NodeError {
    match error {
        Error::Io(error) => NodeError::Unreachable(error.to_string()),
        Error::Timeout { .. } => NodeError::Timeout,
        Error::Server(text) | Error::Rejected(text) => NodeError::Refused(text),
        other => NodeError::Protocol(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_by_their_whole_name() {
        let text =
            "STAT pid 7\nSTAT uptime 5\nSTAT time 105\nSTAT time_x 9\nEND\nSTAT item_size_max 1048576\n";
        assert_eq!(statistic(text, "time"), Some(105));
        assert_eq!(statistic(text, "item_size_max"), Some(1_048_576));
        assert_eq!(statistic(text, "none"), None);
    }
}
