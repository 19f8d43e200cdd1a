//! The command line that both programs have.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::CommandFactory;
use clap_complete::Shell;
use rustix::process::{Pid, Signal, kill_process};

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

/// Exit status for a wrong command line (EX_USAGE of sysexits.h).
pub const EXIT_USAGE: u8 = 64;
/// Exit status for a configuration that is wrong (EX_CONFIG of sysexits.h): starting again with it is of no use.
pub const EXIT_CONFIG: u8 = 78;
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

/// Prints a result. Unlike `print!` it does not panic where nobody reads it.
///
/// # Errors
/// The pipe is closed, or the disk full.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Whether what goes to `out` may have colours: only on a terminal that has some, and not if NO_COLOR is set (<https://no-color.org>).
pub fn has_colours(out: &impl IsTerminal) -> bool {
    let variable = |name| std::env::var_os(name);
    out.is_terminal() && wants_colours(variable("NO_COLOR").as_deref(), variable("TERM").as_deref())
}

fn wants_colours(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

/// What `--version` says: the version, and the commit if `SATCHEL_COMMIT` named it when this was built.
pub fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let version = env!("CARGO_PKG_VERSION");
        match option_env!("SATCHEL_COMMIT") {
            Some(commit) if !commit.is_empty() => format!("{version} ({commit})"),
            _ => version.to_owned(),
        }
    })
}

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

/// Writes the manual pages (`NAME.1`, one for each command) and the completions of bash, fish and zsh into a directory, from the command line's own definition.
pub fn write_papers<T: CommandFactory>(directory: &Path) -> ExitCode {
    let papers = || -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let name = T::command().get_name().to_owned();
        clap_mangen::generate_to(T::command(), directory)?;
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            clap_complete::generate_to(shell, &mut T::command(), &name, directory)?;
        }
        Ok(())
    };
    match papers() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write into {}: {error}", directory.display());
            ExitCode::from(EXIT_UNAVAILABLE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_no_colours_gets_none() {
        let wants = |no_color: Option<&str>, term: Option<&str>| {
            wants_colours(no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert!(wants(None, None) && wants(Some(""), Some("xterm")));
        assert!(!wants(Some("1"), Some("xterm")) && !wants(Some("0"), None) && !wants(None, Some("dumb")));
    }

    #[test]
    fn a_file_has_no_colours() {
        assert!(!has_colours(&std::fs::File::open("/dev/null").unwrap()));
    }
}
