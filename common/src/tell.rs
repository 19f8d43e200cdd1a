//! Telling the process that runs something, in images that have no `kill`.

use std::fs;
use std::process::ExitCode;

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::EXIT_UNAVAILABLE;

/// Sends `signal` to the process `pid`, if it is a `program`: by default that is process 1, which is something else outside of a container.
pub fn tell(program: &str, pid: i32, signal: Signal) -> ExitCode {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let told = match (name.trim_end(), Pid::from_raw(pid)) {
        (name, Some(pid)) if name == program => kill_process(pid, signal).map_err(|error| error.to_string()),
        ("", _) => Err("there is no such process".into()),
        (other, _) => Err(format!("it is {other} and not a {program}")),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("process {pid} cannot be told: {why}. Name the {program}'s with --pid");
            ExitCode::from(EXIT_UNAVAILABLE)
        }
    }
}
