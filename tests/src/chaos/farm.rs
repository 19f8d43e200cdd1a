//! The farm that is broken: every way between two parts of it can be cut.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Gateway, Link, Memcached, Sidecar, Tomcat, TomcatVersion, binaries, needs};

/// Says which responses count as not acknowledged.
pub const UNSAVED: &str = "X-Session-Unsaved";

/// Of each store directory, where it is a tmpfs of its own.
const STORE_SIZE: &str = "8m";

/// What differs from one run to another.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    /// Arguments of the memcacheds.
    pub memcached: Vec<String>,
    /// What the sidecars are, in place of the product.
    pub broken: Option<String>,
    /// Nothing can be cut, and nothing lies in between: as fast as it is.
    pub direct: bool,
    /// Of the sidecars, further settings.
    pub settings: Vec<(String, String)>,
}

/// One gateway, two Tomcats with sidecars, three memcacheds.
pub struct Farm {
    /// In front of the gateway: what clients connect to.
    pub entrance: Link,
    /// First of the processes to stop.
    pub gateway: Gateway,
    /// One beside each Tomcat.
    pub sidecars: Vec<Sidecar>,
    /// In front of each sidecar.
    pub to_sidecars: Vec<Link>,
    /// The Tomcats.
    pub tomcats: Vec<Tomcat>,
    /// Between each sidecar and its Tomcat.
    pub to_tomcats: Vec<Link>,
    /// The nodes.
    pub nodes: Vec<Memcached>,
    /// Between the sidecars and each node.
    pub to_nodes: Vec<Link>,
    /// The store directories.
    pub stores: Vec<Store>,
    direct: bool,
    _root: tempfile::TempDir,
}

/// A store directory, on a tmpfs of its own where we may mount one.
pub struct Store {
    mounted: PathBuf,
    /// Whether it can be filled without filling the machine's memory.
    pub is_small: bool,
}

impl Builder {
    /// Starts it.
    ///
    /// # Panics
    /// When a part does not start.
    pub fn start(&self) -> Farm {
        needs::ensure();
        let root = tempfile::Builder::new().prefix("satchel-chaos-").tempdir_in("/dev/shm").unwrap();
        let stores: Vec<Store> = (0..2).map(|n| Store::at(&root.path().join(n.to_string()))).collect();
        let arguments: Vec<&str> = self.memcached.iter().map(String::as_str).collect();
        let nodes: Vec<Memcached> = (0..3).map(|_| Memcached::with(&arguments)).collect();
        let tomcats: Vec<Tomcat> = stores
            .iter()
            .map(|store| Tomcat::version(TomcatVersion::V10_1).context("/", &store.directory()).launch())
            .collect();
        tomcats.iter().for_each(Tomcat::await_ready);
        let to_nodes: Vec<Link> = nodes.iter().map(|node| Link::to(node.port())).collect();
        let to_tomcats: Vec<Link> = tomcats.iter().map(|tomcat| Link::to(tomcat.port())).collect();
        let way = |link: &Link, port: u16| if self.direct { port } else { link.port() };
        let node_ports: Vec<u16> =
            to_nodes.iter().zip(&nodes).map(|(link, node)| way(link, node.port())).collect();
        let program = self.broken.as_ref().map(|_| binaries::broken_sidecar());
        let sidecars: Vec<Sidecar> = tomcats
            .iter()
            .zip(&to_tomcats)
            .map(|(tomcat, link)| {
                let mut sidecar = Sidecar::beside(tomcat)
                    .tomcat_at(way(link, tomcat.port()))
                    .nodes_at(&node_ports)
                    .set("session.unsaved_header", &format!("\"{UNSAVED}\""))
                    .set("session.unknown_ids_per_second", "1000000")
                    .set_all(&self.settings);
                if let (Some(name), Some(program)) = (&self.broken, &program) {
                    sidecar = sidecar.program(program).environment("SATCHEL_BROKEN", name);
                }
                sidecar.start()
            })
            .collect();
        let to_sidecars: Vec<Link> = sidecars.iter().map(|sidecar| Link::to(sidecar.port())).collect();
        let gateway =
            sidecars.iter().zip(&to_sidecars).fold(Gateway::builder(), |gateway, (sidecar, link)| {
                gateway.server(way(link, sidecar.port()), 1)
            });
        let gateway = gateway.start();
        let entrance = Link::to(gateway.port());
        let direct = self.direct;
        Farm {
            entrance,
            gateway,
            sidecars,
            to_sidecars,
            tomcats,
            to_tomcats,
            nodes,
            to_nodes,
            stores,
            direct,
            _root: root,
        }
    }
}

impl Farm {
    /// Where clients connect to.
    pub fn port(&self) -> u16 {
        if self.direct { self.gateway.port() } else { self.entrance.port() }
    }

    /// A counter, summed over the sidecars, since each was started.
    pub fn metric(&self, name: &str) -> u64 {
        self.sidecars.iter().map(|sidecar| sidecar.metric(name)).sum()
    }
}

impl Store {
    fn at(path: &Path) -> Self {
        std::fs::DirBuilder::new().mode(0o755).create(path).unwrap();
        let size = format!("size={STORE_SIZE},mode=0755");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(path).output();
        let is_small = mount.is_ok_and(|output| output.status.success());
        Self { mounted: path.to_owned(), is_small }
    }

    /// What Tomcat and its sidecar share.
    pub fn directory(&self) -> PathBuf {
        self.mounted.join("ROOT")
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.ballast()).unwrap();
        let block = [0u8; 4096];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
    }

    /// Gives it back.
    pub fn empty(&self) {
        let _ = std::fs::remove_file(self.ballast());
    }

    fn ballast(&self) -> PathBuf {
        self.mounted.join("ballast")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.is_small {
            // Lazily: Tomcat may still have it open.
            let _ = Command::new("umount").arg("-l").arg(&self.mounted).status();
        }
    }
}
