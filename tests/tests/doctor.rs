//! `sidecar doctor`: a good set-up has no findings; each mistake is found, and its fix works as it is printed.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use satchel_tests::needs::skipped;
use satchel_tests::process::User;
use satchel_tests::tomcat::Prepared;
use satchel_tests::users::{self, SHARED, SIDECAR, TOMCAT};
use satchel_tests::webapp::{self, App};
use satchel_tests::{Doctor, Farm, Memcached, Sidecar, Tomcat, TomcatVersion, eventually};

const VALVE: &str = r#"<Valve className="org.apache.catalina.valves.PersistentValve"/>"#;

/// Two Tomcats that are written and not started, each with the configuration of its sidecar.
struct Bench {
    tomcats: Vec<Prepared>,
    configurations: Vec<tempfile::TempDir>,
    nodes: Vec<Memcached>,
    _stores: tempfile::TempDir,
}

impl Bench {
    fn new(version: TomcatVersion, paths: &[&str]) -> Self {
        let stores = tempfile::Builder::new().prefix("satchel-doctor-").tempdir_in("/dev/shm").unwrap();
        let nodes: Vec<_> = (0..2).map(|_| Memcached::start()).collect();
        let tomcats: Vec<_> = (0..2)
            .map(|n| {
                let tomcat = Tomcat::version(version).host_address(&format!("127.0.0.{}", n + 2));
                let store = |path: &str| stores.path().join(format!("{n}{}", path.replace('/', "-")));
                paths.iter().fold(tomcat, |tomcat, path| tomcat.context(path, &store(path))).prepare()
            })
            .collect();
        let configurations = tomcats.iter().map(|tomcat| sidecar(tomcat, &nodes).write()).collect();
        Self { tomcats, configurations, nodes, _stores: stores }
    }

    /// With ROOT alone, on Debian's Tomcat.
    fn simple() -> Self {
        Self::new(TomcatVersion::V10_1, &["/"])
    }

    fn config(&self, n: usize) -> PathBuf {
        self.configurations[n].path().join("sidecar.toml")
    }

    fn doctor(&self, n: usize) -> Doctor {
        let tomcat = &self.tomcats[n];
        Doctor::default().base(tomcat.base()).home(&tomcat.line().home().unwrap()).config(&self.config(n))
    }

    /// Makes a mistake in every `server.xml`.
    fn server_xml(&self, find: &str, replace: &str) {
        self.tomcats.iter().for_each(|tomcat| change(&tomcat.base().join("conf/server.xml"), find, replace));
    }

    /// The mistake is found in each, at a place that says so; the corrected XML is put in its place, and then there is nothing.
    fn is_cured_by_xml(&self, id: &str, said: &str) {
        for n in 0..2 {
            let found = self.doctor(n).finds(id);
            assert!(found.what.contains(said), "{said} in {}", found.what);
            self.doctor(n).apply_xml();
            self.doctor(n).finds_nothing();
        }
    }

    /// Starts everything: sessions are shared at each path.
    fn shares(self, paths: &[&str]) {
        let tomcats: Vec<_> = self.tomcats.into_iter().map(Prepared::launch).collect();
        tomcats.iter().for_each(Tomcat::await_ready);
        let sidecars: Vec<_> = tomcats
            .iter()
            .map(|tomcat| {
                Sidecar::beside(tomcat).nodes(&[("n1", &self.nodes[0]), ("n2", &self.nodes[1])]).start()
            })
            .collect();
        for path in paths {
            let mut user = sidecars[0].client();
            for n in 1..8 {
                user = user.at(sidecars[usize::from(n % 2 == 0)].port());
                let response = user.get(&format!("{path}/kind/small"));
                assert_eq!(
                    (response.status, response.number("n")),
                    (200, Some(n)),
                    "{path}: {}",
                    response.text()
                );
            }
            // An error page changes the session too, and a logout holds.
            assert_eq!(user.get(&format!("{path}/kind/senderror")).status, 500);
            assert_eq!(user.get(&format!("{path}/kind/small")).number("n"), Some(9));
            let cookies = user.cookies.clone();
            user.get(&format!("{path}/logout"));
            for sidecar in &sidecars {
                let mut late = user.at(sidecar.port());
                late.cookies = cookies.clone();
                assert_eq!(
                    late.get(&format!("{path}/kind/small?read=1")).field("n").as_deref(),
                    Some("null")
                );
            }
        }
    }
}

/// The configuration of the sidecar of a Tomcat that has not been started.
fn sidecar(tomcat: &Prepared, nodes: &[Memcached]) -> satchel_tests::sidecar::Builder {
    let ports: Vec<_> = nodes.iter().map(Memcached::port).collect();
    Sidecar::of(tomcat.port(), &tomcat.contexts).nodes_at(&ports)
}

fn change(file: &Path, find: &str, replace: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(find), "{find} in {text}");
    fs::write(file, text.replacen(find, replace, 1)).unwrap();
}

