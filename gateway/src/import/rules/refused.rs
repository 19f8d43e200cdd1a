//! What the gateway does not do, and what to do instead.

use super::Rule::{self, Not, Only};

const FILES: &str = "the gateway serves no files: put them into Tomcat's application, or keep nginx for them";
const REWRITE: &str =
    "write a location with proxy_pass = \"http://NAME/new/\" or return, or let Tomcat's RewriteValve do it";
const ACCESS: &str = "the gateway does not restrict by address; use Tomcat's RemoteAddrValve or RemoteCIDRValve, or a firewall";
const LOGIN: &str = "the gateway checks no passwords; use Tomcat's realms, or a proxy for it";
const VARIABLE: &str = "the gateway has no variables of one's own";
const CACHE: &str = "the gateway does not cache; keep a cache in front of it where one is needed";
const CODE: &str = "the gateway runs no code; move it into the application or a filter of Tomcat";

pub(super) const RULES: &[(&str, Rule)] = &[
    ("alias", Not(FILES)),
    ("try_files", Not(FILES)),
    ("autoindex", Only("off", FILES)),
    ("random_index", Not(FILES)),
    ("ssi", Only("off", "let Tomcat's SSIFilter do it")),
    ("mp4", Not(FILES)),
    ("flv", Not(FILES)),
    ("slice", Not(CACHE)),
    ("rewrite", Not(REWRITE)),
    ("if", Not("the gateway has no conditions; write servers and locations instead")),
    ("set", Not(VARIABLE)),
    ("break", Not(REWRITE)),
    ("map", Not(VARIABLE)),
    ("geo", Not(VARIABLE)),
    ("geoip2", Not(VARIABLE)),
    ("split_clients", Not("write an upstream with weights")),
    ("allow", Only("all", ACCESS)),
    ("deny", Not(ACCESS)),
    (
        "limit_except",
        Not("methods cannot be restricted; use Tomcat's security constraints (http-method-omission)"),
    ),
    ("auth_basic", Only("off", LOGIN)),
    ("auth_request", Only("off", LOGIN)),
    ("proxy_cache", Only("off", CACHE)),
    ("proxy_store", Only("off", CACHE)),
    ("mirror", Not("requests are not copied")),
    ("mirror_request_body", Not("requests are not copied")),
    (
        "stub_status",
        Not("write admin = \"127.0.0.1:8090\" at the top: metrics for Prometheus are under /metrics"),
    ),
    ("health_check", Not("write check = { uri = \"/health\" } into the upstream")),
    ("match", Not("write check = { status = [200], body = \"regex\" } into the upstream")),
    ("api", Not("write admin = \"127.0.0.1:8090\" at the top")),
    ("status", Not("write admin = \"127.0.0.1:8090\" at the top")),
    ("stream", Not("the gateway speaks HTTP only; keep nginx or HAProxy for TCP")),
    ("mail", Not("the gateway speaks HTTP only; keep nginx for mail")),
    (
        "sub_filter",
        Not("bodies are passed on as they are; change the application, or use a filter of Tomcat"),
    ),
    ("quic_retry", Not("HTTP/3 is not offered")),
    ("http3", Only("off", "HTTP/3 is not offered; HTTP/2 and HTTP/1.1 are")),
    ("ancient_browser", Not(VARIABLE)),
    ("modern_browser", Not(VARIABLE)),
    ("empty_gif", Not(FILES)),
    ("proxy_pass_trailers", Not("trailers are passed on as they are")),
];

/// Directives with a common beginning.
const FAMILIES: &[(&str, &str)] = &[
    ("auth_", LOGIN),
    ("proxy_cache", CACHE),
    ("proxy_no_cache", CACHE),
    ("proxy_store", CACHE),
    ("proxy_ssl_", "servers are spoken to in plain HTTP; keep them in a network of their own"),
    ("fastcgi_", "the gateway speaks HTTP only; keep nginx for FastCGI"),
    ("uwsgi_", "the gateway speaks HTTP only; keep nginx for uwsgi"),
    ("scgi_", "the gateway speaks HTTP only; keep nginx for SCGI"),
    ("grpc_", "gRPC is not offered; keep nginx for it"),
    ("memcached_", "the gateway reads memcached for sessions only"),
    ("ajp_", "write proxy_pass with the port of Tomcat's HTTP connector"),
    ("sub_filter", "bodies are passed on as they are; change the application, or use a filter of Tomcat"),
    ("addition_", "bodies are passed on as they are"),
    ("add_before_body", "bodies are passed on as they are"),
    ("add_after_body", "bodies are passed on as they are"),
    ("xslt_", "bodies are passed on as they are"),
    ("image_filter", "bodies are passed on as they are"),
    ("xml_entities", "bodies are passed on as they are"),
    ("ssi_", "let Tomcat's SSIFilter do it"),
    ("dav_", FILES),
    ("autoindex_", FILES),
    ("mp4_", FILES),
    ("geoip_", VARIABLE),
    ("userid", "let the application set its cookies"),
    ("secure_link", "let the application check its links"),
    ("referer_hash", VARIABLE),
    ("valid_referers", "let the application check the header Referer"),
    ("perl", CODE),
    ("js_", CODE),
    ("lua_", CODE),
    ("modsecurity", "the gateway has no application firewall; keep a proxy that has one in front"),
    ("security_rules", "the gateway has no application firewall; keep a proxy that has one in front"),
    ("quic_", "HTTP/3 is not offered"),
    ("http3_", "HTTP/3 is not offered"),
    ("otel_", "traceparent is passed on or made; spans are not sent"),
    ("opentracing", "traceparent is passed on or made; spans are not sent"),
    ("check", "write check = { uri = \"/health\" } into the upstream"),
    ("zone_sync", "gateways share nothing; sessions are shared by the sidecars"),
    ("http2_push", "HTTP/2 push is gone from browsers"),
    (
        "vhost_traffic_status",
        "write admin = \"127.0.0.1:8090\" at the top: metrics for Prometheus are under /metrics",
    ),
];

/// What is said about a directive that has no rule of its own.
pub(super) fn family(name: &str) -> Option<&'static str> {
    if name.contains("_by_lua") {
        return Some(CODE);
    }
    FAMILIES.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, instead)| *instead)
}
