//! Applications that others have written, shared between two Tomcats as they are: Debian's examples, and the test application of Jetty from
//! Maven's repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use satchel_tests::{Client, Memcached, Response, Sidecar, Tomcat, TomcatVersion, maven, needs, ports};

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
    // With the roles that the applications ask for.
    let users =
        r#"<tomcat-users><user username="tomcat" password="secret" roles="tomcat,user"/></tomcat-users>"#;
    fs::write(base.path().join("conf/tomcat-users.xml"), users).unwrap();
    Tomcat::of_base(version, base, port)
}

/// Where a redirect leads to, without scheme and host.
fn location(response: &Response) -> String {
    let location =
        response.header("location").unwrap_or_else(|| panic!("{} {}", response.status, response.text()));
    match location.split_once("://") {
        Some((_, rest)) => rest[rest.find('/').unwrap()..].to_owned(),
        None => location.to_owned(),
    }
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

/// Jetty's test application, unpacked: form logins, and a page that shows the session and changes it. It keeps objects of classes in
/// its own `WEB-INF/lib` there.
fn jettys() -> Result<PathBuf, String> {
    let (name, version) = ("test-jetty-webapp", "9.4.53.v20231009");
    let unpacked = format!("{name}-{version}");
    maven::directory("applications", &unpacked, &[], |runs| {
        let artifact = format!("-Dartifact=org.eclipse.jetty:{name}:{version}:war");
        let jar = needs::find("jar").unwrap();
        runs.mvn(&["dependency:copy", "-DoutputDirectory=.", &artifact])
            && runs.run(Command::new("mkdir").arg(&unpacked))
            && runs.run(
                Command::new("sh").args(["-c", "cd \"$0\" && \"$1\" xf \"../$0.war\"", &unpacked]).arg(jar),
            )
    })
}

#[test]
fn jettys_test_application_is_shared_with_its_logins() {
    let application = match (TomcatVersion::V9_0.home(), jettys()) {
        (Ok(_), Ok(application)) => application,
        (tomcat, jettys) => {
            let why = format!("{:?} {:?}", tomcat.err(), jettys.err());
            return needs::skipped("Jetty's test application", &why);
        }
    };
    let pair = Pair::start(TomcatVersion::V9_0, "/shop", &application);
    let mut user = pair.sidecars[0].client();
    let session = "/shop/session/";
    assert!(user.get(session).text().contains("No Session"));
    user = pair.other(&user);
    assert_eq!(user.post(session, "Action=New+Session").status, 302);
    for n in 0..4 {
        user = pair.other(&user);
        assert_eq!(user.post(session, &format!("Action=Set&Name=thing{n}&Value=value{n}")).status, 302);
    }
    // The protected page, asked for, logged in to and seen on the other Tomcat than the step before.
    let protected = "/shop/auth2/index.html";
    user = pair.other(&user);
    assert!(user.get(protected).text().contains("FORM Authentication demo"));
    user = pair.other(&user);
    let answer = user.post("/shop/auth2/j_security_check", "j_username=tomcat&j_password=secret");
    assert!(matches!(answer.status, 302 | 303), "{} {}", answer.status, answer.text());
    assert_eq!(location(&answer), protected);
    for _ in 0..4 {
        user = pair.other(&user);
        let page = user.get(protected);
        assert!(page.text().contains("successfully authenticated"), "{} {}", page.status, page.text());
        // What was in the session before the login is there, under the new id.
        let page = user.get(session);
        for n in 0..4 {
            assert!(page.text().contains(&format!("value{n}")), "{}", page.text());
        }
    }
    // A logout on one is a logout on the other.
    user = pair.other(&user);
    user.post(session, "Action=Invalidate");
    user = pair.other(&user);
    assert!(user.get(protected).text().contains("FORM Authentication demo"));
    // A wrong password is one.
    let mut stranger = pair.sidecars[1].client();
    stranger.get(protected);
    stranger.post("/shop/auth2/j_security_check", "j_username=tomcat&j_password=wrong");
    assert!(pair.other(&stranger).get(protected).text().contains("FORM Authentication demo"));
}