fn write(file: &Path, text: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// That nothing was found, but that a Tomcat that is older than the newest could be newer.
fn is_healthy(doctor: &Doctor, version: TomcatVersion) {
    let said = doctor.look();
    let newest = !version.home().unwrap().ends_with("apache-tomcat-11.0.25");
    let other: Vec<_> = said.findings.iter().filter(|found| newest || found.id != "version.floor").collect();
    assert!(other.is_empty() && said.code == 0, "{version:?}: {:#?}", said.findings);
}

#[test]
fn a_good_set_up_has_no_findings_whether_it_runs_or_not() {
    for version in TomcatVersion::available() {
        let bench = Bench::new(version, &["/", "/app"]);
        is_healthy(&bench.doctor(0), version);
        assert!(bench.doctor(0).look().unchecked.iter().any(|one| one.contains("no running Tomcat")));
        // Each for itself, too.
        is_healthy(&Doctor::default().base(bench.tomcats[0].base()).home(&version.home().unwrap()), version);
        is_healthy(&Doctor::default().config(&bench.config(0)), version);
        drop(bench);
        let farm = Farm::builder().version(version).nodes(2).start();
        assert_eq!(farm.client().get("/kind/small").status, 200);
        for (tomcat, sidecar) in farm.tomcats.iter().zip(&farm.sidecars) {
            let doctor = Doctor::default().base(tomcat.base()).config(&sidecar.configuration());
            is_healthy(&doctor, version);
            assert_eq!(doctor.look().unchecked, Vec::<String>::new());
        }
    }
}

#[test]
fn ordinary_users_have_no_findings_and_may_ask() {
    if !rustix::process::geteuid().is_root() {
        return skipped("three users", "that needs root");
    }
    let (_base, store) = users::store(SIDECAR, 0o2770);
    let tomcat = Tomcat::version(TomcatVersion::V10_1).context("/", &store).user(TOMCAT).start();
    fs::set_permissions(tomcat.base(), Permissions::from_mode(0o755)).unwrap();
    let nodes = [Memcached::start(), Memcached::start()];
    let sidecar =
        Sidecar::beside(&tomcat).nodes(&[("n1", &nodes[0]), ("n2", &nodes[1])]).user(SIDECAR).start();
    let doctor = Doctor::default().base(tomcat.base()).config(&sidecar.configuration());
    doctor.clone().user(SIDECAR).finds_nothing();
    doctor.finds_nothing();
    // Tomcat's files are Tomcat's: what can't be read is said, and the rest is looked at.
    fs::set_permissions(tomcat.base().join("conf/server.xml"), Permissions::from_mode(0o600)).unwrap();
    let said = doctor.user(SIDECAR).look();
    assert!(
        said.unchecked.iter().any(|one| one.contains("server.xml: Permission denied")),
        "{:?}",
        said.unchecked
    );
    assert_eq!(said.findings.len(), 0, "{:#?}", said.findings);
}

#[test]
fn how_it_is_called() {
    let run = |arguments: &[&str]| {
        let output = Doctor::default().run(arguments);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), said)
    };
    assert_eq!(run(&[]).0, 64);
    let (code, said) = run(&["--config", "/nowhere"]);
    assert!(code == 64 && said.contains("/nowhere"), "{said}");
    assert_eq!(run(&["--fix-print", "--json"]).0, 64);
    let (code, said) = run(&["--help"]);
    assert!(code == 0 && said.contains("--fix-print"), "{said}");
    let bench = Bench::simple();
    change(&bench.config(0), "[record]", "colour = 1\n[record]");
    let found = bench.doctor(0).finds("config.invalid");
    assert!(found.what.contains("colour") && found.place.ends_with("sidecar.toml"), "{found:?}");
    // For people: what, why, the fix, and the place.
    bench.server_xml("processExpiresFrequency=\"2147483647\"", "processExpiresFrequency=\"6\"");
    let output = bench.doctor(0).run(&[]);
    let said = String::from_utf8(output.stdout).unwrap();
    for part in [
        "error[manager.attribute]",
        "server.xml:",
        "why:",
        "fix:",
        "write processExpiresFrequency=\"2147483647\"",
        "not checked",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains('\x1b'), "no colours but on a terminal");
}

// What stands in Tomcat's files.

#[test]
fn a_valve_in_a_context() {
    let bench = Bench::simple();
    bench.server_xml(VALVE, "");
    bench.server_xml("<Manager ", &format!("{VALVE}<Manager "));
    bench.is_cured_by_xml("valve.level", "error pages");
    bench.shares(&[""]);
}

#[test]
fn a_valve_and_a_manager_that_come_with_an_application() {
    let bench = Bench::simple();
    for tomcat in &bench.tomcats {
        let server = tomcat.base().join("conf/server.xml");
        let text = fs::read_to_string(&server).unwrap();
        let (start, end) = (text.find("<Context ").unwrap(), text.rfind("</Context>").unwrap());
        let context =
            format!("{}</Context>", &text[start..end]).replace("<Manager ", &format!("{VALVE}<Manager "));
        let text = format!("{}{}", &text[..start], &text[end + "</Context>".len()..]);
        fs::write(&server, text.replace("autoDeploy=\"false\" deployOnStartup=\"false\"", "")).unwrap();
        let root = tomcat.base().join("webapps/ROOT");
        copy(&webapp::build(TomcatVersion::V10_1, App::Plain), &root);
        write(&root.join("META-INF/context.xml"), &context.replace("saveOnRestart=\"false\"", ""));
        // One of the two is an archive.
        if tomcat.base() == bench.tomcats[1].base() {
            let war = tomcat.base().join("webapps/ROOT.war");
            let done =
                Command::new("jar").arg("cf").arg(&war).arg("-C").arg(&root).arg(".").status().unwrap();
            assert!(done.success());
            fs::remove_dir_all(&root).unwrap();
        }
    }
    for n in 0..2 {
        let found = bench.doctor(n).finds("valve.level");
        let where_ = ["webapps/ROOT/META-INF/context.xml:", "webapps/ROOT.war!/META-INF/context.xml:"][n];
        assert!(found.place.contains(where_), "{found:?}");
        bench.doctor(n).finds("manager.attribute");
        // What comes with the application stays as it is; what is to count instead has its own place.
        let changed = bench.doctor(n).apply_xml();
        assert_eq!(changed, [bench.tomcats[n].base().join("conf/Catalina/localhost/ROOT.xml")]);
        bench.doctor(n).finds_nothing();
    }
    bench.shares(&[""]);
}

#[test]
fn a_valve_in_the_engine_a_second_one_and_none() {
    for (find, replace, id, said) in [
        (VALVE, "", "valve.missing", "has no PersistentValve"),
        (VALVE, &VALVE.repeat(2), "valve.twice", "second PersistentValve"),
        ("<Host ", &format!("{VALVE}<Host "), "valve.level", "in <Engine>"),
    ] {
        let bench = Bench::simple();
        bench.server_xml(find, replace);
        bench.is_cured_by_xml(id, said);
    }
}

