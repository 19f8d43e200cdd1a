//! nginx's process, its files and its inner workings.

use satchel_common::import::block::Value;

use super::Rule::{self, By, Nothing, Only};
use crate::import::parser::Directive;
use crate::import::scope::{Level, Outcome, Scope, changed, not, nothing};
use crate::import::units;

const FILES: &str = "it is about files, and the gateway serves none";
const TABLES: &str = "the gateway's tables grow by themselves";
const PROCESS: &str = "it is about nginx's processes";
const SOCKETS: &str = "sockets are the gateway's own business";

pub(super) const RULES: &[(&str, Rule)] = &[
    ("user", By(user)),
    ("worker_processes", By(worker_processes)),
    ("worker_shutdown_timeout", By(worker_shutdown_timeout)),
    ("worker_rlimit_nofile", By(worker_rlimit_nofile)),
    ("worker_cpu_affinity", Nothing(PROCESS)),
    ("worker_priority", Nothing(PROCESS)),
    ("worker_rlimit_core", Nothing(PROCESS)),
    ("worker_aio_requests", Nothing(PROCESS)),
    ("working_directory", Nothing(PROCESS)),
    ("pid", Nothing("the service manager knows the process")),
    ("lock_file", Nothing(PROCESS)),
    ("daemon", Nothing("the gateway stays in the foreground; the service manager starts it")),
    ("master_process", Nothing(PROCESS)),
    ("timer_resolution", Nothing(PROCESS)),
    ("thread_pool", Nothing(PROCESS)),
    ("pcre_jit", Nothing("regular expressions are always compiled")),
    ("load_module", Nothing("what a module does is said where it is used")),
    ("env", Nothing(PROCESS)),
    ("events", Nothing("the gateway needs no settings for it")),
    ("worker_connections", Nothing("connections are limited by the open files of the process only")),
    ("use", Nothing(PROCESS)),
    ("multi_accept", Nothing(PROCESS)),
    ("accept_mutex", Nothing(PROCESS)),
    ("accept_mutex_delay", Nothing(PROCESS)),
    ("sendfile", Nothing(FILES)),
    ("sendfile_max_chunk", Nothing(FILES)),
    ("aio", Nothing(FILES)),
    ("aio_write", Nothing(FILES)),
    ("directio", Nothing(FILES)),
    ("directio_alignment", Nothing(FILES)),
    ("disable_symlinks", Nothing(FILES)),
    ("open_file_cache", Nothing(FILES)),
    ("open_file_cache_valid", Nothing(FILES)),
    ("open_file_cache_min_uses", Nothing(FILES)),
    ("open_file_cache_errors", Nothing(FILES)),
    ("etag", Nothing(FILES)),
    ("if_modified_since", Nothing(FILES)),
    ("max_ranges", Nothing(FILES)),
    ("index", Nothing(FILES)),
    ("types", Nothing(FILES)),
    ("log_not_found", Nothing(FILES)),
    ("read_ahead", Nothing(FILES)),
    ("tcp_nopush", Nothing(SOCKETS)),
    ("tcp_nodelay", Nothing(SOCKETS)),
    ("output_buffers", Nothing("buffers are the gateway's own")),
    ("postpone_output", Nothing("buffers are the gateway's own")),
    ("types_hash_max_size", Nothing(TABLES)),
    ("types_hash_bucket_size", Nothing(TABLES)),
    ("server_names_hash_max_size", Nothing(TABLES)),
    ("server_names_hash_bucket_size", Nothing(TABLES)),
    ("variables_hash_max_size", Nothing(TABLES)),
    ("variables_hash_bucket_size", Nothing(TABLES)),
    ("map_hash_max_size", Nothing(TABLES)),
    ("map_hash_bucket_size", Nothing(TABLES)),
    ("proxy_headers_hash_max_size", Nothing(TABLES)),
    ("proxy_headers_hash_bucket_size", Nothing(TABLES)),
    ("server_tokens", Nothing("the gateway does not tell its version")),
    ("error_page", By(crate::import::error_page::translate)),
    ("default_type", By(default_type)),
    ("root", By(root)),
    ("absolute_redirect", Only("on", "redirects of a location are sent as they are written")),
    ("port_in_redirect", Nothing("write the port into the redirect")),
    ("server_name_in_redirect", Only("off", "write the name into the redirect")),
    ("recursive_error_pages", Nothing("an error page is a file")),
    ("log_subrequest", Nothing("the gateway has no subrequests")),
    ("msie_padding", Nothing("it is about browsers that are gone")),
    ("msie_refresh", Nothing("it is about browsers that are gone")),
    ("rewrite_log", Nothing("the gateway has no rewrite module")),
    ("uninitialized_variable_warn", Nothing("the gateway has no rewrite module")),
    ("resolver", By(resolver)),
    ("resolver_timeout", Nothing("the gateway's own limit holds")),
    ("satisfy", Only("all", "write what is wanted as locations of its own")),
];

