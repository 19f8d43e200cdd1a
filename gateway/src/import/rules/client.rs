//! The client's side: its connections, its headers, its body.

use satchel_common::import::block::Value;

use super::Rule::{self, By, Nothing, Only, Size, Time};
use crate::import::parser::Directive;
use crate::import::scope::{Outcome, Scope, changed, not, nothing};
use crate::import::units;

pub(super) const RULES: &[(&str, Rule)] = &[
    ("client_max_body_size", Size("client_max_body_size")),
    ("client_body_timeout", Time("client_body_timeout")),
    ("client_header_timeout", Time("client_header_timeout")),
    ("send_timeout", Time("send_timeout")),
    ("keepalive_timeout", By(keepalive_timeout)),
    ("keepalive_requests", By(keepalive_requests)),
    ("large_client_header_buffers", By(large_client_header_buffers)),
    ("client_header_buffer_size", Nothing("buffers grow; large_client_header_size is the limit")),
    ("client_body_buffer_size", Nothing("buffers are the gateway's own")),
    ("client_body_temp_path", Nothing("temporary files are the gateway's own")),
    ("client_body_in_single_buffer", Nothing("buffers are the gateway's own")),
    ("client_body_in_file_only", Only("off", "bodies are not kept in files")),
    ("connection_pool_size", Nothing("memory is the gateway's own")),
    ("request_pool_size", Nothing("memory is the gateway's own")),
    ("keepalive_disable", Nothing("it is about browsers that are gone")),
    ("keepalive_min_timeout", Nothing("it is about nginx's own shutdown")),
    ("lingering_close", Nothing("the gateway closes connections in its own way")),
    ("lingering_time", Nothing("the gateway closes connections in its own way")),
    ("lingering_timeout", Nothing("the gateway closes connections in its own way")),
    ("reset_timedout_connection", Nothing("the gateway closes connections in its own way")),
    ("ignore_invalid_headers", Only("on", "invalid headers are refused")),
    ("merge_slashes", Only("on", "slashes are merged where locations are chosen")),
    ("chunked_transfer_encoding", Only("on", "HTTP/1.1 responses without a length are always chunked")),
    ("underscores_in_headers", By(underscores_in_headers)),
    ("http2_max_concurrent_streams", Nothing("the gateway has its own limit")),
    ("http2_idle_timeout", Nothing("keepalive_timeout holds for HTTP/2 too")),
    ("http2_max_requests", Nothing("keepalive_requests holds for HTTP/2 too")),
    ("http2_recv_timeout", Nothing("the other timeouts hold for HTTP/2 too")),
    ("http2_recv_buffer_size", Nothing("buffers are the gateway's own")),
    ("http2_chunk_size", Nothing("buffers are the gateway's own")),
    ("http2_body_preread_size", Nothing("buffers are the gateway's own")),
    ("http2_max_field_size", Nothing("large_client_header_size holds for HTTP/2 too")),
    ("http2_max_header_size", Nothing("client_header_size holds for HTTP/2 too")),
];

fn keepalive_timeout(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    match units::time(directive.arg(0)).as_deref() {
        // One request for a connection is what no keep-alive means.
        Some("0s" | "0ms") => match scope.set("keepalive_requests", Value::Number(1)) {
            Outcome::Carried => changed("is keepalive_requests = 1 here, which is the same"),
            refused => refused,
        },
        Some(time) => match scope.set("keepalive_timeout", Value::Text(time.to_owned())) {
            Outcome::Carried if directive.words.len() > 2 => changed("the header Keep-Alive is not sent"),
            outcome => outcome,
        },
        None => not(format!("'{}' is no time", directive.arg(0))),
    }
}

fn keepalive_requests(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    match directive.arg(0).parse::<u32>() {
        Ok(number) if number > 0 => scope.set("keepalive_requests", Value::Number(number.into())),
        _ => not("a number of at least 1 is expected"),
    }
}

/// `4 8k`: so long may a line be, and so much may all be together.
fn large_client_header_buffers(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    let (number, size) = (directive.arg(0).parse::<u64>().ok(), units::bytes(directive.arg(1)));
    let Some((size, all)) =
        number.zip(size).and_then(|(number, size)| Some((size, size.checked_mul(number)?)))
    else {
        return not("a number and a size are expected");
    };
    match scope.set("large_client_header_size", Value::Text(units::of_bytes(size))) {
        Outcome::Carried => scope.set("client_header_size", Value::Text(units::of_bytes(all))),
        refused => refused,
    }
}

fn underscores_in_headers(_: &mut Scope<'_>, directive: &Directive) -> Outcome {
    match directive.arg(0) {
        "on" => not(
            "fields with _ in their names are dropped: to many applications X_A is X-A, which a proxy may have set; write them with -",
        ),
        _ => nothing("fields with _ in their names are dropped here too"),
    }
}
