//! `sidecar session`: what can be known of stored sessions, and forced logout, beside a farm that runs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use satchel_tests::sidecar::KEY;
use satchel_tests::webapp::App;
use satchel_tests::{Client, Farm, TomcatVersion, binaries, eventually, ports};
use serde_json::Value;

/// What it said: exit status, standard output, standard error.
struct Said {
    code: i32,
    out: String,
    error: String,
}

fn run_with(config: &PathBuf, arguments: &[&str], input: &str) -> Said {
    let mut command = Command::new(binaries::binary("sidecar"));
    command.arg("session").args(arguments).arg("--config").arg(config);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Said { code: output.status.code().unwrap(), out: text(&output.stdout), error: text(&output.stderr) }
}

fn run(farm: &Farm, arguments: &[&str]) -> Said {
    run_with(&farm.sidecars[0].configuration(), arguments, "")
}

fn json(farm: &Farm, arguments: &[&str]) -> Value {
    let said = run(farm, &[arguments, &["--json"]].concat());
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {} {}", said.out, said.error))
}

fn id_of(user: &Client) -> String {
    user.cookie("JSESSIONID").unwrap().to_owned()
}

/// A user whose session is on node `node`, counted from 1.
fn user_on(farm: &Farm, node: usize) -> Client {
    loop {
        let mut user = farm.client();
        assert_eq!(user.get("/kind/small").number("n"), Some(1));
        if id_of(&user).ends_with(&format!("-n{node}")) {
            return user;
        }
    }
}

/// Whoever comes with this user's cookie, at any Tomcat, has no session.
fn is_logged_out_everywhere(farm: &Farm, user: &Client) {
    for sidecar in &farm.sidecars {
        for _ in 0..2 {
            let mut late = user.at(sidecar.port());
            let seen = late.get("/kind/small?read=1");
            assert_eq!((seen.status, seen.field("n").as_deref()), (200, Some("null")), "{}", seen.text());
        }
    }
}

#[test]
fn what_is_in_a_session_is_named_on_each_line_of_tomcat() {
    for version in TomcatVersion::available() {
        let farm = Farm::builder().version(version).nodes(2).start();
        let mut user = farm.client();
        let page = user.get("/bag");
        assert_eq!(page.status, 200, "{}", page.text());
        farm.await_quiet();
        let told: BTreeMap<String, String> = page
            .text()
            .lines()
            .filter_map(|line| line.split_once(' ').map(|(name, class)| (name.to_owned(), class.to_owned())))
            .collect();
        let shown = json(&farm, &["show", &id_of(&user)]);
        let session = &shown[0]["session"];
        assert_eq!(
            (session["incomplete"].as_str(), session["count"].as_u64()),
            (None, Some(told.len() as u64)),
            "{session:#}"
        );
        let attributes = session["attributes"].as_array().unwrap();
        assert_eq!(attributes.len(), told.len());
        for one in attributes {
            let (name, class) = (one["name"].as_str().unwrap(), one["class"].as_str().unwrap());
            // What writes itself as another class stands there as that.
            let expected = match name {
                "c.of" => "java.util.CollSer",
                "c.unmodifiable" => "java.util.Collections$UnmodifiableList",
                "c.enums" => "java.util.EnumSet$SerializationProxy",
                "o.instant" => "java.time.Ser",
                "o.replaced" => "Bag$Replacement",
                "o.proxy" => "proxy of java.lang.Comparable",
                "x.broken" => "not serializable (java.io.NotSerializableException)",
                name => &told[name],
            };
            assert_eq!(class, expected, "{} {name}", version.name());
            assert!(one["value"].is_null(), "values only when they are asked for: {one}");
        }
        // However wide the names are.
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        // With values: of texts and numbers, and of nothing else.
        let said = run(&farm, &["show", "--values", &id_of(&user)]);
        let lines: Vec<String> = said.out.lines().map(words).collect();
        for line in [
            "text java.lang.String = a \u{20ac} text\\twith \u{1F600}",
            "n.boolean java.lang.Boolean = true",
            "n.byte java.lang.Byte = -1",
            "n.char java.lang.Character = \u{e9}",
            "n.double java.lang.Double = -0.25",
            "n.float java.lang.Float = 1.5",
            "n.int java.lang.Integer = 42",
            "n.int.again java.lang.Integer = 42",
            "n.long java.lang.Long = -9223372036854775808",
            "n.short java.lang.Short = 7",
            "o.own Bag$Basket",
        ] {
            assert!(lines.contains(&words(line)), "{line} in {}", said.out);
        }
        assert!(!said.out.contains("secret-in"), "{}", said.out);
    }
}

