//! Any bytes are imported or refused; what is printed is a configuration of the sidecar's, and XML in which nothing of msm's is left. Several
//! files are told apart by lines of `=== PATH`.
#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use sidecar::config::{Config, Secret};
use sidecar::import::{ImportError, Line, Options, RecordKeys, Source, import};

const NEXT: &[u8] = b"\n=== ";

fuzz_target!(|data: &[u8]| {
    let sources = sources(data);
    let options = Options {
        apps: ["/a", "b/c", "/"].iter().take(data.len() % 4).map(|app| (*app).to_owned()).collect(),
        tomcat: None,
        line: [Line::V9_0, Line::V10_1, Line::V11_0][data.len() % 3],
        store: "/dev/shm/satchel".into(),
        properties: vec![("x".into(), "n1:a:1".into()), ("port".into(), "8080".into())],
        keys: RecordKeys { keys: vec![Secret([3; 32])], index_key: Secret([4; 32]), new: data.len() % 2 == 0 },
    };
    let Ok(imported) = import(&sources, &options) else { return };
    let toml = &imported.toml;
    if let Err(error) = Config::parse(Path::new("sidecar.toml"), toml) {
        panic!("{error}\n{toml}");
    }
    let mut again = sources;
    for (number, file) in imported.files.iter().enumerate() {
        assert!(imported.files[..number].iter().all(|other| other.path != file.path), "{}", file.path.display());
        let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        assert!(file.path.components().all(is_plain), "{}", file.path.display());
        for source in again.iter_mut().filter(|source| file.of.as_ref() == Some(&source.path)) {
            source.bytes.clone_from(&file.bytes);
        }
    }
    // Read as XML once more, and nothing of msm's in it.
    match import(&again, &Options { apps: Vec::new(), ..options }) {
        Err(ImportError::NoManager) => {}
        Err(error) => panic!("{error}"),
        Ok(imported) => panic!("{}", imported.toml),
    }
});

fn sources(data: &[u8]) -> Vec<Source> {
    let mut rest = data;
    let mut path = "conf/context.xml".to_owned();
    let mut all = Vec::new();
    loop {
        let end = rest.windows(NEXT.len()).position(|window| window == NEXT);
        let bytes = rest[..end.unwrap_or(rest.len())].to_vec();
        // Every file has a name of its own, as on a disk.
        if !all.iter().any(|other: &Source| other.path == Path::new(&path)) {
            all.push(Source { path: path.clone().into(), absolute: Path::new("/t").join(&path), bytes });
        }
        let Some(end) = end else { return all };
        rest = &rest[end + NEXT.len()..];
        let line = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        path = String::from_utf8_lossy(&rest[..line]).into_owned();
        rest = &rest[(line + 1).min(rest.len())..];
    }
}
