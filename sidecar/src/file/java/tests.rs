//! Streams that are put together here; those of real Tomcats are in `tests/tests/session_command.rs`.

use proptest::prelude::*;

use super::*;
use crate::file::session_file::tests::sample;

/// A writer of what is needed, with handles as Java counts them.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

fn utf(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn string(text: &str) -> Vec<u8> {
    [&[0x74][..], &utf(text)].concat()
}

/// A class with these fields, serializable, without superclass.
fn class(name: &str, flags: u8, fields: &[(u8, &str, &str)]) -> Vec<u8> {
    let mut out = [&[0x72][..], &utf(name), &[0; 8], &[flags], &(fields.len() as u16).to_be_bytes()].concat();
    for (code, field, class) in fields {
        out.push(*code);
        out.extend(utf(field));
        if matches!(code, b'L' | b'[') {
            out.extend(string(class));
        }
    }
    [out, vec![0x78, 0x70]].concat()
}

impl Writer {
    /// After the header of a session file; `before` stands in front of the number of attributes.
    fn session(before: &[u8], count: u32) -> Self {
        let integer = [&[0x73, 0x71, 0, 0x7E, 0, 4][..], &count.to_be_bytes()].concat();
        Self { bytes: sample("ABC", 1800, &[before, &integer].concat()).to_vec() }
    }

    fn attribute(mut self, name: &str, value: &[u8]) -> Self {
        self.bytes.extend(string(name));
        self.bytes.extend(value);
        self
    }

    fn read(&self) -> Vec<(String, String, Option<String>)> {
        let contents = contents(&self.bytes);
        assert_eq!(contents.incomplete, None, "{contents:?}");
        contents.attributes.into_iter().map(|one| (one.name, one.class, one.value)).collect()
    }
}

fn one(name: &str, class: &str, value: Option<&str>) -> (String, String, Option<String>) {
    (name.into(), class.into(), value.map(str::to_owned))
}

#[test]
fn the_header_and_who_is_logged_in_are_passed() {
    let logged_in = [string("FORM"), vec![0x73], class("P", 2, &[]), vec![0x70, 0x70]].concat();
    let writer = Writer::session(&logged_in, 1).attribute("a", &string("x"));
    let read = contents(&writer.bytes);
    assert_eq!((read.authentication.as_deref(), read.principal.as_deref()), (Some("FORM"), Some("P")));
    assert_eq!((read.count, read.attributes.len(), read.incomplete), (Some(1), 1, None));
    for before in [&[][..], &[0x70; 2], &[0x70; 4]] {
        assert_eq!(Writer::session(before, 0).read(), []);
    }
}

#[test]
fn values_are_told_by_their_classes() {
    let short = [vec![0x73], class("java.lang.Short", 2, &[(b'S', "value", "")]), vec![0xFF, 0xFE]].concat();
    let mine =
        [vec![0x73], class("com.example.Mine", 2, &[(b'I', "a", ""), (b'L', "b", "Ljava/lang/String;")])]
            .concat();
    let mine = [mine, vec![0, 0, 0, 1], string("secret")].concat();
    // A class whose own code has written more: blocks, and an object of the stream's own kind.
    let map = [vec![0x73], class("java.util.HashMap", 3, &[(b'F', "f", ""), (b'I', "t", "")])].concat();
    let map = [map, vec![0; 8], vec![0x77, 2, 9, 9], string("k"), vec![0x7A, 0, 0, 0, 1, 7, 0x78]].concat();
    let bytes = [vec![0x75], class("[B", 2, &[]), vec![0, 0, 0, 3, 1, 2, 3]].concat();
    let texts = [vec![0x75], class("[[Ljava.lang.String;", 2, &[]), vec![0, 0, 0, 1, 0x70]].concat();
    let constant = [vec![0x7E], class("Colour", 0x12, &[]), string("RED")].concat();
    let external = [vec![0x73], class("Ext", 0x0C, &[]), vec![0x77, 1, 0, 0x78]].concat();
    let proxy = [&[0x73, 0x7D, 0, 0, 0, 1][..], &utf("I"), &[0x78, 0x70]].concat();
    let of_class = [vec![0x76], class("C", 2, &[])].concat();
    let read = Writer::session(&[0x70; 4], 11)
        .attribute("short", &short)
        .attribute("mine", &mine)
        .attribute("map", &map)
        .attribute("bytes", &bytes)
        .attribute("texts", &texts)
        .attribute("constant", &constant)
        .attribute("external", &external)
        .attribute("proxy", &proxy)
        .attribute("class", &of_class)
        .attribute("null", &[0x70])
        .attribute("long", &[&[0x7C, 0, 0, 0, 0, 0, 0, 0, 2][..], b"ab"].concat())
        .read();
    let expected = [
        one("short", "java.lang.Short", Some("-2")),
        one("mine", "com.example.Mine", None),
        one("map", "java.util.HashMap", None),
        one("bytes", "byte[]", None),
        one("texts", "java.lang.String[][]", None),
        one("constant", "Colour", None),
        one("external", "Ext", None),
        one("proxy", "proxy of I", None),
        one("class", "java.lang.Class", None),
        one("null", "null", None),
        one("long", "java.lang.String", Some("ab")),
    ];
    assert_eq!(read, expected);
}

#[test]
fn what_was_written_before_is_referred_to() {
    // Handles: 0 to A are the header's, B the number of attributes, C the name, D the class, E the text of its field's type, F the object.
    let object = [vec![0x73], class("A", 2, &[(b'L', "self", "LA;")]), vec![0x71, 0, 0x7E, 0, 0x0F]].concat();
    let read = Writer::session(&[], 2)
        .attribute("itself", &object)
        .attribute("again", &[0x71, 0, 0x7E, 0, 0x0F])
        .read();
    assert_eq!(read, [one("itself", "A", None), one("again", "A", None)]);
}

#[test]
fn an_attribute_that_could_not_be_written_is_passed() {
    let exception = [vec![0x7B, 0x73], class("java.io.NotSerializableException", 2, &[]), vec![]].concat();
    let broken = [vec![0x73], class("Holder", 2, &[(b'L', "x", "LX;")]), exception].concat();
    // The writer has forgotten all handles then: its next text is number 0, and the text itself number 1.
    let read = Writer::session(&[], 2).attribute("broken", &broken).attribute("next", &string("x")).read();
    let expected = [
        one("broken", "not serializable (java.io.NotSerializableException)", None),
        one("next", "java.lang.String", Some("x")),
    ];
    assert_eq!(read, expected);
}

#[test]
fn who_is_logged_in_may_not_have_been_written() {
    let exception = [vec![0x7B, 0x73], class("java.io.NotSerializableException", 2, &[])].concat();
    let principal = [vec![0x73], class("Mine", 2, &[(b'L', "x", "LX;")]), exception].concat();
    // With its class once more: the writer has forgotten its handles.
    let count =
        [vec![0x73], class("java.lang.Integer", 2, &[(b'I', "value", "")]), vec![0, 0, 0, 1]].concat();
    let rest = [string("FORM"), principal, count, string("a"), string("x")].concat();
    let read = contents(&sample("ABC", 1800, &rest));
    assert_eq!((read.count, read.attributes.len(), read.incomplete), (Some(1), 1, None), "{read:?}");
    assert_eq!(read.authentication.as_deref(), Some("FORM"));
    assert_eq!(read.principal.as_deref(), Some("not serializable (java.io.NotSerializableException)"));
}

#[test]
fn what_is_named_is_bounded() {
    // 16 MiB, a name of 60 KiB, and ten bytes for each attribute: two references.
    let long = "x".repeat(60_000);
    let object = [vec![0x73], class(&long, 2, &[])].concat();
    let mut writer = Writer::session(&[], 1_600_000).attribute("a", &object);
    // The name is number C, the class D, the object E.
    for _ in 1..1_600_000 {
        writer.bytes.extend([0x71, 0, 0x7E, 0, 0x0C, 0x71, 0, 0x7E, 0, 0x0E]);
    }
    let read = contents(&writer.bytes);
    assert_eq!((read.attributes.len(), read.incomplete), (ATTRIBUTES_MAX, Some(Incomplete::TooLarge)));
    assert!(read.attributes.iter().all(|one| one.class.chars().count() == 1_001 && one.name == "a"));
}

#[test]
fn what_cannot_be_read_ends_the_reading_and_what_came_before_is_kept() {
    let opaque = [vec![0x73], class("Old", 4, &[])].concat();
    let read = contents(&Writer::session(&[], 2).attribute("a", &string("x")).attribute("b", &opaque).bytes);
    assert_eq!((read.attributes.len(), read.count), (1, Some(2)));
    assert!(matches!(read.incomplete, Some(Incomplete::Opaque(_))), "{read:?}");
    // An array in an array in an array, and so on.
    let nested = [vec![0x75], class("[[B", 2, &[]), vec![0, 0, 0, 1]].concat();
    let deep =
        [nested, [&[0x75, 0x71, 0, 0x7E, 0, 0x0D][..], &[0, 0, 0, 1]].concat().repeat(100_000)].concat();
    let read = contents(&Writer::session(&[], 1).attribute("deep", &deep).bytes);
    assert_eq!(read.incomplete, Some(Incomplete::TooLarge));
    // Nothing is as long as is said.
    for len in [[0x7F, 0xFF, 0xFF, 0xFF], [0xFF; 4]] {
        let array = [vec![0x75], class("[J", 2, &[]), len.to_vec()].concat();
        let read = contents(&Writer::session(&[], 1).attribute("long", &array).bytes);
        assert!(matches!(read.incomplete, Some(Incomplete::Malformed(_))), "{read:?}");
    }
    assert!(contents(b"").incomplete.is_some() && contents(b"not java").incomplete.is_some());
}

#[test]
fn many_objects_of_a_class_with_many_superclasses_take_no_time() {
    let named = |n: usize| [&[0x72][..], &utf(&n.to_string()), &[0; 8], &[2, 0, 0, 0x78]].concat();
    let lineage: Vec<u8> = (0..1000).flat_map(named).collect();
    let object = [vec![0x73], lineage, vec![0x70]].concat();
    let read = contents(&Writer::session(&[], 1).attribute("a", &object).bytes);
    assert_eq!(read.incomplete, Some(Incomplete::TooLarge));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, tail: Vec<u8>) {
        let _ = contents(&bytes);
        let _ = contents(&Writer::session(&[0x70; 4], 3).attribute("a", &tail).bytes);
    }

    /// Bytes that look like a stream.
    #[test]
    fn arbitrary_streams_never_panic(codes in proptest::collection::vec((0x70u8..0x7F, 0usize..12), 0..60)) {
        let mut tail = Vec::new();
        for (code, n) in codes {
            tail.push(code);
            match code {
                0x71 => tail.extend([0, 0x7E, 0, n as u8]),
                0x72 => tail.extend(&class("C", 3, &[(b'I', "a", ""), (b'L', "b", "LB;")])[1..]),
                0x74 => tail.extend(utf("text")),
                0x77 => tail.extend([1, 1]),
                _ => {}
            }
        }
        let read = contents(&Writer::session(&[], 3).attribute("a", &tail).bytes);
        prop_assert!(read.attributes.len() <= 3);
    }

    #[test]
    fn a_cut_stream_gives_what_is_whole(len in 0usize..400, n: i32, text in "[ -~]{0,30}") {
        let number = [&[0x73, 0x71, 0, 0x7E, 0, 4][..], &n.to_be_bytes()].concat();
        let writer = Writer::session(&[0x70; 2], 3).attribute("n", &number).attribute("t", &string(&text)).attribute("u", &number);
        let whole = [
            one("n", "java.lang.Integer", Some(&n.to_string())),
            one("t", "java.lang.String", Some(&text)),
            one("u", "java.lang.Integer", Some(&n.to_string())),
        ];
        prop_assert_eq!(writer.read(), whole.clone());
        let cut = contents(&writer.bytes[..len.min(writer.bytes.len())]);
        prop_assert_eq!(cut.incomplete.is_some(), len < writer.bytes.len());
        for (read, expected) in cut.attributes.into_iter().zip(whole) {
            prop_assert_eq!((read.name, read.class, read.value), expected);
        }
    }
}
