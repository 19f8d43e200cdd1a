//! Several files, several applications, several hosts.

use satchel_common::import::Kind;

use super::*;

fn manager(attributes: &str) -> String {
    format!(
        "<Manager className=\"{MSM}\" memcachedNodes=\"n1:a:1\" sticky=\"false\" sessionBackupAsync=\"false\" {attributes}/>"
    )
}

fn context(attributes: &str) -> String {
    format!("<Context>{}</Context>", manager(attributes))
}

fn error(files: &[(&str, &str)], options: &Options) -> String {
    with(files, options).map(drop).unwrap_err().to_string()
}

fn paths(result: &Imported) -> Vec<String> {
    result.files.iter().map(|file| file.path.display().to_string()).collect()
}

fn xml(result: &Imported, path: &str) -> String {
    let file = result.files.iter().find(|file| file.path == Path::new(path));
    String::from_utf8(file.unwrap_or_else(|| panic!("{path}: {:?}", paths(result))).bytes.clone()).unwrap()
}

fn has(result: &Imported, kind: Kind, text: &str) -> bool {
    result.notes.iter().any(|note| note.kind == kind && note.text.contains(text))
}

#[test]
fn a_file_for_all_is_taken_for_root_and_that_is_said() {
    let result = imported(&[("conf/context.xml", &context(""))]);
    assert!(result.toml.contains("path = \"/\"\ndirectory = \"/dev/shm/satchel/ROOT\""));
    assert_eq!(paths(&result), ["conf/context.xml"]);
    assert!(
        has(&result, Kind::Assumed, "--app /NAME") && has(&result, Kind::Assumed, "--keys"),
        "{:?}",
        result.notes
    );
    assert!(has(&result, Kind::Assumed, "conf/server.xml is not among these files"));
    let own = Options { keys: RecordKeys { new: false, ..options().keys }, ..options() };
    let result = with(&[("conf/context.xml", &context(""))], &own).unwrap();
    assert!(!has(&result, Kind::Assumed, "--keys") && !result.toml.contains("New,"));
}

#[test]
fn applications_that_are_named_get_a_directory_each() {
    let one = Options { apps: vec!["/shop/".into()], ..options() };
    let result = with(&[("conf/context.xml", &context(""))], &one).unwrap();
    assert!(xml(&result, "conf/context.xml").contains("directory=\"/dev/shm/satchel/shop\""));
    assert!(result.toml.contains("path = \"/shop\""));
    let two = Options { apps: vec!["/shop".into(), "a/b".into(), "/shop".into()], ..options() };
    let result = with(&[("conf/context.xml", &context(""))], &two).unwrap();
    assert_eq!(
        paths(&result),
        ["conf/context.xml", "conf/Catalina/localhost/shop.xml", "conf/Catalina/localhost/a#b.xml"]
    );
    assert!(!xml(&result, "conf/context.xml").contains("Manager className"));
    assert!(xml(&result, "conf/Catalina/localhost/a#b.xml").contains("directory=\"/dev/shm/satchel/a#b\""));
    assert_eq!(result.toml.matches("[[context]]").count(), 2);
    assert!(has(&result, Kind::Assumed, "META-INF/context.xml beside it"));
}

#[test]
fn a_files_name_is_the_path() {
    let result = imported(&[
        ("conf/Catalina/localhost/app#sub.xml", &context("")),
        ("webapps/news/META-INF/context.xml", &context("")),
        ("conf/Catalina/localhost/ROOT.xml", &context("")),
    ]);
    for path in ["/app/sub", "/news", "/"] {
        assert!(result.toml.contains(&format!("path = \"{path}\"\n")), "{}", result.toml);
    }
    assert!(xml(&result, "webapps/news/META-INF/context.xml").contains("/dev/shm/satchel/news"));
    assert!(!result.toml.contains("hosts"));
    assert!(result.is_complete());
}

#[test]
fn what_is_in_conf_goes_before_what_an_application_brings() {
    let files =
        [("webapps/a/META-INF/context.xml", &*context("")), ("conf/Catalina/localhost/a.xml", &*context(""))];
    let result = imported(&files);
    assert_eq!(result.toml.matches("[[context]]").count(), 1);
    assert!(
        has(&result, Kind::NotCarried, "conf/Catalina/localhost/a.xml:1 goes before it"),
        "{:?}",
        result.notes
    );
}

