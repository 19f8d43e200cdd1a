//! Command line of the gateway.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use gateway::config::Config;
use gateway::{import, run};
use rustix::process::Signal;
use satchel_common::cli::{self, Common, EXIT_CONFIG, EXIT_INCOMPLETE, EXIT_UNAVAILABLE, EXIT_USAGE};
use satchel_common::{health, logging};

/// Measured: see docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
Examples:
  gateway import /etc/nginx/nginx.conf > gateway.toml
  gateway --test --config /etc/satchel/gateway.toml
  gateway --config /etc/satchel/gateway.toml

Signals: HUP reads the configuration again, USR1 opens the access log anew, TERM finishes what runs and ends, INT ends at once.
Exit status: 0 after a stop, 2 an import could not carry everything over, 64 it was called wrongly, 69 it could not start, 78 the
configuration is wrong.";

const IMPORT_HELP: &str = "\
Example:
  gateway import /etc/nginx/nginx.conf > gateway.toml

Exit status: 0 all was carried over, 2 something was not, 64 nothing could be.";

/// Balances requests over Tomcats, without session affinity.
#[derive(Parser)]
#[command(version = cli::version(), args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = HELP)]
struct Args {
    #[command(flatten)]
    common: Option<Common>,
    /// Take the listeners over from the process that runs with the same upgrade_sock, and let it finish (after this one has started, send it SIGQUIT).
    #[arg(short, long)]
    upgrade: bool,
    /// Tell the gateway that runs (nginx's -s).
    #[arg(short, long, value_name = "SIGNAL", conflicts_with_all = ["config", "test", "health", "upgrade"])]
    signal: Option<Tell>,
    /// Which process that is.
    #[arg(long, requires = "signal", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What a gateway can be told.
#[derive(Clone, Copy, ValueEnum)]
enum Tell {
    /// Read the configuration again (SIGHUP).
    Reload,
    /// Open the access log anew (SIGUSR1).
    Reopen,
    /// Finish the requests and end (SIGTERM).
    Quit,
}

impl Tell {
    fn signal(self) -> Signal {
        match self {
            Self::Reload => Signal::HUP,
            Self::Reopen => Signal::USR1,
            Self::Quit => Signal::TERM,
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Print the configuration that does what an nginx.conf does. What can't be carried over is listed on standard error; then the exit
    /// status is 2.
    #[command(after_help = IMPORT_HELP)]
    Import {
        /// The nginx.conf; its includes are read too.
        file: PathBuf,
    },
    /// Write manual pages and completions of shells into a directory, for packages.
    #[command(hide = true)]
    Papers {
        /// The directory; it is made if it is not there.
        directory: PathBuf,
    },
}

fn main() -> ExitCode {
    let args: Args = match cli::parse() {
        Ok(args) => args,
        Err(status) => return status,
    };
    match (args.command, args.signal, args.common) {
        (Some(Command::Import { file }), ..) => import(&file),
        (Some(Command::Papers { directory }), ..) => cli::write_papers::<Args>(&directory),
        (None, Some(tell), _) => cli::tell("gateway", args.pid, tell.signal()),
        (None, None, Some(common)) => serve(&common, args.upgrade),
        (None, None, None) => {
            eprintln!("--config FILE is needed; see --help");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn import(file: &std::path::Path) -> ExitCode {
    match import::import(file) {
        Ok(imported) => {
            if let Err(error) = cli::print(&imported.toml) {
                eprintln!("the configuration can't be printed: {error}");
                return ExitCode::from(EXIT_UNAVAILABLE);
            }
            for note in &imported.notes {
                eprintln!("{note}");
            }
            if imported.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_INCOMPLETE) }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn serve(common: &Common, upgrade: bool) -> ExitCode {
    let config = match Config::load(&common.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if common.health {
        return health::health(config.admin);
    }
    if common.test {
        if let Err(error) = gateway::access_log::check(&config.access_log) {
            eprintln!("{}: {error}", common.config.display());
            return ExitCode::from(EXIT_CONFIG);
        }
        for warning in run::exposed(&config) {
            eprintln!("{}: {warning}", common.config.display());
        }
        eprintln!("{}: the configuration is good", common.config.display());
        return ExitCode::SUCCESS;
    }
    logging::init(config.log_level);
    match run::run(config, &common.config, upgrade) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(EXIT_UNAVAILABLE)
        }
    }
}
