//! The command line that both programs have.

use std::path::PathBuf;
use std::process::ExitCode;

/// nginx's `-c` and `-t`, and a look at the process that runs.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// Check the configuration whole, say whether it is good, and exit.
    #[arg(short, long, conflicts_with = "health")]
    pub test: bool,
    /// Ask the process that runs with this configuration, at its admin address, whether it is ready; exit with 0 if it is, and with 1 if not. For health checks of
    /// containers.
    #[arg(long)]
    pub health: bool,
}

/// Exit status for a wrong command line or configuration (EX_USAGE of sysexits.h).
pub const EXIT_USAGE: u8 = 64;
/// Exit status when the program could not start (EX_UNAVAILABLE of sysexits.h).
pub const EXIT_UNAVAILABLE: u8 = 69;
/// Exit status of an import that could not carry everything over.
pub const EXIT_INCOMPLETE: u8 = 2;

/// Reads the command line. `Err`: it has been answered (`--help`), or was wrong; then the status is [`EXIT_USAGE`] and not clap's own 2.
///
/// # Errors
/// The exit status.
pub fn parse<T: clap::Parser>() -> Result<T, ExitCode> {
    T::try_parse().map_err(|answer| {
        let _ = answer.print();
        if answer.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS }
    })
}