#[test]
fn a_login_is_shown_without_who_it_is() {
    let farm = Farm::builder().context("/", App::Form).nodes(2).start();
    let mut user = farm.client();
    user.get("/protected/x");
    let done = user.post("/protected/j_security_check", "j_username=alice&j_password=secret");
    assert!(matches!(done.status, 302 | 303), "{}", done.text());
    assert_eq!(user.get("/protected/x").status, 200);
    farm.await_quiet();
    let said = run(&farm, &["show", &id_of(&user)]);
    assert!(
        said.out.contains(
            "logged in:     by FORM, org.apache.catalina.realm.GenericPrincipal$SerializablePrincipal"
        ),
        "{}",
        said.out
    );
    assert!(!said.out.contains("alice") && !said.out.contains("secret"), "{}", said.out);
}

#[test]
fn what_is_known_of_a_session_is_shown() {
    let farm = Farm::builder().nodes(3).context("/", App::Plain).context("/app", App::Plain).start();
    let mut user = farm.client();
    for _ in 0..3 {
        user.get("/app/kind/small?interval=600");
    }
    farm.await_quiet();
    let id = id_of(&user);
    let node = id.rsplit_once('-').unwrap().1;
    let shown = json(&farm, &["show", &id]);
    assert_eq!(shown.as_array().unwrap().len(), 1, "{shown:#}");
    let shown = &shown[0];
    assert_eq!(
        (shown["context"].as_str(), shown["state"].as_str(), shown["node"].as_str()),
        (Some("/app"), Some("living"), Some(node))
    );
    assert_eq!(shown["version"].as_u64(), Some(3));
    let copies = shown["copies"].as_array().unwrap();
    let have: Vec<_> = copies.iter().filter(|copy| copy["record"]["version"].as_u64() == Some(3)).collect();
    assert_eq!((copies.len(), have.len()), (3, 2), "{copies:#?}");
    let session = &shown["session"];
    assert_eq!(session["max_inactive_interval"].as_i64(), Some(600));
    assert!(
        session["idle"].as_u64().unwrap() < 60
            && session["created"].as_i64() <= session["last_changed"].as_i64()
    );
    // The id itself is a secret: it stands nowhere, and need not be written on a command line.
    let said = run_with(&farm.sidecars[0].configuration(), &["show", "-"], &format!("{id}\n"));
    let bare = id.split('-').next().unwrap();
    assert!(
        said.code == 0 && said.out.contains("of context /app") && !said.out.contains(bare),
        "{}",
        said.out
    );
    assert!(said.out.contains(&bare[..6]), "{}", said.out);
    // One that runs.
    let ran = farm.counted("runs");
    let mut same = user.at(farm.sidecars[0].port());
    let slow = thread::spawn(move || same.get("/app/kind/small?ms=4000").status);
    eventually("the slow request runs", || {
        let path = "/app/stats?key=runs";
        farm.tomcats
            .iter()
            .any(|tomcat| Client::new(tomcat.port()).get(path).number("count").unwrap() > ran + 3)
            || json(&farm, &["show", &id])[0]["state"] == "in use by a request"
    });
    eventually("it is seen", || json(&farm, &["show", &id])[0]["state"] == "in use by a request");
    assert_eq!(slow.join().unwrap(), 200);
    // Not there, and not an id.
    for (arguments, code) in [
        (&["show", "00000000000000000000000000000000-n1"][..], 1),
        (&["show", "../../etc/passwd"], 64),
        (&["show", &id, "--context", "/"], 1),
        (&["show", &id, "--context", "/none"], 64),
        (&["delete", "00000000000000000000000000000000-n1"], 1),
    ] {
        let said = run(&farm, arguments);
        assert_eq!(said.code, code, "{arguments:?} {} {}", said.out, said.error);
    }
}

