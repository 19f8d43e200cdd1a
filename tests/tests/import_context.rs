//! From the scenario's two files to a running set-up: what both imports make of them is put in its place and started as it is, beside stock
//! Tomcats. Nothing in the files differs from the scenario's but ports and addresses.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use satchel_tests::webapp::{self, App};
use satchel_tests::{Client, Gateway, Memcached, Sidecar, Tomcat, TomcatVersion, binaries, ports};

const CONTEXT: &str = include_str!("../../sidecar/src/import/tests/fixtures/scenario/conf/context.xml");
const SERVER: &str = include_str!("../../sidecar/src/import/tests/fixtures/scenario/conf/server.xml");
const NGINX: &str = include_str!("../../gateway/src/import/tests/fixtures/scenario/nginx.conf");

/// What its administrator has of a Tomcat, and what becomes of it.
struct Server {
    sidecar: Sidecar,
    tomcat: Tomcat,
}

/// The set-up of today, on one machine.
struct Today {
    version: TomcatVersion,
    memcached: Memcached,
    /// Where the Tomcats listen, as nginx knows it.
    ports: [u16; 2],
    stores: tempfile::TempDir,
}

impl Today {
    fn of(version: TomcatVersion) -> Self {
        let stores = tempfile::Builder::new().prefix("satchel-test-").tempdir_in("/dev/shm").unwrap();
        Self { version, memcached: Memcached::start(), ports: [ports::free(), ports::free()], stores }
    }

    /// A Tomcat with msm's context.xml and these applications, brought over with nothing but the import's files.
    fn bring_over(&self, number: usize, apps: &[&str], keys: Option<&Path>) -> Server {
        let base = Tomcat::empty_base(self.version, &format!("127.0.0.{}", number + 2));
        let conf = base.path().join("conf");
        let context = CONTEXT.replace("10.66.121.134:9101", &format!("127.0.0.1:{}", self.memcached.port()));
        let server = SERVER
            .replace("port=\"8080\"", &format!("port=\"{}\"", self.ports[number]))
            .replace("port=\"8005\"", "port=\"-1\"");
        std::fs::write(conf.join("context.xml"), context).unwrap();
        std::fs::write(conf.join("server.xml"), server).unwrap();
        for app in apps {
            let name = if *app == "/" { "ROOT" } else { &app[1..] };
            let from = webapp::build(self.version, App::Plain);
            let copied =
                Command::new("cp").arg("-r").arg(from).arg(base.path().join("webapps").join(name)).status();
            assert!(copied.unwrap().success());
        }

        let port = ports::free();
        let mut import = Command::new(binaries::binary("sidecar"));
        import.current_dir(base.path()).args([
            "import",
            "--xml",
            "new",
            "--tomcat-version",
            self.version.line(),
        ]);
        import.args(["--tomcat", &format!("127.0.0.1:{port}")]);
        import.arg("--store").arg(self.stores.path().join(format!("tomcat{number}")));
        for app in apps {
            import.args(["--app", app]);
        }
        for keys in keys.iter() {
            import.arg("--keys").arg(keys);
        }
        let toml = output(import.args(["conf/context.xml", "conf/server.xml"]));
        // Two sidecars on one machine.
        let admin = ports::free();
        let toml = toml.replace("admin = \"127.0.0.1:8091\"", &format!("admin = \"127.0.0.1:{admin}\""));
        let file = self.stores.path().join(format!("sidecar{number}.toml"));
        std::fs::write(&file, &toml).unwrap();
        output(Command::new(binaries::binary("sidecar")).arg("--test").arg("--config").arg(file));

        let replaced = Command::new("cp").args(["-r", "new/.", "."]).current_dir(base.path()).status();
        assert!(replaced.unwrap().success());
        let tomcat = Tomcat::of_base(self.version, base, port);
        tomcat.await_ready();
        Server { sidecar: Sidecar::run(&toml, self.ports[number], admin), tomcat }
    }

