//! Whole files: what is printed, and that nothing is lost.

mod farms;
mod golden;
mod properties;

use std::path::Path;

pub(super) use super::Imported;
use super::attributes::is_msm;
use super::source::is_below;
use super::xml::{children, parse};
use super::{ImportError, Line, Options, RecordKeys, Source, import};
use crate::config::{Config, Secret};

pub(super) const MSM: &str = "de.javakaffee.web.msm.MemcachedBackupSessionManager";

pub(super) fn options() -> Options {
    Options {
        apps: Vec::new(),
        tomcat: None,
        line: Line::V9_0,
        store: "/dev/shm/satchel".into(),
        properties: Vec::new(),
        keys: RecordKeys { keys: vec![Secret([0x33; 32])], index_key: Secret([0x44; 32]), new: true },
    }
}

/// Checked: the sidecar takes the TOML, and the files are XML without msm, and what is left is nothing to import.
pub(super) fn with(files: &[(&str, &str)], options: &Options) -> Result<Imported, ImportError> {
    let source = |(path, text): &(&str, &str)| Source {
        path: path.into(),
        absolute: Path::new("/opt/tomcat").join(path),
        bytes: text.as_bytes().to_vec(),
    };
    let sources: Vec<Source> = files.iter().map(source).collect();
    let result = import(&sources, options)?;
    checked(&result, &sources);
    Ok(result)
}

pub(super) fn checked(result: &Imported, sources: &[Source]) {
    if let Err(error) = Config::parse(Path::new("sidecar.toml"), &result.toml) {
        panic!("{error}\n{}", result.toml);
    }
    for (number, file) in result.files.iter().enumerate() {
        assert!(is_below(&file.path), "{}", file.path.display());
        assert!(
            result.files[..number].iter().all(|other| other.path != file.path),
            "{}",
            file.path.display()
        );
        let text: String = match std::str::from_utf8(&file.bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => file.bytes.iter().map(|byte| char::from(*byte)).collect(),
        };
        let document = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let contexts = document.descendants().filter(|node| node.tag_name().name() == "Context");
        let managers = contexts.flat_map(|context| children(context, "Manager"));
        assert_eq!(managers.filter(|node| is_msm(*node)).count(), 0, "{text}");
    }
    let again: Vec<Source> = sources
        .iter()
        .map(|source| {
            let new = result.files.iter().find(|file| file.of.as_ref() == Some(&source.path));
            new.map_or_else(|| source.clone(), |new| Source { bytes: new.bytes.clone(), ..source.clone() })
        })
        .collect();
    assert!(matches!(import(&again, &options()), Err(ImportError::NoManager)));
}

pub(super) fn imported(files: &[(&str, &str)]) -> Imported {
    with(files, &options()).unwrap()
}

/// A manager that is complete but for these attributes, in `conf/context.xml`.
pub(super) fn with_attributes(attributes: &str) -> Imported {
    let missing = |name: &str, value: &str| {
        let written = format!("{name}=\"");
        if attributes.contains(&written) { String::new() } else { format!("{written}{value}\" ") }
    };
    imported(&[(
        "conf/context.xml",
        &format!(
            "<Context><Manager className=\"{MSM}\" {}{}{}{attributes}/></Context>",
            missing("memcachedNodes", "n1:127.0.0.1:11211"),
            missing("sticky", "false"),
            missing("sessionBackupAsync", "false"),
        ),
    )])
}
