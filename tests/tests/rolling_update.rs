//! A rolling update as on Kubernetes, with real processes, the shipped configuration, and the order of signals that a kubelet keeps: no request and no change of a
//! session is lost.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use satchel_tests::dns::Dns;
use satchel_tests::kubernetes::manifests;
use satchel_tests::process::Process;
use satchel_tests::sidecar::KEY;
use satchel_tests::{Client, Farm, Gateway, Memcached, Tomcat, TomcatVersion, binaries, eventually, ports};

/// In place of the manifests' 15 s and 20 s: longer than any request here, and than the gateway takes to hear of it.
const PRE_STOP: Duration = Duration::from_secs(3);

/// A file of the manifests, with these texts replaced, each of which is there.
fn file<const N: usize>(name: &str, replaced: [(&str, String); N]) -> String {
    let text = fs::read_to_string(manifests().join("base").join(name)).unwrap();
    replaced.into_iter().fold(text, |text, (this, by)| {
        assert!(text.contains(this), "{this} in {name}");
        text.replace(this, &by)
    })
}

/// Tomcat's probe, as the manifest has it, for a Tomcat on another port.
fn probe(tomcat: u16) -> String {
    let manifest = fs::read_to_string(manifests().join("base/tomcat.yaml")).unwrap();
    let (_, text) = manifest.split_once("- >-\n").unwrap();
    let lines =
        text.lines().map(str::trim).take_while(|line| !line.ends_with(':') && !line.contains("Seconds:"));
    let command = lines.collect::<Vec<_>>().join(" ");
    assert!(command.contains("/dev/tcp/127.0.0.1/8080"), "{command}");
    command.replace("/8080", &format!("/{tomcat}"))
}

/// A pod: an address of its own, and the same ports as all others.
struct Pod {
    address: String,
    tomcat: Tomcat,
    sidecar: Process,
    _directory: tempfile::TempDir,
}

/// What all pods have in common.
struct Cluster {
    nodes: Vec<Memcached>,
    requests: u16,
    admin: u16,
    dns: Dns,
}

impl Cluster {
    fn new() -> Self {
        let nodes = (0..3).map(|_| Memcached::start()).collect();
        Self { nodes, requests: ports::free(), admin: ports::free(), dns: Dns::start("", &[]) }
    }

    /// In the order of a kubelet: the sidecar, and Tomcat when the sidecar's startup probe succeeds. Waits until the pod is ready.
    fn start(&self, n: u8) -> Pod {
        let address = format!("127.0.1.{n}");
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let store = directory.path().join("ROOT");
        let prepared =
            Tomcat::version(TomcatVersion::V10_1).host_address(&address).context("/", &store).prepare();
        let mut text = file(
            "sidecar.toml",
            [
                ("0.0.0.0:8081", format!("{address}:{}", self.requests)),
                ("0.0.0.0:8091", format!("{address}:{}", self.admin)),
                ("127.0.0.1:8080", format!("127.0.0.1:{}", prepared.port())),
                ("/dev/shm/satchel/ROOT", store.display().to_string()),
                ("memcached-0.memcached:11211", format!("127.0.0.1:{}", self.nodes[0].port())),
                ("memcached-1.memcached:11211", format!("127.0.0.1:{}", self.nodes[1].port())),
                ("memcached-2.memcached:11211", format!("127.0.0.1:{}", self.nodes[2].port())),
            ],
        );
        text += &format!("keys = [\"{KEY}\"]\nindex_key = \"{KEY}\"\n");
        let config = directory.path().join("sidecar.toml");
        fs::write(&config, text).unwrap();
        let (program, log) = (binaries::binary("sidecar"), directory.path().join("log"));
        let mut sidecar = Process::start("sidecar", &program, &log, |command| {
            command.arg("--config").arg(&config);
        });
        eventually("the sidecar's startup probe succeeds", || {
            assert!(sidecar.is_running(), "the sidecar ended: {}", sidecar.log());
            is_ready(&config)
        });
        let tomcat = prepared.launch();
        let asks = probe(tomcat.port());
        eventually("Tomcat's probe succeeds", || {
            Command::new("bash").args(["-c", &asks]).output().unwrap().status.success()
        });
        Pod { address, tomcat, sidecar, _directory: directory }
    }

