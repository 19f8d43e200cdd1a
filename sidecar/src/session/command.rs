//! The command line of `sidecar session`.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use satchel_common::cli::{EXIT_CONFIG, EXIT_UNAVAILABLE, EXIT_USAGE};
use serde_json::Value;

use super::farm::Farm;
use super::list::list;
use super::show::show;
use super::{print, time};
use crate::config::Config;
use crate::exchange::access::Access;
use crate::exchange::load::Refusal;
use crate::exchange::operate::{End, EndError};
use crate::id::Presented;
use crate::record::Ended;

/// Exit status when there is no such session.
const EXIT_NONE: u8 = 1;
/// Exit status when a request uses the session for too long (EX_TEMPFAIL of sysexits.h).
const EXIT_BUSY: u8 = 75;
/// An id is never longer.
const ID_MAX: u64 = 4096;

const HELP: &str = "\
Examples:
  sidecar session list --config /etc/satchel/sidecar.toml
  sidecar session show 5526F95AEB3E88C6F1C0B9C7A5B92E23-n1 --config /etc/satchel/sidecar.toml
  sidecar session delete - --config /etc/satchel/sidecar.toml < id

Exit status: 0 done, 1 there is no such session, 64 it was called wrongly, 69 memcached can't be asked or the running sidecars have another
configuration, 75 the session is in use, 78 the configuration is wrong.";

/// Look at stored sessions, and end them.
///
/// It works with a sidecar's configuration, on any machine that reaches memcached. The exit status is 1 if there is no such session, 69 if
/// memcached can't be asked, 75 if the session is in use.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The sidecar's configuration.
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How many sessions there are on each node, and what can be told of them: content and owner can't without an id.
    List {
        /// How many are shown, the last used first.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
    },
    /// What is in a session: its times, where it is, its attributes and their classes.
    Show {
        #[command(flatten)]
        which: Which,
        /// Print the values of texts and numbers, too.
        #[arg(long)]
        values: bool,
    },
    /// End a session, as a logout does. Its user has to log in again.
    Delete {
        #[command(flatten)]
        which: Which,
        /// Don't wait for a request that uses the session: what it changes is refused.
        #[arg(long, conflicts_with = "wait")]
        now: bool,
        /// How long to wait for a request that uses the session.
        #[arg(long, default_value = "30s", value_parser = time::parse, value_name = "TIME")]
        wait: Duration,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The value of the session cookie, as the browser has it: ID-NODE. "-": it is read from standard input, where other users of this machine
    /// don't see it.
    id: String,
    /// Only the application of this path, as in [[context]].
    #[arg(long, value_name = "PATH")]
    context: Option<String>,
}

/// How it ends, and what is printed.
struct Done {
    text: String,
    json: Value,
    code: u8,
}

/// Runs it.
pub fn run(args: Args) -> ExitCode {
    match command(&args) {
        Ok(done) => {
            let said = if args.json { format!("{:#}\n", done.json) } else { done.text };
            // Who has closed the pipe does not want to know.
            let _ = std::io::stdout().write_all(said.as_bytes());
            ExitCode::from(done.code)
        }
        Err((code, error)) => {
            eprintln!("{error}");
            ExitCode::from(code)
        }
    }
}

