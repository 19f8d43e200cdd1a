//! Spans of gateway and sidecar, as a real OpenTelemetry Collector gets them.

use std::io::Read;
use std::sync::mpsc;

use satchel_tests::collector::{Collector, Span};
use satchel_tests::{Farm, Gateway, Origin, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

/// A farm whose sidecars record what they are told to, and a gateway in front that records this share, and believes its clients if they are `trusted`.
fn farm(collector: &Collector, ratio: &str, trusted: bool) -> (Farm, Gateway) {
    let traces = format!("endpoint = \"{}\"", collector.endpoint());
    let farm = Farm::builder().nodes(2).set("traces", &format!("{{ {traces}, ratio = 0.0 }}")).start();
    let trusted = if trusted { "trusted_proxies = [\"127.0.0.1\"]" } else { "" };
    let builder = Gateway::builder().set_top(&format!("[traces]\n{traces}\nratio = {ratio}")).set(trusted);
    let gateway = farm.sidecars.iter().fold(builder, |builder, sidecar| builder.server(sidecar.port(), 1));
    let gateway = gateway.start();
    let is_on = |log: String| log.contains("requests are recorded from now on");
    eventually("all of them record", || {
        is_on(gateway.log()) && farm.sidecars.iter().all(|sidecar| is_on(sidecar.log()))
    });
    (farm, gateway)
}

fn of<'a>(spans: &'a [Span], service: &str, name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.service == service && span.name == name).collect()
}

#[test]
fn a_request_is_one_trace_through_gateway_sidecar_and_tomcat() {
    let Some(collector) = Collector::start() else { return };
    let (_farm, mut gateway) = farm(&collector, "0.0", true);
    let mut user = gateway.client();
    // Not recorded: nobody has said so.
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let parent = format!("00-{TRACE}-{CLIENT}-01");
    let headers = [("traceparent", parent.as_str()), ("tracestate", "vendor=1")];
    let id = user.cookie("JSESSIONID").unwrap().to_owned();
    // The other sidecar has never seen it.
    let answer = user.send("GET", &format!("/kind/small;jsessionid={id}?secret=1"), &headers, b"");
    assert_eq!(answer.number("n"), Some(2));
    let seen = |count: usize| {
        eventually("its spans have come", || collector.spans().len() >= count);
        collector.spans()
    };
    let spans = seen(10);
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    let one = |service: &str, name: &str| match of(&spans, service, name)[..] {
        [span] => span.clone(),
        ref other => panic!("{service} {name}: {other:#?} of {spans:#?}"),
    };
    let root = one("satchel-gateway", "GET /");
    assert_eq!((root.parent.as_str(), root.kind.as_str(), root.status.as_str()), (CLIENT, "Server", "Unset"));
    assert!(root.has("http.request.method: GET") && root.has("http.response.status_code: 200"), "{root:#?}");
    assert!(root.has("url.path: /kind/small;jsessionid=-"), "no id, no query: {root:#?}");
    let upstream = one("satchel-gateway", "upstream");
    assert_eq!((upstream.parent.as_str(), upstream.kind.as_str()), (root.id.as_str(), "Client"));
    let sidecar = one("satchel-sidecar", "GET /");
    assert_eq!((sidecar.parent.as_str(), sidecar.kind.as_str()), (upstream.id.as_str(), "Server"));
    assert!(sidecar.has("satchel.session: held") && sidecar.has("satchel.context: /"), "{sidecar:#?}");
    let mut before = sidecar.times.0.clone();
    for part in ["lock", "load", "place", "tomcat", "save", "store", "unlock"] {
        let span = one("satchel-sidecar", part);
        assert_eq!(span.parent, sidecar.id, "{part}");
        assert!(
            before <= span.times.0 && span.times.0 <= span.times.1,
            "{part} comes in its turn: {spans:#?}"
        );
        before = span.times.0;
    }
    assert_eq!(one("satchel-sidecar", "tomcat").kind, "Client");

    // Tomcat is told whose child its work is.
    let told = user.send("GET", "/headers", &headers, b"").text();
    let told = told
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("traceparent").map(str::to_owned))
        .unwrap();
    let tomcats = || collector.spans().into_iter().filter(|span| span.name == "tomcat").collect::<Vec<_>>();
    eventually("its span has come", || {
        tomcats().iter().any(|span| told.contains(&format!("{TRACE}-{}-01", span.id)))
    });
    assert!(
        user.send("GET", "/headers", &headers, b"").text().contains("vendor=1"),
        "tracestate is passed on"
    );

    // What goes wrong is an error; what is not to be recorded is not, by anybody.
    let before = collector.spans().len();
    let unsampled = format!("00-{}-{CLIENT}-00", TRACE.replace('4', "5"));
    assert_eq!(user.send("GET", "/kind/small", &[("traceparent", &unsampled)], b"").status, 200);
    assert_eq!(user.send("POST", "/nothing", &headers, b"").status, 404);
    eventually("it has come", || {
        let spans = collector.spans();
        of(&spans, "satchel-gateway", "POST /").iter().any(|span| span.has("http.response.status_code: 404"))
    });
    // Whatever still waited is sent before the end.
    assert_eq!(user.send("GET", "/whoami", &headers, b"").status, 200);
    gateway.process().terminate();
    eventually("it has ended", || gateway.process().exit_code() == Some(0));
    let gets = of(&collector.spans(), "satchel-gateway", "GET /").len();
    assert_eq!(gets, 4, "each is sent once");
    assert!(collector.spans().len() > before);
    assert!(collector.spans().iter().all(|span| span.trace == TRACE));
    assert!(!format!("{:?}", collector.spans()).contains(id.split('-').next().unwrap()), "no span has an id");
}