#[test]
fn parallel_deployment_is_refused() {
    let files = [
        ("conf/Catalina/localhost/a##1.xml", &*context("")),
        ("conf/Catalina/localhost/a##2.xml", &*context("")),
    ];
    let result = imported(&files);
    assert_eq!(result.toml.matches("[[context]]").count(), 1);
    assert!(has(&result, Kind::NotCarried, "parallel deployment"));
}

#[test]
fn applications_inherit_the_manager_for_all() {
    let result = imported(&[
        ("conf/context.xml", &context("sessionAttributeFilter=\"x\"")),
        ("conf/Catalina/localhost/a.xml", "<Context docBase=\"/srv/a\">\n  <Resource/>\n</Context>"),
        ("conf/Catalina/localhost/b.xml", "<Context/>"),
        ("conf/Catalina/localhost/c.xml", "<Context><Manager className=\"x\"/></Context>"),
    ]);
    let a = xml(&result, "conf/Catalina/localhost/a.xml");
    assert!(
        a.contains("docBase=\"/srv/a\">\n  <Manager") && a.contains("\n  <Resource/>\n</Context>"),
        "{a}"
    );
    assert!(a.contains("/dev/shm/satchel/a\"") && a.contains("sessionAttributeNameFilter=\"x\""));
    assert!(xml(&result, "conf/Catalina/localhost/b.xml").contains("/dev/shm/satchel/b\""));
    assert_eq!(paths(&result).len(), 3, "{:?}", paths(&result));
    assert_eq!(result.toml.matches("[[context]]").count(), 2);
    assert!(has(&result, Kind::NeedsNothing, "has no <Manager> of msm's"));
}

#[test]
fn an_application_with_another_manager_keeps_its_file() {
    let options = Options { apps: vec!["/".into(), "/c".into()], ..options() };
    let files = [
        ("conf/context.xml", &*context("")),
        ("conf/Catalina/localhost/c.xml", "<Context><Manager className=\"x\"/></Context>"),
    ];
    let result = with(&files, &options).unwrap();
    assert_eq!(paths(&result), ["conf/context.xml"]);
    assert!(has(&result, Kind::NotCarried, "--app names it"), "{:?}", result.notes);
}

#[test]
fn a_hosts_own_file_for_all_goes_before_that_for_every_host() {
    let result = imported(&[
        ("conf/context.xml", &context("sessionAttributeFilter=\"every\"")),
        ("conf/Catalina/b.example/context.xml.default", &context("sessionAttributeFilter=\"host\"")),
        ("conf/Catalina/b.example/a.xml", "<Context/>"),
    ]);
    assert!(xml(&result, "conf/Catalina/b.example/a.xml").contains("NameFilter=\"host\""));
}

#[test]
fn virtual_hosts_are_told_apart() {
    let files = [
        ("conf/Catalina/localhost/ROOT.xml", &*context("")),
        ("conf/Catalina/B.example/ROOT.xml", &*context("")),
    ];
    let result = imported(&files);
    assert!(result.toml.contains("directory = \"/dev/shm/satchel/B.example-ROOT\""), "{}", result.toml);
    assert!(result.toml.contains("hosts = [\"B.example\"]"));
    assert!(has(&result, Kind::Assumed, "aliases"));
    let server = "<Server><Service><Connector port=\"80\"/><Engine defaultHost=\"b.example\"><Host name=\"localhost\"/><Host name=\"b.example\"><Alias>b</Alias></Host></Engine></Service></Server>";
    let result = imported(&[files[0], files[1], ("conf/server.xml", server)]);
    assert!(
        result.toml.contains("hosts = [\"localhost\"]") && !result.toml.contains("hosts = [\"B"),
        "{}",
        result.toml
    );
    assert_eq!(xml(&result, "conf/server.xml").matches("PersistentValve").count(), 2);
}

