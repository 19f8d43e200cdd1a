//! An application that others have written, Debian's examples for Tomcat, shared between two Tomcats as it is.

use std::fs;
use std::path::Path;

use satchel_tests::{Client, Memcached, Sidecar, Tomcat, TomcatVersion, needs, ports};

/// Two Tomcats with an application of a directory, and their sidecars.
struct Pair {
    sidecars: Vec<Sidecar>,
    _tomcats: Vec<Tomcat>,
    _node: Memcached,
    _stores: tempfile::TempDir,
}

impl Pair {
    fn start(version: TomcatVersion, path: &str, application: &Path) -> Self {
        needs::ensure();
        let stores = tempfile::tempdir_in("/dev/shm").unwrap();
        let node = Memcached::start();
        let launched: Vec<_> = (0..2)
            .map(|n| {
                let store = stores.path().join(n.to_string());
                (launch(version, path, application, &store, n), store)
            })
            .collect();
        let sidecars = launched
            .iter()
            .map(|(tomcat, store)| {
                tomcat.await_ready();
                let contexts = [(path.to_owned(), store.clone())];
                Sidecar::of(tomcat.port(), &contexts).nodes(&[("n1", &node)]).start()
            })
            .collect();
        let tomcats = launched.into_iter().map(|(tomcat, _)| tomcat).collect();
        Self { sidecars, _tomcats: tomcats, _node: node, _stores: stores }
    }

    /// The same user at the other Tomcat.
    fn other(&self, user: &Client) -> Client {
        let ports: Vec<u16> = self.sidecars.iter().map(Sidecar::port).collect();
        user.at(if user.port() == ports[0] { ports[1] } else { ports[0] })
    }
}

/// The file that users are told to take over, with an application of others.
fn launch(version: TomcatVersion, path: &str, application: &Path, store: &Path, n: u8) -> Tomcat {
    let told = format!("{}/../conf/tomcat-{}.xml", env!("CARGO_MANIFEST_DIR"), version.line());
    let mut text = fs::read_to_string(told).unwrap();
    let (port, store) = (ports::free(), store.display().to_string());
    let context = format!(
        "<Context path=\"{path}\" docBase=\"{}\"><JarScanner><JarScanFilter tldScan=\"*.jar\" pluggabilityScan=\"*.jar\"/></JarScanner>",
        application.display()
    );
    for (this, by) in [
        ("port=\"8080\"", format!("port=\"{port}\"").as_str()),
        ("<Context path=\"\" docBase=\"ROOT\">", &context),
        ("/dev/shm/satchel/ROOT", &store),
        (
            "<Host ",
            "<Realm className=\"org.apache.catalina.realm.MemoryRealm\"/><Host autoDeploy=\"false\" deployOnStartup=\"false\" ",
        ),
    ] {
        assert_eq!(text.matches(this).count(), 1, "{this}");
        text = text.replace(this, by);
    }
    let base = Tomcat::empty_base(version, &format!("127.0.0.{}", n + 2));
    fs::write(base.path().join("conf/server.xml"), text).unwrap();
    // With the role that it asks for.
    let users = r#"<tomcat-users><user username="tomcat" password="secret" roles="tomcat"/></tomcat-users>"#;
    fs::write(base.path().join("conf/tomcat-users.xml"), users).unwrap();
    Tomcat::of_base(version, base, port)
}

#[test]
fn debians_examples_are_shared() {
    needs::ensure_examples();
    let pair = Pair::start(TomcatVersion::V10_1, "/examples", Path::new(needs::DEBIAN_EXAMPLES));
    let mut user = pair.sidecars[0].client();
    let session = "/examples/servlets/servlet/SessionExample";
    assert_eq!(user.get(session).status, 200);
    for n in 0..4 {
        user = pair.other(&user);
        let page = user.post(session, &format!("dataname=thing{n}&datavalue=value{n}"));
        assert_eq!(page.status, 200, "{}", page.text());
        for before in 0..=n {
            assert!(page.text().contains(&format!("thing{before} = value{before}")), "{n}: {}", page.text());
        }
    }
    // FORM login, each step on the other Tomcat than the one before; and then the page on both.
    let protected = "/examples/jsp/security/protected/index.jsp";
    user = pair.other(&user);
    assert!(user.get(protected).text().contains("j_security_check"));
    user = pair.other(&user);
    let answer =
        user.post("/examples/jsp/security/protected/j_security_check", "j_username=tomcat&j_password=secret");
    assert!(matches!(answer.status, 302 | 303), "{} {}", answer.status, answer.text());
    for _ in 0..4 {
        user = pair.other(&user);
        let page = user.get(protected);
        assert!(page.text().contains("<b>tomcat</b>"), "{} {}", page.status, page.text());
    }
    // What was in the session before the login is there, under the new id.
    assert!(user.get(session).text().contains("thing0 = value0"));
}
