//! Real files and what becomes of them.

use std::path::{Path, PathBuf};

use satchel_common::import::Kind;

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/import/tests/fixtures")).join(name)
}

/// The result is what lies in `expected/NAME`. `SATCHEL_GOLDEN` writes that instead.
fn assert_golden(fixture_name: &str, files: &[&str], options: &Options, expected: &str) -> Imported {
    let texts: Vec<String> =
        files.iter().map(|file| std::fs::read_to_string(fixture(fixture_name).join(file)).unwrap()).collect();
    let files: Vec<(&str, &str)> = files.iter().copied().zip(texts.iter().map(String::as_str)).collect();
    let result = with(&files, options).unwrap();
    let expected = fixture(fixture_name).join(expected);
    let mut all = vec![(PathBuf::from("sidecar.toml"), result.toml.clone().into_bytes())];
    all.extend(result.files.iter().map(|file| (file.path.clone(), file.bytes.clone())));
    for (path, bytes) in &all {
        let path = expected.join(path);
        if std::env::var_os("SATCHEL_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
        let [is, should] =
            [bytes.clone(), std::fs::read(&path).unwrap_or_default()].map(|b| String::from_utf8(b).unwrap());
        assert_eq!(is, should, "{} should be:\n{is}", path.display());
    }
    for note in result.notes.iter().filter(|note| note.kind != Kind::NeedsNothing) {
        let said = format!(":{}: {}: {}", note.line, note.written, note.text);
        assert!(result.toml.contains(&said), "{note}");
    }
    result
}

#[test]
fn the_scenarios_file_alone() {
    let result = assert_golden("scenario", &["conf/context.xml"], &options(), "expected-alone");
    assert!(result.is_complete(), "{:?}", result.notes);
}

#[test]
fn the_scenarios_file_for_one_application_with_its_server() {
    let options = Options { apps: vec!["/ShareSession".into()], line: Line::V10_1, ..options() };
    let result = assert_golden("scenario", &["conf/context.xml", "conf/server.xml"], &options, "expected");
    assert!(result.is_complete(), "{:?}", result.notes);
}

#[test]
fn a_farm_with_hosts_and_several_applications() {
    let options = Options {
        properties: vec![("http.port".into(), "8080".into())],
        apps: vec!["blog".into(), "/own".into()],
        ..options()
    };
    let files = [
        "conf/context.xml",
        "conf/server.xml",
        "conf/Catalina/localhost/app#sub.xml",
        "conf/Catalina/localhost/own.xml",
        "webapps/news/META-INF/context.xml",
    ];
    assert_golden("farm", &files, &options, "expected");
}

#[test]
fn what_cannot_be_carried_over_is_all_named() {
    let result = assert_golden("nasty", &["conf/context.xml"], &options(), "expected");
    assert!(!result.is_complete());
    let all = format!("{}{:?}", result.toml, result.notes);
    assert!(!all.contains("topsecret") && !all.contains("bucket1"));
}

/// Every attribute of msm's has a note on its line, or what it says is in the TOML or in the XML.
#[test]
fn nothing_is_dropped_silently() {
    for (name, files) in [
        ("scenario", &["conf/context.xml"][..]),
        ("farm", &["conf/context.xml", "conf/server.xml"]),
        ("nasty", &["conf/context.xml"]),
    ] {
        let texts: Vec<String> =
            files.iter().map(|file| std::fs::read_to_string(fixture(name).join(file)).unwrap()).collect();
        let sources: Vec<(&str, &str)> =
            files.iter().copied().zip(texts.iter().map(String::as_str)).collect();
        let result = imported(&sources);
        let keys: String = result.toml.lines().filter(|line| !line.starts_with('#')).collect();
        let mut count = 0;
        for (path, text) in sources {
            let document = parse(text).unwrap();
            for manager in document.descendants().filter(|node| is_msm(*node)) {
                for one in manager.attributes().filter(|one| one.name() != "className") {
                    count += 1;
                    let start = format!("{}=", one.name());
                    let has_note = result
                        .notes
                        .iter()
                        .any(|note| note.file == Path::new(path) && note.written.starts_with(&start));
                    let in_xml = result.files.iter().any(|file| {
                        String::from_utf8_lossy(&file.bytes)
                            .contains(&crate::stock::xml::escaped(one.value()))
                    });
                    let is_default = matches!(
                        (one.name(), one.value()),
                        ("sticky" | "sessionBackupAsync", "false") | ("enableStatistics", "true")
                    );
                    let words = one.value().replace("static:", "").replace([',', ' '], "");
                    let printed = keys.replace([',', ' '], "").contains(&words);
                    assert!(
                        has_note || in_xml || is_default || printed,
                        "{name}: {}=\"{}\"",
                        one.name(),
                        one.value()
                    );
                }
            }
        }
        assert!(count >= 7, "{name}: {count}");
    }
}