    /// What the headless Service's name stands for.
    fn endpoints(&self, pods: &[&Pod]) {
        let lines: String = pods.iter().map(|pod| format!("{} tomcat.test\n", pod.address)).collect();
        self.dns.change(&lines);
    }

    /// The order of a kubelet: the preStop hooks of both at once; SIGTERM to Tomcat when its own is over; SIGTERM to the sidecar when Tomcat has ended. `endpoints`:
    /// what is left; it is told at the same time.
    fn stop(&self, mut pod: Pod, endpoints: &[&Pod]) {
        self.endpoints(endpoints);
        let told = tell_drain(&pod.sidecar);
        assert!(told, "the sidecar's preStop hook");
        sleep(PRE_STOP);
        pod.tomcat.process().terminate();
        eventually("Tomcat has ended", || !pod.tomcat.process().is_running());
        assert!(pod.sidecar.is_running(), "a sidecar outlives its Tomcat: {}", pod.sidecar.log());
        pod.sidecar.terminate();
        eventually("the sidecar has ended", || pod.sidecar.exit_code() == Some(0));
    }

    fn gateway(&self) -> Gateway {
        Gateway::with(|port, _| {
            let resolver = format!("valid = \"1s\"\nnameservers = [\"127.0.0.1:{}\"]", self.dns.port());
            file(
                "gateway.toml",
                [
                    ("0.0.0.0:8090", format!("127.0.0.1:{}", ports::free())),
                    ("format = \"json\"", "path = \"off\"".into()),
                    ("valid = \"5s\"", resolver),
                    ("tomcat:8081", format!("tomcat.test:{}", self.requests)),
                    ("port = 8091", format!("port = {}", self.admin)),
                    ("interval = \"2s\"", "interval = \"300ms\"".into()),
                    ("0.0.0.0:8080", format!("127.0.0.1:{port}")),
                ],
            )
        })
    }
}

/// The manifests' probe of a pod's readiness, by the program's own health check.
fn is_ready(config: &PathBuf) -> bool {
    let program = binaries::binary(if config.ends_with("sidecar.toml") { "sidecar" } else { "gateway" });
    Command::new(program).arg("--config").arg(config).arg("--health").output().unwrap().status.success()
}

/// The sidecar's preStop hook; outside of a container the process has another number.
fn tell_drain(sidecar: &Process) -> bool {
    let pid = sidecar.pid().to_string();
    let mut command = Command::new(binaries::binary("sidecar"));
    command.args(["--signal", "drain", "--pid", &pid]).status().unwrap().success()
}

/// As a kubelet does.
fn sleep(time: Duration) {
    let began = Instant::now();
    eventually("time passes", || began.elapsed() >= time);
}

/// Users who POST, each to his session: what is sent can't be sent again by anybody.
struct Users {
    stop: Arc<AtomicBool>,
    /// Where the gateway is.
    port: Arc<AtomicU16>,
    done: Arc<AtomicUsize>,
    users: Vec<JoinHandle<Vec<String>>>,
}

impl Users {
    fn start(port: u16, users: usize) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let port = Arc::new(AtomicU16::new(port));
        let users = (0..users)
            .map(|user| {
                let (stop, port, done) = (stop.clone(), port.clone(), done.clone());
                thread::spawn(move || {
                    let mut wrong = Vec::new();
                    let mut client = Client::new(port.load(Ordering::Relaxed));
                    let mut n = 0;
                    while !stop.load(Ordering::Relaxed) {
                        if client.port() != port.load(Ordering::Relaxed) {
                            client = client.at(port.load(Ordering::Relaxed));
                        }
                        n += 1;
                        // One in twelve takes its time, though less than a pod waits.
                        let ms = if (n + user as i64) % 12 == 0 { 1200 } else { 25 };
                        let form = [("Content-Type", "text/plain")];
                        match client.try_send("POST", &format!("/kind/small?ms={ms}"), &form, b"some body") {
                            Ok(answer) if answer.status == 200 && answer.number("n") == Some(n) => {}
                            Ok(answer) => {
                                wrong.push(format!("user {user}, {n}: {} {}", answer.status, answer.text()))
                            }
                            Err(error) => wrong.push(format!("user {user}, {n}: {error}")),
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                        if wrong.len() > 3 {
                            break;
                        }
                    }
                    wrong
                })
            })
            .collect();
        Self { stop, port, done, users }
    }

