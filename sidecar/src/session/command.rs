//! The command line of `sidecar session`.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use satchel_common::cli::{EXIT_CONFIG, EXIT_UNAVAILABLE, EXIT_USAGE};
use satchel_common::progress::Progress;
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
/// Exit status when it is to be run again: a request uses the session for too long, or a node that is away may have a copy of it
/// (EX_TEMPFAIL of sysexits.h).
const EXIT_AGAIN: u8 = 75;
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
/// memcached can't be asked, 75 if it is to be run again: the session is in use, or a node that is away may have an old copy of it.
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
    ///
    /// It waits for a request that has locked the session. With `locking = "none"` none has, and what a request changes that runs meanwhile
    /// is refused, as with --now.
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
    /// What went wrong, although other things were done.
    errors: Vec<String>,
    code: u8,
}

/// Runs it.
pub fn run(args: Args) -> ExitCode {
    match command(&args) {
        Ok(done) => {
            let said = if args.json { format!("{:#}\n", done.json) } else { done.text };
            // Who has closed the pipe does not want to know.
            let _ = std::io::stdout().write_all(said.as_bytes());
            for error in done.errors {
                eprintln!("{error}");
            }
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
            let listed = farm.run(list(&farm, &config, *limit, &Progress::new("counting")));
            let all_failed = listed.nodes.iter().all(|node| node.told.is_err());
            let code = if all_failed { EXIT_UNAVAILABLE } else { 0 };
            Ok(Done { text: print::list(&listed), json: print::list_json(&listed), errors: Vec::new(), code })
        }
        Command::Show { which, values } => {
            let (contexts, candidates) = meant(&farm, which)?;
            let _progress = Progress::new("looking for the session");
            let shown = farm.run(show(&farm, &contexts, &candidates));
            let none = "no node knows a session of this id\n".to_owned();
            let texts: Vec<_> = shown.iter().map(|one| print::show(one, *values)).collect();
            let unknown = shown.iter().all(|one| one.newest().is_none());
            let failed = shown.iter().flat_map(|one| &one.copies).any(|copy| copy.record.is_err());
            Ok(Done {
                text: if texts.is_empty() { none } else { texts.join("\n") },
                json: shown.iter().map(|one| print::show_json(one, *values)).collect(),
                errors: Vec::new(),
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
            let _progress = Progress::new("ending the session; a request that uses it is waited for");
            Ok(farm.run(delete(&farm, &contexts, &candidates, access)))
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

/// What became of one session that was to end.
struct Tried<'a> {
    context: usize,
    path: String,
    presented: &'a Presented,
    end: Result<End, EndError>,
    /// Nodes that may have an old copy of it.
    left: Vec<String>,
}

/// In every context that has it: an id is nobody else's in another. One that can't be ended keeps none of the others.
async fn delete(farm: &Farm, contexts: &[usize], candidates: &[Presented], access: Access) -> Done {
    farm.knows_the_nodes().await;
    let mut tried = Vec::new();
    for context in contexts {
        for presented in candidates {
            let name = farm.core.context(*context).name();
            let path = if name.is_empty() { "/".to_owned() } else { name };
            let end = farm.core.end(*context, presented, access).await;
            if end != Ok(End::Absent) {
                tried.push(Tried { context: *context, path, presented, end, left: Vec::new() });
            }
        }
    }
    farm.rest().await;
    let nodes = &farm.core.nodes;
    for one in tried.iter_mut().filter(|one| one.end.is_ok()) {
        let left = farm.core.drop_old_copies(one.context, &one.presented.id).await;
        one.left = left.into_iter().map(|node| nodes.name(node).to_string()).collect();
    }
    // Sidecars that reach such a node go on reading the session there, until they know that others have newer copies.
    if tried.iter().any(|one| one.end == Ok(End::Ended) && !one.left.is_empty()) {
        nodes.tell_away(&farm.core.farm).await;
    }
    let unasked: Vec<_> = nodes.all().filter(|node| !nodes.is_up(*node)).collect();
    let unasked: Vec<_> = unasked.into_iter().map(|node| nodes.name(node).to_string()).collect();
    told(&tried, &unasked)
}

/// `unasked`: nodes that can't be asked.
fn told(tried: &[Tried<'_>], unasked: &[String]) -> Done {
    let mut done = Done { text: String::new(), json: Value::Null, errors: Vec::new(), code: EXIT_NONE };
    if tried.is_empty() && !unasked.is_empty() {
        done.errors.push(format!(
            "no node that answers knows a session of this id, and {} can't be asked",
            unasked.join(", ")
        ));
        done.code = EXIT_UNAVAILABLE;
    } else if tried.is_empty() {
        done.text = "no node knows a session of this id\n".into();
    }
    let mut codes = Vec::new();
    for one in tried {
        let what = format!("session {:?} of context {}", one.presented.id, one.path);
        match &one.end {
            Ok(end) => done.text += &format!("{what}: {}\n", how(end).1),
            Err(error) => {
                let (code, why) = why(error);
                codes.push(code);
                done.errors.push(format!("{what} has not been ended: {why}"));
            }
        }
        if !one.left.is_empty() {
            codes.push(EXIT_AGAIN);
            done.errors.push(format!(
                "{what}: {} can't be asked, and may have an old copy with which it would live again. Run this again when the node is back, \
                 or is empty, or is configured no more",
                one.left.join(", ")
            ));
        }
        if one.end == Ok(End::Ended) {
            codes.push(0);
        }
    }
    done.json = tried.iter().map(Tried::json).collect();
    // The worst. Nothing to be ended is worse than something that was.
    for code in [EXIT_UNAVAILABLE, EXIT_AGAIN, 0] {
        if codes.contains(&code) {
            return Done { code, ..done };
        }
    }
    done
}

impl Tried<'_> {
    fn json(&self) -> Value {
        let id = format!("{:?}", self.presented.id);
        let mut json = serde_json::json!({"context": self.path, "id": id, "may_be_left_on": self.left});
        match &self.end {
            Ok(end) => json["result"] = how(end).0.into(),
            Err(error) => {
                json["result"] = "failed".into();
                json["error"] = why(error).1.into();
            }
        }
        json
    }
}

/// For programs, and for people.
fn how(end: &End) -> (&'static str, &'static str) {
    match end {
        End::Ended => ("ended", "ended"),
        End::Before(Ended::Invalidated) => ("ended_before", "had ended before"),
        End::Before(Ended::IdChanged) => (
            "id_changed",
            "goes on under another id since a login: that is not known here, and the user is still logged in",
        ),
        End::Absent => ("absent", "no such session"),
    }
}

fn why(error: &EndError) -> (u8, String) {
    match error {
        EndError::Refused(Refusal::Busy) => (
            EXIT_AGAIN,
            "a request uses it. Wait longer (--wait), or end it under that request (--now)".into(),
        ),
        other => (EXIT_UNAVAILABLE, other.to_string()),
    }
}
