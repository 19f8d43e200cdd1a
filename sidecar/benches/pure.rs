//! What the sidecar does with bytes: `cargo bench -p sidecar`.

// A benchmark that can't be set up stops.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::header::COOKIE;
use pingora_http::RequestHeader;
use sidecar::file::SessionFile;
use sidecar::id::{NodeName, Presented, SessionId, cookies, path_param, set_cookie};
use sidecar::proxy::request::rewrite;
use sidecar::record::Keys;

const NAME: &str = "JSESSIONID";
const COOKIES: &str =
    "theme=dark; JSESSIONID=5526F95AEB3E88C6F1C0B9C7A5B92E23-n1; _ga=GA1.1.2040441383.1700000000";
/// A session file of Tomcat 10.1 with an empty session, from the fuzzing corpus.
const FILE: &[u8] = include_bytes!("../../tests/fuzz/corpus/session_file/20349478D68E");
/// Bytes of a session's attributes.
const SIZES: [usize; 3] = [300, 20_000, 200_000];

fn id(criterion: &mut Criterion) {
    criterion.bench_function("id: of a Cookie header", |bencher| {
        bencher.iter(|| {
            let values = cookies::values([black_box(COOKIES.as_bytes())].into_iter(), NAME);
            values.into_iter().flat_map(|value| Presented::parse(value, |node| node.as_str() == "n1")).last()
        });
    });
    let params = path_param::names_for(NAME);
    let mut request = RequestHeader::build("GET", b"/shop/cart", None).unwrap();
    request.append_header(COOKIE, COOKIES).unwrap();
    criterion.bench_function("id: the Cookie header rewritten for Tomcat", |bencher| {
        bencher.iter_batched_ref(
            || request.clone(),
            |request| rewrite(request, NAME, &params, Some("5526F95AEB3E88C6F1C0B9C7A5B92E23")),
            BatchSize::SmallInput,
        );
    });
    let header = b"JSESSIONID=5526F95AEB3E88C6F1C0B9C7A5B92E23; Path=/shop; HttpOnly; SameSite=Lax";
    let node = NodeName::parse("n1").unwrap();
    criterion.bench_function("id: a suffix added to Set-Cookie", |bencher| {
        bencher.iter(|| {
            let range = set_cookie::value_range(black_box(header), NAME)?;
            let id = SessionId::parse(&header[range.clone()])?;
            Some(set_cookie::with_value(header, &range, &id.with_suffix(&node)))
        });
    });
}

fn file(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session file");
    for size in SIZES {
        let bytes = Bytes::from([FILE, &content(size)].concat());
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::new("parse", size), |bencher| {
            bencher.iter(|| SessionFile::parse(black_box(bytes.clone())));
        });
        let one = SessionFile::parse(bytes.clone()).unwrap();
        let other = SessionFile::parse(Bytes::from(bytes.to_vec())).unwrap();
        group.bench_function(BenchmarkId::new("compare", size), |bencher| {
            bencher.iter(|| black_box(&one).same_session(&other));
        });
    }
}

fn record(criterion: &mut Criterion) {
    let keys = Keys::new(&[[1; 32]], 1 << 20);
    let mut group = criterion.benchmark_group("record");
    for size in SIZES {
        let content = content(size);
        let record = keys.seal(b"key", content.clone()).unwrap();
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("seal", size), |bencher| {
            bencher.iter_batched(
                || content.clone(),
                |content| keys.seal(b"key", content),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("open", size), |bencher| {
            bencher.iter(|| keys.open(b"key", black_box(&record)));
        });
    }
}

/// Letters without any order, as the other benchmarks' sessions have them.
fn content(size: usize) -> Vec<u8> {
    let mut state = 1u32;
    let letter = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + u8::try_from((state >> 16) % 26).unwrap()
    };
    std::iter::repeat_with(letter).take(size).collect()
}

criterion_group!(benches, id, file, record);
criterion_main!(benches);
