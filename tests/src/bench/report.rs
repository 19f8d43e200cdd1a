//! Tables, `RESULT` lines, and everything as JSON.

use std::path::Path;

use serde_json::{Value, json};

use super::figure::Figure;
use super::options::Options;
use super::plot;
use super::rounds::{Series, Spread};

/// What a benchmark has found so far; printed as it comes.
#[derive(Default)]
pub struct Report {
    tables: Vec<(String, Vec<Series>)>,
    figures: Vec<Figure>,
}

impl Report {
    /// A table of contenders.
    pub fn table(&mut self, title: &str, series: &[Series]) {
        println!("\n{title}");
        println!(
            "  {:<34} {:>22} {:>20} {:>22}  CPU µs a request",
            "median (min–max)", "requests/s", "p50 ms", "p99 ms"
        );
        for one in series {
            let cpu: Vec<String> = (0..one.parts.len())
                .map(|part| {
                    let spread = one.spread(|sample| sample.cpu(part));
                    let system = one.spread(|sample| sample.cpu[part].system_share()).median;
                    format!("{} {} ({:.0} % kernel)", one.parts[part], show(spread, 1), 100.0 * system)
                })
                .collect();
            println!(
                "  {:<34} {:>22} {:>20} {:>22}  {}",
                one.name,
                show(one.spread(|sample| sample.seen.rate()), 0),
                show(one.spread(|sample| sample.seen.percentile(0.5)), 2),
                show(one.spread(|sample| sample.seen.percentile(0.99)), 2),
                cpu.join(", ")
            );
        }
        self.tables.push((title.to_owned(), series.to_vec()));
    }

    /// A figure.
    pub fn figure(&mut self, figure: Figure) {
        println!(
            "  {} = {} (goal {}{})",
            figure.name,
            show(figure.value, 3),
            figure.goal(),
            if figure.is_reached() { "" } else { ": missed" }
        );
        self.figures.push(figure);
    }

    /// A line beside the tables.
    pub fn say(&mut self, line: &str) {
        println!("  {line}");
    }

    /// All figures once more, and the files that were asked for.
    ///
    /// # Panics
    /// When a file can't be written.
    pub fn finish(&self, options: &Options) {
        println!();
        for figure in &self.figures {
            println!("RESULT {}={:.3}", figure.name, figure.value.median);
        }
        let write = |path: &Path, text: String| {
            std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        };
        if let Some(path) = &options.json {
            write(path, format!("{:#}\n", self.json()));
        }
        if let Some(path) = &options.plot {
            write(path, plot::svg(&self.tables));
        }
    }

    fn json(&self) -> Value {
        let spread = |spread: Spread| json!({"min": spread.min, "median": spread.median, "max": spread.max});
        let tables = self.tables.iter().map(|(title, series)| {
            let series = series.iter().map(|one| {
                let samples = one.samples.iter().map(|sample| {
                    let cpu =
                        one.parts.iter().enumerate().map(|(n, part)| (part.clone(), json!(sample.cpu(n))));
                    json!({
                        "requests": sample.seen.latencies.len(),
                        "failed": sample.seen.failed,
                        "seconds": sample.seen.time.as_secs_f64(),
                        "p50_ms": sample.seen.percentile(0.5),
                        "p99_ms": sample.seen.percentile(0.99),
                        "p999_ms": sample.seen.percentile(0.999),
                        "cpu_us_per_request": cpu.collect::<serde_json::Map<_, _>>(),
                    })
                });
                json!({"name": one.name, "samples": samples.collect::<Vec<_>>()})
            });
            json!({"title": title, "contenders": series.collect::<Vec<_>>()})
        });
        let figures = self.figures.iter().map(|figure| {
            json!({
                "name": figure.name,
                "value": spread(figure.value),
                "goal": figure.goal(),
                "reached": figure.is_reached(),
            })
        });
        json!({"figures": figures.collect::<Vec<_>>(), "tables": tables.collect::<Vec<_>>()})
    }
}

/// `median (min–max)`.
fn show(spread: Spread, digits: usize) -> String {
    if spread.min == spread.max {
        return format!("{:.digits$}", spread.median);
    }
    format!("{:.digits$} ({:.digits$}–{:.digits$})", spread.median, spread.min, spread.max)
}
