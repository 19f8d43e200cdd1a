//! A real, stock Tomcat with the set-up that users are told to make.

use std::net::TcpStream;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

use crate::process::{Process, User};
use crate::{TomcatVersion, eventually, needs, ports, webapp};

/// What to deploy where.
struct Deployed {
    path: String,
    store: PathBuf,
    app: webapp::App,
    host: Option<String>,
}

/// Describes a Tomcat.
pub struct Builder {
    version: TomcatVersion,
    contexts: Vec<Deployed>,
    address: String,
    user: Option<User>,
    jvm: &'static [&'static str],
    /// A session manager in place of the one that users are told, with its jars.
    manager: Option<(String, Vec<PathBuf>)>,
}

/// A running Tomcat.
pub struct Tomcat {
    process: Process,
    version: TomcatVersion,
    port: u16,
    user: Option<User>,
    jvm: &'static [&'static str],
    base: tempfile::TempDir,
    /// Path and store directory of each context.
    pub contexts: Vec<(String, PathBuf)>,
}

/// A CATALINA_BASE that is written, and whose Tomcat has not been started.
pub struct Prepared {
    version: TomcatVersion,
    port: u16,
    user: Option<User>,
    jvm: &'static [&'static str],
    base: tempfile::TempDir,
    /// Path and store directory of each context.
    pub contexts: Vec<(String, PathBuf)>,
}

impl Prepared {
    /// CATALINA_BASE.
    pub fn base(&self) -> &Path {
        self.base.path()
    }

    /// The connector's port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Another Tomcat for the same CATALINA_BASE.
    #[must_use]
    pub fn version(mut self, version: TomcatVersion) -> Self {
        self.version = version;
        self
    }

    /// Which line of Tomcat.
    pub fn line(&self) -> TomcatVersion {
        self.version
    }

    /// Starts it and does not wait.
    pub fn launch(self) -> Tomcat {
        let Self { version, port, user, jvm, base, contexts } = self;
        let process = launch(version, port, user, jvm, base.path());
        Tomcat { process, version, port, user, jvm, base, contexts }
    }
}

impl Tomcat {
    /// A Tomcat of this version without a context yet.
    pub fn version(version: TomcatVersion) -> Builder {
        let address = "127.0.0.1".into();
        Builder { version, contexts: Vec::new(), address, user: None, jvm: QUICK_TO_START, manager: None }
    }

    /// A CATALINA_BASE with what every Tomcat has, and no `server.xml` yet. `InetAddress.getLocalHost()` returns `address` there.
    ///
    /// # Panics
    /// When there is no such Tomcat.
    pub fn empty_base(version: TomcatVersion, address: &str) -> tempfile::TempDir {
        let base = tempfile::tempdir().unwrap();
        for directory in ["conf", "logs", "temp", "work", "webapps"] {
            std::fs::create_dir(base.path().join(directory)).unwrap();
        }
        let home = version.home().unwrap();
        let web_xml = ["conf/web.xml", "etc/web.xml"].map(|name| home.join(name));
        let web_xml = web_xml.iter().find(|path| path.exists()).expect("web.xml");
        std::fs::copy(web_xml, base.path().join("conf/web.xml")).unwrap();
        std::fs::write(base.path().join("conf/tomcat-users.xml"), USERS).unwrap();
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let hosts = format!("{address} {}\n127.0.0.1 localhost\n", host.trim());
        std::fs::write(base.path().join("hosts"), hosts).unwrap();
        base
    }

    /// A Tomcat of such a base, which has its files by now, with a connector on this port of 127.0.0.1. Does not wait.
    pub fn of_base(version: TomcatVersion, base: tempfile::TempDir, port: u16) -> Self {
        let process = launch(version, port, None, QUICK_TO_START, base.path());
        Self { process, version, port, user: None, jvm: QUICK_TO_START, base, contexts: Vec::new() }
    }

    /// The connector's port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// CATALINA_BASE.
    pub fn base(&self) -> &Path {
        self.base.path()
    }

    /// The JVM's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The process: the JVM itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it has written since it was started last.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Which line of Tomcat.
    pub fn line(&self) -> TomcatVersion {
        self.version
    }

    /// Kills it if it runs and starts it again on the same port.
    pub fn restart(&mut self) {
        self.process.kill9();
        self.process = launch(self.version, self.port, self.user, self.jvm, self.base.path());
        self.await_ready();
    }

    /// Waits until the connector answers and the applications run.
    ///
    /// # Panics
    /// When they do not.
    pub fn await_ready(&self) {
        eventually("Tomcat listens", || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
                && self.process.log().contains("Server startup in")
        });
    }
}

