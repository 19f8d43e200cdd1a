//! Whole files: what is printed, and that nothing is lost.

mod golden;
mod properties;

use std::path::Path;

use satchel_common::address::HostPort;

use super::parser::{Directive, parse};
use super::{Imported, import};
use crate::config::{Config, raw};

fn with_file<T>(bytes: &[u8], use_it: impl FnOnce(&Path) -> T) -> T {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nginx.conf");
    std::fs::write(&path, bytes).unwrap();
    use_it(&path)
}

/// What a text consists of.
pub(super) fn directives(text: &str) -> Vec<Directive> {
    with_file(text.as_bytes(), |path| parse(path).unwrap().directives)
}

/// What becomes of it; the TOML is known to be one of the gateway's.
pub(super) fn imported(text: &str) -> Imported {
    with_file(text.as_bytes(), |path| checked(import(path).unwrap()))
}

/// `gateway --test` takes it; without a server it is a part of a configuration.
fn checked(result: Imported) -> Imported {
    let error = match result.toml.contains("\n[[server]]\n") {
        true => loaded(&result.toml).err(),
        false => toml::from_str::<raw::File>(&result.toml).err().map(|error| error.to_string()),
    };
    if let Some(error) = error {
        panic!("{error}\n{}", result.toml);
    }
    result
}

/// What `gateway --test` says on a machine that has the files and knows the names.
pub(super) fn loaded(text: &str) -> Result<Config, String> {
    let mut file = toml::from_str::<raw::File>(text).map_err(|error| error.to_string())?;
    let names: Vec<_> = file.upstream.iter().map(|upstream| upstream.name.clone()).collect();
    file.upstream
        .iter_mut()
        .flat_map(|upstream| &mut upstream.server)
        .for_each(|server| server.resolve = true);
    let blocks = file.server.iter_mut().chain([&mut file.http]);
    for block in blocks {
        without_tls(block)?;
        on_this_machine(block, &names);
        block.location.iter_mut().for_each(|location| on_this_machine(location, &names));
    }
    Config::of_raw(file).map_err(|error| format!("{}: {}", error.key, error.message))
}

/// Its certificate is named, but not here.
fn without_tls(server: &mut raw::Block) -> Result<(), String> {
    let certificate = (server.ssl_certificate.take(), server.ssl_certificate_key.take());
    let has_ssl = server.listen.iter().any(|listen| listen.contains(" ssl"));
    if certificate.0.is_some() != certificate.1.is_some() || has_ssl && certificate.0.is_none() {
        return Err("ssl_certificate: is missing".into());
    }
    for listen in server.listen.iter_mut().filter(|listen| listen.contains(" ssl")) {
        *listen = listen.replace(" ssl", "").replace(" http2", "");
    }
    Ok(())
}

fn on_this_machine(block: &mut raw::Block, upstreams: &[String]) {
    if let Some(pages) = &mut block.error_page {
        pages.values_mut().for_each(|page| *page = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into());
    }
    let Some(target) = block.proxy_pass.as_ref().and_then(|target| target.strip_prefix("http://")) else {
        return;
    };
    let (name, uri) = target.split_at(target.find('/').unwrap_or(target.len()));
    if let (false, Ok(address)) = (upstreams.iter().any(|known| known == name), name.parse::<HostPort>()) {
        block.proxy_pass = Some(format!("http://127.0.0.1:{}{uri}", address.port));
    }
}