#[test]
fn a_valve_with_a_filter() {
    let bench = Bench::simple();
    bench.server_xml("PersistentValve\"", "PersistentValve\" filter=\".*\\.png\"");
    bench.is_cured_by_xml("valve.filter", "filter=\".*\\.png\"");
    bench.shares(&[""]);
}

#[test]
fn a_valve_that_does_not_wait() {
    let bench = Bench::simple();
    bench.server_xml("PersistentValve\"", "PersistentValve\" semaphoreBlockOnAcquire=\"false\"");
    bench.is_cured_by_xml("valve.semaphore", "semaphoreBlockOnAcquire");
}

#[test]
fn valves_that_stand_before_it_or_keep_sessions() {
    let other = "<Valve className=\"org.apache.catalina.valves.RemoteAddrValve\" allow=\"127.*\"/>";
    let sso = "<Valve className=\"org.apache.catalina.authenticator.SingleSignOn\"/>";
    let log = "<Valve className=\"org.apache.catalina.valves.AccessLogValve\" pattern=\"common\"/>";
    for (find, replace, id) in [
        (VALVE, format!("{other}{VALVE}"), "valve.order"),
        ("<Host ", format!("{other}<Host "), "valve.order"),
        (VALVE, format!("{VALVE}{sso}"), "valve.session"),
        (
            "<Host ",
            "<Cluster className=\"org.apache.catalina.ha.tcp.SimpleTcpCluster\"/><Host ".into(),
            "valve.cluster",
        ),
    ] {
        let bench = Bench::simple();
        bench.server_xml(find, &replace);
        let found = bench.doctor(0).finds(id);
        assert_eq!(found.severity, "warning");
        bench.doctor(0).apply_xml();
        bench.doctor(0).finds_nothing();
    }
    let bench = Bench::simple();
    bench.server_xml(VALVE, &format!("{log}{VALVE}"));
    bench.doctor(0).finds_nothing();
    // Of two that are to be moved behind one, none gets lost.
    let bench = Bench::simple();
    bench.server_xml("<Host ", &format!("{other}{}<Host ", other.replace("127", "10")));
    for _ in 0..2 {
        bench.doctor(0).finds("valve.order");
        bench.doctor(0).apply_xml();
    }
    bench.doctor(0).finds_nothing();
    let text = fs::read_to_string(bench.tomcats[0].base().join("conf/server.xml")).unwrap();
    assert!(text.contains("allow=\"127.*\"") && text.contains("allow=\"10.*\""), "{text}");
}

#[test]
fn the_session_in_an_access_log() {
    let log = |pattern: &str| {
        format!(
            "{VALVE}<Valve className=\"org.apache.catalina.valves.AccessLogValve\" directory=\"logs\" pattern=\"{pattern}\"/>"
        )
    };
    let bench = Bench::simple();
    bench.server_xml(VALVE, &log("%h &quot;%r&quot; %s %S"));
    bench.is_cured_by_xml("access_log.session", "%S");
    let text = fs::read_to_string(bench.tomcats[0].base().join("conf/server.xml")).unwrap();
    assert!(text.contains("pattern=\"%h &quot;%r&quot; %s %{JSESSIONID}c\""), "{text}");
    bench.shares(&[""]);
}

#[test]
fn two_contexts_with_one_directory() {
    let bench = Bench::new(TomcatVersion::V10_1, &["/a", "/b"]);
    for tomcat in &bench.tomcats {
        let [(_, a), (_, b)] = &tomcat.contexts[..] else { panic!() };
        let (a, b) = (a.display().to_string(), b.display().to_string());
        change(&tomcat.base().join("conf/server.xml"), &b, &a);
    }
    bench.doctor(0).finds("store.other");
    bench.is_cured_by_xml("store.shared", "users would see each other's");
    // The sidecar's configuration, too.
    let good = fs::read_to_string(bench.config(0)).unwrap();
    change(&bench.config(0), "/0-b\"", "/0-a\"");
    let found = bench.doctor(0).finds("config.invalid");
    assert!(found.what.contains("another context uses it too; each needs its own"), "{found:?}");
    fs::write(bench.config(0), good).unwrap();
    bench.doctor(0).finds_nothing();
    bench.shares(&["/a", "/b"]);
}

#[test]
fn a_manager_for_all_contexts_gives_them_one_directory() {
    let bench = Bench::new(TomcatVersion::V10_1, &["/a", "/b"]);
    for tomcat in &bench.tomcats {
        let server = tomcat.base().join("conf/server.xml");
        let text = fs::read_to_string(&server).unwrap();
        let manager =
            &text[text.find("<Manager").unwrap()..text.find("</Manager>").unwrap() + "</Manager>".len()];
        write(&tomcat.base().join("conf/context.xml"), &format!("<Context>\n  {manager}\n</Context>\n"));
    }
    bench.is_cured_by_xml("store.shared", "users would see each other's");
    bench.shares(&["/a", "/b"]);
}

