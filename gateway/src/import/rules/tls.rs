//! TLS on the client's side.

use satchel_common::import::block::Value;

use super::Rule::{self, By, Not, Nothing, Only};
use crate::import::parser::Directive;
use crate::import::scope::{Level, Outcome, Scope, changed, not, nothing};

const LIBRARY: &str = "the TLS library chooses";

pub(super) const RULES: &[(&str, Rule)] = &[
    ("ssl_certificate", By(certificate)),
    ("ssl_certificate_key", By(certificate_key)),
    ("ssl_protocols", By(ssl_protocols)),
    ("ssl_session_cache", Nothing("the TLS library keeps sessions in its own way")),
    ("ssl_session_timeout", Nothing(LIBRARY)),
    ("ssl_session_tickets", Nothing(LIBRARY)),
    ("ssl_prefer_server_ciphers", Nothing(LIBRARY)),
    ("ssl_buffer_size", Nothing("buffers are the gateway's own")),
    ("ssl_handshake_timeout", Nothing("the gateway has its own limit")),
    ("ssl_ciphers", Not("the gateway offers the safe ciphers of its TLS library; they cannot be chosen")),
    ("ssl_conf_command", Not("the settings of the TLS library cannot be changed")),
    ("ssl_dhparam", Nothing("keys are exchanged by elliptic curves, so no file is needed")),
    ("ssl_ecdh_curve", Not("the TLS library offers the usual curves; they cannot be chosen")),
    ("ssl_stapling", Not("OCSP answers are not stapled; most authorities have given OCSP up")),
    ("ssl_stapling_verify", Not("OCSP answers are not stapled")),
    ("ssl_stapling_file", Not("OCSP answers are not stapled")),
    ("ssl_stapling_responder", Not("OCSP answers are not stapled")),
    (
        "ssl_trusted_certificate",
        Not("it is for stapling and client certificates, which the gateway does not have"),
    ),
    (
        "ssl_client_certificate",
        Not("clients are not asked for certificates; keep a proxy that does in front"),
    ),
    (
        "ssl_verify_client",
        Only("off", "clients are not asked for certificates; keep a proxy that does in front"),
    ),
    ("ssl_verify_depth", Not("clients are not asked for certificates")),
    ("ssl_crl", Not("clients are not asked for certificates")),
    ("ssl_ocsp", Not("clients are not asked for certificates")),
    ("ssl_password_file", Not("keys must not be encrypted; protect the file by its permissions")),
    (
        "ssl_session_ticket_key",
        Not("each gateway has ticket keys of its own; clients make a full handshake with another one"),
    ),
    ("ssl_early_data", Only("off", "early data can be replayed; the gateway does not take it")),
    (
        "ssl_reject_handshake",
        Only(
            "off",
            "no handshake is refused: who names a host that no other server has gets the certificate of another server, and 403",
        ),
    ),
];

fn certificate(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    file(scope, "ssl_certificate", directive)
}

fn certificate_key(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    file(scope, "ssl_certificate_key", directive)
}

fn file(scope: &mut Scope<'_>, key: &'static str, directive: &Directive) -> Outcome {
    let path = directive.arg(0);
    if path.contains('$') || path.starts_with("data:") || path.starts_with("engine:") {
        return not("the path of a file is expected");
    }
    if scope.level == Level::Http {
        return nothing("is written into every server that listens with ssl and has none of its own");
    }
    if path.is_empty() || scope.level == Level::Location {
        return not("a server has a certificate");
    }
    let whole = scope.context.whole_path(path);
    match scope.set(key, Value::Text(whole.clone())) {
        Outcome::Carried if whole != path => {
            changed("is relative to nginx's main file; its whole path is written")
        }
        Outcome::Carried => Outcome::Carried,
        _ => not("one certificate for a server; the first one counts"),
    }
}

fn ssl_protocols(_: &mut Scope<'_>, directive: &Directive) -> Outcome {
    let args = directive.args();
    let (offered, old): (Vec<_>, Vec<_>) =
        args.into_iter().partition(|word| matches!(*word, "TLSv1.2" | "TLSv1.3"));
    match (offered.len(), old.is_empty()) {
        (2, true) => nothing("TLSv1.2 and TLSv1.3 are what the gateway offers"),
        (_, true) => not("the gateway offers both TLSv1.2 and TLSv1.3"),
        _ => not(format!("{} is not offered; TLSv1.2 and TLSv1.3 are", old.join(" "))),
    }
}