fn command(args: &Args) -> Result<Done, (u8, String)> {
    let Some(path) = &args.config else {
        return Err((EXIT_USAGE, "--config FILE is needed: the sidecar's configuration".into()));
    };
    let config = Config::load(path).map_err(|error| (EXIT_CONFIG, error.to_string()))?;
    let wait = match &args.command {
        Command::Delete { wait, .. } => *wait,
        _ => config.settings.lock_timeout,
    };
    let farm = Farm::reach(config.clone(), wait).map_err(|error| (EXIT_UNAVAILABLE, error.to_string()))?;
    match &args.command {
        Command::List { limit } => {
            let listed = farm.run(list(&farm, &config, *limit));
            let all_failed = listed.nodes.iter().all(|node| node.told.is_err());
            let code = if all_failed { EXIT_UNAVAILABLE } else { 0 };
            Ok(Done { text: print::list(&listed), json: print::list_json(&listed), code })
        }
        Command::Show { which, values } => {
            let (contexts, candidates) = meant(&farm, which)?;
            let shown = farm.run(show(&farm, &contexts, &candidates));
            let none = "no node knows a session of this id\n".to_owned();
            let texts: Vec<_> = shown.iter().map(|one| print::show(one, *values)).collect();
            let unknown = shown.iter().all(|one| one.newest().is_none());
            let failed = shown.iter().flat_map(|one| &one.copies).any(|copy| copy.record.is_err());
            Ok(Done {
                text: if texts.is_empty() { none } else { texts.join("\n") },
                json: shown.iter().map(|one| print::show_json(one, *values)).collect(),
                code: if !unknown {
                    0
                } else if failed {
                    EXIT_UNAVAILABLE
                } else {
                    EXIT_NONE
                },
            })
        }
        Command::Delete { which, now, .. } => {
            let (contexts, candidates) = meant(&farm, which)?;
            let access = if *now { Access::Unlocked } else { Access::Locked };
            farm.run(delete(&farm, &contexts, &candidates, access))
        }
    }
}

/// The contexts and the ids that are meant.
fn meant(farm: &Farm, which: &Which) -> Result<(Vec<usize>, Vec<Presented>), (u8, String)> {
    let mut id = which.id.clone();
    if id == "-" {
        id.clear();
        let read = std::io::stdin().take(ID_MAX).read_to_string(&mut id);
        read.map_err(|error| (EXIT_USAGE, format!("standard input: {error}")))?;
    }
    let candidates = farm.presented(&id);
    if candidates.is_empty() {
        let what = "this is not the value of a session cookie; write it as the browser has it, for example 5526F95AEB3E88C6F1C0B9C7A5B92E23-n1";
        return Err((EXIT_USAGE, what.into()));
    }
    let contexts = farm.contexts(which.context.as_deref());
    match (contexts.is_empty(), &which.context) {
        (true, Some(path)) => {
            Err((EXIT_USAGE, format!("--context: the configuration has no [[context]] of path \"{path}\"")))
        }
        _ => Ok((contexts, candidates)),
    }
}

/// In every context that has it: an id is nobody else's in another.
async fn delete(
    farm: &Farm,
    contexts: &[usize],
    candidates: &[Presented],
    access: Access,
) -> Result<Done, (u8, String)> {
    farm.knows_the_nodes().await;
    let mut said = Vec::new();
    for context in contexts {
        let name = farm.core.context(*context).name();
        let path = if name.is_empty() { "/" } else { &name };
        for presented in candidates {
            let end = farm.core.end(*context, presented, access).await;
            let end = end.map_err(|error| failed(path, &presented.id, &error))?;
            if end != End::Absent {
                said.push((path.to_owned(), format!("{:?}", presented.id), end));
            }
        }
    }
    // For programs, and for people.
    let how = |end: &End| match end {
        End::Ended => ("ended", "ended"),
        End::Before(Ended::Invalidated) => ("ended_before", "had ended before"),
        End::Before(Ended::IdChanged) => (
            "id_changed",
            "goes on under another id since a login: that is not known here, and the user is still logged in",
        ),
        End::Absent => ("absent", "no such session"),
    };
    let mut text: String = said
        .iter()
        .map(|(path, id, end)| format!("session {id} of context {path}: {}\n", how(end).1))
        .collect();
    if said.is_empty() {
        text = "no node knows a session of this id\n".into();
    }
    let json = said
        .iter()
        .map(|(path, id, end)| serde_json::json!({"context": path, "id": id, "result": how(end).0}));
    let code = if said.iter().any(|(.., end)| *end == End::Ended) { 0 } else { EXIT_NONE };
    Ok(Done { text, json: json.collect(), code })
}

fn failed(path: &str, id: &crate::id::SessionId, error: &EndError) -> (u8, String) {
    let what = format!("session {id:?} of context {path} has not been ended");
    match error {
        EndError::Refused(Refusal::Busy) => (
            EXIT_BUSY,
            format!("{what}: a request uses it. Wait longer (--wait), or end it under that request (--now)"),
        ),
        other => (EXIT_UNAVAILABLE, format!("{what}: {other}")),
    }
}
