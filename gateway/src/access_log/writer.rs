//! Writes lines in a thread of its own: a slow disk must not hold requests up. When it can't keep up, lines
//! are dropped, counted and reported.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::format;
use crate::config::{AccessLog, LogFormat, LogTarget};
use crate::template::Variables;

/// Lines that may wait.
const WAITING: usize = 16 * 1024;
/// How long lines are gathered: being woken for each costs two context switches and a system call (docs/performance.md).
const GATHER: Duration = Duration::from_millis(20);

/// The access log.
#[derive(Clone)]
pub struct Writer {
    lines: Option<SyncSender<Message>>,
    format: Arc<LogFormat>,
    dropped: Arc<AtomicU64>,
}

enum Message {
    Line(String),
    /// The file was moved away: go on in a new one.
    Reopen,
}

/// The file can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("access_log.path: cannot open {}: {source}", path.display())]
pub struct AccessLogError {
    path: PathBuf,
    source: io::Error,
}

/// Whether the log can be opened, without doing so.
///
/// # Errors
/// When its directory is not there.
pub fn check(log: &AccessLog) -> Result<(), AccessLogError> {
    let LogTarget::File(path) = &log.target else { return Ok(()) };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let there = directory.unwrap_or(std::path::Path::new(".")).metadata();
    there.map(drop).map_err(|source| AccessLogError { path: path.clone(), source })
}

impl Writer {
    /// Opens the log and starts its thread.
    ///
    /// # Errors
    /// When the file can't be opened.
    pub fn open(log: &AccessLog) -> Result<Self, AccessLogError> {
        let dropped = Arc::new(AtomicU64::new(0));
        let format = Arc::new(log.format.clone());
        if log.target == LogTarget::Off {
            return Ok(Self { lines: None, format, dropped });
        }
        let out = open(&log.target)?;
        let (lines, waiting) = sync_channel(WAITING);
        let (counter, target) = (dropped.clone(), log.target.clone());
        std::thread::spawn(move || write_all(&waiting, out, &target, &counter));
        Ok(Self { lines: Some(lines), format, dropped })
    }

    /// Whether anything is logged.
    pub fn is_on(&self) -> bool {
        self.lines.is_some()
    }

    /// The line of a request that was answered.
    pub fn line(&self, variables: &Variables<'_>) -> String {
        format::line(&self.format, variables)
    }

    /// Hands a line over.
    pub fn write(&self, line: String) {
        if let Some(lines) = &self.lines
            && lines.try_send(Message::Line(line)).is_err()
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Goes on in a new file of the same name, after the lines that wait (SIGUSR1).
    pub fn reopen(&self) {
        if let Some(lines) = &self.lines
            && lines.try_send(Message::Reopen).is_err()
        {
            log::error!("The access log could not keep up and was not reopened; send SIGUSR1 again");
        }
    }
}

type Out = BufWriter<Box<dyn Write + Send>>;

fn open(target: &LogTarget) -> Result<Out, AccessLogError> {
    let out: Box<dyn Write + Send> = match target {
        LogTarget::Off => Box::new(io::sink()),
        LogTarget::Stdout => Box::new(io::stdout()),
        LogTarget::File(path) => Box::new(
            OpenOptions::new()
                .create(true)
                .append(true)
                // Who asked for what is not for every user of the machine.
                .mode(0o640)
                .open(path)
                .map_err(|source| AccessLogError { path: path.clone(), source })?,
        ),
    };
    Ok(BufWriter::new(out))
}

/// Flushes whenever nothing waits.
fn write_all(waiting: &Receiver<Message>, mut out: Out, target: &LogTarget, dropped: &AtomicU64) {
    let mut failed = false;
    while let Ok(first) = waiting.recv() {
        let mut result = Ok(());
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => result = result.and_then(|()| writeln!(out, "{line}")),
                Message::Reopen => match out.flush().map(|()| open(target)) {
                    Ok(Ok(new)) => out = new,
                    Ok(Err(error)) => log::error!("{error}; the old file is written on"),
                    Err(error) => result = Err(error),
                },
            }
            next = waiting.try_recv().ok();
        }
        result = result.and_then(|()| out.flush());
        if result.is_err() != failed {
            failed = result.is_err();
            match result {
                Ok(()) => log::info!("The access log is written again"),
                Err(error) => log::error!("Cannot write the access log: {error}"),
            }
        }
        std::thread::sleep(GATHER);
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            log::error!("The access log could not keep up: {lost} lines are lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    fn eventually(path: &Path, text: &str) {
        let start = std::time::Instant::now();
        while std::fs::read_to_string(path).unwrap_or_default() != text {
            assert!(start.elapsed().as_secs() < 10, "{:?}", std::fs::read_to_string(path));
            std::thread::yield_now();
        }
    }

    #[test]
    fn lines_are_appended_and_after_a_rotation_written_to_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let (path, rotated) = (directory.path().join("log"), directory.path().join("log.1"));
        std::fs::write(&path, "before\n").unwrap();
        let log = AccessLog { target: LogTarget::File(path.clone()), format: LogFormat::Json };
        let writer = Writer::open(&log).unwrap();
        writer.write("one".into());
        eventually(&path, "before\none\n");
        std::fs::rename(&path, &rotated).unwrap();
        writer.write("two".into());
        writer.reopen();
        writer.write("three".into());
        eventually(&path, "three\n");
        eventually(&rotated, "before\none\ntwo\n");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "{mode:o}");
    }
}
