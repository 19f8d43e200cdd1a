//! The documentation against itself and against the code: links lead somewhere, messages are those that the programs say, metrics exist.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Letters of a message outside of its variable parts: one with fewer says nothing of its own.
const LETTERS_MIN: usize = 8;
/// So many letters tell one message from another.
const LETTERS_ENOUGH: usize = 16;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn files(directory: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
}

/// The pages: those of the root, and docs/.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut paths = Vec::new();
    files(&root().join("docs"), ".md", &mut paths);
    let own = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    paths.extend(own.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// A page without its blocks of code.
fn prose(page: &str) -> String {
    let mut code = false;
    let lines = page.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence && !line.starts_with("    ")
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// The parts of a text that are code, if `code`, else the others.
fn spans(text: &str, code: bool) -> impl Iterator<Item = &str> {
    text.split('`').enumerate().filter(move |(number, _)| (number % 2 == 1) == code).map(|(_, part)| part)
}

/// Where links and pictures lead.
fn targets(page: &str) -> Vec<String> {
    let text = prose(page);
    let found =
        text.lines().flat_map(|line| line.split("](").skip(1).filter_map(|rest| rest.split_once(')')));
    found.map(|(target, _)| target.to_owned()).collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    let mut code = false;
    for line in page.lines() {
        code ^= line.starts_with("```");
        let Some(heading) = line.strip_prefix('#').filter(|_| !code) else { continue };
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let numbered = (1..).map(|n| format!("{anchor}-{n}")).find(|anchor| !anchors.contains(anchor));
        anchors.push(if anchors.contains(&anchor) { numbered.unwrap() } else { anchor });
    }
    anchors
}

/// `a/../b` is `b`.
fn without_dots(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |path, part| match part {
        std::path::Component::ParentDir => path.parent().unwrap().to_owned(),
        part => path.join(part),
    })
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut wrong = Vec::new();
    let mut linked = vec![root().join("README.md")];
    for (path, text) in &pages {
        for target in targets(text) {
            if target.starts_with("http://") || target.starts_with("https://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = match file {
                "" => path.clone(),
                file => without_dots(&path.parent().unwrap().join(file)),
            };
            let there = match pages.get(&file) {
                Some(page) => anchor.is_empty() || anchors(page).iter().any(|one| one == anchor),
                None => anchor.is_empty() && file.exists(),
            };
            if !there {
                wrong.push(format!("{}: {target}", path.display()));
            }
            linked.push(file);
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
    let lost: Vec<_> = pages.keys().filter(|path| !linked.contains(path)).collect();
    assert!(lost.is_empty(), "no page leads to {lost:?}");
}

#[test]
fn every_metric_that_is_named_exists() {
    let known = std::fs::read_to_string(root().join("docs/monitoring.md")).unwrap();
    for (path, text) in pages() {
        for name in text.split(|c: char| !(c.is_ascii_lowercase() || c == '_')) {
            let ours = name.starts_with("satchel_gateway_") || name.starts_with("satchel_sidecar_");
            let listed = known.contains(&format!("| `{name}` |"));
            assert!(!ours || listed, "{}: {name} is not in docs/monitoring.md", path.display());
        }
    }
}

// === What the programs say ===

/// A text in the code, with … for what differs; and where it begins.
struct Literal {
    at: usize,
    text: String,
}

/// The texts of a source file.
fn literals(source: &str) -> Vec<Literal> {
    let mut found = Vec::new();
    let chars: Vec<(usize, char)> = source.char_indices().collect();
    let is = |n: usize, c: char| chars.get(n).is_some_and(|(_, other)| *other == c);
    let mut n = 0;
    while n < chars.len() {
        let (at, c) = chars[n];
        match c {
            '/' if is(n + 1, '/') => {
                while n < chars.len() && !is(n, '\n') {
                    n += 1;
                }
            }
            '\'' if is(n + 1, '\\') => {
                n += 3;
                while n < chars.len() && !is(n, '\'') {
                    n += 1;
                }
            }
            '\'' if is(n + 2, '\'') => n += 2,
            '"' => {
                let mut text = String::new();
                n += 1;
                while n < chars.len() && !is(n, '"') {
                    if is(n, '\\') && is(n + 1, '\n') {
                        n += 2;
                        while chars.get(n).is_some_and(|(_, c)| c.is_whitespace()) {
                            n += 1;
                        }
                        continue;
                    }
                    if is(n, '\\') {
                        n += 1;
                    }
                    text.extend(chars.get(n).map(|(_, c)| c));
                    n += 1;
                }
                found.push(Literal { at, text: with_dots(&text) });
            }
            _ => {}
        }
        n += 1;
    }
    found
}

/// `{…}` of a format is what differs.
fn with_dots(format: &str) -> String {
    let format = format.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let mut out = String::new();
    for (number, part) in format.split('{').enumerate() {
        match part.split_once('}').filter(|_| number > 0) {
            Some((_, rest)) => out += &format!("…{rest}"),
            None => out += part,
        }
    }
    out.replace('\u{1}', "{").replace('\u{2}', "}")
}

fn letters(text: &str) -> usize {
    text.chars().filter(|c| c.is_alphabetic()).count()
}

/// Whether the parts of `message` between its … stand in `text`, in their order.
fn says(message: &str, text: &str) -> bool {
    let mut rest = text;
    message.split('…').map(str::trim).filter(|part| !part.is_empty()).all(|part| {
        let found = rest.split_once(part);
        rest = found.map_or(rest, |(_, behind)| behind);
        found.is_some()
    })
}

/// What is not a test.
fn sources() -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    for program in ["common", "gateway", "sidecar"] {
        files(&root().join(program).join("src"), ".rs", &mut paths);
    }
    let is_test = |path: &Path| {
        let path = path.to_string_lossy();
        path.contains("/tests") || path.contains("/simulation/") || path.contains("broken")
    };
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        (path, text[..end].to_owned())
    };
    paths.into_iter().filter(|path| !is_test(path)).map(read).collect()
}

fn troubleshooting() -> String {
    std::fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap()
}

#[test]
fn every_message_of_the_page_is_one_of_the_programs() {
    let said: Vec<Literal> = sources().iter().flat_map(|(_, source)| literals(source)).collect();
    let page = troubleshooting();
    let mut in_table = false;
    let (mut messages, mut wrong) = (0, Vec::new());
    for line in page.lines() {
        in_table = line.starts_with("| message |") || (in_table && line.starts_with('|'));
        let Some(first) = line.strip_prefix("| ").and_then(|rest| rest.split(" | ").next()) else { continue };
        for message in spans(first, true).filter(|_| in_table) {
            messages += 1;
            if !said.iter().any(|literal| says(message, &literal.text)) {
                wrong.push(message.to_owned());
            }
        }
    }
    assert!(messages > 50, "only {messages} messages were found");
    assert!(wrong.is_empty(), "nobody says:\n{}", wrong.join("\n"));
}

#[test]
fn every_warning_and_error_is_on_the_page() {
    let page = troubleshooting();
    let told: Vec<&str> = page.lines().flat_map(|line| spans(line, true)).collect();
    // They tell whoever is at the terminal, and say what to do themselves.
    let by_themselves =
        ["/import/", "/stock/", "/doctor/", "/session/", "/file/java/", "gateway/src/routing/"];
    let (mut found, mut missing) = (0, Vec::new());
    for (path, source) in sources() {
        let place = path.to_string_lossy().into_owned();
        if by_themselves.iter().any(|part| place.contains(part)) {
            continue;
        }
        let literals = literals(&source);
        for word in ["log::warn!(", "log::error!(", "#[error("] {
            for (at, _) in source.match_indices(word) {
                let from = at + word.len();
                let Some(literal) = literals.iter().find(|literal| literal.at >= from) else { continue };
                let direct = source[from..literal.at].trim().is_empty();
                let all = letters(&literal.text);
                if !direct || all < LETTERS_MIN {
                    continue;
                }
                found += 1;
                let enough = LETTERS_ENOUGH.min(all * 4 / 5);
                if !told.iter().any(|message| letters(message) >= enough && says(message, &literal.text)) {
                    missing.push(format!("{}: {}", place.rsplit("src/").next().unwrap(), literal.text));
                }
            }
        }
    }
    assert!(found > 80, "only {found} messages were found");
    assert!(missing.is_empty(), "docs/troubleshooting.md does not have:\n{}", missing.join("\n"));
}
