//! The sidecar, broken in the way that SATCHEL_BROKEN names: only to show that a check would notice.

use std::process::ExitCode;

use satchel_common::cli::EXIT_USAGE;

#[path = "main.rs"]
mod sound;

fn main() -> ExitCode {
    match sidecar::broken::choose() {
        Ok(name) => {
            eprintln!(
                "WARNING: this sidecar is BROKEN ON PURPOSE ({name}): it loses sessions. Never use it but in tests"
            );
            sound::main()
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}
