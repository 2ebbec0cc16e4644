//! Decides how values that merge look in JSON, and how an operation on one is asked for:
//! `{"do":"add","with":5}`, `{"do":"insert","with":"x","field":"tags"}`.

use serde::Deserialize;
use serde_json::{Value, json};
use tidings::{Context, Kind, Merged, Operation};

use super::Fault;

/// What a request asks for. The operation says the kind of the value, or of the field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    r#do: String,
    with: Option<Value>,
    /// A field of a map.
    field: Option<String>,
    /// What `clear` clears, where the key holds nothing yet.
    kind: Option<String>,
    /// The context of a read: an assignment replaces only what was read.
    read: Option<Vec<(String, u64)>>,
}

const OPERATIONS: &str =
    "assign, add, insert, remove, enable, disable, raise, lower, clear or remove-field";

impl Asked {
    pub(super) fn parse(body: &[u8]) -> Result<Asked, Fault> {
        serde_json::from_slice(body)
            .map_err(|error| Fault::bad(format!("body: {error}: expected {{\"do\":…}}")))
    }

    /// The operation and the kind of value that it is for.
    pub(super) fn operation(self, holds: Option<Kind>) -> Result<(Kind, Operation), Fault> {
        let field = self.field.clone();
        if self.r#do == "remove-field" {
            let kind =
                self.named_kind()?.ok_or_else(|| Fault::bad("kind: expected the field's"))?;
            let name = field.ok_or_else(|| Fault::bad("field: expected a name"))?.into_bytes();
            return Ok((Kind::Map, Operation::RemoveField { name, kind }));
        }
        let (kind, operation) = self.simple(holds)?;
        Ok(match field {
            None => (kind, operation),
            Some(name) => {
                let (name, operation) = (name.into_bytes(), Box::new(operation));
                (Kind::Map, Operation::Field { name, kind, operation })
            }
        })
    }

    fn simple(self, holds: Option<Kind>) -> Result<(Kind, Operation), Fault> {
        Ok(match self.r#do.as_str() {
            "assign" => {
                let (value, read) = (self.text()?, self.context()?);
                (Kind::Register, Operation::Assign { value, read })
            }
            "add" => (Kind::Counter, Operation::Add(self.integer()?)),
            "insert" => (Kind::Set, Operation::Insert(self.text()?)),
            "remove" => (Kind::Set, Operation::Remove(self.text()?)),
            "enable" => (Kind::Flag, Operation::Enable),
            "disable" => (Kind::Flag, Operation::Disable),
            "raise" => (Kind::Max, Operation::Offer(self.integer()?)),
            "lower" => (Kind::Min, Operation::Offer(self.integer()?)),
            "clear" => {
                let kind = self.named_kind()?.or(holds);
                let kind =
                    kind.ok_or_else(|| Fault::bad("kind: expected one, the key is empty"))?;
                (kind, Operation::Clear)
            }
            other => return Err(Fault::bad(format!("do {other:?}: expected {OPERATIONS}"))),
        })
    }

    fn integer(&self) -> Result<i64, Fault> {
        self.with.as_ref().and_then(Value::as_i64).ok_or_else(|| self.expected("a 64-bit integer"))
    }

    fn text(&self) -> Result<Vec<u8>, Fault> {
        let text = self.with.as_ref().and_then(Value::as_str);
        text.map(|text| text.as_bytes().to_vec()).ok_or_else(|| self.expected("a string"))
    }

    fn expected(&self, what: &str) -> Fault {
        let given = self.with.as_ref().map_or("nothing".to_owned(), Value::to_string);
        Fault::bad(format!("with {given}: expected {what} for {}", self.r#do))
    }

    fn named_kind(&self) -> Result<Option<Kind>, Fault> {
        let Some(name) = &self.kind else { return Ok(None) };
        let kinds = Kind::ALL.map(Kind::as_str).join(", ");
        let unknown = || Fault::bad(format!("kind {name:?}: expected one of {kinds}"));
        Kind::parse(name).map(Some).ok_or_else(unknown)
    }

    fn context(&self) -> Result<Option<Context>, Fault> {
        let Some(read) = &self.read else { return Ok(None) };
        let wrong = || Fault::bad("read: expected the Context of a read");
        let writer = |text: &str| u64::from_str_radix(text, 16).ok();
        let pairs: Option<Vec<(u64, u64)>> =
            read.iter().map(|(text, seq)| Some((writer(text)?, *seq))).collect();
        pairs.and_then(Context::from_pairs).map(Some).ok_or_else(wrong)
    }
}

/// The value as people read it: a number, a list, true or false, an object of fields.
pub(super) fn shown(merged: &Merged) -> Value {
    let text = |bytes: &[u8]| json!(String::from_utf8_lossy(bytes));
    match merged.kind() {
        Kind::Register => merged.siblings().map(|value| text(value)).collect(),
        Kind::Counter | Kind::Max | Kind::Min => match merged.number() {
            // Sums of many writers may leave what JSON readers keep exactly.
            Some(number) => i64::try_from(number).map_or(json!(number.to_string()), Value::from),
            None => Value::Null,
        },
        Kind::Set => merged.elements().map(|element| text(element)).collect(),
        Kind::Flag => json!(merged.is_enabled()),
        Kind::Map => {
            let fields = merged.fields().map(|(kind, name, value)| {
                let name = String::from_utf8_lossy(name).into_owned();
                (format!("{name}:{}", kind.as_str()), shown(&value))
            });
            Value::Object(fields.collect())
        }
    }
}

/// What a later assignment gives as `read`.
pub(super) fn context(merged: &Merged) -> Vec<(String, u64)> {
    merged.context().dots().map(|dot| (format!("{:016x}", dot.writer), dot.seq)).collect()
}
