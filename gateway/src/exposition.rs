//! What Prometheus is shown.

use std::fmt;
use std::sync::Arc;

use satchel_common::metrics::{Page, Value};

use crate::balancer::{Admin, Peer};
use crate::metrics::{self as families, Metrics, Server as Counted};
use crate::running::Shared;
use crate::status::state;
use crate::upstream::Upstream;

/// One server of an upstream, now.
struct Server<'a> {
    upstream: &'a Upstream,
    address: String,
    peer: Peer,
    counted: Arc<Counted>,
}

impl Server<'_> {
    fn labels(&self) -> Vec<&str> {
        vec![&self.upstream.name, &self.address]
    }
}

/// Writes all of it.
///
/// # Errors
/// None: a page is a string.
pub fn collect(page: &mut Page<'_>, shared: &Shared, metrics: &Metrics) -> fmt::Result {
    page.each(&families::BUILD, [(vec![env!("CARGO_PKG_VERSION")], Value::Level(1.0))])?;
    requests(page, metrics)?;
    servers(page, shared)?;
    let groups = metrics.groups();
    let retries = groups.iter().map(|(name, group)| (vec![name], Value::Count(group.retries.get())));
    page.each(&families::RETRIES, retries)?;
    let (done, failed) = metrics.reloads();
    let reloads = [("success", done), ("failure", failed)];
    page.each(&families::RELOADS, reloads.map(|(result, count)| (vec![result], Value::Count(count))))?;
    let (ok, at) = metrics.config();
    page.one(&families::RELOAD_OK, flag(ok))?;
    page.one(&families::RELOAD_TIME, Value::Level(at as f64))?;
    page.one(&families::DENIED, Value::Count(metrics.denied.get()))?;
    metrics.process.collect(page)
}

fn requests(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    let sites = metrics.sites();
    let requests = sites.iter().flat_map(|(name, requests)| {
        requests.by_status().map(|(status, count)| (vec![name.as_str(), status], Value::Count(count)))
    });
    // A client gets an answer, or has left.
    page.each(&families::REQUESTS, requests.filter(|(labels, _)| labels[1] != "none"))?;
    let times = sites.iter().map(|(name, requests)| (vec![name], Value::Times(requests.times())));
    page.each(&families::REQUEST_TIME, times)?;
    page.one(&families::IN_FLIGHT, Value::Level(metrics.in_flight.count() as f64))?;
    let refused = [("limit_req", &metrics.limit_req), ("limit_conn", &metrics.limit_conn)];
    page.each(&families::REFUSED, refused.map(|(limit, count)| (vec![limit], Value::Count(count.get()))))
}

fn servers(page: &mut Page<'_>, shared: &Shared) -> fmt::Result {
    let running = shared.load();
    let of = |upstream: &'_ Arc<Upstream>| {
        let counted = |peer: &Peer| upstream.counted().server(peer.address);
        upstream.peers().into_iter().filter_map(move |peer| Some((counted(&peer)?, peer))).collect::<Vec<_>>()
    };
    let all = running.upstreams.iter().flat_map(|upstream| {
        of(upstream).into_iter().map(move |(counted, peer)| Server {
            upstream,
            address: peer.address.to_string(),
            peer,
            counted,
        })
    });
    let all: Vec<Server<'_>> = all.collect();
    let each = |value: fn(&Server<'_>) -> Value| {
        all.iter().map(move |server| (server.labels(), value(server))).collect::<Vec<_>>()
    };
    page.each(&families::UP, each(|server| flag(state(server.upstream, &server.peer) == "up")))?;
    page.each(&families::ENABLED, each(|server| flag(server.peer.options.admin == Admin::Up)))?;
    page.each(&families::WEIGHT, each(|server| Value::Level(server.peer.options.weight.into())))?;
    page.each(&families::SERVER_IN_FLIGHT, each(|server| Value::Level(server.peer.conns.into())))?;
    let requests = all.iter().flat_map(|server| {
        let labels = |status| server.labels().into_iter().chain([status]).collect();
        server.counted.requests.by_status().map(move |(status, count)| (labels(status), Value::Count(count)))
    });
    page.each(&families::SERVER_REQUESTS, requests)?;
    page.each(&families::SERVER_TIME, each(|server| Value::Times(server.counted.requests.times())))?;
    page.each(&families::FAILURES, each(|server| Value::Count(server.counted.failures.get())))
}

fn flag(is: bool) -> Value {
    Value::Level(u8::from(is).into())
}
