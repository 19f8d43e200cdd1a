//! What Prometheus is shown, in its own text format or in OpenMetrics, whichever it asks for.
//!
//! Names follow <https://prometheus.io/docs/practices/naming/>. A family says once what it is called, which labels it has and what it means;
//! `docs/monitoring.md` has these as tables, and tests compare them.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::{BOUNDS, Snapshot};

/// What a family's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until the process ends. Its name ends in `_total`.
    Counter,
    /// What is so now.
    Gauge,
    /// Times in buckets, in seconds.
    Histogram,
}

/// A name with all its values.
#[derive(Debug)]
pub struct Family {
    /// As Prometheus shows it.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What is counted.
    pub help: &'static str,
}

/// One value.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    /// Of a counter.
    Count(u64),
    /// Of a counter of seconds.
    Seconds(f64),
    /// Of a gauge.
    Level(f64),
    /// Of a histogram.
    Times(Snapshot),
}

impl Family {
    /// A counter.
    pub const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, labels, help }
    }

    /// A gauge.
    pub const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, labels, help }
    }

    /// A histogram.
    pub const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram, labels, help }
    }

    /// OpenMetrics has the unit apart, and counters without their ending.
    fn parts(&self) -> (&'static str, Option<Unit>) {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        let unit = |name: &'static str, ending, unit| Some((name.strip_suffix(ending)?, Some(unit)));
        let found = unit(name, "_seconds", Unit::Seconds).or_else(|| unit(name, "_bytes", Unit::Bytes));
        found.unwrap_or((name, None))
    }
}

/// Where values are written.
pub struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// A family of a single value, without labels.
    ///
    /// # Errors
    /// None: a page is a string.
    pub fn one(&mut self, family: &Family, value: Value) -> fmt::Result {
        self.each(family, [(Vec::<&str>::new(), value)])
    }

    /// A family, each value with its labels' values in the order of their names.
    ///
    /// # Errors
    /// None: a page is a string.
    pub fn each<L: AsRef<str>>(
        &mut self,
        family: &Family,
        values: impl IntoIterator<Item = (Vec<L>, Value)>,
    ) -> fmt::Result {
        let (name, unit) = family.parts();
        let kind = match family.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        let mut encoder = self.0.encode_descriptor(name, family.help, unit.as_ref(), kind)?;
        for (labels, value) in values {
            let labels: Vec<_> =
                family.labels.iter().copied().zip(labels.iter().map(AsRef::as_ref)).collect();
            match labels.as_slice() {
                [] => write(&mut encoder, value)?,
                labels => write(&mut encoder.encode_family(&labels)?, value)?,
            }
        }
        Ok(())
    }
}

fn write(encoder: &mut MetricEncoder<'_>, value: Value) -> fmt::Result {
    match value {
        Value::Count(count) => encoder.encode_counter::<NoLabelSet, _, f64>(&count, None),
        Value::Seconds(seconds) => encoder.encode_counter::<NoLabelSet, _, f64>(&seconds, None),
        Value::Level(level) => encoder.encode_gauge(&level),
        Value::Times(times) => {
            let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(times.buckets).collect();
            encoder.encode_histogram::<NoLabelSet>(times.seconds(), times.count(), &buckets, None)
        }
    }
}

/// Writes a page when it is asked for.
pub struct Exposition(Registry);

struct Collected<F>(F);

impl<F> fmt::Debug for Collected<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collected")
    }
}

impl<F: Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static> Collector for Collected<F> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.0)(&mut Page(encoder))
    }
}

impl Exposition {
    /// `collect` writes all values.
    pub fn new(collect: impl Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Collected(collect)));
        Self(registry)
    }

    /// The page, and its `Content-Type`: OpenMetrics for whoever accepts that, else Prometheus' text format.
    pub fn render(&self, accept: &str) -> (&'static str, String) {
        let mut page = String::new();
        // Writing to a string does not fail.
        if accept.contains("application/openmetrics-text") {
            let _ = text::encode(&mut page, &self.0);
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", page)
        } else {
            let _ = prometheus_text::encode(&mut page, &self.0);
            ("text/plain; version=0.0.4; charset=utf-8", page)
        }
    }
}

/// The table of these families in `docs/monitoring.md`, a line for each.
pub fn table<'a>(families: impl IntoIterator<Item = &'a Family>) -> String {
    let line = |family: &Family| {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        format!("| `{}` | {kind} | {} | {} |\n", family.name, labels.join(" "), family.help)
    };
    let head = "| name | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    head + &families.into_iter().map(line).collect::<String>()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Histogram;

    const BYTES: Family = Family::gauge("x_cache_bytes", &[], "Bytes");
    const HITS: Family = Family::counter("x_hits_total", &["node"], "Hits");
    const TIMES: Family = Family::histogram("x_time_seconds", &["node"], "Times");

    fn exposition() -> Exposition {
        let times = Histogram::default();
        times.observe(Duration::from_millis(3));
        Exposition::new(move |page| {
            page.one(&BYTES, Value::Level(5.0))?;
            page.each(&HITS, [(vec!["n\"1\n"], Value::Count(3))])?;
            page.each(&TIMES, [(vec!["n1"], Value::Times(times.snapshot()))])
        })
    }

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        let (kind, page) = exposition().render("application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
        assert!(kind.starts_with("application/openmetrics-text"));
        for text in [
            "# HELP x_cache_bytes Bytes\n# TYPE x_cache_bytes gauge\n# UNIT x_cache_bytes bytes\nx_cache_bytes 5.0\n",
            "# TYPE x_hits counter\nx_hits_total{node=\"n\\\"1\\n\"} 3\n",
            "x_time_seconds_bucket{le=\"0.002\",node=\"n1\"} 0\nx_time_seconds_bucket{le=\"0.005\",node=\"n1\"} 1\n",
            "x_time_seconds_bucket{le=\"+Inf\",node=\"n1\"} 1\n# EOF\n",
        ] {
            assert!(page.contains(text), "{text} is not in {page}");
        }
    }

    #[test]
    fn everybody_else_gets_prometheus_own_format() {
        let (kind, page) = exposition().render("*/*");
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        assert!(page.contains("# TYPE x_hits_total counter\nx_hits_total{node=\"n\\\"1\\n\"} 3\n"), "{page}");
        assert!(page.contains("x_time_seconds_sum{node=\"n1\"} 0.003\n") && !page.contains("EOF"), "{page}");
    }

    #[test]
    fn a_family_is_a_line_of_the_documentation() {
        let line = table([&HITS]);
        assert!(line.ends_with("| `x_hits_total` | counter | `node` | Hits |\n"), "{line}");
    }
}
