//! An annotated configuration file, `conf/*.toml`: which keys it shows and what it says of them. `docs/configuration.md` is made of it, and the tests
//! of both programs compare it with what they take.

/// A file as it is: comments, tables, keys.
///
/// Comment lines above a key are about it and those that follow without a line between; above a table about that; with an empty line behind them
/// about what follows. A key behind a `#` without a blank is shown and not set.
#[derive(Debug, Default)]
pub struct Annotated {
    /// The tables in the order in which they are shown first. The first is the file's own and has no name.
    pub tables: Vec<Table>,
    lines: Vec<String>,
}

/// What is shown of a table.
#[derive(Debug, Default)]
pub struct Table {
    /// `upstream.server`; empty for the file's own.
    pub path: String,
    /// As it is written: `[[upstream.server]]`.
    pub header: String,
    /// What is said of it.
    pub text: String,
    /// Its keys, and what is said between them.
    pub parts: Vec<Part>,
}

/// A part of a table.
#[derive(Debug)]
pub enum Part {
    /// What is said of the keys that follow.
    Prose(String),
    /// Keys that are told of together.
    Keys(Vec<Key>, String),
}

/// A key that is shown.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// With its value, as it is written.
    pub written: String,
    /// Whether it is set; else it is behind a `#`.
    pub is_set: bool,
    line: usize,
}

/// What a value that is shown for a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// What holds without the key.
    Default,
    /// An example: without the key something else holds, which the text says.
    Example,
    /// An example: without the key nothing of the kind holds.
    NoDefault,
    /// An example: the key has to be there.
    Required,
}

impl Annotated {
    /// Reads a file.
    pub fn read(text: &str) -> Self {
        let mut file = Self { tables: vec![Table::default()], lines: Vec::new() };
        let (mut comment, mut at, mut aside) = (Vec::new(), 0, false);
        let mut goes_on = false;
        for (number, line) in text.lines().enumerate() {
            let bare = line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| !c.is_whitespace()));
            let told = bare.unwrap_or(line);
            let mut kept = line.to_owned();
            if let Some(words) = line.strip_prefix('#').filter(|_| bare.is_none()) {
                comment.push(words.trim().to_owned());
                goes_on = false;
            } else if told.starts_with('[') {
                aside = bare.is_some();
                let known = file.tables.len();
                at = file.table(told, &comment.join(" "));
                // What is said where it is shown again is about the keys that are new there.
                if at == known {
                    comment.clear();
                }
                goes_on = false;
            } else if let Some((name, _)) = told.split_once(" = ") {
                let is_set = bare.is_none() || aside;
                let key =
                    Key { name: name.trim().to_owned(), written: told.to_owned(), is_set, line: number };
                let shown =
                    file.tables.get_mut(at).is_some_and(|table| table.show(key, comment.join(" "), goes_on));
                if shown {
                    comment.clear();
                }
                goes_on = shown;
            } else if line.trim().is_empty() {
                if !comment.is_empty()
                    && let Some(table) = file.tables.get_mut(at)
                {
                    table.parts.push(Part::Prose(comment.join(" ")));
                    comment.clear();
                }
                aside = false;
                goes_on = false;
            }
            // A table behind a # is an example as a whole.
            if aside && let Some(bare) = bare {
                kept = bare.to_owned();
            }
            file.lines.push(kept);
        }
        file
    }

    /// The table of this header.
    fn table(&mut self, header: &str, text: &str) -> usize {
        let path = header.trim_matches(['[', ']']).to_owned();
        if let Some(at) = self.tables.iter().position(|table| table.path == path) {
            return at;
        }
        let table = Table { path, header: header.to_owned(), text: text.to_owned(), parts: Vec::new() };
        self.tables.push(table);
        self.tables.len() - 1
    }

    /// The file with the tables that are behind a `#`.
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// The same without this key.
    pub fn without(&self, key: &Key) -> String {
        let left = self.lines.iter().enumerate().filter(|(number, _)| *number != key.line);
        left.map(|(_, line)| format!("{line}\n")).collect()
    }

    /// Each key with its table, what it is told to be, and the prose before it.
    pub fn keys(&self) -> impl Iterator<Item = (&Table, &Key, Shown, &str)> {
        self.tables.iter().flat_map(|table| {
            let mut prose = "";
            table.parts.iter().flat_map(move |part| match part {
                Part::Prose(text) => {
                    prose = text.as_str();
                    Vec::new()
                }
                Part::Keys(keys, text) => {
                    keys.iter().map(|key| (table, key, table.shown(text), prose)).collect()
                }
            })
        })
    }

    /// Where the file shows for a key that is set something else than what holds. `told` says what configuration a text comes to; `optional`
    /// are keys, each with its table's path, that are required in general and not in this file.
    ///
    /// # Errors
    /// Why the whole file is no configuration.
    pub fn shown_wrongly(
        &self,
        told: impl Fn(&str) -> Result<String, String>,
        optional: &[(&str, &str)],
    ) -> Result<Vec<String>, String> {
        let all = told(&self.text())?;
        let mut wrong = Vec::new();
        for (table, key, shown, _) in self.keys().filter(|(_, key, ..)| key.is_set) {
            let without = told(&self.without(key));
            let is_right = match shown {
                Shown::Default => without.as_ref() == Ok(&all),
                Shown::Required => without.is_err() || optional.contains(&(&table.path, &key.name)),
                Shown::NoDefault => without.as_ref() != Ok(&all),
                Shown::Example => without.is_ok(),
            };
            if !is_right {
                wrong.push(format!("{} in [{}] as {shown:?}: {without:?}", key.written, table.path));
            }
        }
        Ok(wrong)
    }

    /// The last names of the tables in this one: `server` for `upstream`. Tables of any name (`memcached.node.NAME`) count as one.
    pub fn below<'a>(&'a self, path: &str) -> impl Iterator<Item = &'a str> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
        let rest = self.tables.iter().filter_map(move |table| table.path.strip_prefix(&prefix));
        let mut names: Vec<_> =
            rest.filter_map(|rest| rest.split('.').next()).filter(|name| !name.is_empty()).collect();
        names.dedup();
        names.into_iter()
    }

    /// For `docs/configuration.md`.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        for table in &self.tables {
            if !table.header.is_empty() {
                out += &format!("\n### `{}`\n", table.header);
            }
            if !table.text.is_empty() {
                out += &format!("\n{}\n", escape(&table.text));
            }
            let mut inside = false;
            for part in &table.parts {
                match part {
                    Part::Prose(text) => {
                        out += &format!("\n{}\n", escape(text));
                        inside = false;
                    }
                    Part::Keys(keys, text) => {
                        if !inside {
                            out += "\n| key | | |\n|---|---|---|\n";
                        }
                        inside = true;
                        let written: Vec<_> =
                            keys.iter().map(|key| format!("`{}`", key.written.replace('|', "\\|"))).collect();
                        let what = match table.shown(text) {
                            Shown::Default => "default",
                            Shown::Example => "example",
                            Shown::NoDefault => "no default",
                            Shown::Required => "required",
                        };
                        out += &format!("| {} | {what} | {} |\n", written.join("<br>"), escape(text));
                    }
                }
            }
        }
        out
    }
}

