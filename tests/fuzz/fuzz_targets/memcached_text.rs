//! The same as `memcached_meta`, of a server that speaks the classic text commands. Input: its answers, one to each thing that is said,
//! with a line of `--` between them.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use satchel_fuzz::liar::Liar;
use sidecar::config::Protocol;
use sidecar::memcached::{Node, Pool};

mod batch;

thread_local!(static LIAR: Liar = Liar::new());

fuzz_target!(|data: &[u8]| {
    let answers = split(data);
    LIAR.with(|liar| {
        let node = Pool::new(liar.address(), Protocol::Text, Duration::from_secs(1));
        let batch = batch::commands();
        if let Ok(answers) = liar.tells(&answers, node.run(&batch, None)) {
            assert_eq!(answers.replies.len(), batch.len());
            batch::fits(&batch, &answers.replies, data);
        }
        let _ = liar.tells(&answers, node.probe());
    });
});

fn split(data: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(4).position(|window| window == b"\n--\n") {
        all.push(&rest[..at + 1]);
        rest = &rest[at + 4..];
    }
    all.push(rest);
    all
}
