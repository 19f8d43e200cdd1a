//! Printing: TOML that people read and go on with.

use std::fmt::Write as _;

use super::block::{Block, Value};

/// `[path]`, if there is anything in it.
pub fn table(out: &mut String, path: &str, block: &Block) {
    if !block.entries.is_empty() {
        head(out, block, &format!("[{path}]"));
        body(out, path, block);
    }
}

/// `[[path]]` with its children, `[[path.child]]`.
pub fn array(out: &mut String, path: &str, child: &str, block: &Block) {
    head(out, block, &format!("[[{path}]]"));
    body(out, path, block);
    for one in &block.children {
        array(out, &format!("{path}.{child}"), "", one);
    }
}

/// The keys alone.
pub fn body(out: &mut String, path: &str, block: &Block) {
    for entry in &block.entries {
        let shown = match &entry.value {
            // Behind the other keys, as TOML wants it.
            Value::Table(rows) if !rows.is_empty() => continue,
            value => show(value),
        };
        let comment = if entry.comment.is_empty() { String::new() } else { format!(" # {}", entry.comment) };
        let _ = writeln!(out, "{} = {shown}{comment}", entry.key);
    }
    for entry in &block.entries {
        let Value::Table(rows) = &entry.value else { continue };
        if !rows.is_empty() {
            let _ = writeln!(out, "\n[{path}.{}]", entry.key);
        }
        for (name, value) in rows {
            let _ = writeln!(out, "{} = {}", key(name), text(value));
        }
    }
}

/// Lines that begin with `#`.
pub fn comment(out: &mut String, line: &str) {
    let plain: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = writeln!(out, "{}", format!("# {plain}").trim_end());
}

fn head(out: &mut String, block: &Block, title: &str) {
    out.push('\n');
    for line in &block.comment {
        comment(out, line);
    }
    let _ = writeln!(out, "{title}");
}

fn show(value: &Value) -> String {
    let list = |items: Vec<String>| match items.iter().map(String::len).sum::<usize>() {
        0..90 => format!("[{}]", items.join(", ")),
        _ => format!("[\n    {},\n]", items.join(",\n    ")),
    };
    match value {
        Value::Text(value) => text(value),
        Value::Flag(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::List(items) => list(items.iter().map(|item| text(item)).collect()),
        Value::Pairs(pairs) => {
            list(pairs.iter().map(|[from, to]| format!("[{}, {}]", text(from), text(to))).collect())
        }
        Value::Table(_) => "{}".into(),
    }
}

fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { text(name) }
}

/// Regular expressions are easier to read in '…', where a backslash is a backslash.
fn text(value: &str) -> String {
    if value.contains('\\') && !value.contains(|c: char| c == '\'' || c.is_control()) {
        return format!("'{value}'");
    }
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(serde::Deserialize)]
    struct File {
        a: String,
        list: Vec<String>,
        pairs: Vec<[String; 2]>,
        table: std::collections::BTreeMap<String, String>,
    }

    proptest! {
        #[test]
        fn any_text_comes_back(a in ".*", list in proptest::collection::vec(".*", 0..9), name in ".*") {
            let mut block = Block::default();
            block.set("a", Value::Text(a.clone()));
            block.set("list", Value::List(list.clone()));
            block.add_pair("pairs", &a, &name);
            block.add_row("table", &name, a.clone());
            let mut out = String::new();
            table(&mut out, "x", &block);
            let file: std::collections::BTreeMap<String, File> = ::toml::from_str(&out).unwrap();
            let file = &file["x"];
            prop_assert_eq!(&file.a, &a);
            prop_assert_eq!(&file.list, &list);
            prop_assert_eq!(&file.pairs, &vec![[a.clone(), name.clone()]]);
            prop_assert_eq!(&file.table[&name], &a);
        }
    }

    #[test]
    fn comments_stay_on_their_line() {
        let mut out = String::new();
        comment(&mut out, "a\nb = 1");
        assert_eq!(out, "# a b = 1\n");
    }
}