impl Builder {
    /// Deploys the test application at `path`, with its FileStore in `store`.
    #[must_use]
    pub fn context(self, path: &str, store: &Path) -> Self {
        self.app(path, store, webapp::App::Plain)
    }

    /// Deploys a variant of it.
    #[must_use]
    pub fn app(mut self, path: &str, store: &Path, app: webapp::App) -> Self {
        let path = if path == "/" { String::new() } else { path.to_owned() };
        self.contexts.push(Deployed { path, store: store.to_owned(), app, host: None });
        self
    }

    /// Deploys the test application as ROOT of a virtual host.
    #[must_use]
    pub fn virtual_host(mut self, host: &str, store: &Path) -> Self {
        let (app, host) = (webapp::App::Plain, Some(host.to_owned()));
        self.contexts.push(Deployed { path: String::new(), store: store.to_owned(), app, host });
        self
    }

    /// The address that `InetAddress.getLocalHost()` returns in this JVM.
    #[must_use]
    pub fn host_address(mut self, address: &str) -> Self {
        self.address = address.to_owned();
        self
    }

    /// Whom it runs as. The store directories are left as they are, and not made.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.user = Some(user);
        self
    }

    /// As in production: the JVM compiles what is hot as well as it can. It takes longer to start.
    #[must_use]
    pub fn fast(mut self) -> Self {
        self.jvm = FAST;
        self
    }

    /// Another `<Manager>` in place of the one that users are told, without the valve, with these jars in `lib`.
    #[must_use]
    pub fn manager(mut self, manager: &str, jars: Vec<PathBuf>) -> Self {
        self.manager = Some((manager.to_owned(), jars));
        self
    }

    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(self) -> Tomcat {
        let tomcat = self.launch();
        tomcat.await_ready();
        tomcat
    }

    /// Starts it and does not wait. A process dies with the thread that started it, so several Tomcats are
    /// started like this and not in threads.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn launch(self) -> Tomcat {
        self.prepare().launch()
    }

    /// Writes its CATALINA_BASE.
    ///
    /// # Panics
    /// When that can't be written.
    pub fn prepare(self) -> Prepared {
        needs::ensure();
        let base = Tomcat::empty_base(self.version, &self.address);
        let port = ports::free();
        for deployed in self.contexts.iter().filter(|_| self.user.is_none()) {
            let _ = std::fs::DirBuilder::new().recursive(true).mode(0o770).create(&deployed.store);
        }
        std::fs::write(base.path().join("conf/server.xml"), self.server_xml(port)).unwrap();
        if let Some((_, jars)) = &self.manager {
            std::fs::create_dir(base.path().join("lib")).unwrap();
            for jar in jars {
                std::fs::copy(jar, base.path().join("lib").join(jar.file_name().unwrap())).unwrap();
            }
        }
        if let Some(user) = self.user {
            give(base.path(), user);
        }
        let contexts = self.contexts.into_iter().map(|deployed| (deployed.path, deployed.store)).collect();
        Prepared { version: self.version, port, user: self.user, jvm: self.jvm, base, contexts }
    }

    /// The file that users are told to take over, with our port, our contexts, and users to log in.
    fn server_xml(&self, port: u16) -> String {
        let told = concat!(env!("CARGO_MANIFEST_DIR"), "/../conf");
        let told = std::fs::read_to_string(format!("{told}/tomcat-{}.xml", self.version.line())).unwrap();
        let (before, context) = told.split_once("<Context path=\"\" docBase=\"ROOT\">").unwrap();
        let (context, after) = context.split_once("</Context>").unwrap();
        let (mut before, mut context) = (before.to_owned(), context.to_owned());
        if let Some((manager, _)) = &self.manager {
            before = replaced(&before, VALVE, "");
            context.clone_from(manager);
        }
        let context = context.as_str();
        let deploy = |deployed: &Deployed| {
            let classes = webapp::build(self.version, deployed.app);
            let store = deployed.store.display().to_string();
            let context = match deployed.app {
                webapp::App::Filtered => {
                    replaced(context, "<Manager ", "<Manager sessionAttributeNameFilter=\"n\" ")
                }
                webapp::App::ClassFilter => {
                    replaced(context, "<Manager ", &format!("<Manager {} ", told_filter()))
                }
                webapp::App::CookieAttributes => {
                    format!("<CookieProcessor sameSiteCookies=\"strict\"/>{context}")
                }
                _ => context.to_owned(),
            };
            let shared = "sessionCookiePath=\"/\" validateClientProvidedNewSessionId=\"false\"";
            format!(
                "<Context path=\"{}\" docBase=\"{}\" {}><JarScanner scanClassPath=\"false\"/>{}</Context>",
                deployed.path,
                classes.display(),
                if deployed.app == webapp::App::SharedCookie { shared } else { "" },
                // Another manager keeps its sessions elsewhere.
                match self.manager {
                    Some(_) => context,
                    None => replaced(&context, "/dev/shm/satchel/ROOT", &store),
                },
            )
        };
        let contexts: String =
            self.contexts.iter().filter(|deployed| deployed.host.is_none()).map(deploy).collect();
        let hosts: String = self
            .contexts
            .iter()
            .filter_map(|deployed| {
                let (host, context) = (deployed.host.as_ref()?, deploy(deployed));
                Some(format!(
                    "<Host name=\"{host}\" appBase=\"webapps\" autoDeploy=\"false\" deployOnStartup=\"false\"><Valve \
                     className=\"org.apache.catalina.valves.PersistentValve\"/>{context}</Host>"
                ))
            })
            .collect();
        let after = replaced(after, "</Host>", &format!("</Host>{hosts}"));
        let before = replaced(&before, "port=\"8080\"", &format!("port=\"{port}\" {CONNECTOR}"));
        let before = replaced(
            &before,
            "<Host ",
            &format!("{REALM}\n<Host autoDeploy=\"false\" deployOnStartup=\"false\" "),
        );
        format!("{before}{contexts}{after}")
    }
}

