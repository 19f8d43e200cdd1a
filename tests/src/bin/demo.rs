//! `cargo demo`: two Tomcats share their sessions; the page of the README, from the real responses.
//!
//! `--once` exits after the transcript: 0 only if one session was seen on two servers with its counter intact.

// As in the harness: what can't go on says so and stops.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::ExitCode;

use satchel_tests::webapp::App;
use satchel_tests::{Client, Farm, binaries, needs};

/// The port of the set-up that Satchel replaces.
const PORT: u16 = 13355;
const PATH: &str = "/ShareSession/ShowSession";
const VISITS: usize = 4;

fn main() -> ExitCode {
    let once = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [one] if one == "--once" => true,
        other => {
            eprintln!("unknown argument {other:?}; only --once is known");
            return ExitCode::from(64);
        }
    };
    step("looking for Tomcat, memcached and a JDK");
    needs::ensure();
    step("building gateway and sidecar (the first time takes some minutes)");
    binaries::build(true);
    let port = (PORT..).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port");
    step("starting 2 memcached, 2 Tomcats, 2 sidecars and the gateway");
    let farm = Farm::builder()
        .nodes(2)
        .context("/ShareSession", App::Plain)
        .set("session.node_suffix", "\"visible\"")
        .gateway_port(port)
        .admin()
        .start();
    step("visiting the page with one browser\n");
    let seen = visit(&mut farm.client());
    match &seen {
        Ok(()) => println!("One session on two servers, and its counter is intact."),
        Err(why) => println!("That is not right: {why}"),
    }
    if !once && seen.is_ok() {
        stay(&farm, port);
    }
    if seen.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn step(text: &str) {
    eprintln!("demo: {text}");
}

/// Prints what the pages say, and checks it.
fn visit(browser: &mut Client) -> Result<(), String> {
    let (mut ids, mut servers) = (BTreeSet::new(), BTreeSet::new());
    // The session begins with this visit; the application sees the suffix from the next one on.
    let first = browser.get(PATH);
    if first.status != 200 {
        return Err(format!("the first visit was answered {}: {}", first.status, first.text()));
    }
    for visit in 2..=VISITS + 1 {
        let page = browser.get(PATH).text();
        let line = |start: &str| {
            let text = page
                .lines()
                .find_map(|line| line.strip_prefix("<p>")?.strip_suffix("</p>")?.strip_prefix(start));
            text.map(str::to_owned).ok_or_else(|| format!("the page has no '{start}': {page}"))
        };
        let (id, server, name) = (line("Session id is ")?, line("Server IP is ")?, line("Server name is ")?);
        println!("Session id is {id}\nServer IP is {server}\nServer name is {name}\n");
        let count = line("Count is ")?;
        if count != visit.to_string() {
            return Err(format!("visit {visit} was counted as {count}"));
        }
        if browser.cookie("JSESSIONID") != Some(&id) {
            return Err(format!("the cookie is {:?}, the page says {id}", browser.cookie("JSESSIONID")));
        }
        ids.insert(id);
        servers.insert(server);
    }
    match ids.first() {
        Some(id) if ids.len() == 1 && (id.ends_with("-n1") || id.ends_with("-n2")) => {}
        _ => return Err(format!("not one session id with the suffix of its node: {ids:?}")),
    }
    if servers.len() != 2 {
        return Err(format!("not two servers: {servers:?}"));
    }
    Ok(())
}

/// Says where to look and waits for Ctrl-C.
fn stay(farm: &Farm, port: u16) {
    println!("\nEverything stays up until Ctrl-C. Look at");
    println!("  http://127.0.0.1:{port}{PATH}    reload it: the server changes, the session does not");
    if let Some(admin) = farm.gateway_admin {
        println!("  http://127.0.0.1:{admin}/    the gateway's status page");
    }
    for (n, (sidecar, tomcat)) in farm.sidecars.iter().zip(&farm.tomcats).enumerate() {
        println!("  http://127.0.0.1:{}/    the status page of sidecar {}", sidecar.admin_port(), n + 1);
        println!("  kill -9 {}    Tomcat {}: the other one goes on with the session", tomcat.pid(), n + 1);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _ = runtime.block_on(tokio::signal::ctrl_c());
    println!("stopping");
}