#[test]
fn a_shared_cookie_is_one_here_too() {
    let text =
        format!("<Context sessionCookiePath=\"/\" sessionCookieName=\"SID\">{}</Context>", manager(""));
    let two = Options { apps: vec!["/a".into(), "/b".into()], ..options() };
    let result = with(&[("conf/context.xml", &text)], &two).unwrap();
    assert_eq!(result.toml.matches("session_cookie_path = \"/\"").count(), 2);
    assert_eq!(result.toml.matches("cookie_name = \"SID\"").count(), 2);
    assert!(!result.toml.contains("node_suffix"), "Tomcat takes over the id that it is shown");
    let written = xml(&result, "conf/context.xml");
    assert_eq!(written.matches("validateClientProvidedNewSessionId=\"false\"").count(), 1, "{written}");
}

#[test]
fn managers_that_differ_get_what_is_safe_for_all() {
    let result = imported(&[
        (
            "conf/Catalina/localhost/a.xml",
            &context("lockingMode=\"none\" requestUriIgnorePattern=\".*a\" sessionBackupTimeout=\"300\""),
        ),
        (
            "conf/Catalina/localhost/b.xml",
            &context("lockingMode=\"auto\" requestUriIgnorePattern=\".*b\" operationTimeout=\"500\"")
                .replace("n1:a:1", "n1:b:1"),
        ),
    ]);
    for line in ["nodes = \"n1:a:1\"", "backup_timeout = \"300ms\"", "timeout = \"500ms\""] {
        assert!(result.toml.contains(line), "{}", result.toml);
    }
    assert!(!result.toml.contains("\nlocking") && !result.toml.contains("ignore_uri = "));
    assert!(
        has(&result, Kind::NotCarried, "one list of nodes")
            && has(&result, Kind::NotCarried, "one ignore_uri")
    );
    assert!(has(&result, Kind::Changed, "locking = \"all\""));
}

fn server(connectors: &str, host: &str) -> String {
    format!(
        "<Server><Service name=\"Catalina\">{connectors}<Engine name=\"Catalina\" defaultHost=\"localhost\"><Host name=\"localhost\">{host}</Host></Engine></Service></Server>"
    )
}

#[test]
fn the_sidecar_takes_the_connectors_place() {
    for (connectors, listen, tomcat, written) in [
        (
            "<Connector port=\"8080\"/>",
            "0.0.0.0:8080",
            "127.0.0.1:18080",
            "port=\"18080\" address=\"127.0.0.1\" maxKeepAliveRequests=\"-1\"/>",
        ),
        (
            "<Connector port='60000' address='::1' maxKeepAliveRequests='5'/>",
            "[::1]:60000",
            "127.0.0.1:50000",
            "port='50000' address='127.0.0.1' maxKeepAliveRequests='-1'/>",
        ),
        (
            "<Connector port=\"8009\" protocol=\"AJP/1.3\"/><Connector address=\"localhost\" port=\"81\" protocol=\"HTTP/1.1\"></Connector>",
            "127.0.0.1:81",
            "127.0.0.1:10081",
            "address=\"127.0.0.1\" port=\"10081\"",
        ),
        (
            "<Connector port=\"443\" SSLEnabled=\"true\"/><Connector port=\"80\" scheme=\"https\" secure=\"true\"/>",
            "0.0.0.0:80",
            "127.0.0.1:10080",
            "port=\"10080\" scheme",
        ),
    ] {
        let result =
            imported(&[("conf/context.xml", &context("")), ("conf/server.xml", &server(connectors, ""))]);
        assert!(result.toml.contains(&format!("listen = \"{listen}\"")), "{}", result.toml);
        assert!(result.toml.contains(&format!("address = \"{tomcat}\"")), "{}", result.toml);
        let xml = xml(&result, "conf/server.xml");
        assert!(xml.contains(written), "{xml}");
        assert!(result.is_complete(), "{:?}", result.notes);
    }
    let own = Options { tomcat: Some("127.0.0.9:9".parse().unwrap()), ..options() };
    let files = [
        ("conf/context.xml", &*context("")),
        ("conf/server.xml", &*server("<Connector port=\"80\" keepAliveTimeout=\"4000\"/>", "")),
    ];
    let result = with(&files, &own).unwrap();
    assert!(
        result.toml.contains("address = \"127.0.0.9:9\"")
            && result.toml.contains("keepalive_timeout = \"3000ms\"")
    );
    assert!(
        xml(&result, "conf/server.xml")
            .contains("port=\"9\" keepAliveTimeout=\"4000\" address=\"127.0.0.9\"")
    );
}

