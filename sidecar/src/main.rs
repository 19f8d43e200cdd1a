//! Command line of the sidecar.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use rustix::process::Signal;
use satchel_common::cli::{self, Common, EXIT_CONFIG, EXIT_UNAVAILABLE, EXIT_USAGE};
use satchel_common::{health, logging};
use sidecar::config::{Config, Secret};
use sidecar::import::command::{self as import, Import};
use sidecar::{doctor, run, session};

/// Measured: see docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
Examples:
  sidecar --new-keys                              # once; the same keys go to every sidecar
  sidecar --test --config /etc/satchel/sidecar.toml
  sidecar --config /etc/satchel/sidecar.toml
  sidecar import --app /shop --xml new conf/context.xml conf/server.xml > sidecar.toml
  sidecar doctor --catalina-base /opt/tomcat --config /etc/satchel/sidecar.toml
  sidecar session list --config /etc/satchel/sidecar.toml

Signals: HUP reads the configuration again, USR2 (`--signal drain`) sends requests to other servers before Tomcat is stopped, TERM finishes what runs
and ends, INT ends at once.
Exit status: 0 after a stop, 64 it was called wrongly, 69 it could not start, 78 the configuration is wrong.";

/// Carries the sessions of the Tomcat beside it to and from memcached.
#[derive(Parser)]
#[command(version = cli::version(), args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = HELP)]
struct Args {
    /// Print new keys for the [record] table and exit.
    #[arg(long, exclusive = true)]
    new_keys: bool,
    /// Tell the sidecar that runs (nginx's -s).
    #[arg(short, long, value_name = "SIGNAL", conflicts_with_all = ["config", "test", "health"])]
    signal: Option<Tell>,
    /// Which process that is.
    #[arg(long, requires = "signal", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
    #[command(flatten)]
    common: Option<Common>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What a sidecar can be told.
#[derive(Clone, Copy, ValueEnum)]
enum Tell {
    /// Tomcat is about to be stopped: "/ready" says no at once, and 5 s later requests are sent on to other servers (SIGUSR2).
    Drain,
    /// Read the configuration again (SIGHUP).
    Reload,
    /// Finish the requests and end (SIGTERM).
    Quit,
}

impl Tell {
    fn signal(self) -> Signal {
        match self {
            Self::Drain => Signal::USR2,
            Self::Reload => Signal::HUP,
            Self::Quit => Signal::TERM,
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Print the configuration that does what memcached-session-manager does, and write the XML that Tomcat needs with it. What can't be
    /// carried over is listed on standard error; then the exit status is 2.
    Import(Import),
    Doctor(doctor::command::Args),
    Session(session::command::Args),
    /// Write manual pages and completions of shells into a directory, for packages.
    #[command(hide = true)]
    Papers {
        /// The directory; it is made if it is not there.
        directory: PathBuf,
    },
}

/// Reads the command line, and runs.
pub fn main() -> ExitCode {
    let args: Args = match cli::parse() {
        Ok(args) => args,
        Err(status) => return status,
    };
    match args.command {
        Some(Command::Doctor(args)) => return doctor::command::run(args),
        Some(Command::Import(args)) => return import::run(&args),
        Some(Command::Session(args)) => return session::command::run(args),
        Some(Command::Papers { directory }) => return cli::write_papers::<Args>(&directory),
        None => {}
    }
    if args.new_keys {
        let (key, index_key) = (Secret::random().encoded(), Secret::random().encoded());
        let printed = cli::print(&format!("keys = [\"{key}\"]\nindex_key = \"{index_key}\"\n"));
        return printed.map_or(ExitCode::from(EXIT_UNAVAILABLE), |()| ExitCode::SUCCESS);
    }
    if let Some(tell) = args.signal {
        return cli::tell("sidecar", args.pid, tell.signal());
    }
    let Some(common) = args.common else {
        eprintln!("--config FILE is needed; see --help");
        return ExitCode::from(EXIT_USAGE);
    };
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
        match run::tomcat_address(&config) {
            Ok(tomcat) => {
                for warning in run::exposed(&config, &common.config, tomcat) {
                    eprintln!("{}: {warning}", common.config.display());
                }
            }
            Err(error) => {
                eprintln!("{}: {error}", common.config.display());
                return ExitCode::from(EXIT_CONFIG);
            }
        }
        eprintln!("{}: the configuration is good", common.config.display());
        return ExitCode::SUCCESS;
    }
    logging::init(config.log_level);
    match run::run(&config, &common.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(EXIT_UNAVAILABLE)
        }
    }
}
