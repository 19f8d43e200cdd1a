//! Certificates for tests: each signs itself, so that a client that is shown one trusts that one only.

use std::path::{Path, PathBuf};

/// Writes a new certificate for `name` and its key to `FILE.pem` and `FILE.key` in a directory.
///
/// # Panics
/// When it can't be written.
pub fn write(directory: &Path, file: &str, name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let (chain, key) = (directory.join(format!("{file}.pem")), directory.join(format!("{file}.key")));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (chain, key)
}
