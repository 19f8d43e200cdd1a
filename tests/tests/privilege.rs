//! As little as is needed: ordinary users, files of their own, and what is said of more than that.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use satchel_tests::needs::{find, skipped};
use satchel_tests::process::User;
use satchel_tests::sidecar::KEY;
use satchel_tests::users::{self, SIDECAR, TOMCAT};
use satchel_tests::{Gateway, Memcached, Sidecar, Tomcat, TomcatVersion, binaries, certificate, eventually};

const GATEWAY: User = User { uid: 4714, gid: 4714, group: None };

/// A line of a process's status.
fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn ordinary_users_run_everything() {
    if !rustix::process::geteuid().is_root() {
        return skipped("a farm of four users", "that needs root");
    }
    let (_base, store) = users::store(SIDECAR, 0o2770);
    let node = Memcached::start();
    let tomcat = Tomcat::version(TomcatVersion::V10_1).context("/", &store).user(TOMCAT).start();
    let mut sidecar = Sidecar::beside(&tomcat).nodes(&[("n1", &node)]).user(SIDECAR).start();
    let mut gateway = Gateway::builder().server(sidecar.port(), 1).user(GATEWAY).start();
    let mut user = gateway.client();
    for n in 1..20 {
        let response = user.get("/kind/small");
        assert_eq!(response.number("n"), Some(n), "{} {}", response.status, response.text());
    }
    let body = vec![b'x'; 300_000];
    assert_eq!(user.send("POST", "/upload", &[], &body[..200_000]).status, 200);
    // An upload that is taken in has no name: nobody else can open it.
    let mut upload = user.at(sidecar.port()).start("POST", "/upload", &[("Content-Length", "300000")], b"");
    upload.write_all(&body[..200_000]).unwrap();
    eventually("it is in a file", || sidecar.process().unnamed_files() == 1);
    for (pid, user) in [(tomcat.pid(), TOMCAT), (sidecar.process().pid(), SIDECAR), (gateway.pid(), GATEWAY)]
    {
        assert_eq!(status(pid, "Uid:"), user.uid.to_string());
        assert_eq!(status(pid, "CapEff:"), "0000000000000000");
    }
    for pid in [sidecar.process().pid(), gateway.process().pid()] {
        // What is not to be dumped belongs to root.
        assert_eq!(fs::metadata(format!("/proc/{pid}/mem")).unwrap().uid(), 0);
    }
    assert_eq!((sidecar.metric("file_errors"), sidecar.metric("unsent")), (0, 0));
    for log in [sidecar.log(), gateway.log()] {
        let warnings = log.lines().filter(|line| line.contains("WARN") && !line.contains("upgrade_sock"));
        assert_eq!(warnings.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}

/// What `--test` says of a good configuration in a file that everybody can read.
fn test(program: &str, directory: &Path, text: &str) -> String {
    let file = directory.join(format!("{program}.toml"));
    fs::write(&file, text).unwrap();
    let output = Command::new(binaries::binary(program)).args(["--test", "-c"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("the configuration is good"), "{said}");
    said
}

#[test]
fn what_is_open_is_said_by_test() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let sidecar = |admin: &str, tomcat: &str| {
        format!(
            "listen = \"127.0.0.1:1\"\nadmin = \"{admin}\"\n[tomcat]\naddress = \"{tomcat}\"\n[[context]]\npath = \"/\"\ndirectory = \"/dev/shm/x\"\n\
             [memcached]\nnodes = \"n1:127.0.0.1:3\"\n[record]\nkeys = [\"{KEY}\"]\nindex_key = \"{KEY}\"\n"
        )
    };
    let open = test("sidecar", directory.path(), &sidecar("0.0.0.0:4", "192.0.2.1:8080"));
    for said in ["admin: 0.0.0.0:4", "tomcat.address: 192.0.2.1:8080", "can read", "chmod 640"] {
        assert!(open.contains(said), "{said}: {open}");
    }
    fs::set_permissions(directory.path().join("sidecar.toml"), Permissions::from_mode(0o640)).unwrap();
    let closed = test("sidecar", directory.path(), &sidecar("127.0.0.1:4", "127.0.0.1:8080"));
    assert_eq!(closed.lines().count(), 1, "{closed}");

    let (chain, key) = certificate::write(directory.path(), "cert", "localhost");
    let gateway = |admin: &str| {
        format!(
            "admin = \"{admin}\"\n[[server]]\nlisten = [\"127.0.0.1:1 ssl\"]\nreturn = \"204\"\nssl_certificate = \"{}\"\nssl_certificate_key = \"{}\"\n",
            chain.display(),
            key.display()
        )
    };
    let open = test("gateway", directory.path(), &gateway("[::]:4"));
    for said in ["admin: [::]:4", "ssl_certificate_key: every user", &key.display().to_string()] {
        assert!(open.contains(said), "{said}: {open}");
    }
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    let closed = test("gateway", directory.path(), &gateway("[::1]:4"));
    assert_eq!(closed.lines().count(), 1, "{closed}");
}

#[test]
fn root_and_a_tomcat_open_to_all_are_named() {
    let base = tempfile::tempdir_in("/dev/shm").unwrap();
    let node = Memcached::start();
    // As Tomcat does it by itself: one socket for every address.
    let listener = std::net::TcpListener::bind("[::]:0").unwrap();
    let tomcat = Tomcat::version(TomcatVersion::V10_1).context("/", &base.path().join("ROOT")).start();
    let beside = Sidecar::beside(&tomcat).nodes(&[("n1", &node)]);
    let port = listener.local_addr().unwrap().port();
    let sidecar = beside.set("tomcat.address", &format!("\"127.0.0.1:{port}\"")).start();
    eventually("it says so", || sidecar.log().contains(&format!("listens on port {port} of every address")));
    let root = rustix::process::geteuid().is_root();
    assert_eq!(sidecar.log().contains("Running as root"), root);
    drop(sidecar);
    let sidecar = Sidecar::beside(&tomcat).nodes(&[("n1", &node)]).start();
    assert_eq!(sidecar.client().get("/kind/small").status, 200);
    assert!(!sidecar.log().contains("every address"), "{}", sidecar.log());
}

#[test]
fn the_units_are_valid_and_leave_little_open() {
    let Some(analyze) = find("systemd-analyze") else {
        return skipped("the systemd units", "there is no systemd-analyze");
    };
    let directory = tempfile::tempdir().unwrap();
    for unit in ["satchel-gateway.service", "satchel-sidecar.service"] {
        let told = format!("{}/../conf/systemd/{unit}", env!("CARGO_MANIFEST_DIR"));
        // It asks for the programs.
        let text = fs::read_to_string(told)
            .unwrap()
            .replace("/usr/local/bin/", &format!("{}/", directory.path().display()));
        for program in ["gateway", "sidecar"] {
            let file = directory.path().join(program);
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        }
        let file = directory.path().join(unit);
        fs::write(&file, text).unwrap();
        let run = |arguments: &[&str]| {
            let output = Command::new(&analyze).args(arguments).arg(&file).output().unwrap();
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            (output.status.success(), said)
        };
        let (is_valid, said) = run(&["verify", "--man=no"]);
        assert!(is_valid && said.trim().is_empty(), "{unit}: {said}");
        // Of 100 at most 20: it calls that "OK".
        let (is_closed, said) = run(&["security", "--offline=true", "--threshold=20"]);
        assert!(is_closed, "{unit}: {said}");
    }
}
