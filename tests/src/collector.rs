//! A real OpenTelemetry Collector: the official one, built from its modules with Go (`tests/otelcol`).

use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Process;
use crate::{binaries, eventually, needs, ports};

/// A running collector that writes down what it gets.
pub struct Collector {
    process: Process,
    port: u16,
    _directory: tempfile::TempDir,
}

/// A span as it came to the collector.
#[derive(Debug, Clone, Default)]
pub struct Span {
    /// `service.name` of its resource.
    pub service: String,
    /// Its trace, in hexadecimal.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// Its parent's; empty: it has none.
    pub parent: String,
    /// What it is called.
    pub name: String,
    /// `Server`, `Client` or `Internal`.
    pub kind: String,
    /// Its status: `Unset` or `Error`.
    pub status: String,
    /// When it began and ended, as the collector writes it.
    pub times: (String, String),
    /// `name: value`, as the collector writes them.
    pub attributes: Vec<String>,
}

impl Span {
    /// Whether it has this attribute.
    pub fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|one| one == attribute)
    }
}

impl Collector {
    /// Starts one; `None`: it can't be built here, which is said.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Option<Self> {
        let program = built()?;
        let directory = tempfile::tempdir().unwrap();
        let port = ports::free();
        let config = directory.path().join("config.yaml");
        let text = format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: \"127.0.0.1:{port}\"}}}}}}}}\nexporters: {{debug: {{verbosity: detailed}}}}\n\
             service:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Process::start("otelcol", &program, &directory.path().join("log"), |command| {
            command.arg(format!("--config=file:{}", config.display()));
        });
        eventually("the collector listens", || {
            assert!(process.is_running(), "the collector ended: {}", process.log());
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(Self { process, port, _directory: directory })
    }

    /// Where it takes OTLP over HTTP.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All spans that have come.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let (mut service, mut in_span) = (String::new(), false);
        for line in self.process.log().lines() {
            let line = line.trim();
            if line.contains("ResourceSpans #") {
                in_span = false;
            } else if line.starts_with("Span #") {
                in_span = true;
                spans.push(Span { service: service.clone(), ..Span::default() });
            } else if let Some(attribute) = line.strip_prefix("-> ") {
                let attribute = plain(attribute);
                if let Some(span) = spans.last_mut().filter(|_| in_span) {
                    span.attributes.push(attribute);
                } else if let Some(name) = attribute.strip_prefix("service.name: ") {
                    name.clone_into(&mut service);
                }
            } else if let (true, Some(span), Some((key, value))) =
                (in_span, spans.last_mut(), line.split_once(':'))
            {
                let value = value.trim().to_owned();
                match key.trim() {
                    "Trace ID" => span.trace = value,
                    "Parent ID" => span.parent = value,
                    "ID" => span.id = value,
                    "Name" => span.name = value,
                    "Kind" => span.kind = value,
                    "Status code" => span.status = value,
                    "Start time" => span.times.0 = value,
                    "End time" => span.times.1 = value,
                    _ => {}
                }
            }
        }
        spans
    }
}

/// `name: Str(value)` as `name: value`.
fn plain(attribute: &str) -> String {
    let Some((name, value)) = attribute.split_once(": ") else { return attribute.to_owned() };
    let inner = value.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    format!("{name}: {}", inner.unwrap_or(value))
}

/// The program, built once.
fn built() -> Option<PathBuf> {
    let directory = binaries::target().parent()?.join("otelcol");
    std::fs::create_dir_all(&directory).unwrap();
    let lock = File::create(directory.join("lock")).unwrap();
    lock.lock().unwrap();
    let program = directory.join("otelcol");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("otelcol");
    let changed = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    if changed(&program) > changed(&sources.join("main.go")) {
        return Some(program);
    }
    let Some(go) = needs::find("go") else {
        needs::skipped("traces", "building the OpenTelemetry Collector needs Go (go.dev/doc/install)");
        return None;
    };
    let built = Command::new(go)
        .args(["build", "-buildvcs=false", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(sources)
        .status()
        .unwrap();
    if !built.success() {
        needs::skipped("traces", "the OpenTelemetry Collector could not be built");
        return None;
    }
    Some(program)
}