#[test]
fn the_list_tells_what_can_be_told_without_ids() {
    let farm = Farm::builder().nodes(2).start();
    let mut users: Vec<_> = (0..5).map(|_| farm.client()).collect();
    for user in &mut users {
        user.get("/kind/small");
        user.get("/kind/small");
    }
    users[0].get("/logout");
    let mut big = farm.client();
    big.get("/kind/small?big=3000000");
    farm.await_quiet();
    let listed = json(&farm, &["list"]);
    let records = listed["records"].as_array().unwrap();
    assert_eq!((records.len(), listed["count"].as_u64()), (6, Some(6)), "{listed:#}");
    let count = |what: &dyn Fn(&Value) -> bool| records.iter().filter(|one| what(one)).count();
    assert_eq!(count(&|one| one["ended"] == true), 1, "{records:#?}");
    assert_eq!(count(&|one| one["nodes"].as_array().unwrap().len() == 2), 6);
    assert_eq!(count(&|one| one["version"] == 2), 4, "{records:#?}");
    assert_eq!(count(&|one| one["bytes"].as_u64() > Some(3_000_000)), 1);
    let keys: std::collections::BTreeSet<_> = records.iter().filter_map(|one| one["key"].as_str()).collect();
    assert_eq!(keys.len(), 1, "one key has sealed all: {keys:?}");
    let node = &listed["nodes"][0];
    assert_eq!((node["records"].as_u64(), node["locks"].as_u64()), (Some(6), Some(0)));
    assert!(node["parts"].as_u64() >= Some(3), "{node}");
    let said = run(&farm, &["list", "--limit", "2"]);
    assert!(said.code == 0 && said.out.contains("and 4 more"), "{}", said.out);
    let all = run(&farm, &["list"]).out;
    for user in &users {
        let id = id_of(user);
        assert!(!all.contains(&id[..12]), "an id in {all}");
    }
    assert!(!all.contains(KEY));
}

#[test]
fn a_deleted_session_is_logged_out_on_both_tomcats() {
    let farm = Farm::builder().nodes(2).start();
    for node in [1, 2] {
        let mut user = user_on(&farm, node);
        // Both sidecars have it in their caches.
        for sidecar in &farm.sidecars {
            let mut there = user.at(sidecar.port());
            assert!(there.get("/kind/small?read=1").number("n").is_some());
        }
        let mut other = farm.client();
        other.get("/kind/small");
        let said = run(&farm, &["delete", &id_of(&user)]);
        assert!(said.code == 0 && said.out.contains("of context /: ended"), "{} {}", said.out, said.error);
        is_logged_out_everywhere(&farm, &user);
        // Once is enough, and nobody else is concerned.
        let again = run(&farm, &["delete", &id_of(&user)]);
        assert!(again.code == 1 && again.out.contains("had ended before"), "{}", again.out);
        assert_eq!(json(&farm, &["delete", &id_of(&user)])[0]["result"], "ended_before");
        assert_eq!(other.get("/kind/small").number("n"), Some(2));
        // He may begin anew.
        assert_eq!(user.get("/kind/small").number("n"), Some(1));
        assert_eq!(user.get("/kind/small").number("n"), Some(2));
        farm.await_quiet();
        let shown = json(&farm, &["show", &id_of(&user)]);
        assert_eq!(shown[0]["state"], "living");
    }
    assert_eq!(farm.metric("conflicts") + farm.metric("diverged"), 0);
}

#[test]
fn a_session_that_is_in_use_is_deleted_after_its_request() {
    let farm = Farm::builder().nodes(2).start();
    let mut user = farm.client();
    user.get("/kind/small");
    let id = id_of(&user);
    let ran = farm.counted("runs");
    let mut same = user.at(farm.sidecars[0].port());
    let slow = thread::spawn(move || same.get("/kind/small?ms=3000"));
    eventually("the slow request runs", || farm.counted("runs") > ran);
    let impatient = run(&farm, &["delete", &id, "--wait", "200ms"]);
    assert!(
        impatient.code == 75 && impatient.error.contains("--now"),
        "{} {}",
        impatient.code,
        impatient.error
    );
    assert!(!slow.is_finished());
    let said = run(&farm, &["delete", &id]);
    assert_eq!(said.code, 0, "{}", said.error);
    let response = slow.join().unwrap();
    assert_eq!((response.status, response.number("n")), (200, Some(2)), "it was waited for");
    is_logged_out_everywhere(&farm, &user);
    farm.await_quiet();
}

