//! One of four Tomcats is killed, hangs, and is slow, under load: no idempotent request fails.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use satchel_tests::{Gateway, Tomcat, TomcatVersion, eventually, needs};

const TOMCATS: usize = 4;
/// Of the load around each fault.
const SECONDS: u64 = 8;

fn tomcats() -> (tempfile::TempDir, Vec<Tomcat>) {
    let store = tempfile::tempdir_in("/dev/shm").unwrap();
    let launch = |n: usize| {
        Tomcat::version(TomcatVersion::V10_1).context("/", &store.path().join(n.to_string())).launch()
    };
    let tomcats: Vec<_> = (0..TOMCATS).map(launch).collect();
    tomcats.iter().for_each(Tomcat::await_ready);
    (store, tomcats)
}

fn gateway(tomcats: &[Tomcat]) -> Gateway {
    Gateway::with(|port, _| {
        let servers: String = tomcats
            .iter()
            .map(|tomcat| {
                format!(
                    "[[upstream.server]]\naddress = \"127.0.0.1:{}\"\nfail_timeout = \"2s\"\n",
                    tomcat.port()
                )
            })
            .collect();
        format!(
            "access_log.path = \"off\"\n[[upstream]]\nname = \"t\"\n{servers}\n[[server]]\nlisten = [\"127.0.0.1:{port}\"]\nproxy_pass = \
             \"http://t\"\nproxy_read_timeout = \"3s\"\n"
        )
    })
}

/// Runs `fault` in the middle of a load of GET requests, none of which may fail. How many there were.
fn under_load(gateway: &Gateway, fault: impl FnOnce()) -> u64 {
    let url = format!("http://127.0.0.1:{}/kind/small?nosession=1", gateway.port());
    let load = thread::spawn(move || {
        Command::new("wrk")
            .args(["-t1", "-c400", "--timeout", "20s", &format!("-d{SECONDS}s"), &url])
            .output()
            .unwrap()
    });
    let began = Instant::now();
    eventually("the load runs", || began.elapsed() > Duration::from_secs(1));
    fault();
    let output = load.join().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("Socket errors") && !text.contains("Non-2xx"), "{text}\n{}", gateway.log());
    text.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok()).unwrap()
}

#[test]
fn no_idempotent_request_fails_while_one_of_four_tomcats_does() {
    needs::ensure_clients();
    let (_store, mut tomcats) = tomcats();
    let gateway = gateway(&tomcats);
    let hung = under_load(&gateway, || tomcats[0].process().stop());
    tomcats[0].process().cont();
    let slow = under_load(&gateway, || {
        let began = Instant::now();
        // On for a twentieth of the time.
        while began.elapsed() < Duration::from_secs(SECONDS / 2) {
            tomcats[1].process().stop();
            thread::sleep(Duration::from_millis(190));
            tomcats[1].process().cont();
            thread::sleep(Duration::from_millis(10));
        }
    });
    let killed = under_load(&gateway, || tomcats[2].process().kill9());
    println!(
        "no failure among {hung} requests while one hung, {slow} while one was slow, {killed} while one was killed"
    );
    assert!(gateway.log().contains("is left alone for a while"));
}