#[test]
fn nobody_can_have_his_requests_recorded_who_is_not_trusted() {
    let Some(collector) = Collector::start() else { return };
    let (_farm, gateway) = farm(&collector, "0.0", false);
    let mut user = gateway.client();
    let parent = format!("00-{TRACE}-{CLIENT}-01");
    let told = user.send("GET", "/headers", &[("traceparent", &parent)], b"").text();
    assert!(told.contains(&format!("{TRACE}-{CLIENT}-00")), "the trace goes on, unrecorded: {told}");
    // Everything is recorded that begins here.
    let (_farm, gateway) = farm(&collector, "1.0", false);
    for _ in 0..5 {
        assert_eq!(gateway.client().send("GET", "/whoami", &[("traceparent", &parent)], b"").status, 200);
    }
    eventually("they have come", || of(&collector.spans(), "satchel-gateway", "GET /").len() == 5);
    eventually("the sidecars', too", || of(&collector.spans(), "satchel-sidecar", "GET /").len() == 5);
    assert_eq!(collector.spans().iter().filter(|span| span.service == "satchel-gateway").count(), 10);
    assert!(collector.spans().iter().all(|span| span.trace == TRACE), "his trace is taken over all the same");
}

#[test]
fn a_collector_that_is_gone_holds_nobody_up() {
    let traces = format!("endpoint = \"http://127.0.0.1:{}\"\nratio = 1.0", satchel_tests::ports::free());
    let farm = Farm::start();
    let gateway =
        Gateway::builder().set_top(&format!("[traces]\n{traces}")).server(farm.sidecars[0].port(), 1);
    let mut gateway = gateway.start();
    let mut user = gateway.client();
    for n in 1..=100 {
        assert_eq!(user.get("/kind/small").number("n"), Some(n));
    }
    eventually("it is said", || gateway.log().contains("does not take them"));
    assert_eq!(user.get("/kind/small").number("n"), Some(101));
    gateway.process().terminate();
    eventually("it ends all the same", || gateway.process().exit_code() == Some(0));
    assert_eq!(gateway.log().matches("does not take them:").count(), 1, "once: {}", gateway.log());
}

#[test]
fn a_collector_that_hangs_does_not_hold_up_the_end() {
    let (held, hangs) = mpsc::channel();
    let collector = Origin::with(move |mut client, connection| {
        connection.read_request(&mut client);
        let _ = held.send(());
        // Until the client has gone.
        while client.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
    });
    let traces = format!("endpoint = \"http://127.0.0.1:{}\"\nratio = 1.0", collector.port());
    let server = Origin::start();
    let gateway = Gateway::builder().set_top(&format!("[traces]\n{traces}")).server(server.port(), 1);
    let mut gateway = gateway.start();
    eventually("the collector is asked", || {
        assert_eq!(gateway.client().get("/").status, 200);
        hangs.try_recv().is_ok()
    });
    gateway.process().terminate();
    eventually("it ends", || gateway.process().exit_code() == Some(0));
    // It did not wait for OpenTelemetry to give up.
    assert!(gateway.log().contains("the last ones are not sent"), "{}", gateway.log());
    assert!(!gateway.log().contains("does not take them:"), "{}", gateway.log());
}
