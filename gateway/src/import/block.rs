//! Our configuration as it grows: keys in the order in which they are printed.

/// What a key may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Flag(bool),
    Number(u64),
    List(Vec<String>),
    Pairs(Vec<[String; 2]>),
    Table(Vec<(String, String)>),
}

/// `[http]`, `[[server]]`, `[[upstream]]` and what is in them.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    /// Printed above it.
    pub(super) comment: Vec<String>,
    pub(super) entries: Vec<Entry>,
    /// A location that nginx has in another one.
    pub(super) is_inner: bool,
    /// Locations of a server, servers of an upstream.
    pub(super) children: Vec<Block>,
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: &'static str,
    pub(super) value: Value,
    /// Printed behind it.
    pub(super) comment: &'static str,
}

impl Block {
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The first value stays; `false` if there is one.
    pub(super) fn set(&mut self, key: &'static str, value: Value) -> bool {
        self.set_because(key, value, "")
    }

    /// The same with a comment.
    pub(super) fn set_because(&mut self, key: &'static str, value: Value, comment: &'static str) -> bool {
        let is_new = !self.has(key);
        if is_new {
            self.entries.push(Entry { key, value, comment });
        }
        is_new
    }

    /// Adds to a list, which is made if it is not there.
    pub(super) fn add(&mut self, key: &'static str, text: impl Into<String>) {
        if let Value::List(list) = self.entry(key, Value::List(Vec::new())) {
            list.push(text.into());
        }
    }

    /// Adds to a list of pairs.
    pub(super) fn add_pair(&mut self, key: &'static str, from: &str, to: &str) {
        if let Value::Pairs(pairs) = self.entry(key, Value::Pairs(Vec::new())) {
            pairs.push([from.to_owned(), to.to_owned()]);
        }
    }

    /// Adds to a table; `false` if the name is taken. Names are those of headers, so their case does not matter.
    pub(super) fn add_row(&mut self, key: &'static str, name: &str, value: String) -> bool {
        match self.table(key) {
            Some(rows) if rows.iter().all(|(taken, _)| !taken.eq_ignore_ascii_case(name)) => {
                rows.push((name.to_owned(), value));
                true
            }
            _ => false,
        }
    }

    /// The rows of a table, which is made if it is not there.
    pub(super) fn table(&mut self, key: &'static str) -> Option<&mut Vec<(String, String)>> {
        match self.entry(key, Value::Table(Vec::new())) {
            Value::Table(rows) => Some(rows),
            _ => None,
        }
    }

    fn entry(&mut self, key: &'static str, empty: Value) -> &mut Value {
        let at = self.entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
            self.entries.push(Entry { key, value: empty, comment: "" });
            self.entries.len() - 1
        });
        &mut self.entries[at].value
    }
}
