//! What is different between two answers to the same case.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use satchel_tests::Response;

use super::backend::Seen;
use super::case::Answers;

/// Where something is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// How many responses came.
    Responses,
    /// Whether the body was asked for.
    Continue,
    /// Whether `Connection: close` was kept.
    Close,
    Status,
    Header(String),
    Body,
    /// How many requests the back end has received.
    Seen,
    SeenLine,
    SeenHeader(String),
    SeenBody,
}

/// One difference. Values are texts; several fields of a name are joined by ` | `, `-` is none.
#[derive(Debug)]
pub struct Difference {
    pub case: String,
    pub place: Place,
    pub nginx: String,
    pub gateway: String,
    /// The statuses of both, where it is about a response.
    pub statuses: (u16, u16),
}

/// One side of a case.
pub struct Side {
    pub answers: Answers,
    pub seen: Vec<Seen>,
}

/// All differences of a case.
pub fn differences(case: &str, nginx: &Side, gateway: &Side) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut statuses = (0, 0);
    let mut put = |place: Place, nginx: String, gateway: String, statuses: (u16, u16)| {
        if nginx != gateway {
            found.push(Difference { case: case.to_owned(), place, nginx, gateway, statuses });
        }
    };
    let (a, b) = (&nginx.answers, &gateway.answers);
    put(Place::Responses, a.responses.len().to_string(), b.responses.len().to_string(), statuses);
    put(Place::Continue, a.continued.to_string(), b.continued.to_string(), statuses);
    put(Place::Close, a.closed_as_said.to_string(), b.closed_as_said.to_string(), statuses);
    for (a, b) in a.responses.iter().zip(&b.responses) {
        statuses = (a.status, b.status);
        put(Place::Status, a.status.to_string(), b.status.to_string(), statuses);
        for (name, a, b) in fields(&a.headers, &b.headers) {
            put(Place::Header(name), a, b, statuses);
        }
        let (a, b) = (plain(a), plain(b));
        if a != b {
            put(Place::Body, text(&a), text(&b), statuses);
        }
    }
    put(Place::Seen, nginx.seen.len().to_string(), gateway.seen.len().to_string(), statuses);
    for (a, b) in nginx.seen.iter().zip(&gateway.seen) {
        put(Place::SeenLine, a.line.clone(), b.line.clone(), statuses);
        for (name, a, b) in fields(&a.headers, &b.headers) {
            put(Place::SeenHeader(name), a, b, statuses);
        }
        if a.body != b.body {
            put(Place::SeenBody, text(&a.body), text(&b.body), statuses);
        }
    }
    found
}

/// Each name of both, with its values. Their order counts among fields of one name only.
fn fields(a: &[(String, String)], b: &[(String, String)]) -> Vec<(String, String, String)> {
    let mut names: BTreeMap<&str, [Vec<&str>; 2]> = BTreeMap::new();
    for (side, headers) in [a, b].into_iter().enumerate() {
        for (name, value) in headers {
            names.entry(name).or_default()[side].push(value);
        }
    }
    let joined = |values: &[&str]| if values.is_empty() { "-".to_owned() } else { values.join(" | ") };
    names.into_iter().map(|(name, [a, b])| (name.to_owned(), joined(&a), joined(&b))).collect()
}

/// The body without its compression, which two libraries never do alike.
fn plain(response: &Response) -> Vec<u8> {
    if response.header("content-encoding") != Some("gzip") || response.body.is_empty() {
        return response.body.clone();
    }
    let mut gzip =
        Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut to = gzip.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || to.write_all(&response.body));
        let output = gzip.wait_with_output().unwrap();
        assert!(output.status.success(), "not in gzip: {:?}", response.headers);
        output.stdout
    })
}

/// A body as a message can show it.
fn text(body: &[u8]) -> String {
    let start = String::from_utf8_lossy(&body[..body.len().min(400)]).into_owned();
    if body.len() > 400 { format!("{start}… ({} bytes)", body.len()) } else { start }
}
