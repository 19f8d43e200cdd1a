//! Any bytes are imported or refused; the sidecar takes what is printed, and the XML is XML.

use proptest::prelude::*;

use super::*;

const PATHS: &[&str] = &[
    "conf/context.xml",
    "conf/server.xml",
    "conf/Catalina/localhost/ROOT.xml",
    "conf/Catalina/localhost/a#b.xml",
    "conf/Catalina/localhost/a##2.xml",
    "conf/Catalina/other/a.xml",
    "conf/Catalina/other/é %.xml",
    "conf/Catalina/other/context.xml.default",
    "webapps/..news/META-INF/context.xml",
    "webapps/#../META-INF/context.xml",
    "a.xml",
];

/// What lies where an attribute's value may be.
const VALUES: &[&str] = &[
    "",
    "true",
    "false",
    "0",
    "1",
    "100",
    "-1",
    "99999999999999999999",
    "n1:a:1",
    "n1:a:1,n2:b:2",
    "n1:a:1 n1:a:1",
    "a:1",
    "redis://a:1",
    "${x}",
    "${x:-n1:a:1}",
    "${",
    "}",
    "all",
    "auto",
    "uriPattern:.*",
    "uriPattern:(",
    "uriPattern:/a",
    ".*\\.(png|css)$",
    "(",
    "a++",
    "static:x",
    "static:",
    "host,context",
    "webappVersion,static:é",
    "/",
    "/etc/cron.d",
    "..",
    "../../x",
    "&lt;",
    "&#9;",
    "&quot;'",
    "é",
    "--",
    "]]&gt;",
    "x\ny",
    "\\",
    "8080",
    "127.0.0.1",
    "::1",
    "localhost",
    "AJP/1.3",
    "HTTP/1.1",
    "%h %S",
    "org.apache.catalina.valves.PersistentValve",
    "org.apache.catalina.valves.AccessLogValve",
    MSM,
];

const NAMES: &[&str] = &[
    "className",
    "port",
    "address",
    "protocol",
    "SSLEnabled",
    "maxKeepAliveRequests",
    "keepAliveTimeout",
    "name",
    "defaultHost",
    "jvmRoute",
    "path",
    "docBase",
    "sessionCookiePath",
    "sessionCookieName",
    "validateClientProvidedNewSessionId",
    "pattern",
    "filter",
    "emptySessionPath",
    "xmlns",
    "xmlns:x",
    "x:sticky",
];

fn attribute() -> impl Strategy<Value = (String, String)> {
    let known: Vec<&str> = super::super::attributes::names().chain(NAMES.iter().copied()).collect();
    (proptest::sample::select(known), proptest::sample::select(VALUES))
        .prop_map(|(name, value)| (name.to_owned(), value.to_owned()))
}

fn attributes() -> impl Strategy<Value = String> {
    proptest::collection::btree_map(
        attribute().prop_map(|(name, _)| name),
        proptest::sample::select(VALUES),
        0..5,
    )
    .prop_map(|all| {
        all.iter().map(|(name, value)| format!(" {name}=\"{}\"", value.replace('"', "&quot;"))).collect()
    })
}

/// An element with what may be in it.
fn element() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => attributes().prop_map(|more| format!("<Manager className=\"{MSM}\" memcachedNodes=\"n1:a:1\"{}/>", without(&more, &["className", "memcachedNodes"]))),
        2 => attributes().prop_map(|more| format!("<Manager className=\"{MSM}\"{}><SessionIdGenerator{more}/></Manager>", without(&more, &["className"]))),
        1 => attributes().prop_map(|more| format!("<Connector{more}/>")),
        1 => attributes().prop_map(|more| format!("<Valve{more}></Valve>")),
        1 => Just("<Alias> a.b </Alias>".to_owned()),
        1 => Just("<!-- <Manager/> -->".to_owned()),
        1 => Just("\r\n  ".to_owned()),
    ];
    leaf.prop_recursive(5, 24, 4, |inner| {
        let names = proptest::sample::select(&["Context", "Host", "Engine", "Service", "Manager"][..]);
        (names, attributes(), proptest::collection::vec(inner, 0..4))
            .prop_map(|(name, more, inner)| format!("<{name}{more}>{}</{name} >", inner.concat()))
    })
}

fn without(attributes: &str, names: &[&str]) -> String {
    names.iter().fold(attributes.to_owned(), |text, name| match text.split_once(&format!(" {name}=\"")) {
        Some((before, rest)) => format!("{before}{}", rest.split_once('"').map_or("", |(_, after)| after)),
        None => text,
    })
}

fn file() -> impl Strategy<Value = (String, String)> {
    let inner = proptest::collection::vec(element(), 0..4).prop_map(|all| all.concat());
    (proptest::sample::select(PATHS), attributes(), inner).prop_map(|(path, more, inner)| {
        let text = match path.ends_with("server.xml") {
            true => format!(
                "<Server{more}><Service>{inner}<Engine><Host{more}>{inner}</Host></Engine></Service></Server>"
            ),
            false => format!("<Context{more}>{inner}</Context>"),
        };
        (path.to_owned(), text)
    })
}

proptest! {
    #[test]
    fn any_files_make_what_the_sidecar_takes(
        files in proptest::collection::vec(file(), 1..4),
        apps in proptest::collection::vec(proptest::sample::select(&["/", "a", "/a/b", "/é", "/..", "a b", "/a%", "//"][..]), 0..3),
        line in proptest::sample::select(&[Line::V9_0, Line::V10_1, Line::V11_0][..]),
    ) {
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let options = Options { apps: apps.iter().map(|app| (*app).to_owned()).collect(), line, ..options() };
        let _ = with(&files, &options);
    }

    #[test]
    fn any_values_make_what_the_sidecar_takes(
        all in proptest::collection::btree_map(proptest::sample::select(super::super::attributes::names().collect::<Vec<_>>()), any::<String>(), 0..12),
    ) {
        let written: String = all
            .iter()
            .map(|(name, value)| {
                let is_xml = |c: &char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
                let value: String = value.chars().filter(is_xml).collect();
                format!(" {name}=\"{}\"", crate::stock::xml::escaped(&value))
            })
            .collect();
        let text = format!("<Context><Manager className=\"{MSM}\"{written}/></Context>");
        prop_assert!(with(&[("conf/context.xml", &text)], &options()).is_ok());
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400), path in proptest::sample::select(PATHS)) {
        let source = Source { path: path.into(), absolute: Path::new("/").join(path), bytes };
        if let Ok(result) = import(std::slice::from_ref(&source), &options()) {
            checked(&result, &[source]);
        }
    }
}
