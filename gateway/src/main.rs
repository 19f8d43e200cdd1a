//! Command line of the gateway.

use std::process::ExitCode;

use clap::Parser;
use gateway::config::Config;
use gateway::run;
use satchel_common::cli::{Common, EXIT_UNAVAILABLE, EXIT_USAGE};
use satchel_common::logging;

/// Balances requests over Tomcats, without session affinity.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    let Args { common } = Args::parse();
    let config = match Config::load(&common.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if common.test {
        eprintln!("{}: the configuration is good", common.config.display());
        return ExitCode::SUCCESS;
    }
    logging::init(config.log_level);
    match run::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(EXIT_UNAVAILABLE)
        }
    }
}
