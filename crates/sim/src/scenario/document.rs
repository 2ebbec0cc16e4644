//! Decides how a scenario file is read: TOML whose values know their lines, so that whatever is
//! refused is named with its file, line, key and what was expected, in one line.

use std::fmt;

use toml::de::{DeTable, DeValue};

/// Why a scenario cannot be: one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub file: String,
    pub line: usize,
    /// What was found, and what was expected.
    pub what: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub line: usize,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Whole(i64),
    Number(f64),
    Flag(bool),
    List(Vec<Item>),
    Table(Vec<Entry>),
    /// A date, a time, a number that fits no type.
    Other(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    /// Of the key.
    pub line: usize,
    pub item: Item,
}

/// A file in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub file: String,
    pub root: Item,
}

impl Document {
    pub fn parse(file: &str, text: &str) -> Result<Document, Refusal> {
        let line = |offset: usize| 1 + text[..offset.min(text.len())].matches('\n').count();
        let table = DeTable::parse(text).map_err(|error| Refusal {
            file: file.to_owned(),
            line: line(error.span().map_or(0, |span| span.start)),
            what: format!("{}: expected TOML", error.message().replace('\n', " ")),
        })?;
        let entries = read_table(table.get_ref(), &line);
        let root = Item { line: 1, value: Value::Table(entries) };
        Ok(Document { file: file.to_owned(), root })
    }

    pub fn refuse(&self, line: usize, what: String) -> Refusal {
        Refusal { file: self.file.clone(), line, what }
    }

    /// The top of the file; `keys` are all that may stand there.
    pub fn section<'a>(&'a self, keys: &'a [&'a str]) -> Result<Section<'a>, Refusal> {
        Section::new(self, &self.root, "", keys)
    }

    /// Puts another value where `path` (keys and list positions from 0, with dots between) leads;
    /// the last key, and tables on the way, may be new.
    pub fn set(&mut self, path: &str, item: Item) -> Result<(), Refusal> {
        let line = item.line;
        let refused = |what: String| Refusal { file: self.file.clone(), line, what };
        let mut at = &mut self.root;
        for key in path.split('.') {
            at = match &mut at.value {
                Value::Table(entries) => {
                    let known = entries.iter().position(|e| e.key == key);
                    let index = known.unwrap_or_else(|| {
                        let item = Item { line, value: Value::Table(Vec::new()) };
                        entries.push(Entry { key: key.to_owned(), line, item });
                        entries.len() - 1
                    });
                    &mut entries[index].item
                }
                Value::List(items) => {
                    let count = items.len();
                    let found = key.parse::<usize>().ok().and_then(|n| items.get_mut(n));
                    found.ok_or_else(|| {
                        let last = count.saturating_sub(1);
                        refused(format!("{path}: no {key:?} in a list: expected 0 to {last}"))
                    })?
                }
                other => {
                    let kind = other.kind();
                    return Err(refused(format!(
                        "{path}: {key:?} is within {kind}: expected a key of a table"
                    )));
                }
            };
        }
        *at = item;
        Ok(())
    }
}

fn read_table(table: &DeTable<'_>, line: &dyn Fn(usize) -> usize) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            line: line(key.span().start),
            item: Item { line: line(key.span().start), value: read_value(value.get_ref(), line) },
        })
        .collect();
    entries.sort_by_key(|e| e.line);
    entries
}

fn read_value(value: &DeValue<'_>, line: &dyn Fn(usize) -> usize) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
            Ok(whole) => Value::Whole(whole),
            Err(_) => Value::Other(n.to_string()),
        },
        DeValue::Float(n) => match n.as_str().parse() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::Other(n.to_string()),
        },
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(time) => Value::Other(time.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| Item {
                    line: line(item.span().start),
                    value: read_value(item.get_ref(), line),
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(read_table(table, line)),
    }
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a text",
            Value::Whole(_) | Value::Number(_) => "a number",
            Value::Flag(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other(_) => "a date, or a number out of range",
        }
    }
}

/// As in the file, tables and lists by their kind only.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Whole(n) => write!(f, "{n}"),
            Value::Number(n) => write!(f, "{n}"),
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Other(text) => f.write_str(text),
            Value::List(_) | Value::Table(_) => f.write_str(self.kind()),
        }
    }
}

/// One table of the file, whose keys are all known.
#[derive(Clone, Copy)]
pub struct Section<'a> {
    pub document: &'a Document,
    /// With a dot at the end, unless it is the top.
    path: &'a str,
    pub line: usize,
    entries: &'a [Entry],
}

impl<'a> Section<'a> {
    /// `path` names the table in refusals.
    pub fn new(
        document: &'a Document,
        item: &'a Item,
        path: &'a str,
        keys: &[&str],
    ) -> Result<Section<'a>, Refusal> {
        let Value::Table(entries) = &item.value else {
            let (path, value) = (path.trim_end_matches('.'), &item.value);
            let what = format!("{path} = {value}: expected a table of keys");
            return Err(document.refuse(item.line, what));
        };
        if let Some(unknown) = entries.iter().find(|e| !keys.contains(&e.key.as_str())) {
            let (key, place) = (&unknown.key, path.trim_end_matches('.'));
            let place = if place.is_empty() { String::new() } else { format!(" in [{place}]") };
            let known = keys.join(", ");
            let what = format!("unknown key {key:?}{place}: expected one of {known}");
            return Err(document.refuse(unknown.line, what));
        }
        Ok(Section { document, path, line: item.line, entries })
    }

    pub fn item(&self, key: &str) -> Option<&'a Item> {
        self.entries.iter().find(|e| e.key == key).map(|e| &e.item)
    }

    /// Keys in the order of their lines.
    pub fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    /// What stands under `key`, if anything does, read by `read`; `expected` says what it takes.
    pub fn optional<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(item) = self.item(key) else { return Ok(None) };
        read(&item.value).map(Some).ok_or_else(|| self.refuse_value(key, item, expected))
    }

    pub fn required<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, Refusal> {
        self.optional(key, expected, read)?.ok_or_else(|| {
            let what = format!("{}{key} is missing: expected {expected}", self.path);
            self.document.refuse(self.line, what)
        })
    }

    pub fn refuse_value(&self, key: &str, item: &Item, expected: &str) -> Refusal {
        let what = format!("{}{key} = {}: expected {expected}", self.path, item.value);
        self.document.refuse(item.line, what)
    }

    /// A table below `key`.
    pub fn table(
        &self,
        key: &str,
        path: &'a str,
        keys: &[&str],
    ) -> Result<Option<Section<'a>>, Refusal> {
        self.item(key).map(|item| Section::new(self.document, item, path, keys)).transpose()
    }

    /// The tables of `[[key]]`.
    pub fn tables(
        &self,
        key: &str,
        path: &'a str,
        keys: &[&str],
    ) -> Result<Vec<Section<'a>>, Refusal> {
        match self.item(key) {
            None => Ok(Vec::new()),
            Some(Item { value: Value::List(items), .. }) => {
                items.iter().map(|item| Section::new(self.document, item, path, keys)).collect()
            }
            Some(item) => Err(self.refuse_value(key, item, &format!("[[{key}]] tables"))),
        }
    }
}
