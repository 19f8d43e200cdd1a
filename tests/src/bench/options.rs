//! The benchmarks' command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::generator::Pace;
use super::report::Report;
use super::rounds::Rounds;

/// A part of a benchmark: its name, and what it does.
pub type Run = (&'static str, fn(&Options, &mut Report));

/// Measures Satchel and its peers in turns, on this machine.
#[derive(Parser, Debug)]
pub struct Options {
    /// How often everybody has his turn.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Seconds of one turn.
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Only the parts whose name contains this; several times, any of them. `list` lists them.
    #[arg(long)]
    pub only: Vec<String>,
    /// Writes all samples to this file.
    #[arg(long, value_name = "FILE.json")]
    pub json: Option<PathBuf>,
    /// Draws the medians into this file.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

impl Options {
    /// So many rounds, and so long, at this pace.
    pub fn rounds(&self, pace: Pace) -> Rounds {
        // The command line's bound makes it fit.
        Rounds { rounds: self.rounds as usize, time: Duration::from_secs_f64(self.seconds), pace }
    }

    /// Runs the parts that were asked for, one after the other.
    pub fn run(&self, parts: &[Run], report: &mut Report) {
        for (name, part) in parts {
            if self.only.iter().any(|only| only == "list") {
                println!("{name}");
            } else if self.only.is_empty() || self.only.iter().any(|only| name.contains(only.as_str())) {
                eprintln!("== {name}");
                part(self, report);
            }
        }
    }
}