impl Table {
    /// `false`: it is known.
    fn show(&mut self, key: Key, text: String, goes_on: bool) -> bool {
        let known = |part: &Part| matches!(part, Part::Keys(keys, _) if keys.iter().any(|other| other.name == key.name));
        if self.parts.iter().any(known) {
            return false;
        }
        match self.parts.last_mut() {
            Some(Part::Keys(keys, _)) if goes_on && text.is_empty() => keys.push(key),
            _ => self.parts.push(Part::Keys(vec![key], text)),
        }
        true
    }

    /// By what is said of a key, or of the table where nothing is said of the key.
    fn shown(&self, text: &str) -> Shown {
        let text = if text.is_empty() { &self.text } else { text };
        let has = |word: &str| text.contains(word);
        match () {
            () if has("Required") => Shown::Required,
            () if has("No default") => Shown::NoDefault,
            () if has("Default:") => Shown::Example,
            () => Shown::Default,
        }
    }

    /// The names of its keys.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().flat_map(|part| match part {
            Part::Prose(_) => Vec::new(),
            Part::Keys(keys, _) => keys.iter().map(|key| key.name.as_str()).collect(),
        })
    }
}

/// The keys that a table takes, by what its parser says of one that it does not take. `None`: it says nothing of the kind.
pub fn accepted(error: &str) -> Option<Vec<String>> {
    let (_, list) = error.split_once("unknown field `")?.1.split_once("expected ")?;
    Some(list.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Compares what is between the marks of `name` in a page with what is to be there, and writes that if SATCHEL_GOLDEN is set.
///
/// # Errors
/// Says what to do.
pub fn compare(page: &std::path::Path, name: &str, now: &str) -> Result<(), String> {
    let marks = [format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->")];
    let text = std::fs::read_to_string(page).map_err(|error| format!("{}: {error}", page.display()))?;
    let place =
        text.split_once(&marks[0]).and_then(|(before, rest)| Some((before, rest.split_once(&marks[1])?)));
    let Some((before, (is, after))) = place else {
        return Err(format!("{} has no {}", page.display(), marks[0]));
    };
    if is == now {
        return Ok(());
    }
    if std::env::var_os("SATCHEL_GOLDEN").is_some() {
        let written = format!("{before}{}{now}{}{after}", marks[0], marks[1]);
        return std::fs::write(page, written).map_err(|error| format!("{}: {error}", page.display()));
    }
    let differs = is.lines().zip(now.lines()).find(|(is, now)| is != now);
    Err(format!(
        "{} is not what conf/{name} says; run this test with SATCHEL_GOLDEN=1, and look at what it has written. The first difference: {differs:?}",
        page.display()
    ))
}

/// What Markdown would take for its own, outside of code.
fn escape(text: &str) -> String {
    let part = |(number, part): (usize, &str)| {
        if number % 2 == 1 {
            return format!("`{}`", part.replace('|', "\\|"));
        }
        let special = |c: char| matches!(c, '|' | '<' | '*');
        part.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
    };
    linked(&text.split('`').enumerate().map(part).collect::<String>())
}

/// Other pages stand beside this one.
fn linked(text: &str) -> String {
    let mut parts = text.split("docs/");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(".md") {
            Some((name, rest)) if name.chars().all(|c| c.is_ascii_lowercase() || c == '-') => {
                out += &format!("[{name}.md]({name}.md){rest}");
            }
            _ => out += &format!("docs/{part}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# The file.\n\n# How many.\nthreads = 1\n# Where. No default.\n#admin = \"a\"\n\n# A table.\n[a.b]\n# Two | of\n# them. Required.\nx = 1\n\
        y = 2\n\n# The rest.\n\n# One.\nz = 3\n\n# As a whole. No default.\n#[c]\n# In it: `a*`, docs/x.md.\n#d = 4\n\n# Again.\n#[[e]]\n#f = 5\n\n# More. No default.\n#[[e]]\n#f = 6\n#g = 7\n";

    #[test]
    fn a_file_is_read_with_what_it_says() {
        let file = Annotated::read(FILE);
        let told: Vec<_> = file
            .keys()
            .map(|(table, key, shown, prose)| (&*table.path, &*key.name, shown, prose, key.is_set))
            .collect();
        assert_eq!(
            told,
            [
                ("", "threads", Shown::Default, "The file.", true),
                ("", "admin", Shown::NoDefault, "The file.", false),
                ("a.b", "x", Shown::Required, "", true),
                ("a.b", "y", Shown::Required, "", true),
                ("a.b", "z", Shown::Default, "The rest.", true),
                ("c", "d", Shown::Default, "", true),
                ("e", "f", Shown::Default, "", true),
                ("e", "g", Shown::NoDefault, "", true),
            ]
        );
        assert!(
            file.text().contains("#admin")
                && file.text().contains("\n[c]\n# In it: `a*`, docs/x.md.\nd = 4\n")
        );
        let (_, key, ..) = file.keys().nth(2).unwrap();
        assert!(file.without(key).contains("\ny = 2") && !file.without(key).contains("x = 1"));
    }

    #[test]
    fn it_becomes_tables() {
        let now = Annotated::read(FILE).markdown();
        assert!(
            now.starts_with(
                "\nThe file.\n\n| key | | |\n|---|---|---|\n| `threads = 1` | default | How many. |\n"
            ),
            "{now}"
        );
        assert!(now.contains("### `[a.b]`\n\nA table.\n\n| key | | |\n|---|---|---|\n| `x = 1`<br>`y = 2` | required | Two \\| of them. Required. |\n"));
        assert!(now.contains("| `d = 4` | default | In it: `a*`, [x.md](x.md). |\n"), "{now}");
    }

    #[test]
    fn what_is_accepted_is_taken_from_the_parser() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(rename = "type")]
            _kind: Option<u8>,
            #[serde(rename = "other")]
            _other: Option<u8>,
        }
        let error = toml::from_str::<File>("x = 1").unwrap_err().to_string();
        assert_eq!(accepted(&error), Some(vec!["type".to_owned(), "other".to_owned()]));
        assert_eq!(accepted("invalid type"), None);
    }
}
