//! The command line of `sidecar doctor`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use satchel_common::cli::{EXIT_UNAVAILABLE, EXIT_USAGE, has_colours};
use satchel_common::progress::Progress;

use super::{Patient, Severity, examine, print};

/// Exit status when the worst that was found is a warning.
const EXIT_WARNINGS: u8 = 1;
/// Exit status when an error was found.
const EXIT_ERRORS: u8 = 2;

const HELP: &str = "\
Examples:
  sidecar doctor --catalina-base /var/lib/tomcat10 --config /etc/satchel/sidecar.toml
  sidecar doctor --catalina-base /opt/tomcat                  # Tomcat alone
  sidecar doctor --catalina-base /opt/tomcat --fix-print      # the corrected XML

Exit status: 0 nothing was found, 1 warnings, 2 errors, 64 it was called wrongly.";

/// Look for what goes wrong in practice, and say how it is mended.
///
/// It looks at Tomcat's files, the sidecar's configuration, the store directories, memcached, and what other sidecars have. Nothing is changed. Run
/// it as the sidecar's user, on its machine, best while Tomcat and the sidecar run.
///
/// The exit status is 0 if nothing was found (notes don't count), 1 if the worst is a warning, 2 if there is an error.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Tomcat's directory with conf and webapps. Default: the environment's CATALINA_BASE, or CATALINA_HOME.
    #[arg(long, value_name = "DIR")]
    catalina_base: Option<PathBuf>,
    /// Tomcat's directory with lib and bin, if it is another and is not found.
    #[arg(long, value_name = "DIR")]
    catalina_home: Option<PathBuf>,
    /// The sidecar's configuration.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the corrected files of XML in place of the findings, each behind a line "==> FILE <==".
    #[arg(long, conflicts_with = "json")]
    fix_print: bool,
    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(args: Args) -> ExitCode {
    let environment = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base =
        args.catalina_base.or_else(|| environment("CATALINA_BASE")).or_else(|| environment("CATALINA_HOME"));
    if base.is_none() && args.config.is_none() {
        eprintln!("--catalina-base DIR or --config FILE is needed, better both; see sidecar doctor --help");
        return ExitCode::from(EXIT_USAGE);
    }
    for path in [&base, &args.catalina_home, &args.config].into_iter().flatten() {
        if let Err(error) = std::fs::metadata(path) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::from(EXIT_USAGE);
        }
    }
    let patient = Patient { catalina_base: base, catalina_home: args.catalina_home, config: args.config };
    let report = match examine(&patient, &Progress::new("reading Tomcat's files and the configuration")) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("cannot start a runtime: {error}");
            return ExitCode::from(EXIT_UNAVAILABLE);
        }
    };
    let said = match (args.fix_print, args.json) {
        (true, _) => print::fixes(&report),
        (_, true) => format!("{:#}\n", print::json(&report)),
        _ => print::text(&report, has_colours(&std::io::stdout())),
    };
    // Who has closed the pipe does not want to know.
    let _ = std::io::stdout().write_all(said.as_bytes());
    match report.worst() {
        Some(Severity::Error) => ExitCode::from(EXIT_ERRORS),
        Some(Severity::Warning) => ExitCode::from(EXIT_WARNINGS),
        Some(Severity::Note) | None => ExitCode::SUCCESS,
    }
}