/// The filter of classes that users are told.
fn told_filter() -> String {
    let told = include_str!("../../docs/security.md");
    let lines = told.lines().map(str::trim);
    lines.filter(|line| line.starts_with("sessionAttributeValueClassNameFilter=")).collect()
}

fn replaced(text: &str, this: &str, by: &str) -> String {
    assert_eq!(text.matches(this).count(), 1, "{this} in {text}");
    text.replace(this, by)
}

const VALVE: &str = "<Valve className=\"org.apache.catalina.valves.PersistentValve\"/>";
const QUICK_TO_START: &[&str] = &["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/// `--add-opens` as Tomcat's own `catalina.sh` gives them; msm's kryo looks into `java.util` and `java.lang`, too.
const FAST: &[&str] = &[
    "-Xms512m",
    "-Xmx512m",
    "-XX:+UseParallelGC",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
];
const CONNECTOR: &str = r#"maxThreads="60" maxPostSize="-1" maxSwallowSize="-1""#;
const REALM: &str = r#"<Realm className="org.apache.catalina.realm.MemoryRealm"/>"#;
const USERS: &str = r#"<tomcat-users><user username="alice" password="secret" roles="user"/></tomcat-users>"#;

/// Hands a directory over.
fn give(path: &Path, user: User) {
    chown(path, Some(user.uid), Some(user.gid)).unwrap();
    for entry in std::fs::read_dir(path).into_iter().flatten() {
        give(&entry.unwrap().path(), user);
    }
}

fn launch(version: TomcatVersion, port: u16, user: Option<User>, jvm: &[&str], base: &Path) -> Process {
    let home = version.home().unwrap();
    let jar = |name: &str| home.join("bin").join(name).display().to_string();
    let java = needs::find("java").expect("java");
    let log = base.join("logs/out");
    // A restart must not find the line of the run before.
    let _ = std::fs::remove_file(&log);
    // The shell only sets the umask, as catalina.sh does, and becomes the JVM.
    let script =
        "setenv=$1; shift; [ -r \"$setenv\" ] && . \"$setenv\"; umask ${UMASK:-0027}; exec \"$0\" \"$@\"";
    Process::start_as(
        user,
        &format!("Tomcat {} on {port}", version.name()),
        Path::new("/bin/sh"),
        &log,
        |command| {
            command
                .args(["-c", script])
                .arg(java)
                .arg(base.join("bin/setenv.sh"))
                .args(jvm)
                .arg("-Xshare:auto")
                .arg("-Djava.security.egd=file:/dev/./urandom")
                .arg("-Dtomcat.util.scan.StandardJarScanFilter.jarsToSkip=*.jar")
                .arg(format!("-Djdk.net.hosts.file={}", base.join("hosts").display()))
                .arg(format!("-Dcatalina.home={}", home.display()))
                .arg(format!("-Dcatalina.base={}", base.display()))
                .arg(format!("-Djava.io.tmpdir={}", base.join("temp").display()))
                .args(["-cp", &format!("{}:{}", jar("bootstrap.jar"), jar("tomcat-juli.jar"))])
                .args(["org.apache.catalina.startup.Bootstrap", "start"]);
        },
    )
}
