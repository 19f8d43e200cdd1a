//! Servers whose addresses change: names that are looked up again when their answer has lived out its time (A, AAAA, SRV), and files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::TokioResolver;
use tokio::time::sleep;

use super::{Upstream, file};
use crate::balancer::Options;
use crate::config::{Resolver as ResolverConfig, Source, defaults};

/// An answer that says it holds for less is asked for again after this.
const AT_LEAST: Duration = Duration::from_secs(1);
/// After a look-up that failed.
const AGAIN: Duration = Duration::from_secs(2);
/// How often it is looked whether a file has changed.
const FILE_STEP: Duration = Duration::from_secs(1);

/// Keeps an upstream's servers up to date, for ever. What was found last stays until something else is found.
pub async fn discover_for_ever(upstream: Arc<Upstream>, config: ResolverConfig) {
    let resolver = match resolver(&config) {
        Ok(resolver) => Some(resolver),
        Err(error) => {
            log::error!("Cannot read how names are resolved here: {error}");
            None
        }
    };
    loop {
        let now = upstream.config();
        let mut work = FuturesUnordered::new();
        for server in &now.servers {
            if let (Some(resolver), Source::Resolve(_) | Source::Service(_)) = (&resolver, &server.source) {
                work.push(look_up_for_ever(&upstream, resolver, &config, server.source.clone()));
            }
        }
        let watch = async {
            match &now.file {
                Some(path) => watch_file(&upstream, path).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = upstream.reconfigured() => {}
            () = watch => {}
            Some(()) = work.next() => {}
        }
    }
}

fn resolver(config: &ResolverConfig) -> Result<TokioResolver, String> {
    use hickory_resolver::config::{NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    let text = |error: hickory_resolver::net::NetError| error.to_string();
    let builder = if config.nameservers.is_empty() {
        TokioResolver::builder_tokio().map_err(text)?
    } else {
        let servers = config.nameservers.iter().map(|address| {
            let mut server = NameServerConfig::udp_and_tcp(address.ip());
            server.connections.iter_mut().for_each(|connection| connection.port = address.port());
            server
        });
        let servers = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
    };
    builder.build().map_err(text)
}

async fn look_up_for_ever(
    upstream: &Upstream,
    resolver: &TokioResolver,
    config: &ResolverConfig,
    source: Source,
) {
    let mut failed = false;
    loop {
        let pause = match look_up(resolver, &source).await {
            Ok((addresses, until)) => {
                if failed {
                    log::info!("upstream {}: {} is found again", upstream.name, shown(&source));
                }
                failed = false;
                upstream.found(&source, addresses);
                let valid = until.map_or(defaults::RESOLVER_VALID.0, |until| {
                    until.saturating_duration_since(Instant::now())
                });
                config.valid.unwrap_or(valid).max(AT_LEAST)
            }
            Err(error) => {
                if !failed {
                    log::warn!(
                        "upstream {}: {} cannot be looked up: {error}. What was found before stays",
                        upstream.name,
                        shown(&source)
                    );
                }
                failed = true;
                AGAIN
            }
        };
        sleep(pause).await;
    }
}

type Found = (Vec<(SocketAddr, Option<u16>)>, Option<Instant>);

async fn look_up(resolver: &TokioResolver, source: &Source) -> Result<Found, String> {
    match source {
        Source::Known(_) => Ok((Vec::new(), None)),
        Source::Resolve(address) => {
            let found = resolver.lookup_ip(address.host.as_str()).await.map_err(|error| error.to_string())?;
            let until = found.valid_until();
            let mut addresses: Vec<_> =
                found.iter().map(|ip| (SocketAddr::new(ip, address.port), None)).collect();
            // In an order of its own, not in that of an answer that turns: servers keep their places.
            addresses.sort_unstable();
            Ok((addresses, Some(until)))
        }
        Source::Service(name) => service(resolver, name).await,
    }
}

/// SRV records: of the highest priority only, with their ports and weights; weight 0 counts as 1.
async fn service(resolver: &TokioResolver, name: &str) -> Result<Found, String> {
    use hickory_resolver::proto::rr::RData;
    let found = resolver.srv_lookup(name).await.map_err(|error| error.to_string())?;
    let mut until = found.valid_until();
    let records: Vec<_> = found
        .answers()
        .iter()
        .filter_map(|record| if let RData::SRV(srv) = &record.data { Some(srv) } else { None })
        .collect();
    let first = records.iter().map(|srv| srv.priority).min();
    let mut addresses = Vec::new();
    for srv in records.into_iter().filter(|srv| Some(srv.priority) == first) {
        let ips = resolver.lookup_ip(srv.target.clone()).await.map_err(|error| error.to_string())?;
        until = until.min(ips.valid_until());
        addresses.extend(ips.iter().map(|ip| (SocketAddr::new(ip, srv.port), Some(srv.weight.max(1)))));
    }
    addresses.sort_unstable();
    Ok((addresses, Some(until)))
}

fn shown(source: &Source) -> String {
    match source {
        Source::Known(addresses) => format!("{addresses:?}"),
        Source::Resolve(address) => address.to_string(),
        Source::Service(name) => name.clone(),
    }
}

/// Takes a changed file over; one that is wrong changes nothing, is said to be, and is tried again: a name in it may be found later.
async fn watch_file(upstream: &Upstream, path: &Path) {
    let mut looks = file::Looks::default();
    // Once, unless something else is wrong then.
    let mut said = String::new();
    loop {
        let mut pause = FILE_STEP;
        if looks.is_due(file::stamp(path)) {
            match read(path.to_owned()).await {
                Ok(servers) => {
                    if looks.taken(file::stamp(path)) {
                        upstream.listed(servers);
                        said.clear();
                    }
                }
                Err(error) => {
                    pause = AGAIN;
                    if error != said {
                        log::error!("upstream {}: the servers stay as they were: {error}", upstream.name);
                    }
                    said = error;
                }
            }
        }
        sleep(pause).await;
    }
}

/// In a thread of its own: names in it are looked up.
async fn read(path: PathBuf) -> Result<Vec<(SocketAddr, Options)>, String> {
    let read = tokio::task::spawn_blocking(move || file::read(path).map_err(|error| error.to_string()));
    read.await.map_err(|error| error.to_string())?
}