#[test]
fn a_connector_that_is_not_understood_is_said() {
    for (connectors, why) in [
        ("", "no <Connector> for plain HTTP"),
        ("<Connector port=\"${port}\"/>", "-D port=VALUE"),
        ("<Connector port=\"0\"/>", "not known here"),
    ] {
        let result =
            imported(&[("conf/context.xml", &context("")), ("conf/server.xml", &server(connectors, ""))]);
        assert!(has(&result, Kind::NotCarried, why), "{:?}", result.notes);
        assert!(result.toml.contains("listen = \"0.0.0.0:8080\"") && result.toml.contains("127.0.0.1:18080"));
    }
}

#[test]
fn an_application_is_on_the_host_whose_folder_it_is_in() {
    let two = "<Server><Service><Connector port=\"80\"/><Engine defaultHost=\"a\"><Host name=\"a\" appBase=\"webapps\"/><Host name=\"b\" appBase=\"/srv/shops/\"/></Engine></Service></Server>";
    let files = [
        ("conf/server.xml", two),
        ("webapps/ROOT/META-INF/context.xml", &*context("")),
        ("shops/ROOT/META-INF/context.xml", &*context("")),
    ];
    let result = imported(&files);
    assert!(result.toml.contains("hosts = [\"b\"]"), "{}", result.toml);
    assert_eq!(xml(&result, "conf/server.xml").matches("PersistentValve").count(), 2);
    assert!(xml(&result, "shops/ROOT/META-INF/context.xml").contains("/dev/shm/satchel/b-ROOT"));
    let elsewhere = imported(&[("src/main/webapp/META-INF/context.xml", &context(""))]);
    assert!(has(&elsewhere, Kind::Assumed, "another name than /webapp"), "{:?}", elsewhere.notes);
    let unknown = imported(&[files[0], ("conf/Catalina/c/ROOT.xml", &context(""))]);
    assert!(has(&unknown, Kind::NotCarried, "no <Host name=\"c\">"), "{:?}", unknown.notes);
}

#[test]
fn names_of_files_are_named_as_they_are() {
    let result = imported(&[("srv/FLOOR/ONLINE/conf/context.xml", &context(""))]);
    assert!(result.toml.contains("Imported from srv/FLOOR/ONLINE/conf/context.xml."), "{}", result.toml);
}

#[test]
fn no_name_leads_out_of_catalina_base() {
    let two = Options { apps: vec!["/a".into(), "/b".into()], ..options() };
    for (engine, host) in
        [("Catalina", "/etc/cron.d"), ("Catalina", ".."), ("../../x", "localhost"), ("/", "localhost")]
    {
        let server = format!(
            "<Server><Service><Connector port=\"80\"/><Engine name=\"{engine}\" defaultHost=\"{host}\"><Host name=\"{host}\"/></Engine></Service></Server>"
        );
        let files = [("conf/context.xml", &*context("")), ("conf/server.xml", &*server)];
        let result = with(&files, &two).unwrap();
        assert_eq!(paths(&result), ["conf/context.xml", "conf/server.xml"]);
        assert!(has(&result, Kind::NotCarried, "not below CATALINA_BASE"), "{:?}", result.notes);
    }
    let inside = error(&[("webapps/#../META-INF/context.xml", &context(""))], &options());
    assert!(inside.contains("not below CATALINA_BASE"), "{inside}");
}

#[test]
fn properties_are_asked_for_everywhere() {
    let text = format!(
        "<Context sessionCookiePath=\"${{p}}\" sessionCookieName=\"${{n:-SID}}\">{}</Context>",
        manager("")
    );
    let server = server("<Connector port=\"${port:-8081}\" address=\"${bind}\"/>", "");
    let result = imported(&[("conf/context.xml", &text), ("conf/server.xml", &server)]);
    for (kind, why) in [
        (Kind::NotCarried, "-D p=VALUE"),
        (Kind::NotCarried, "-D bind=VALUE"),
        (Kind::Changed, "-D n=VALUE"),
        (Kind::Changed, "-D port=VALUE"),
    ] {
        assert!(has(&result, kind, why), "{why}: {:?}", result.notes);
    }
    assert!(
        result.toml.contains("cookie_name = \"SID\"") && result.toml.contains("listen = \"0.0.0.0:8081\"")
    );
}

