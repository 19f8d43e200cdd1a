//! Traces: one span for each request that is sampled, with a span for each of its parts, sent to a collector by OTLP.
//!
//! Off without configuration, and then a request costs nothing for it. A span is handed over when it has ended; a thread of OpenTelemetry's sends what has come, in batches, and drops
//! what it can't.

mod config;
mod parent;
mod sender;

use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _};

pub use config::{Config, Endpoint, Raw};
pub use opentelemetry::trace::SpanKind as Kind;
pub use opentelemetry::{KeyValue as Attribute, Value as AttributeValue};
pub use parent::{Parent, TRACEPARENT};

use sender::Sender;

/// Records spans, once it has been started. A clone is the same.
#[derive(Debug, Clone, Default)]
pub struct Tracing(Arc<OnceLock<Tracer>>);

#[derive(Debug)]
struct Tracer {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    ratio: f64,
}

/// One request that is recorded: its span, which has not ended yet.
#[derive(Debug, Clone)]
pub struct Trace {
    tracing: Tracing,
    trace: u128,
    /// Its own span.
    span: u64,
    /// Who has sent it.
    parent: Option<u64>,
    began: Instant,
}

impl Tracing {
    /// Begins to record. Spans are sent on the runtime that this is called on.
    pub fn start(&self, config: &Config, version: &'static str) {
        match Tracer::new(config, version) {
            // Who has started it before goes on.
            Ok(tracer) => {
                let _ = self.0.set(tracer);
                log::info!("traces: requests are recorded from now on");
            }
            Err(error) => log::error!("traces: nothing is recorded: {error}"),
        }
    }

    /// Whether spans are recorded at all.
    pub fn is_on(&self) -> bool {
        self.0.get().is_some()
    }

    /// A request begins; `None`: it is not recorded. What its `parent` says of sampling counts if that is `believed`; otherwise, and without one, the
    /// configured share of requests is recorded.
    pub fn begin(&self, parent: Option<Parent>, believed: bool, began: Instant) -> Option<Trace> {
        let tracer = self.0.get()?;
        let sampled = match parent.filter(|_| believed) {
            Some(parent) => parent.sampled,
            None => rand::random::<f64>() < tracer.ratio,
        };
        sampled.then(|| Trace {
            tracing: self.clone(),
            trace: parent.map_or_else(|| rand::random::<u128>() | 1, |parent| parent.trace),
            span: span_id(),
            parent: parent.map(|parent| parent.span),
            began,
        })
    }

    /// Sends what waits, beside what goes on; to be called before the process ends. OpenTelemetry's own wait for a collector that hangs is 5 s.
    pub fn flush(&self) -> Flush {
        let (tell, sent) = mpsc::channel();
        let tracing = self.clone();
        let send = move || {
            let sent = tracing.0.get().is_none_or(|tracer| tracer.processor.force_flush().is_ok());
            let _ = tell.send(sent);
        };
        // Without a thread nothing comes here, and that is known at once.
        let _ = thread::Builder::new().name("traces".into()).spawn(send);
        Flush(sent)
    }
}

/// What is on its way to the collector.
#[derive(Debug)]
pub struct Flush(mpsc::Receiver<bool>);

impl Flush {
    /// Waits until it is there, for at most this long. `false`: it is not.
    pub fn wait(self, at_most: Duration) -> bool {
        self.0.recv_timeout(at_most).unwrap_or(false)
    }
}

impl Tracer {
    fn new(config: &Config, version: &'static str) -> Result<Self, ExporterBuildError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender::here(config.endpoint.clone()))
            .with_endpoint(config.endpoint.to_string())
            .build()?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let resource = Resource::builder()
            .with_service_name(config.service_name.clone())
            .with_attribute(KeyValue::new("service.version", version));
        processor.set_resource(&resource.build());
        let scope = InstrumentationScope::builder("satchel").with_version(version).build();
        Ok(Self { processor, scope, ratio: config.ratio })
    }
}

/// A method as a span has it: those that HTTP knows, so that clients can't make up names.
pub fn method(method: &http::Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

/// Never zero.
fn span_id() -> u64 {
    rand::random::<u64>() | 1
}

/// A part of a request.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// [`Kind::Client`] for what another process does, otherwise [`Kind::Internal`].
    pub kind: Kind,
    /// When it began.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
}

impl Trace {
    /// What is sent on with a request, as its sender: a part that has not ended yet. To be told again when it has.
    pub fn send(&self) -> Parent {
        Parent { trace: self.trace, span: span_id(), sampled: true }
    }

    /// A part has ended. `sent`: what was sent on with it.
    pub fn part(&self, part: Part, sent: Option<Parent>, failed: bool, attributes: Vec<KeyValue>) {
        let span = sent.map_or_else(span_id, |sent| sent.span);
        let data = Data { name: part.name.into(), kind: part.kind, failed, attributes };
        self.record(span, Some(self.span), false, (part.began, part.ended), data);
    }

    /// The request has ended just now.
    pub fn end(&self, name: String, failed: bool, attributes: Vec<KeyValue>) {
        let data = Data { name: name.into(), kind: SpanKind::Server, failed, attributes };
        self.record(self.span, self.parent, true, (self.began, Instant::now()), data);
    }

    fn record(&self, span: u64, parent: Option<u64>, remote: bool, times: (Instant, Instant), data: Data) {
        let Some(tracer) = self.tracing.0.get() else { return };
        let (now, clock) = (Instant::now(), SystemTime::now());
        let at = |time: Instant| clock.checked_sub(now.saturating_duration_since(time)).unwrap_or(clock);
        let (trace, own) = (TraceId::from(self.trace), SpanId::from(span));
        tracer.processor.on_end(SpanData {
            span_context: SpanContext::new(trace, own, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: parent.map_or(SpanId::INVALID, SpanId::from),
            parent_span_is_remote: remote && parent.is_some(),
            span_kind: data.kind,
            name: data.name,
            start_time: at(times.0),
            end_time: at(times.1),
            attributes: data.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if data.failed { Status::error("") } else { Status::Unset },
            instrumentation_scope: tracer.scope.clone(),
        });
    }
}

struct Data {
    name: std::borrow::Cow<'static, str>,
    kind: SpanKind,
    failed: bool,
    attributes: Vec<KeyValue>,
}
