//! Decides how a flag is stored, who is in a stage, and which value a member has.
//!
//! A flag is one value that merges: a map with the register `document`, all of the flag in one
//! piece, and the set `stops`, the stages that were stopped. A stop is not part of the document, so
//! that no change of the document at the same time can undo it (row K4).

use std::sync::Arc;

use super::crdt::Merged;
use crate::base::context::ShortDot;
use crate::base::flag::{FlagRefused, Share, ValueType};
use crate::base::hash::{HashKey, domain};
use crate::base::operation::{Kind, Operation};
use crate::limits::{FLAG_REASON_BYTES_MAX, FLAG_VALUE_BYTES_MAX};
use crate::wire::codec::{DecodeError, Decoded, Reader, put_bytes, put_u16, put_u64, put_varint};

/// The keyspace of flags: written through them only.
pub const KEYSPACE: &str = "flags";

const DOCUMENT: &[u8] = b"document";
const STOPS: &[u8] = b"stops";

/// All of a flag but its stops.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// One more than those it was made from: of concurrent ones the higher counts, then the bytes.
    pub revision: u64,
    pub kind: ValueType,
    pub value: Arc<str>,
    pub stage: Option<Stage>,
    /// Fields of later versions, kept at every change (row K5).
    pub extra: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// The write that began it.
    pub id: ShortDot,
    pub value: Arc<str>,
    pub share: Share,
}

/// A flag as it stands: the document that counts, and what else there is.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    pub document: Document,
    /// Documents written at the same time, which do not count.
    pub rivals: usize,
    /// Why the stage under way was stopped, ascending; empty: it was not.
    pub stops: Vec<Arc<str>>,
}

impl Flag {
    /// `None`: no flag, or none that this version can read.
    pub fn of(merged: &Merged) -> Option<Flag> {
        let field = |kind: Kind, name: &[u8]| {
            merged.fields().find(|(k, n, _)| *k == kind && *n == name).map(|(_, _, value)| value)
        };
        let documents = field(Kind::Register, DOCUMENT)?;
        let read = |bytes: &Arc<[u8]>| Some((Document::decode(bytes).ok()?, bytes.clone()));
        let mut documents: Vec<_> = documents.siblings().filter_map(read).collect();
        documents.sort_by(|a, b| (a.0.revision, &a.1).cmp(&(b.0.revision, &b.1)));
        let rivals = documents.len().checked_sub(1)?;
        let document = documents.pop()?.0;
        let stops = match (&document.stage, field(Kind::Set, STOPS)) {
            (Some(stage), Some(stops)) => {
                stops.elements().filter_map(|element| reason_for(stage.id, element)).collect()
            }
            _ => Vec::new(),
        };
        Some(Flag { document, rivals, stops })
    }

    /// Whether this member has the staged value.
    pub fn is_staged_at(&self, key: &HashKey, flag: &[u8], name: &str, zone: Option<&str>) -> bool {
        let Some(stage) = &self.document.stage else { return false };
        self.stops.is_empty() && stage.share.includes(key, flag, name, zone)
    }

    pub fn value_at(
        &self,
        key: &HashKey,
        flag: &[u8],
        name: &str,
        zone: Option<&str>,
    ) -> &Arc<str> {
        match &self.document.stage {
            Some(stage) if self.is_staged_at(key, flag, name, zone) => &stage.value,
            _ => &self.document.value,
        }
    }
}

impl Share {
    /// Drawn by the flag's and the member's name: a member stays in when the share grows, and
    /// flags do not all try their news on the same members.
    pub fn includes(&self, key: &HashKey, flag: &[u8], name: &str, zone: Option<&str>) -> bool {
        let drawn =
            key.wide(domain::FLAG, &[flag, name.as_bytes()]) % u128::from(Share::ALL_POINTS);
        let in_zone = self.zone.is_none() || self.zone.as_deref() == zone;
        in_zone && drawn < u128::from(self.basis_points)
    }

    pub(crate) fn check(&self) -> Result<(), FlagRefused> {
        let fits = (1..=Share::ALL_POINTS).contains(&self.basis_points);
        let zone_fits = self.zone.as_ref().is_none_or(|z| (1..=128).contains(&z.len()));
        if fits && zone_fits { Ok(()) } else { Err(FlagRefused::Share) }
    }
}

impl Document {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.revision);
        out.push(self.kind.code());
        put_bytes(out, self.value.as_bytes());
        out.push(u8::from(self.stage.is_some()));
        if let Some(stage) = &self.stage {
            put_u64(out, stage.id.writer);
            put_varint(out, stage.id.seq);
            put_bytes(out, stage.value.as_bytes());
            put_u16(out, stage.share.basis_points);
            put_bytes(out, stage.share.zone.as_deref().unwrap_or_default().as_bytes());
        }
        out.extend_from_slice(&self.extra);
    }

    pub fn decode(bytes: &[u8]) -> Decoded<Document> {
        let mut r = Reader::new(bytes);
        let revision = r.seq("flag revision")?;
        let kind = r.u8("flag type")?;
        let kind = ValueType::from_code(kind).ok_or(DecodeError::Invalid("flag type"))?;
        let value = r.text(FLAG_VALUE_BYTES_MAX, "flag value")?.into();
        let stage = match r.u8("stage mark")? {
            0 => None,
            1 => Some(read_stage(&mut r)?),
            _ => return Err(DecodeError::Invalid("stage mark")),
        };
        Ok(Document { revision, kind, value, stage, extra: r.rest().to_vec() })
    }

    /// The operation that makes this the flag's document, instead of all that are known.
    pub fn assign(&self) -> Operation {
        let mut value = Vec::new();
        self.put(&mut value);
        in_field(DOCUMENT, Kind::Register, Operation::Assign { value, read: None })
    }
}