#[test]
fn the_valve_is_the_first_but_for_access_logs() {
    const VALVE: &str = "<Valve className=\"org.apache.catalina.valves.PersistentValve\"/>";
    let log = "<Valve className=\"org.apache.catalina.valves.AccessLogValve\"/>";
    let other = "<Valve className=\"org.apache.catalina.valves.RemoteIpValve\"/>";
    for (host, new) in [
        (log.to_owned(), format!("\n    {VALVE}{log}")),
        (format!("{log}\n  {other}"), format!("{log}\n  {VALVE}\n  {other}")),
        (format!("{VALVE}{other}"), format!("{VALVE}{other}")),
    ] {
        let result = imported(&[
            ("conf/context.xml", &context("")),
            ("conf/server.xml", &server("<Connector port=\"80\"/>", &host)),
        ]);
        let written = xml(&result, "conf/server.xml");
        assert!(written.contains(&new), "{written}");
        assert_eq!(written.matches(VALVE).count(), 1);
    }
    let filtered = VALVE.replace("/>", " filter=\".*png\"/>");
    let result = imported(&[
        ("conf/context.xml", &context("")),
        ("conf/server.xml", &server("<Connector port=\"80\"/>", &filtered)),
    ]);
    assert!(has(&result, Kind::NotCarried, "filter"));
}

#[test]
fn contexts_in_server_xml_are_found() {
    let contexts = format!(
        "<Context path=\"/a\" docBase=\"x\">{m}</Context><Context docBase=\"/srv/b#c.war\">{m}</Context><Context path=\"\">{m}</Context><Context path=\"${{p}}\">{m}</Context>",
        m = manager("")
    );
    let result = imported(&[("conf/server.xml", &server("<Connector port=\"80\"/>", &contexts))]);
    for path in ["/a", "/b/c", "/"] {
        assert!(result.toml.contains(&format!("path = \"{path}\"\n")), "{}", result.toml);
    }
    assert!(has(&result, Kind::NotCarried, "-D p=VALUE"), "{:?}", result.notes);
}

#[test]
fn what_cannot_be_imported_is_an_error_that_says_why() {
    let app = Options { apps: vec!["/a".into()], ..options() };
    let good = context("");
    for (files, options, why) in [
        (&[("conf/context.xml", "<Context/>")][..], options(), "no <Manager> of memcached-session-manager"),
        (&[("conf/web.xml", "<web-app/>")], options(), "what is expected is a file of Tomcat's"),
        (&[("conf/context.xml", "<Context>")], options(), "conf/context.xml: is not XML"),
        (&[("conf/context.xml", &good), ("old/context.xml", &good)], options(), "give one of them"),
        (&[("conf/Catalina/localhost/a.xml", &good)], app, "--app"),
        (&[("conf/Catalina/localhost/a%20b.xml", &good)], options(), "/a%20b"),
        (&[("conf/context.xml", &good)], Options { store: "x".into(), ..options() }, "--store"),
        (&[("conf/context.xml", &good)], Options { store: "/${x}".into(), ..options() }, "--store"),
        (
            &[("conf/context.xml", &good)],
            Options { properties: vec![("a".into(), "\u{1}".into())], ..options() },
            "control character",
        ),
    ] {
        let error = error(files, &options);
        assert!(error.contains(why), "{why}: {error}");
    }
}

#[test]
fn the_rest_of_a_file_stays_as_it_was() {
    let before = "<?xml version='1.0' encoding='utf-8'?>\r\n<!-- é -->\r\n<Context>\r\n\t<Resource name='a'\r\n\t\tpassword='&lt;'/>\r\n\t";
    let after = "\r\n\t<!-- <Manager/> --></Context>\r\n";
    let result = imported(&[("conf/context.xml", &format!("{before}{}{after}", manager("")))]);
    let written = xml(&result, "conf/context.xml");
    assert!(written.starts_with(before) && written.ends_with(after), "{written}");
    assert!(!written.replace("\r\n", "").contains('\n'), "lines end as they did");
    assert!(written.contains("\r\n\t         saveOnRestart"));
}
