//! gzip, and the modules for brotli and zstd.

use satchel_common::import::block::Value;

use super::Rule::{self, By, Flag, Not, Nothing, Number, Only, Size};
use crate::import::parser::Directive;
use crate::import::scope::{Outcome, Scope, changed, not, nothing};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("gzip", Flag("gzip")),
    ("gzip_types", By(gzip_types)),
    ("gzip_min_length", Size("gzip_min_length")),
    ("gzip_comp_level", Number("gzip_comp_level")),
    ("gzip_vary", Only("on", "Vary is always sent: caches need it")),
    ("gzip_proxied", By(gzip_proxied)),
    ("gzip_http_version", Nothing("clients say what they accept")),
    ("gzip_disable", Nothing("it is about browsers that are gone")),
    ("gzip_buffers", Nothing("buffers are the gateway's own")),
    (
        "gzip_static",
        Not("the gateway has no files of its own; let Tomcat's default servlet do it (precompressed)"),
    ),
    (
        "gunzip",
        Not("what a server has compressed goes to the client as it is; do not pass on Accept-Encoding"),
    ),
    ("brotli", Flag("brotli")),
    ("brotli_types", By(other_types)),
    ("brotli_comp_level", Not("gzip_comp_level holds for all")),
    ("brotli_min_length", Not("gzip_min_length holds for all")),
    ("brotli_static", Not("the gateway has no files of its own")),
    ("brotli_window", Nothing("buffers are the gateway's own")),
    ("brotli_buffers", Nothing("buffers are the gateway's own")),
    ("zstd", Flag("zstd")),
    ("zstd_types", By(other_types)),
    ("zstd_comp_level", Not("gzip_comp_level holds for all")),
    ("zstd_min_length", Not("gzip_min_length holds for all")),
    ("zstd_static", Not("the gateway has no files of its own")),
];

fn gzip_types(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    let types = directive.args().into_iter().map(str::to_owned).collect();
    scope.set("gzip_types", Value::List(types))
}

/// One list holds for all kinds of compression.
fn other_types(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    match scope.nearest("gzip_types") {
        Some(gzip) => {
            let known = gzip.args();
            let more: Vec<_> = directive.args().into_iter().filter(|one| !known.contains(one)).collect();
            match more.is_empty() {
                true => nothing("gzip_types holds for all"),
                false => not(format!("gzip_types holds for all; it does not have {}", more.join(" "))),
            }
        }
        None if scope.block.has("gzip_types") => nothing("gzip_types holds for all"),
        None => match gzip_types(scope, directive) {
            Outcome::Carried => changed("is gzip_types here, which holds for all"),
            refused => refused,
        },
    }
}

fn gzip_proxied(_: &mut Scope<'_>, directive: &Directive) -> Outcome {
    match directive.arg(0) {
        "any" => nothing("requests that came through another proxy are treated as any other"),
        _ => changed("requests that came through another proxy (Via) get compressed answers too"),
    }
}
