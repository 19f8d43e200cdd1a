//! What stands in memcached beside or inside the seal: what is read is what was written, and says nothing boundless.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidecar::agreement::Agreement;
use sidecar::file::SessionFile;
use sidecar::record::{Manifest, Payload, Stored};

const MAX: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    if let Ok(payload) = Payload::decode(data.to_vec().into()) {
        assert_eq!(payload.encode(), data);
        if let Stored::Session { file, .. } = payload.stored {
            let _ = SessionFile::parse(file);
        }
    }
    if let Some(manifest) = Manifest::decode(data, MAX) {
        assert_eq!(manifest.encode(), data);
        assert!(manifest.size() <= MAX && manifest.keys().count() <= MAX / 512 + 1);
    }
    if let Some(agreement) = Agreement::parse(data) {
        assert_eq!(Agreement::parse(agreement.render().as_bytes()), Some(agreement));
    }
});
