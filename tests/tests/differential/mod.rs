//! The same requests to a real nginx and to the gateway with what `gateway import` makes of nginx's configuration, in front of one back
//! end. Status, headers, body and what the back end receives are the same, but for what `known.rs` lists.

mod backend;
mod case;
mod cases;
mod compare;
mod known;

use std::net::SocketAddr;
use std::process::Command;

use satchel_tests::{Gateway, Nginx, binaries, ports};

use backend::Backend;
use case::Case;
use compare::{Difference, Side, differences};
use known::KNOWN;

/// What issue 4 asks for at least.
const CASES: usize = 200;

fn side(case: &Case, address: SocketAddr, backend: &Backend) -> Side {
    let answers = case.run(address);
    Side { answers, seen: backend.take() }
}

#[test]
fn the_gateway_answers_as_nginx_does() {
    let backend = Backend::start();
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("50x.html"), "<h1>Back soon</h1>\n").unwrap();
    std::fs::write(root.path().join("own.html"), "<h1>Not here</h1>\n").unwrap();
    let port = ports::free();
    let config = include_str!("nginx.conf")
        .replace("@BACKEND@", &backend.port.to_string())
        .replace("@DEAD@", &ports::free().to_string())
        .replace("@PORT@", &port.to_string())
        .replace("@ROOT@", root.path().to_str().unwrap());
    let nginx = Nginx::start(&config, &[port]);

    let imported =
        Command::new(binaries::binary("gateway")).arg("import").arg(nginx.config()).output().unwrap();
    let notes = String::from_utf8_lossy(&imported.stderr);
    assert!(imported.status.success(), "not all was carried over: {notes}");
    let toml = String::from_utf8(imported.stdout).unwrap();
    // Both have the same port, so that what they say of themselves is the same; only the loopback address differs.
    let toml = toml.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.2:{port}"));
    let [of_nginx, of_gateway] = [1, 2].map(|last| SocketAddr::from(([127, 0, 0, last], port)));
    let gateway = Gateway::run(&toml, of_gateway);

    let cases = cases::all();
    assert!(cases.len() >= CASES);
    let twins = cases
        .iter()
        .enumerate()
        .filter(|(at, case)| cases[..*at].iter().any(|other| other.name == case.name));
    let twins: Vec<_> = twins.map(|(_, case)| &case.name).collect();
    assert!(twins.is_empty(), "twice: {twins:#?}");
    let only = std::env::var("ONLY_CASES").unwrap_or_default();
    let mut found: Vec<Difference> = Vec::new();
    let mut unanswered = Vec::new();
    for case in cases.iter().filter(|case| case.name.contains(&only)) {
        let [nginx, gateway] = [of_nginx, of_gateway].map(|address| side(case, address, &backend));
        // Silence on both sides would be equal, and say nothing. To HTTP/0.9 nginx answers without a status line.
        if nginx.answers.responses.is_empty() && case.name != "header: GET /" {
            unanswered.push(&case.name);
        }
        found.extend(differences(&case.name, &nginx, &gateway));
    }
    assert!(unanswered.is_empty(), "nginx does not answer: {unanswered:#?}");
    let mut used = vec![0_usize; KNOWN.len()];
    let mut unknown = Vec::new();
    for difference in &found {
        let mut fits = KNOWN.iter().zip(&mut used).filter(|(known, _)| (known.fits)(difference)).peekable();
        if fits.peek().is_none() {
            unknown.push(format!(
                "{}\n  {:?} {:?}\n  nginx:   {}\n  gateway: {}",
                difference.case, difference.place, difference.statuses, difference.nginx, difference.gateway
            ));
        }
        fits.for_each(|(_, used)| *used += 1);
    }
    drop(gateway);
    assert!(
        unknown.is_empty(),
        "{} differences in {} cases:\n{}",
        unknown.len(),
        cases.len(),
        unknown.join("\n")
    );
    if only.is_empty() {
        for (known, used) in KNOWN.iter().zip(used) {
            assert!(used > 0, "no case shows: {}", known.why);
        }
    }
    println!("{} cases, {} known differences", cases.len(), found.len());
}
