//! Each Tomcat line with one sidecar and one memcached.

use satchel_tests::{Memcached, Sidecar, Tomcat, TomcatVersion};

#[test]
fn a_session_goes_through_every_tomcat() {
    let node = Memcached::start();
    for version in TomcatVersion::available() {
        let stores = tempfile::tempdir_in("/dev/shm").unwrap();
        let tomcat = Tomcat::version(version).context("/", &stores.path().join("ROOT")).start();
        let sidecar = Sidecar::beside(&tomcat).nodes(&[("n1", &node)]).start();
        let mut user = sidecar.client();
        for n in 1..=3 {
            let response = user.get("/kind/small");
            assert_eq!((response.status, response.number("n")), (200, Some(n)), "{}", response.text());
            assert!(user.cookie("JSESSIONID").unwrap().ends_with("-n1"));
        }
    }
}