#[test]
fn a_session_is_deleted_under_its_request_if_that_is_wanted() {
    for path in ["/kind/small?ms=3000&late=1", "/kind/small?ms=3000&read=1"] {
        let farm = Farm::builder().nodes(2).start();
        let mut user = farm.client();
        user.get("/kind/small");
        user.get("/kind/small");
        let id = id_of(&user);
        let ran = farm.counted("runs");
        let mut same = user.at(farm.sidecars[0].port());
        let slow = thread::spawn(move || same.get(path));
        eventually("the slow request runs", || farm.counted("runs") > ran);
        let said = run(&farm, &["delete", &id, "--now"]);
        assert_eq!(said.code, 0, "{}", said.error);
        assert!(!slow.is_finished(), "nobody has waited");
        is_ended(&farm, &id);
        let response = slow.join().unwrap();
        // What it changed is refused; one that only read is none the wiser.
        let expected = if path.contains("late") { 503 } else { 200 };
        assert_eq!(response.status, expected, "{}", response.text());
        is_logged_out_everywhere(&farm, &user);
        farm.await_quiet();
        is_ended(&farm, &id);
    }
}

fn is_ended(farm: &Farm, id: &str) {
    assert_eq!(json(farm, &["show", id])[0]["state"], "ended");
}

#[test]
fn a_deleted_session_stays_so_when_a_node_was_down_and_comes_back() {
    for (first, victim) in [(1, 0), (2, 0)] {
        let mut farm = Farm::builder().nodes(3).start();
        let user = user_on(&farm, first);
        let id = id_of(&user);
        farm.await_quiet();
        // It answers nobody, and keeps what it has.
        farm.nodes[victim].process().stop();
        let said = run(&farm, &["delete", &id]);
        assert!(said.code == 75 && said.out.contains(": ended"), "{} {}", said.out, said.error);
        is_logged_out_everywhere(&farm, &user);
        farm.nodes[victim].process().cont();
        eventually("the node is back", || {
            let listed = json(&farm, &["list"]);
            listed["nodes"].as_array().unwrap().iter().all(|node| node["error"].is_null())
        });
        is_logged_out_everywhere(&farm, &user);
        is_ended(&farm, &id);
        // For sidecars that know nothing yet, too.
        farm.sidecars.iter_mut().for_each(satchel_tests::Sidecar::restart);
        is_logged_out_everywhere(&farm, &user);
    }
}

#[test]
fn what_a_node_that_is_away_may_have_is_said_and_gone_when_it_is_run_again() {
    let mut farm = Farm::builder().nodes(3).start();
    let user = user_on(&farm, 1);
    let id = id_of(&user);
    farm.await_quiet();
    // The second copy is there, and nobody but this command hears of the end: the sidecars are stopped too.
    farm.nodes[1].process().stop();
    farm.sidecars.iter_mut().for_each(|sidecar| sidecar.process().kill9());
    for first in [true, false] {
        let said = run(&farm, &["delete", &id]);
        let result = if first { ": ended" } else { ": had ended before" };
        assert!(
            said.code == 75 && said.out.contains(result) && said.error.contains("n2 can't be asked"),
            "{} {} {}",
            said.code,
            said.out,
            said.error
        );
    }
    let none = run(&farm, &["delete", "00000000000000000000000000000000-n1"]);
    assert!(none.code == 69 && none.error.contains("n2 can't be asked"), "{} {}", none.code, none.error);
    farm.nodes[1].process().cont();
    assert_eq!(json(&farm, &["show", &id])[0]["copies"][1]["record"]["ended"], false, "the old copy");
    let again = json(&farm, &["delete", &id]);
    assert_eq!(again[0]["result"], "ended_before");
    assert!(again[0]["may_be_left_on"].as_array().unwrap().is_empty(), "{again}");
    // Nobody else knows of the end any more.
    farm.nodes[0].restart();
    farm.nodes[2].restart();
    farm.sidecars.iter_mut().for_each(satchel_tests::Sidecar::restart);
    is_logged_out_everywhere(&farm, &user);
}

