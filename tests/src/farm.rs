//! A whole farm in a few words.

use std::path::PathBuf;

use crate::webapp::App;
use crate::{
    Client, Gateway, Liar, Link, Memcached, Sidecar, Tomcat, TomcatVersion, Twemproxy, binaries, needs, ports,
};

/// Describes a farm.
pub struct Builder {
    tomcats: usize,
    fast: bool,
    version: TomcatVersion,
    contexts: Vec<(String, App)>,
    settings: Vec<(String, String)>,
    memcached: Vec<String>,
    nodes: usize,
    gateway_port: Option<u16>,
    admin: bool,
    context_lines: Vec<String>,
    links: bool,
    liars: bool,
    text: bool,
    twemproxy: bool,
}

/// Tomcats with their sidecars, memcached nodes, and a gateway in front.
pub struct Farm {
    /// First, so that it is the first to stop.
    pub gateway: Gateway,
    /// One beside each Tomcat.
    pub sidecars: Vec<Sidecar>,
    /// The Tomcats.
    pub tomcats: Vec<Tomcat>,
    /// `n1`, `n2`, ….
    pub nodes: Vec<Memcached>,
    /// The port of the gateway's admin address, if it was asked for.
    pub gateway_admin: Option<u16>,
    /// The networks between the sidecars and the nodes, if they were asked for.
    pub links: Vec<Link>,
    /// In front of the nodes, if they were asked for.
    pub liars: Vec<Liar>,
    /// In front of the nodes, if they were asked for.
    pub twemproxies: Vec<Twemproxy>,
    /// Below it each Tomcat has its store directories.
    pub stores: tempfile::TempDir,
}

impl Farm {
    /// Two Tomcats 10.1 with the test application at `/`, one memcached.
    pub fn builder() -> Builder {
        Builder {
            tomcats: 2,
            fast: false,
            version: TomcatVersion::V10_1,
            contexts: Vec::new(),
            settings: Vec::new(),
            memcached: Vec::new(),
            nodes: 1,
            gateway_port: None,
            admin: false,
            context_lines: Vec::new(),
            links: false,
            liars: false,
            text: false,
            twemproxy: false,
        }
    }

    /// The same, started.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A client of the gateway.
    pub fn client(&self) -> Client {
        self.gateway.client()
    }

    /// A counter, summed over all sidecars.
    pub fn metric(&self, name: &str) -> u64 {
        self.sidecars.iter().map(|sidecar| sidecar.metric(name)).sum()
    }

    /// A counter of the test application, summed over all Tomcats. Asked directly, past the sidecars.
    pub fn counted(&self, key: &str) -> i64 {
        self.counted_each(key).sum()
    }

    /// Whether every Tomcat has run at least a quarter of its share of the requests, and none was refused.
    pub fn all_have_served(&self) -> bool {
        let runs: Vec<i64> = self.counted_each("runs").collect();
        let share = runs.iter().sum::<i64>() / i64::try_from(runs.len()).unwrap();
        runs.iter().all(|runs| *runs > share / 4) && self.metric("unsent") == 0
    }

    fn counted_each(&self, key: &str) -> impl Iterator<Item = i64> {
        let path = format!("/stats?key={key}");
        self.tomcats.iter().map(move |tomcat| Client::new(tomcat.port()).get(&path).number("count").unwrap())
    }

    /// Waits until no lock and no session file is left: every exchange has come to its end.
    pub fn await_quiet(&self) {
        crate::eventually("no lock and no session file is left", || {
            self.nodes.iter().all(|node| node.locks().is_empty()) && self.session_files().is_empty()
        });
    }

    /// The session files in all store directories.
    pub fn session_files(&self) -> Vec<PathBuf> {
        let directories =
            self.tomcats.iter().flat_map(|tomcat| tomcat.contexts.iter().map(|(_, store)| store));
        directories
            .flat_map(|store| std::fs::read_dir(store).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .collect()
    }
}

impl Builder {
    /// How many Tomcats.
    #[must_use]
    pub fn tomcats(mut self, tomcats: usize) -> Self {
        self.tomcats = tomcats;
        self
    }

    /// Of which line.
    #[must_use]
    pub fn version(mut self, version: TomcatVersion) -> Self {
        self.version = version;
        self
    }

    /// Their JVMs run as in production.
    #[must_use]
    pub fn fast(mut self) -> Self {
        self.fast = true;
        self
    }

    /// How many memcached nodes.
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Where the gateway listens, in place of a port that the harness hands out.
    #[must_use]
    pub fn gateway_port(mut self, port: u16) -> Self {
        self.gateway_port = Some(port);
        self
    }

    /// The gateway has an admin address, and knows those of the sidecars.
    #[must_use]
    pub fn admin(mut self) -> Self {
        self.admin = true;
        self
    }