/// The operation that stops a stage.
pub fn stop(stage: ShortDot, reason: &str) -> Operation {
    let mut element = Vec::new();
    put_u64(&mut element, stage.writer);
    put_varint(&mut element, stage.seq);
    element.extend_from_slice(reason.as_bytes());
    in_field(STOPS, Kind::Set, Operation::Insert(element))
}

/// The operation that forgets all stops known here: their stages are over.
pub fn forget_stops() -> Operation {
    Operation::RemoveField { name: STOPS.to_vec(), kind: Kind::Set }
}

fn in_field(name: &[u8], kind: Kind, operation: Operation) -> Operation {
    Operation::Field { name: name.to_vec(), kind, operation: Box::new(operation) }
}

fn read_stage(r: &mut Reader<'_>) -> Decoded<Stage> {
    let id = ShortDot { writer: r.u64("stage writer")?, seq: r.seq("stage number")? };
    let value = r.text(FLAG_VALUE_BYTES_MAX, "staged value")?.into();
    let basis_points = r.u16("share")?;
    let zone = r.text(128, "zone")?;
    let share = Share { basis_points, zone: (!zone.is_empty()).then(|| zone.to_owned()) };
    share.check().map_err(|_| DecodeError::Invalid("share"))?;
    Ok(Stage { id, value, share })
}

fn reason_for(stage: ShortDot, element: &[u8]) -> Option<Arc<str>> {
    let mut r = Reader::new(element);
    let id = ShortDot { writer: r.u64("stage writer").ok()?, seq: r.seq("stage number").ok()? };
    let reason = std::str::from_utf8(r.rest()).ok()?;
    (id == stage && reason.len() <= FLAG_REASON_BYTES_MAX).then(|| reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(points: u16) -> Document {
        let share = Share { basis_points: points, zone: Some("eu".to_owned()) };
        let id = ShortDot { writer: 7, seq: 9 };
        Document {
            revision: 3,
            kind: ValueType::Integer,
            value: "1".into(),
            stage: Some(Stage { id, value: "2".into(), share }),
            extra: vec![9, 9],
        }
    }

    #[test]
    fn documents_round_trip_with_fields_of_later_versions_and_noise_is_refused() {
        let mut bytes = Vec::new();
        document(100).put(&mut bytes);
        assert_eq!(Document::decode(&bytes), Ok(document(100)));
        for end in 0..bytes.len() - 2 {
            assert!(Document::decode(&bytes[..end]).is_err(), "{end}");
        }
        let mut wrong = Vec::new();
        document(10_001).put(&mut wrong);
        assert_eq!(Document::decode(&wrong), Err(DecodeError::Invalid("share")));
    }

    #[test]
    fn a_share_grows_by_adding_members_and_has_about_its_size() {
        let key = HashKey::for_cluster("c");
        let share = |basis_points| Share { basis_points, zone: None };
        let names: Vec<String> = (0..10_000).map(|i| format!("n{i}")).collect();
        let members = |points: u16, flag: &[u8]| -> Vec<bool> {
            names.iter().map(|n| share(points).includes(&key, flag, n, None)).collect()
        };
        let (few, more) = (members(1000, b"f"), members(2500, b"f"));
        let count = few.iter().filter(|&&m| m).count();
        assert!((900..1100).contains(&count), "{count} of 10,000 for 10 %");
        assert!(few.iter().zip(&more).all(|(few, more)| !few || *more));
        assert!(members(Share::ALL_POINTS, b"f").iter().all(|&m| m));
        assert_ne!(few, members(1000, b"g"), "each flag draws its own");
    }

    #[test]
    fn a_stop_holds_against_a_concurrent_change_of_the_share() {
        let event = |writer, seq| ShortDot { writer, seq };
        let mut base = Merged::new(Kind::Map);
        base.apply(event(1, 1), &document(100).assign()).unwrap();
        let (mut wider, mut stopped) = (base.clone(), base);
        let more = Document { revision: 4, ..document(5000) };
        wider.apply(event(1, 2), &more.assign()).unwrap();
        stopped.apply(event(2, 1), &stop(event(7, 9), "errors")).unwrap();
        wider.join(&stopped);
        let flag = Flag::of(&wider).unwrap();
        assert_eq!(flag.document, more);
        assert_eq!(flag.stops, vec![Arc::from("errors")]);
        let next = Stage { id: event(1, 3), ..more.stage.clone().unwrap() };
        let next = Document { revision: 5, stage: Some(next), ..more };
        wider.apply(event(1, 3), &next.assign()).unwrap();
        assert!(Flag::of(&wider).unwrap().stops.is_empty(), "a stop is for its stage alone");
    }

    #[test]
    fn of_concurrent_documents_all_take_the_same() {
        let event = |writer, seq| ShortDot { writer, seq };
        let value = |text: &str| Document { value: text.into(), stage: None, ..document(1) };
        let (mut a, mut b) = (Merged::new(Kind::Map), Merged::new(Kind::Map));
        a.apply(event(1, 1), &value("5").assign()).unwrap();
        b.apply(event(2, 1), &value("6").assign()).unwrap();
        let (mut ab, mut ba) = (a.clone(), b.clone());
        ab.join(&b);
        ba.join(&a);
        let flag = Flag::of(&ab).unwrap();
        assert_eq!(Some(&flag), Flag::of(&ba).as_ref());
        assert_eq!((&*flag.document.value, flag.rivals), ("6", 1));
    }
}