/// The configuration of an operator whose machine does not reach node `n2`.
fn without_n2(farm: &Farm) -> (tempfile::TempDir, PathBuf) {
    let text = std::fs::read_to_string(farm.sidecars[0].configuration()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("sidecar.toml");
    let (there, nowhere) = (farm.nodes[1].port(), ports::free());
    let cut = text.replace(&format!("n2:127.0.0.1:{there}"), &format!("n2:127.0.0.1:{nowhere}"));
    assert_ne!(cut, text);
    std::fs::write(&config, cut).unwrap();
    (directory, config)
}

/// Whether a node was told that one has been away.
fn is_told_of_an_absence(farm: &Farm) -> bool {
    farm.nodes.iter().any(|node| node.keys().iter().any(|key| key.starts_with('a')))
}

#[test]
fn who_only_looks_declares_no_node_down() {
    let farm = Farm::builder().nodes(3).start();
    let user = user_on(&farm, 1);
    let id = id_of(&user);
    farm.await_quiet();
    let (_directory, config) = without_n2(&farm);
    for _ in 0..3 {
        for (arguments, code) in [
            (&["show", &id][..], 0),
            (&["list"], 0),
            (&["delete", "00000000000000000000000000000000-n1"], 69),
        ] {
            let said = run_with(&config, arguments, "");
            assert_eq!(said.code, code, "{arguments:?} {} {}", said.out, said.error);
            assert!(!is_told_of_an_absence(&farm), "{arguments:?}");
        }
    }
}

#[test]
fn who_reaches_not_all_nodes_ends_a_session_for_those_who_do() {
    for node in [1, 2] {
        let farm = Farm::builder().nodes(2).start();
        let user = user_on(&farm, node);
        farm.await_quiet();
        let (_directory, config) = without_n2(&farm);
        let said = run_with(&config, &["delete", &id_of(&user)], "");
        assert!(said.code == 75 && said.out.contains(": ended"), "{} {}", said.out, said.error);
        assert!(is_told_of_an_absence(&farm));
        is_logged_out_everywhere(&farm, &user);
        assert_eq!(json(&farm, &["delete", &id_of(&user)])[0]["result"], "ended_before");
    }
}

#[test]
fn without_nodes_it_says_so() {
    let mut farm = Farm::builder().nodes(2).start();
    let mut user = user_on(&farm, 1);
    let id = id_of(&user);
    farm.nodes[0].process().kill9();
    let said = run(&farm, &["delete", &id]);
    assert!(said.code == 75 && said.out.contains(": ended"), "the second copy is there: {}", said.error);
    is_logged_out_everywhere(&farm, &user);
    user.get("/kind/small");
    let id = id_of(&user);
    farm.nodes[1].process().kill9();
    for arguments in [&["show", &id][..], &["delete", &id], &["list"]] {
        let said = run(&farm, arguments);
        assert_eq!(said.code, 69, "{arguments:?} {} {}", said.out, said.error);
    }
}

#[test]
fn an_id_that_was_changed_is_told_from_one_that_has_ended() {
    let farm = Farm::builder().nodes(2).start();
    let mut user = farm.client();
    user.get("/kind/small");
    let before = id_of(&user);
    user.get("/login?user=me");
    let after = id_of(&user);
    assert_ne!(before, after);
    farm.await_quiet();
    assert_eq!(json(&farm, &["show", &before])[0]["state"], "goes on under another id (login)");
    let said = run(&farm, &["delete", &before]);
    assert!(said.code == 1 && said.out.contains("still logged in"), "{}", said.out);
    assert_eq!(user.get("/whoami").field("user").as_deref(), Some("me"));
    assert_eq!(run(&farm, &["delete", &after]).code, 0);
    is_logged_out_everywhere(&farm, &user);
}

#[test]
fn large_sessions_and_their_parts_go() {
    let farm = Farm::builder().nodes(2).start();
    let mut user = farm.client();
    user.get("/kind/small?big=3000000");
    farm.await_quiet();
    assert!(farm.nodes.iter().all(|node| node.chunks().len() >= 3));
    let shown = json(&farm, &["show", &id_of(&user)]);
    let big = shown[0]["session"]["attributes"].as_array().unwrap().iter().find(|one| one["name"] == "big");
    assert_eq!(big.unwrap()["class"], "byte[]");
    assert_eq!(run(&farm, &["delete", &id_of(&user)]).code, 0);
    // Not left to run out.
    assert!(farm.nodes.iter().all(|node| node.chunks().is_empty()));
    is_logged_out_everywhere(&farm, &user);
}

#[test]
fn one_cookie_for_two_applications_is_two_sessions() {
    let farm = Farm::builder().nodes(2).one_cookie(&["/a", "/b"]).start();
    let mut user = farm.client();
    for app in ["/a", "/b"] {
        assert_eq!(user.get(&format!("{app}/kind/small")).number("n"), Some(1));
    }
    let id = id_of(&user);
    farm.await_quiet();
    assert_eq!(json(&farm, &["show", &id]).as_array().unwrap().len(), 2);
    let said = run(&farm, &["delete", &id, "--context", "/a"]);
    assert!(said.code == 0 && !said.out.contains("/b"), "{}", said.out);
    assert_eq!(user.get("/b/kind/small").number("n"), Some(2));
    assert_eq!(user.get("/a/kind/small?read=1").field("n").as_deref(), Some("null"));
    assert_eq!(run(&farm, &["delete", &id]).code, 0);
    assert_eq!(user.get("/b/kind/small?read=1").field("n").as_deref(), Some("null"));
}

#[test]
fn one_application_whose_session_is_in_use_keeps_none_of_the_others() {
    let farm = Farm::builder().nodes(2).one_cookie(&["/a", "/b", "/c"]).start();
    let mut user = farm.client();
    for app in ["/a", "/b", "/c"] {
        assert_eq!(user.get(&format!("{app}/kind/small")).number("n"), Some(1));
    }
    let id = id_of(&user);
    farm.await_quiet();
    let mut same = user.at(farm.sidecars[0].port());
    let slow = thread::spawn(move || same.get("/b/kind/small?ms=4000").status);
    eventually("the slow request runs", || {
        let shown = json(&farm, &["show", &id, "--context", "/b"]);
        shown[0]["state"] == "in use by a request"
    });
    let said = run(&farm, &["delete", &id, "--wait", "200ms", "--json"]);
    assert_eq!(said.code, 75, "{} {}", said.out, said.error);
    let told: Value = serde_json::from_str(&said.out).unwrap();
    let results: Vec<_> =
        told.as_array().unwrap().iter().map(|one| one["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["ended", "failed", "ended"], "{told:#}");
    assert!(said.error.contains("of context /b has not been ended: a request uses it"), "{}", said.error);
    assert_eq!(slow.join().unwrap(), 200);
    for (app, seen) in [("/a", "null"), ("/b", "2"), ("/c", "null")] {
        let path = format!("{app}/kind/small?read=1");
        assert_eq!(user.at(farm.sidecars[1].port()).get(&path).field("n").as_deref(), Some(seen), "{app}");
    }
}

#[test]
fn another_configuration_than_the_sidecars_is_refused() {
    let farm = Farm::builder().nodes(2).start();
    let mut user = farm.client();
    user.get("/kind/small");
    let text = std::fs::read_to_string(farm.sidecars[0].configuration()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("sidecar.toml");
    std::fs::write(&config, text.replace("[memcached]", "[memcached]\ncopies = 1")).unwrap();
    for arguments in [&["delete", &id_of(&user)][..], &["show", &id_of(&user)], &["list"]] {
        let said = run_with(&config, arguments, "");
        assert!(
            said.code == 69 && said.error.contains("copies: here 1, the others 2"),
            "{} {}",
            said.code,
            said.error
        );
    }
    assert_eq!(run_with(&directory.path().join("none"), &["list"], "").code, 78);
    assert_eq!(user.get("/kind/small").number("n"), Some(2));
}