#[test]
fn the_scenarios_manager_of_msm() {
    const MSM: &str = r#"<Manager className="de.javakaffee.web.msm.MemcachedBackupSessionManager"
             memcachedNodes="n1:10.66.121.134:9101" sticky="false"
             transcoderFactoryClass="de.javakaffee.web.msm.JavaSerializationTranscoderFactory"/>"#;
    for version in TomcatVersion::available() {
        // Applications in webapps, with and without descriptors of their own, and one Manager for all of them.
        let bench = Bench::new(version, &["/", "/app"]);
        for tomcat in &bench.tomcats {
            let base = tomcat.base();
            let server = base.join("conf/server.xml");
            let text = fs::read_to_string(&server).unwrap();
            let (start, end) = (text.find("<Context ").unwrap(), text.rfind("</Context>").unwrap());
            let text = format!("{}{}", &text[..start], &text[end + "</Context>".len()..]);
            let text = text.replace("autoDeploy=\"false\" deployOnStartup=\"false\"", "");
            fs::write(&server, text.replace(VALVE, "")).unwrap();
            write(&base.join("conf/context.xml"), &format!("<Context>\n    {MSM}\n</Context>\n"));
            let classes = webapp::build(version, App::Plain);
            copy(&classes, &base.join("webapps/ROOT"));
            let own = "<?xml version=\"1.0\"?>\n<Context docBase=\"DOCS\"><JarScanner scanClassPath=\"false\"/></Context>\n";
            write(
                &base.join("conf/Catalina/localhost/app.xml"),
                &own.replace("DOCS", &classes.display().to_string()),
            );
            write(
                &base.join("webapps/ROOT/META-INF/context.xml"),
                "<Context><!-- ours --><Parameter name=\"a\" value=\"b\"/></Context>",
            );
        }
        for n in 0..2 {
            let found = bench.doctor(n).finds("manager.msm");
            assert!(
                found.place.contains("conf/context.xml:2") && found.fix.contains("PersistentManager"),
                "{found:?}"
            );
            bench.doctor(n).finds("valve.missing");
            let changed = bench.doctor(n).apply_xml();
            assert_eq!(changed.len(), 4, "{changed:?}");
            is_healthy(&bench.doctor(n), version);
            let root =
                fs::read_to_string(bench.tomcats[n].base().join("conf/Catalina/localhost/ROOT.xml")).unwrap();
            assert!(root.contains("<!-- ours -->") && root.contains("PersistentManager"), "{root}");
        }
        bench.shares(&["", "/app"]);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let status = Command::new("cp").arg("-r").arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_manager_that_is_none_or_another() {
    let bench = Bench::simple();
    for tomcat in &bench.tomcats {
        let server = tomcat.base().join("conf/server.xml");
        let text = fs::read_to_string(&server).unwrap();
        let (start, end) = (text.find("<Manager").unwrap(), text.find("</Manager>").unwrap());
        fs::write(&server, format!("{}{}", &text[..start], &text[end + "</Manager>".len()..])).unwrap();
    }
    bench.is_cured_by_xml("manager.missing", "hands none over");
    bench.server_xml(
        "org.apache.catalina.session.PersistentManager",
        "org.apache.catalina.session.StandardManager",
    );
    bench.is_cured_by_xml("manager.class", "StandardManager");
    bench.shares(&[""]);
}

#[test]
fn each_attribute_of_the_manager() {
    for version in TomcatVersion::available() {
        let bench = Bench::new(version, &["/"]);
        let own = if version.line() == "9.0" { "persistAuthenticationNotes" } else { "sessionActivityCheck" };
        for (find, replace) in [
            ("saveOnRestart=\"false\"", "saveOnRestart=\"true\""),
            ("saveOnRestart=\"false\"", ""),
            ("maxIdleBackup=\"-1\"", "maxIdleBackup=\"60\""),
            ("maxIdleSwap=\"-1\"", "maxIdleSwap=\"60\""),
            ("minIdleSwap=\"-1\"", "minIdleSwap=\"60\""),
            ("processExpiresFrequency=\"2147483647\"", "processExpiresFrequency=\"6\""),
            ("processExpiresFrequency=\"2147483647\"", ""),
            ("persistAuthentication=\"true\"", ""),
            (&format!("{own}=\"true\""), ""),
        ] {
            bench.server_xml(find, replace);
            for n in 0..2 {
                let found = bench.doctor(n).finds("manager.attribute");
                assert!(found.what.contains(find.split('=').next().unwrap()), "{found:?}");
                bench.doctor(n).apply_xml();
                is_healthy(&bench.doctor(n), version);
            }
        }
        // They need not be there if they say what is so anyway; properties are replaced.
        bench.server_xml("maxIdleBackup=\"-1\" maxIdleSwap=\"-1\"", "maxIdleBackup=\"${idle:--1}\"");
        is_healthy(&bench.doctor(0), version);
    }
}

#[test]
fn a_filter_of_classes_that_lets_too_little_pass() {
    let bench = Bench::simple();
    bench.server_xml(
        "<Manager ",
        "<Manager sessionAttributeValueClassNameFilter=\"java\\.lang\\.String|com\\.example\\..*\" ",
    );
    bench.is_cured_by_xml("manager.class_filter", "java.lang.Long");
    bench.shares(&[""]);
}

#[test]
fn a_store_that_is_none_another_or_elsewhere() {
    let bench = Bench::simple();
    let directory = format!("directory=\"{}\"", bench.tomcats[0].contexts[0].1.display());
    let server = bench.tomcats[0].base().join("conf/server.xml");
    let good = fs::read_to_string(&server).unwrap();
    let store = format!("<Store className=\"org.apache.catalina.session.FileStore\" {directory}/>");
    let inside = format!("directory=\"{}\"", bench.tomcats[0].base().join("work/sessions").display());
    for (find, replace, id) in [
        (store.as_str(), "", "store.missing"),
        (
            "org.apache.catalina.session.FileStore",
            "org.apache.catalina.session.DataSourceStore",
            "store.class",
        ),
        (&directory, "", "store.relative"),
        (&directory, "directory=\"sessions\"", "store.relative"),
        (&directory, "directory=\"/dev/shm/satchel/elsewhere\"", "store.other"),
        (&directory, &inside, "store.inside"),
    ] {
        change(&server, find, replace);
        bench.doctor(0).finds(id);
        bench.doctor(0).apply_xml();
        bench.doctor(0).finds_nothing();
        fs::write(&server, &good).unwrap();
    }
}

#[test]
fn a_manager_that_lacks_everything_is_mended_at_once() {
    let bench = Bench::simple();
    let server = bench.tomcats[0].base().join("conf/server.xml");
    let good = fs::read_to_string(&server).unwrap();
    let (start, end) =
        (good.find("<Manager").unwrap(), good.find("</Manager>").unwrap() + "</Manager>".len());
    let bare = r#"<Manager className="org.apache.catalina.session.PersistentManager"/>"#;
    // Attributes and a child are put where its tag ends.
    fs::write(&server, format!("{}{bare}{}", &good[..start], &good[end..])).unwrap();
    bench.doctor(0).finds("store.missing");
    bench.doctor(0).finds("manager.attribute");
    bench.doctor(0).apply_xml();
    bench.doctor(0).finds_nothing();
}

#[test]
fn two_versions_of_one_application() {
    let bench = Bench::new(TomcatVersion::V10_1, &["/app"]);
    let classes = webapp::build(TomcatVersion::V10_1, App::Plain);
    for tomcat in &bench.tomcats {
        let server = tomcat.base().join("conf/server.xml");
        let text = fs::read_to_string(&server).unwrap();
        let (start, end) =
            (text.find("<Context ").unwrap(), text.find("</Context>").unwrap() + "</Context>".len());
        let context = text[start..end].replacen("path=\"/app\"", "", 1);
        let text = format!("{}{}", &text[..start], &text[end..]);
        fs::write(&server, text.replace("autoDeploy=\"false\" deployOnStartup=\"false\"", "")).unwrap();
        for name in ["app", "app##2"] {
            write(&tomcat.base().join(format!("conf/Catalina/localhost/{name}.xml")), &context);
            assert!(context.contains(&classes.display().to_string()));
        }
    }
    for n in 0..2 {
        let found = bench.doctor(n).finds("app.parallel");
        assert!(found.place.contains("app##2.xml") && found.what.contains("version"), "{found:?}");
        found.apply();
        let said = bench.doctor(n).look();
        let ids: Vec<_> =
            said.findings.iter().map(|found| (found.id.as_str(), found.severity.as_str())).collect();
        assert_eq!((ids.as_slice(), said.code), (&[("app.version", "note")][..], 0), "{said:#?}");
    }
    bench.shares(&["/app"]);
}

#[test]
fn applications_that_only_one_side_knows() {
    let bench = Bench::new(TomcatVersion::V10_1, &["/", "/app"]);
    change(&bench.config(0), "path = \"/app\"", "path = \"/ap\"");
    let (missing, unknown) = (bench.doctor(0).finds("app.missing"), bench.doctor(0).finds("app.unknown"));
    assert!(missing.what.contains("\"/ap\"") && unknown.what.contains("ROOT's"), "{missing:?} {unknown:?}");
    unknown.apply_line("path", &bench.config(1));
    change(&bench.config(0), "path = \"/ap\"", "path = \"/app\"");
    bench.doctor(0).finds_nothing();
}

#[test]
fn the_cookies_name_and_path() {
    let bench = Bench::new(TomcatVersion::V10_1, &["/app"]);
    bench.server_xml("<Context path=\"/app\"", "<Context path=\"/app\" sessionCookieName=\"SID\"");
    let found = bench.doctor(0).finds("cookie.name");
    let line = found.fix.split("write ").nth(1).unwrap().split(" in the").next().unwrap().to_owned();
    change(&bench.config(0), "path = \"/app\"\n", &format!("path = \"/app\"\n{line}\n"));
    bench.doctor(0).finds_nothing();
    // One cookie for all applications: three places have to say so.
    change(&bench.config(0), "path = \"/app\"\n", "path = \"/app\"\nsession_cookie_path = \"/\"\n");
    bench.doctor(0).finds("cookie.validate");
    bench.doctor(0).finds("cookie.path");
    bench.doctor(0).apply_xml();
    bench.doctor(0).finds_nothing();
    change(&bench.config(0), "session_cookie_path = \"/\"\n", "");
    let found = bench.doctor(0).finds("cookie.path");
    assert!(found.fix.contains("session_cookie_path = \"/\""), "{found:?}");
    // For one application that has it for itself, it is only a way to plant ids.
    let bench = Bench::simple();
    bench.server_xml("<Context path=\"\"", "<Context path=\"\" validateClientProvidedNewSessionId=\"false\"");
    bench.is_cured_by_xml("cookie.takes_any", "id of his choice");
}

#[test]
fn what_makes_tomcat_look_at_sessions_too_late() {
    let bench = Bench::simple();
    bench.server_xml(
        "<Context path=\"\"",
        "<Context path=\"\" alwaysAccessSession=\"true\" crossContext=\"true\"",
    );
    bench.doctor(0).finds("app.cross_context");
    bench.is_cured_by_xml("manager.always_access", "outlive a logout");
    let properties = bench.tomcats[0].base().join("conf/catalina.properties");
    fs::write(&properties, "org.apache.catalina.STRICT_SERVLET_COMPLIANCE=true\n").unwrap();
    bench.doctor(0).finds("manager.strict");
    fs::remove_file(properties).unwrap();
    let setenv = bench.tomcats[0].base().join("bin/setenv.sh");
    write(&setenv, "CATALINA_OPTS=\"-Dorg.apache.catalina.STRICT_SERVLET_COMPLIANCE=true\"\n");
    bench.doctor(0).finds("manager.strict");
    fs::write(setenv, "# CATALINA_OPTS=\"-Dorg.apache.catalina.STRICT_SERVLET_COMPLIANCE=true\"\n").unwrap();
    bench.doctor(0).finds_nothing();
}

#[test]
fn connectors_that_close_too_early() {
    for (replace, id) in [
        ("", "connector.requests"),
        ("maxKeepAliveRequests=\"100\"", "connector.requests"),
        ("maxKeepAliveRequests=\"-1\" keepAliveTimeout=\"5000\"", "connector.timeout"),
        ("maxKeepAliveRequests=\"-1\" connectionTimeout=\"15000\"", "connector.timeout"),
    ] {
        let bench = Bench::simple();
        bench.server_xml("maxKeepAliveRequests=\"-1\"", replace);
        bench.is_cured_by_xml(id, "connection");
        let text = fs::read_to_string(bench.tomcats[0].base().join("conf/server.xml")).unwrap();
        assert!(text.contains("maxKeepAliveRequests=\"-1\""), "{text}");
    }
}

#[test]
fn no_connector_where_the_sidecar_looks() {
    let bench = Bench::simple();
    let port = bench.tomcats[0].port();
    let address = format!("address = \"127.0.0.1:{port}\"");
    change(&bench.config(0), &address, "address = \"127.0.0.1:9\"");
    let found = bench.doctor(0).finds("connector.none");
    found.apply_line("address", &bench.config(0));
    bench.doctor(0).finds_nothing();
    change(&bench.config(0), &address, &format!("address = \"10.1.2.3:{port}\""));
    bench.doctor(0).finds("config.tomcat").apply_line("address", &bench.config(0));
    bench.doctor(0).finds_nothing();
    bench.server_xml("<Connector ", "<Connector SSLEnabled=\"true\" ");
    bench.doctor(0).finds("connector.protocol");
}

// What is seen of a Tomcat that runs.

#[test]
fn a_tomcat_that_can_be_reached_past_the_sidecar() {
    let bench = Bench::simple();
    bench.server_xml(" address=\"127.0.0.1\"", "");
    let home = TomcatVersion::V10_1.home().unwrap();
    let Bench { mut tomcats, configurations, nodes: _nodes, _stores } = bench;
    let mut tomcat = tomcats.remove(0).launch();
    tomcat.await_ready();
    let past = |tomcat: &Tomcat| TcpStream::connect(("127.0.0.9", tomcat.port())).is_ok();
    assert!(past(&tomcat));
    let config = configurations[0].path().join("sidecar.toml");
    let doctor = Doctor::default().base(tomcat.base()).home(&home).config(&config);
    let found = doctor.finds("connector.address");
    assert!(found.what.contains("past the sidecar"), "{found:?}");
    doctor.apply_xml();
    // It still runs as it was.
    doctor.finds("connector.listens");
    tomcat.restart();
    assert!(!past(&tomcat));
    doctor.finds_nothing();
}

#[test]
fn a_tomcat_whose_file_store_is_broken() {
    let version = TomcatVersion::V10_1Broken;
    let Ok(home) = version.home() else { return };
    let bench = Bench::simple();
    let doctor = Doctor::default().base(bench.tomcats[0].base()).config(&bench.config(0));
    let found = doctor.clone().home(&home).finds("version.broken");
    assert!(found.what.contains("10.1.45") && found.fix.contains("10.1.60"), "{found:?}");
    // As printed: another CATALINA_HOME for the same CATALINA_BASE.
    doctor.home(&TomcatVersion::V10_1.home().unwrap()).finds_nothing();
    let Bench { mut tomcats, nodes, .. } = bench;
    let sessions = |tomcat: &Tomcat| {
        let sidecar = Sidecar::beside(tomcat).nodes(&[("n1", &nodes[0])]).start();
        let mut user = sidecar.client();
        let first = user.get("/kind/small");
        (first.status, user.get("/kind/small").number("n"))
    };
    let broken = tomcats.remove(0).version(version).launch();
    eventually("it has tried to start", || {
        broken.log().contains("Server startup in") || broken.log().contains("KeyedReentrantReadWriteLock")
    });
    assert!(broken.log().contains("KeyedReentrantReadWriteLock"), "{}", broken.log());
    drop(broken);
    let whole = tomcats.remove(0).launch();
    whole.await_ready();
    assert_eq!(sessions(&whole), (200, Some(2)));
}

#[test]
fn a_umask_that_keeps_the_sidecar_out() {
    if !rustix::process::geteuid().is_root() {
        return skipped("files of two users", "that needs root");
    }
    let (_base, store) = users::store(SIDECAR, 0o2770);
    let prepared = Tomcat::version(TomcatVersion::V10_1).context("/", &store).user(TOMCAT).prepare();
    fs::set_permissions(prepared.base(), Permissions::from_mode(0o755)).unwrap();
    write(&prepared.base().join("bin/setenv.sh"), "UMASK=0077\n");
    let nodes = [Memcached::start(), Memcached::start()];
    let beside = |tomcat: &Tomcat| {
        Sidecar::beside(tomcat).nodes(&[("n1", &nodes[0]), ("n2", &nodes[1])]).user(SIDECAR)
    };
    let mut tomcat = prepared.launch();
    tomcat.await_ready();
    let sidecar = beside(&tomcat).start();
    assert_eq!(sidecar.client().get("/kind/small").status, 503);
    let doctor = Doctor::default().base(tomcat.base()).config(&sidecar.configuration());
    let found = doctor.clone().user(SIDECAR).finds("umask.closed");
    assert!(found.what.contains("0077") && doctor.finds("umask.closed").fix == found.fix, "{found:?}");
    found.apply();
    tomcat.restart();
    doctor.clone().user(SIDECAR).finds_nothing();
    let mut user = sidecar.client();
    for n in 1..5 {
        assert_eq!(user.get("/kind/small").number("n"), Some(n), "{}", sidecar.log());
    }
    // Too open.
    write(&tomcat.base().join("bin/setenv.sh"), "export UMASK=\"0022\"\n");
    tomcat.restart();
    doctor.finds("umask.open").apply();
    tomcat.restart();
    doctor.finds_nothing();
}

#[test]
fn a_tomcat_that_has_not_read_its_files() {
    let farm = Farm::builder().tomcats(1).nodes(2).start();
    let mut farm = farm;
    let doctor = Doctor::default().base(farm.tomcats[0].base()).config(&farm.sidecars[0].configuration());
    // A file's time counts in the kernel's steps, a process's start in hundredths of seconds: far enough apart.
    let server = farm.tomcats[0].base().join("conf/server.xml");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    fs::File::options().append(true).open(&server).unwrap().set_modified(later).unwrap();
    let found = doctor.finds("process.stale");
    assert_eq!((found.severity.as_str(), found.fix.as_str()), ("warning", "restart Tomcat"));
    let now = std::time::SystemTime::now();
    fs::File::options().append(true).open(&server).unwrap().set_modified(now).unwrap();
    farm.tomcats[0].restart();
    doctor.finds_nothing();
}

// Directories.

#[test]
fn a_directory_on_a_mount_without_access_times() {
    let bench = Bench::simple();
    let store = &bench.tomcats[0].contexts[0].1;
    fs::create_dir_all(store).unwrap();
    let options = ["-t", "tmpfs", "-o", "size=64m,mode=0770,noatime", "none"];
    if !Command::new("mount").args(options).arg(store).status().is_ok_and(|status| status.success()) {
        return skipped("a mount with noatime", "mounting needs root");
    }
    struct Mounted<'a>(&'a Path);
    impl Drop for Mounted<'_> {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(self.0).status();
        }
    }
    let _mounted = Mounted(store);
    let refused = sidecar(&bench.tomcats[0], &bench.nodes).refusal();
    assert!(refused.contains("noatime"), "{refused}");
    let found = bench.doctor(0).finds("directory.noatime");
    assert!(found.fix.contains("remount"), "{found:?}");
    found.apply();
    bench.doctor(0).finds_nothing();
    // Too small.
    let small = Command::new("mount").args(["-o", "remount,size=4m"]).arg(store).status().unwrap();
    assert!(small.success());
    bench.doctor(0).finds("directory.space").apply();
    bench.doctor(0).finds_nothing();
}