    /// nginx's place is taken, too.
    fn gateway(&self) -> Gateway {
        let port = ports::free();
        let config = NGINX
            .replace("10.104.37.25:8080", &format!("127.0.0.1:{}", self.ports[0]))
            .replace("10.104.42.64:8080", &format!("127.0.0.1:{}", self.ports[1]))
            .replace("13355", &port.to_string());
        let file = self.stores.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let toml = output(Command::new(binaries::binary("gateway")).arg("import").arg(file));
        Gateway::run(&toml, SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn keys(&self) -> std::path::PathBuf {
        self.stores.path().join("sidecar0.toml")
    }
}

/// What a program prints that has nothing to complain of.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// What the scenario's page says.
fn page(browser: &mut Client, path: &str) -> [String; 4] {
    let response = browser.get(path);
    let text = response.text();
    assert_eq!(response.status, 200, "{text}");
    ["Session id is ", "Server IP is ", "Server name is ", "Count is "].map(|start| {
        let line =
            text.lines().find_map(|line| line.strip_prefix("<p>")?.strip_suffix("</p>")?.strip_prefix(start));
        line.unwrap_or_else(|| panic!("no '{start}' in {text}")).to_owned()
    })
}

#[test]
fn the_scenarios_two_files_become_a_running_set_up() {
    const PAGE: &str = "/ShareSession/ShowSession";
    for version in TomcatVersion::available() {
        let today = Today::of(version);
        let one = today.bring_over(0, &["/ShareSession"], None);
        let two = today.bring_over(1, &["/ShareSession"], Some(&today.keys()));
        let gateway = today.gateway();
        let mut browser = gateway.client();
        page(&mut browser, PAGE);
        let (mut ids, mut servers) = (BTreeSet::new(), BTreeSet::new());
        for visit in 2..10 {
            let [id, server, name, count] = page(&mut browser, PAGE);
            assert!(id.ends_with("-n1") && name == "tomcats", "{id} {name}");
            assert_eq!(count, visit.to_string(), "Tomcat {}", version.name());
            ids.insert(id);
            servers.insert(server);
        }
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert_eq!(servers.into_iter().collect::<Vec<_>>(), ["127.0.0.2", "127.0.0.3"]);
        for Server { sidecar, tomcat } in [&one, &two] {
            assert!(sidecar.metric("sessions_stored") > 0, "Tomcat {}", version.name());
            // What Tomcat does not know it ignores with a warning, and then it would not hold.
            assert!(!tomcat.log().contains("did not find a matching property"), "{}", tomcat.log());
        }
    }
}

#[test]
fn applications_of_one_file_for_all_have_sessions_of_their_own() {
    let apps = ["/ShareSession", "/"];
    let today = Today::of(TomcatVersion::V10_1);
    let _one = today.bring_over(0, &apps, None);
    let _two = today.bring_over(1, &apps, Some(&today.keys()));
    let gateway = today.gateway();
    let mut browser = gateway.client();
    for visit in 1..6 {
        for path in ["/ShowSession", "/ShareSession/ShowSession"] {
            let [.., count] = page(&mut browser, path);
            assert_eq!(count, visit.to_string(), "{path}");
        }
    }
    let ids: BTreeSet<_> = browser.cookies.iter().map(|cookie| (&cookie.path, &cookie.value)).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
}

#[test]
fn a_configuration_that_nobody_takes_leaves_no_files() {
    let directory = tempfile::tempdir().unwrap();
    let conf = directory.path().join("conf");
    std::fs::create_dir(&conf).unwrap();
    std::fs::write(conf.join("context.xml"), CONTEXT).unwrap();
    let written = directory.path().join("new/conf/context.xml");
    let import = |out: Stdio| {
        let mut command = Command::new(binaries::binary("sidecar"));
        command.current_dir(directory.path()).args(["import", "--xml", "new", "conf/context.xml"]);
        command.stdout(out).stderr(Stdio::piped()).output().unwrap()
    };
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = import(full.into());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(69) && said.contains("can't be printed"), "{output:?}");
    assert!(!written.exists());
    assert_eq!(import(Stdio::piped()).status.code(), Some(0));
    assert!(written.exists());
}
