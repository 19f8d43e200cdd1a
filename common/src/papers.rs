//! What packages say of a program: its version, manual pages, completions.

use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::{fs, io};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::EXIT_UNAVAILABLE;

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

/// Writes the manual pages (`NAME.1`, one for each command) and the completions of bash, fish and zsh into a directory, from the command line's own definition.
pub fn write<T: CommandFactory>(directory: &Path) -> ExitCode {
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
