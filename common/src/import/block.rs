//! Our configuration as it grows: keys in the order in which they are printed.

/// What a key may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// In quotes.
    Text(String),
    /// `true` or `false`.
    Flag(bool),
    /// As it is.
    Number(u64),
    /// Texts.
    List(Vec<String>),
    /// Pairs of texts.
    Pairs(Vec<[String; 2]>),
    /// A table of its own: names and texts.
    Table(Vec<(String, String)>),
}

/// `[http]`, `[[server]]`, `[[upstream]]` and what is in them.
#[derive(Debug, Clone, Default)]
pub struct Block {
    /// Printed above it.
    pub comment: Vec<String>,
    /// In the order in which they are printed.
    pub entries: Vec<Entry>,
    /// Locations of a server, servers of an upstream.
    pub children: Vec<Block>,
}

/// A key with its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub key: &'static str,
    /// What it says.
    pub value: Value,
    /// Printed behind it.
    pub comment: &'static str,
}

impl Block {
    /// What a key says.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Whether it is there.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The first value stays; `false` if there is one.
    pub fn set(&mut self, key: &'static str, value: Value) -> bool {
        self.set_because(key, value, "")
    }

    /// The same with a comment.
    pub fn set_because(&mut self, key: &'static str, value: Value, comment: &'static str) -> bool {
        let is_new = !self.has(key);
        if is_new {
            self.entries.push(Entry { key, value, comment });
        }
        is_new
    }

    /// Adds to a list, which is made if it is not there.
    pub fn add(&mut self, key: &'static str, text: impl Into<String>) {
        if let Value::List(list) = self.entry(key, Value::List(Vec::new())) {
            list.push(text.into());
        }
    }

    /// Adds to a list of pairs.
    pub fn add_pair(&mut self, key: &'static str, from: &str, to: &str) {
        if let Value::Pairs(pairs) = self.entry(key, Value::Pairs(Vec::new())) {
            pairs.push([from.to_owned(), to.to_owned()]);
        }
    }

    /// Adds to a table; `false` if the name is taken. Names are those of headers, so their case does not matter.
    pub fn add_row(&mut self, key: &'static str, name: &str, value: String) -> bool {
        match self.table(key) {
            Some(rows) if rows.iter().all(|(taken, _)| !taken.eq_ignore_ascii_case(name)) => {
                rows.push((name.to_owned(), value));
                true
            }
            _ => false,
        }
    }

    /// The rows of a table, which is made if it is not there.
    pub fn table(&mut self, key: &'static str) -> Option<&mut Vec<(String, String)>> {
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
