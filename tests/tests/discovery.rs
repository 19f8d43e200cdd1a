//! Servers that are looked up, listed in a file, and asked whether they work.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use satchel_tests::dns::Dns;
use satchel_tests::{Client, Gateway, Link, Tomcat, TomcatVersion, eventually};

/// Two Tomcats, which say who they are.
struct Tomcats {
    _store: tempfile::TempDir,
    one: Tomcat,
    two: Tomcat,
}

const ONE: &str = "127.0.0.2";
const TWO: &str = "127.0.0.3";

fn tomcats() -> Tomcats {
    let store = tempfile::tempdir_in("/dev/shm").unwrap();
    let launch = |address: &str| {
        let tomcat = Tomcat::version(TomcatVersion::V10_1).host_address(address);
        tomcat.context("/", &store.path().join(address)).launch()
    };
    let (one, two) = (launch(ONE), launch(TWO));
    one.await_ready();
    two.await_ready();
    Tomcats { _store: store, one, two }
}

fn serving(client: &mut Client) -> BTreeSet<String> {
    (0..8)
        .map(|_| {
            let response = client.get("/whoami");
            response.field("server").unwrap_or_else(|| response.status.to_string())
        })
        .collect()
}

fn set<const N: usize>(servers: [&str; N]) -> BTreeSet<String> {
    servers.map(str::to_owned).into()
}

fn config(port: u16, upstream: &str) -> String {
    format!(
        "access_log.path = \"off\"\n{upstream}\n[[server]]\nlisten = [\"127.0.0.1:{port}\"]\nproxy_pass = \"http://t\"\n"
    )
}

#[test]
fn a_name_is_looked_up_again_when_its_answer_has_lived_out_its_time() {
    let tomcats = tomcats();
    let port = tomcats.one.port();
    // The same port at another address leads to the other one.
    let _link = Link::at(SocketAddr::from(([127, 0, 0, 7], port)), tomcats.two.port());
    let dns = Dns::start("127.0.0.1 tomcats.test\n", &[]);
    let gateway = Gateway::with(|listen, _| {
        let upstream = format!(
            "[resolver]\nnameservers = [\"127.0.0.1:{}\"]\n[[upstream]]\nname = \"t\"\n[[upstream.server]]\naddress = \"tomcats.test:{port}\"\nresolve = true",
            dns.port()
        );
        config(listen, &upstream)
    });
    let mut client = gateway.client();
    eventually("it is found", || serving(&mut client) == set([ONE]));
    dns.change("127.0.0.1 tomcats.test\n127.0.0.7 tomcats.test\n");
    eventually("both serve", || serving(&mut client) == set([ONE, TWO]));
    dns.change("127.0.0.7 tomcats.test\n");
    eventually("the first has gone", || serving(&mut client) == set([TWO]));
    dns.change("");
    eventually("the name has gone", || gateway.log().contains("cannot be looked up"));
    assert_eq!(serving(&mut client), set([TWO]), "what was found last stays");
}

#[test]
fn a_service_tells_ports_and_weights() {
    let tomcats = tomcats();
    let record = |tomcat: &Tomcat, priority, weight| {
        format!("--srv-host=_http._tcp.shop.test,tomcat.test,{},{priority},{weight}", tomcat.port())
    };
    let dns =
        Dns::start("127.0.0.1 tomcat.test\n", &[record(&tomcats.one, 1, 3), record(&tomcats.two, 1, 1)]);
    let gateway = Gateway::with(|listen, _| {
        let upstream = format!(
            "[resolver]\nnameservers = [\"127.0.0.1:{}\"]\n[[upstream]]\nname = \"t\"\n[[upstream.server]]\naddress = \"shop.test\"\nservice = \"http\"",
            dns.port()
        );
        config(listen, &upstream)
    });
    let mut client = gateway.client();
    eventually("both serve", || serving(&mut client) == set([ONE, TWO]));
    let first = (0..40).filter(|_| client.get("/whoami").field("server").as_deref() == Some(ONE)).count();
    assert_eq!(first, 30, "three of four");
}

#[test]
fn a_file_of_servers_is_read_again_when_it_changes() {
    let tomcats = tomcats();
    let list = |tomcats: &[&Tomcat], directory: &Path| {
        let lines: String = tomcats.iter().map(|tomcat| format!("127.0.0.1:{}\n", tomcat.port())).collect();
        std::fs::write(directory.join("servers"), lines).unwrap();
    };
    let gateway = Gateway::with(|listen, directory| {
        list(&[&tomcats.one], directory);
        let upstream =
            format!("[[upstream]]\nname = \"t\"\nfile = \"{}\"", directory.join("servers").display());
        config(listen, &upstream)
    });
    let mut client = gateway.client();
    assert_eq!(serving(&mut client), set([ONE]));
    list(&[&tomcats.one, &tomcats.two], gateway.directory());
    eventually("both serve", || serving(&mut client) == set([ONE, TWO]));
    std::fs::write(gateway.directory().join("servers"), "nonsense\n").unwrap();
    eventually("it is said what is wrong", || gateway.log().contains("servers:1: nonsense"));
    assert_eq!(serving(&mut client), set([ONE, TWO]), "a wrong file changes nothing");
    let write = |text: &str| std::fs::write(gateway.directory().join("servers"), text).unwrap();
    write("");
    eventually("an empty list is none", || gateway.log().contains("there is no server in it"));
    write(&format!("127.0.0.1:{}", tomcats.two.port()));
    eventually("a line without an end is none", || gateway.log().contains("its last line has no end"));
    assert_eq!(serving(&mut client), set([ONE, TWO]));
    list(&[&tomcats.two], gateway.directory());
    eventually("the first has gone", || serving(&mut client) == set([TWO]));
}

#[test]
fn a_server_that_answers_its_check_wrongly_gets_no_request() {
    let mut tomcats = tomcats();
    let gateway = Gateway::with(|listen, _| {
        let check = "check = { uri = \"/whoami\", interval = \"100ms\", timeout = \"500ms\", fails = 2, passes = 2, body = \"server=127.0.0.2\" }";
        let server =
            |tomcat: &Tomcat| format!("[[upstream.server]]\naddress = \"127.0.0.1:{}\"\n", tomcat.port());
        config(
            listen,
            &format!("[[upstream]]\nname = \"t\"\n{check}\n{}{}", server(&tomcats.one), server(&tomcats.two)),
        )
    });
    let mut client = gateway.client();
    eventually("only the one whose body matches serves", || serving(&mut client) == set([ONE]));
    assert!(gateway.log().contains("its body does not match"));
    gateway.change("body = \"server=127.0.0.2\"", "status = [200]");
    gateway.reload();
    eventually("both serve", || serving(&mut client) == set([ONE, TWO]));
    // Hung: found out without a request.
    tomcats.one.process().stop();
    eventually("it is found out", || gateway.log().contains("is unhealthy: no answer in time"));
    assert_eq!(serving(&mut client), set([TWO]));
    tomcats.one.process().cont();
    eventually("both serve again", || serving(&mut client) == set([ONE, TWO]));
}
