//! A file that is understood can be given another id and other times, and nothing else changes.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sidecar::file::SessionFile;
use sidecar::id::SessionId;

fuzz_target!(|data: &[u8]| {
    let read = |bytes: &[u8]| SessionFile::parse(Bytes::copy_from_slice(bytes));
    let Ok(file) = read(data) else { return };
    assert_eq!(file.bytes(), data);
    let id = SessionId::parse(file.id()).expect("an id that can be used");
    let _ = (file.max_inactive_interval(), file.is_new());

    let renamed = file.with_id("5526F95AEB3E88C6-n1");
    assert_eq!(read(renamed.bytes()).as_ref(), Ok(&renamed));
    assert_eq!(renamed.id(), b"5526F95AEB3E88C6-n1");
    assert_eq!(renamed.with_id(id.as_str()), file);
    assert_eq!(renamed.bytes().len() + id.as_str().len(), data.len() + renamed.id().len());

    let later = read(&file.accessed_at(i64::MAX)).expect("only times have changed");
    let again = read(&later.accessed_at(-1)).expect("only times have changed");
    for (a, b) in [(&file, &file), (&file, &later), (&later, &again), (&file, &again), (&again, &file)] {
        assert!(a.same_session(b), "whatever the times are");
    }
    assert_eq!((later.id(), later.is_new()), (file.id(), file.is_new()));
    assert_eq!(renamed.same_session(&file), renamed == file);
    another_end(&file, &later);
});

/// What follows the header counts, whatever it is.
fn another_end(file: &SessionFile, later: &SessionFile) {
    let longer = SessionFile::parse([file.bytes(), &b"x"[..]].concat().into()).expect("the same header");
    assert!(!file.same_session(&longer) && !longer.same_session(later));
}