fn user(_: &mut Scope<'_>, directive: &Directive) -> Outcome {
    changed(format!("the gateway runs as who starts it; write User={} into its unit", directive.arg(0)))
}

fn worker_processes(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    match directive.arg(0).parse::<u64>() {
        Ok(number @ 1..=1024) => match scope.context.top.set("threads", Value::Number(number)) {
            true => Outcome::Carried,
            false => not("is here twice; the first one counts"),
        },
        _ => changed("the gateway has one thread unless threads = N says otherwise; try the number of cores"),
    }
}

fn worker_shutdown_timeout(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    let time = units::time(directive.arg(0)).map(Value::Text);
    match time.is_some_and(|time| scope.context.top.set("stop_timeout", time)) {
        true => Outcome::Carried,
        false => not("one time is expected"),
    }
}

fn worker_rlimit_nofile(_: &mut Scope<'_>, directive: &Directive) -> Outcome {
    changed(format!("write LimitNOFILE={} into the unit", directive.arg(0)))
}

/// It names the type of a text that `return` sends; else it is about files.
fn default_type(scope: &mut Scope<'_>, _: &Directive) -> Outcome {
    match scope.siblings().iter().any(|one| one.name() == "return" && one.words.len() == 3) {
        true => not("the type of a returned text cannot be chosen by it; write add_header.Content-Type"),
        false => nothing(FILES),
    }
}

fn root(scope: &mut Scope<'_>, _: &Directive) -> Outcome {
    if scope.level != Level::Location {
        return nothing("locations that would need it are listed themselves");
    }
    let has = |name: &str| scope.siblings().iter().any(|one| one.name() == name);
    match has("proxy_pass") || has("return") {
        true => nothing("requests go to the servers, not to files"),
        false => {
            not("the gateway serves no files: put them into Tomcat's application, or keep nginx for them")
        }
    }
}

fn resolver(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    let options = ["valid=", "ipv4=", "ipv6=", "status_zone="];
    let (words, servers): (Vec<_>, Vec<_>) =
        directive.args().into_iter().partition(|word| options.iter().any(|option| word.starts_with(option)));
    let servers: Vec<_> = servers.into_iter().map(str::to_owned).collect();
    if let Some(name) = servers.iter().find(|server| !is_address(server)) {
        return not(format!("'{name}' is a name; write its address into resolver.nameservers"));
    }
    // With a port, where one of IPv6 would need brackets.
    let written = |server: String| match server.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]:53"),
        Err(_) => server,
    };
    let new = Value::List(servers.into_iter().map(written).collect());
    let resolver = &mut scope.context.resolver;
    match resolver.get("nameservers") {
        Some(known) if *known == new => return nothing("one resolver holds for all"),
        Some(_) => return not("one resolver holds for all; the first one counts"),
        None => resolver.set("nameservers", new),
    };
    if let Some(valid) = words.iter().find_map(|word| word.strip_prefix("valid=")).and_then(units::time) {
        resolver.set("valid", Value::Text(valid));
    }
    match words.iter().find(|word| !word.starts_with("valid=")) {
        Some(word) => changed(format!("'{word}' is not carried over")),
        None => Outcome::Carried,
    }
}

fn is_address(text: &str) -> bool {
    text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
        || text.parse::<std::net::SocketAddr>().is_ok()
}