#[test]
fn a_directory_that_others_may_enter_or_is_on_a_disk() {
    let bench = Bench::simple();
    let store = &bench.tomcats[0].contexts[0].1;
    fs::set_permissions(store, Permissions::from_mode(0o777)).unwrap();
    bench.doctor(0).finds("directory.open").apply();
    bench.doctor(0).finds_nothing();
    fs::remove_dir(store).unwrap();
    bench.doctor(0).finds_nothing();
    fs::write(store, "").unwrap();
    bench.doctor(0).finds("directory.file").apply();
    bench.doctor(0).finds_nothing();
    let disk = tempfile::tempdir_in(bench.configurations[0].path()).unwrap();
    if fs::read_to_string("/proc/mounts").unwrap().lines().any(|line| line.contains(" /tmp tmpfs ")) {
        return skipped("a store directory on a disk", "/tmp is on a tmpfs");
    }
    let (old, new) = (store.display().to_string(), disk.path().display().to_string());
    change(&bench.config(0), &old, &new);
    change(&bench.tomcats[0].base().join("conf/server.xml"), &old, &new);
    let found = bench.doctor(0).finds("directory.disk");
    if !rustix::process::geteuid().is_root() {
        return skipped("mounting a tmpfs", "that needs root");
    }
    found.apply();
    let said = bench.doctor(0).look();
    let _ = Command::new("umount").arg("-l").arg(disk.path()).status();
    assert!(said.findings.is_empty(), "{:#?}", said.findings);
}

