//! The keys alone, out of a configuration or of what `sidecar --new-keys` has printed.

use std::path::Path;

use satchel_common::config::{ConfigError, Invalid, load};
use serde::Deserialize;

use super::{Secret, check, raw};

/// Everything else in the file is left to [`Config`](super::Config).
#[derive(Deserialize)]
struct File {
    record: Option<raw::Record>,
    #[serde(default)]
    keys: Vec<raw::Secret>,
    index_key: Option<raw::Secret>,
}

/// Reads the keys that seal records, and the one that names them.
///
/// # Errors
/// Names the file, the key and what is allowed.
pub fn load_keys(path: &Path) -> Result<(Vec<Secret>, Secret), ConfigError> {
    load(path, |file: File| {
        let own = raw::Record { keys: file.keys, index_key: file.index_key, ..raw::Record::default() };
        match check::secrets(file.record.unwrap_or(own))? {
            (keys, Some(index_key)) if !keys.is_empty() => Ok((keys, index_key)),
            _ => Err(Invalid::new("record", "has no keys: encryption is off")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_from_a_configuration_and_from_new_keys() {
        let secret = "MzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzM=";
        let keys = format!("keys = [\"{secret}\"]\nindex_key = \"{secret}\"\n");
        let read = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            load_keys(file.path())
                .map(|(keys, index)| (keys.len(), index.encoded()))
                .map_err(|error| error.to_string())
        };
        for text in [keys.clone(), format!("listen = \"127.0.0.1:1\"\n[record]\n{keys}")] {
            assert_eq!(read(&text), Ok((1, secret.to_owned())));
        }
        for (text, why) in [
            ("", "--new-keys"),
            ("[record]\nencryption = \"off\"\n", "encryption is off"),
            ("keys = [\"a\"]\nindex_key = \"b\"", "32 bytes"),
        ] {
            assert!(read(text).unwrap_err().contains(why), "{text}");
        }
    }
}