    /// Waits until they have had so many more answers.
    fn go_on(&self, requests: usize) {
        let before = self.done.load(Ordering::Relaxed);
        eventually("requests are answered", || {
            self.done.load(Ordering::Relaxed) >= before + requests
                || self.users.iter().any(JoinHandle::is_finished)
        });
    }

    /// How many requests there were, all of which were answered well.
    fn finish(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let wrong: Vec<String> = self.users.into_iter().flat_map(|user| user.join().unwrap()).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        self.done.load(Ordering::Relaxed)
    }
}

#[test]
fn a_rolling_update_loses_no_request_and_no_change() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.start(1), cluster.start(2));
    let mut gateway = cluster.gateway();
    // A gateway is ready when it knows a server.
    let config = gateway.directory().join("gateway.toml");
    assert!(!is_ready(&config));
    cluster.endpoints(&[&one, &two]);
    eventually("the gateway's readiness probe succeeds", || is_ready(&config));
    let users = Users::start(gateway.port(), 6);
    users.go_on(60);

    // maxSurge 1, maxUnavailable 0: a new one is ready before an old one goes.
    let three = cluster.start(3);
    cluster.endpoints(&[&one, &two, &three]);
    cluster.stop(one, &[&two, &three]);
    users.go_on(60);
    let four = cluster.start(4);
    cluster.endpoints(&[&two, &three, &four]);
    cluster.stop(two, &[&three, &four]);
    users.go_on(60);

    // The gateway's own: a new pod, the Service forgets the old one during its preStop hook, and SIGTERM.
    let new = cluster.gateway();
    eventually("the new gateway is ready", || is_ready(&new.directory().join("gateway.toml")));
    users.port.store(new.port(), Ordering::Relaxed);
    sleep(PRE_STOP);
    gateway.process().terminate();
    eventually("the old gateway has ended", || gateway.process().exit_code() == Some(0));
    users.go_on(60);

    let mut stranger = new.client();
    let servers: std::collections::BTreeSet<_> =
        (0..8).filter_map(|_| stranger.get("/whoami").field("server")).collect();
    assert_eq!(servers, ["127.0.1.3", "127.0.1.4"].map(str::to_owned).into());
    assert!(users.finish() >= 240);
}

#[test]
fn a_gateway_that_is_told_nothing_loses_nothing_either() {
    // No check and no DNS: only what the sidecar answers says that it is about to be stopped.
    let mut farm = Farm::start();
    let users = Users::start(farm.gateway.port(), 4);
    users.go_on(20);
    let ready = |farm: &Farm| Client::new(farm.sidecars[0].admin_port()).get("/ready").status;
    assert_eq!(ready(&farm), 200);
    assert!(tell_drain(farm.sidecars[0].process()));
    eventually("it says so", || ready(&farm) == 503);
    let mut own = farm.sidecars[0].client();
    assert_eq!(own.get("/kind/small?nosession=1").status, 200, "at first it serves all the same");
    eventually("it sends requests away", || {
        let answer = own.get("/kind/small?nosession=1");
        answer.status == 503 && answer.header("x-satchel-unsent").is_some()
    });
    // The longest that runs.
    sleep(PRE_STOP);
    farm.tomcats[0].process().signal(Signal::TERM);
    eventually("Tomcat has ended", || !farm.tomcats[0].process().is_running());
    users.go_on(20);
    farm.sidecars[0].process().terminate();
    eventually("the sidecar has ended", || farm.sidecars[0].process().exit_code() == Some(0));
    users.go_on(20);
    users.finish();
    assert_eq!(farm.sidecars[1].metric("tomcat_gone"), 0);
}
