//! A memcached that answers anything, lies about lengths included: every command has a reply or an error. Input: what it says of itself,
//! after a first byte of `!`; else its answer to a batch.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use satchel_fuzz::liar::Liar;
use sidecar::config::Protocol;
use sidecar::memcached::{Node, Pool, Reply};

mod batch;

const HONEST: &[u8] =
    b"STAT pid 7\r\nSTAT uptime 5\r\nSTAT time 105\r\nEND\r\nSTAT item_size_max 1048576\r\nEND\r\n";

thread_local!(static LIAR: Liar = Liar::new());

fuzz_target!(|data: &[u8]| {
    let answers: [&[u8]; 2] = match data.split_first() {
        Some((b'!', greeting)) => [greeting, b"EN\r\n"],
        _ => [HONEST, data],
    };
    LIAR.with(|liar| {
        let node = Pool::new(liar.address(), Protocol::Meta, Duration::from_secs(1));
        let batch = batch::commands();
        if let Ok(answers) = liar.tells(&answers, node.run(&batch, None)) {
            assert_eq!(answers.replies.len(), batch.len());
            batch::fits(&batch, &answers.replies, data);
            assert!(!matches!(answers.replies[0], Reply::Stored(_) | Reply::Deleted));
        }
    });
});