    /// The sidecars reach each node through a [`Link`].
    #[must_use]
    pub fn links(mut self) -> Self {
        self.links = true;
        self
    }

    /// The sidecars reach each node through a [`Liar`].
    #[must_use]
    pub fn liars(mut self) -> Self {
        self.liars = true;
        self
    }

    /// The sidecars speak the classic text protocol with every node.
    #[must_use]
    pub fn text(mut self) -> Self {
        self.text = true;
        self
    }

    /// So do they, through a twemproxy in front of each node.
    #[must_use]
    pub fn twemproxy(mut self) -> Self {
        self.twemproxy = true;
        self.text()
    }

    /// A further argument for memcached.
    #[must_use]
    pub fn memcached(mut self, argument: &str) -> Self {
        self.memcached.push(argument.to_owned());
        self
    }

    /// The test application at this path. Without any call it is at `/`.
    #[must_use]
    pub fn context(mut self, path: &str, app: App) -> Self {
        self.contexts.push((path.to_owned(), app));
        self
    }

    /// The test application at these paths, with one session cookie for all of them.
    #[must_use]
    pub fn one_cookie(self, paths: &[&str]) -> Self {
        let farm = paths.iter().fold(self, |farm, path| farm.context(path, App::SharedCookie));
        farm.context_line("session_cookie_path = \"/\"")
    }

    /// As `Sidecar`'s.
    #[must_use]
    pub fn context_line(mut self, line: &str) -> Self {
        self.context_lines.push(line.to_owned());
        self
    }

    /// A setting of the sidecars, in TOML.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When a part does not start.
    pub fn start(mut self) -> Farm {
        needs::ensure();
        binaries::binary("sidecar");
        if self.contexts.is_empty() {
            self.contexts.push(("/".into(), App::Plain));
        }
        let stores = tempfile::Builder::new().prefix("satchel-test-").tempdir_in("/dev/shm").unwrap();
        let arguments: Vec<&str> = self.memcached.iter().map(String::as_str).collect();
        let nodes: Vec<Memcached> = (0..self.nodes).map(|_| Memcached::with(&arguments)).collect();
        let tomcats: Vec<Tomcat> = (0..self.tomcats).map(|n| self.tomcat(n, stores.path())).collect();
        tomcats.iter().for_each(Tomcat::await_ready);
        let links: Vec<Link> =
            nodes.iter().filter(|_| self.links).map(|node| Link::to(node.port())).collect();
        let liars: Vec<Liar> =
            nodes.iter().filter(|_| self.liars).map(|node| Liar::before(node.port())).collect();
        let twemproxies: Vec<Twemproxy> =
            nodes.iter().filter(|_| self.twemproxy).map(Twemproxy::before).collect();
        let ports: Vec<u16> = match (self.links, self.liars, self.twemproxy) {
            (true, ..) => links.iter().map(Link::port).collect(),
            (_, true, _) => liars.iter().map(Liar::port).collect(),
            (.., true) => twemproxies.iter().map(Twemproxy::port).collect(),
            _ => nodes.iter().map(Memcached::port).collect(),
        };
        if self.text {
            for n in 1..=nodes.len() {
                self.settings.push((format!("memcached.node.n{n}.protocol"), "\"text\"".into()));
            }
        }
        let sidecars: Vec<Sidecar> = tomcats
            .iter()
            .map(|tomcat| {
                let sidecar = Sidecar::beside(tomcat).nodes_at(&ports).set_all(&self.settings);
                self.context_lines.iter().fold(sidecar, |sidecar, line| sidecar.context_line(line)).start()
            })
            .collect();
        let gateway = Gateway::builder().listen_at(self.gateway_port);
        let gateway_admin = self.admin.then(ports::free);
        let gateway = gateway_admin
            .iter()
            .fold(gateway, |gateway, port| gateway.set_top(&format!("admin = \"127.0.0.1:{port}\"")));
        let gateway = sidecars.iter().fold(gateway, |gateway, sidecar| {
            gateway.server(sidecar.port(), 1).server_line(&format!("admin_port = {}", sidecar.admin_port()))
        });
        let gateway = gateway.start();
        Farm { gateway, sidecars, tomcats, nodes, gateway_admin, links, liars, twemproxies, stores }
    }

    fn tomcat(&self, n: usize, root: &std::path::Path) -> Tomcat {
        let tomcat = Tomcat::version(self.version).host_address(&format!("127.0.0.{}", n + 2));
        let tomcat = if self.fast { tomcat.fast() } else { tomcat };
        self.contexts
            .iter()
            .enumerate()
            .fold(tomcat, |tomcat, (index, (path, app))| {
                tomcat.app(path, &root.join(format!("tomcat{n}-{index}")), *app)
            })
            .launch()
    }
}