#[test]
fn directories_of_other_users() {
    if !rustix::process::geteuid().is_root() {
        return skipped("directories of several users", "that needs root");
    }
    let bench = Bench::simple();
    let store = bench.tomcats[0].contexts[0].1.clone();
    let base = store.parent().unwrap();
    fs::set_permissions(base, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(bench.tomcats[0].base(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(bench.configurations[0].path(), Permissions::from_mode(0o755)).unwrap();
    chown(bench.config(0), None, Some(SIDECAR.gid)).unwrap();
    fs::set_permissions(bench.config(0), Permissions::from_mode(0o640)).unwrap();
    let doctor = bench.doctor(0).user(SIDECAR);
    // Nobody's but root's.
    fs::set_permissions(&store, Permissions::from_mode(0o700)).unwrap();
    doctor.finds("directory.rights").apply();
    doctor.finds_nothing();
    // Somebody else's, who has nothing to do with either.
    chown(base, Some(4799), None).unwrap();
    doctor.finds("directory.owner").apply();
    chown(base, Some(0), None).unwrap();
    doctor.finds_nothing();
    fs::set_permissions(base, Permissions::from_mode(0o757)).unwrap();
    doctor.finds("directory.open_above").apply();
    doctor.finds_nothing();
    // Not there, and not to be made.
    fs::remove_dir(&store).unwrap();
    doctor.finds("directory.missing").apply();
    doctor.finds_nothing();
    // The keys are for the sidecar alone.
    fs::set_permissions(bench.config(0), Permissions::from_mode(0o644)).unwrap();
    doctor.finds("config.secrets").apply();
    doctor.finds_nothing();
}

#[test]
fn files_that_go_to_a_group_that_the_sidecar_is_not_in() {
    if !rustix::process::geteuid().is_root() {
        return skipped("files of two users", "that needs root");
    }
    // Not set-group-id, and Tomcat's own group is another.
    let (_base, store) = users::store(TOMCAT, 0o770);
    let user = User { gid: 4799, group: Some(SHARED), ..TOMCAT };
    let tomcat = Tomcat::version(TomcatVersion::V10_1).context("/", &store).user(user).start();
    let nodes = [Memcached::start(), Memcached::start()];
    let sidecar =
        Sidecar::beside(&tomcat).nodes(&[("n1", &nodes[0]), ("n2", &nodes[1])]).user(SIDECAR).start();
    assert_eq!(sidecar.client().get("/kind/small").status, 503);
    let doctor = Doctor::default().base(tomcat.base()).config(&sidecar.configuration());
    doctor.finds("directory.group").apply();
    doctor.finds_nothing();
    assert_eq!(sidecar.client().get("/kind/small").status, 200);
}

// Jars.

#[test]
fn jars_of_msm_that_were_left() {
    let bench = Bench::simple();
    let base = bench.tomcats[0].base();
    for jar in [
        "memcached-session-manager-2.3.2.jar",
        "memcached-session-manager-tc9-2.3.2.jar",
        "spymemcached-2.11.1.jar",
        "kryo-4.0.0.jar",
        "mine.jar",
    ] {
        write(&base.join("lib").join(jar), "");
    }
    let found = bench.doctor(0).finds("jars.msm");
    assert!(found.what.contains("spymemcached-2.11.1.jar") && !found.what.contains("mine.jar"), "{found:?}");
    found.apply();
    bench.doctor(0).finds_nothing();
    assert_eq!(fs::read_dir(base.join("lib")).unwrap().count(), 1, "what is not msm's stays");
    // In an application.
    let app = tempfile::tempdir().unwrap();
    write(&app.path().join("WEB-INF/lib/msm-kryo-serializer-2.3.2.jar"), "");
    let server = base.join("conf/server.xml");
    let text = fs::read_to_string(&server).unwrap();
    let classes = webapp::build(TomcatVersion::V10_1, App::Plain).display().to_string();
    fs::write(&server, text.replace(&classes, &app.path().display().to_string())).unwrap();
    bench.doctor(0).finds("jars.msm_in_app").apply();
    bench.doctor(0).finds_nothing();
}

// memcached, and the other sidecars.

#[test]
fn keys_that_differ_between_sidecars() {
    let farm = Farm::builder().tomcats(1).nodes(2).start();
    let config = farm.sidecars[0].configuration();
    let doctor = Doctor::default().config(&config);
    doctor.finds_nothing();
    let good = fs::read_to_string(&config).unwrap();
    let line = |text: &str, key: &str| text.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    let other = "bmV3IGtleSBuZXcga2V5IG5ldyBrZXkgbmV3IGtleSE=";
    for key in ["keys", "index_key"] {
        let theirs = line(&good, key);
        change(&config, &theirs, &theirs.replace(satchel_tests::sidecar::KEY, other));
        let found = doctor.finds("agreement.keys");
        assert!(found.what.contains("here [") && !found.fix.contains(other), "{found:?}");
        // As printed: those of a sidecar that runs.
        let ours = line(&fs::read_to_string(&config).unwrap(), key);
        change(&config, &ours, &theirs);
        doctor.finds_nothing();
    }
}

#[test]
fn nodes_in_another_order() {
    let farm = Farm::builder().tomcats(1).nodes(2).start();
    let config = farm.sidecars[0].configuration();
    let doctor = Doctor::default().config(&config);
    let (one, two) = (farm.nodes[0].port(), farm.nodes[1].port());
    change(
        &config,
        &format!("n1:127.0.0.1:{one}, n2:127.0.0.1:{two}"),
        &format!("n2:127.0.0.1:{two} n1:127.0.0.1:{one}"),
    );
    let found = doctor.finds("agreement.nodes");
    assert!(found.what.contains("here [n2 n1], the others [n1 n2]"), "{found:?}");
    found.apply_line("nodes", &config);
    doctor.finds_nothing();
    change(&config, "[memcached]\n", "[memcached]\ncopies = 1\n");
    doctor.finds("agreement.other");
}

#[test]
fn what_is_wrong_with_memcacheds() {
    let mut nodes = [Memcached::start(), Memcached::with(&["-I", "512k"])];
    let bench = Bench::simple();
    let ports: Vec<_> = nodes.iter().map(Memcached::port).collect();
    let of = |ports: &[u16]| {
        Sidecar::of(bench.tomcats[0].port(), &bench.tomcats[0].contexts).nodes_at(ports).write()
    };
    let config = of(&ports);
    let doctor = Doctor::default().config(&config.path().join("sidecar.toml"));
    doctor.finds("memcached.item_size");
    nodes[0].process().kill9();
    let found = doctor.finds("memcached.unreachable");
    assert!(found.what.contains("n1") && found.fix.contains(&ports[0].to_string()), "{found:?}");
    nodes[0].restart();
    doctor.finds_no("memcached.unreachable");
    // One memcached under two names.
    let path = config.path().join("sidecar.toml");
    change(&path, &format!("n2:127.0.0.1:{}", ports[1]), &format!("n2:localhost:{}", ports[0]));
    doctor.finds("memcached.same");
    change(&path, &format!(", n2:localhost:{}", ports[0]), "");
    doctor.finds("memcached.single");
    // Too little memory.
    let small = Memcached::with(&["-m", "2"]);
    for n in 0..200 {
        small.set(&format!("filled-{n}"), 0, &[b'x'; 100_000]);
    }
    assert!(small.stat("evictions") > 0);
    let config = of(&[small.port(), ports[0]]);
    let doctor = Doctor::default().config(&config.path().join("sidecar.toml"));
    let found = doctor.finds("memcached.evictions");
    assert!(found.what.contains("n1 has evicted"), "{found:?}");
}

#[test]
fn what_is_open_in_the_sidecars_configuration() {
    let bench = Bench::simple();
    let text = fs::read_to_string(bench.config(0)).unwrap();
    let admin = text.lines().find(|line| line.starts_with("admin")).unwrap().to_owned();
    change(&bench.config(0), &admin, &admin.replace("127.0.0.1", "0.0.0.0"));
    bench.doctor(0).finds("config.admin").apply_line("admin", &bench.config(0));
    bench.doctor(0).finds_nothing();
    let keys = text.lines().find(|line| line.starts_with("keys")).unwrap();
    change(&bench.config(0), keys, "encryption = \"off\"");
    let index = text.lines().find(|line| line.starts_with("index_key")).unwrap();
    change(&bench.config(0), index, "");
    bench.doctor(0).finds("config.encryption");
}
