//! Decides how a value that merges is written: its history once, each surviving write as a place
//! in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::survivors::Survivors;
use crate::base::context::{Context, ShortDot};
use crate::base::operation::Kind;
use crate::limits::{VALUE_BYTES_MAX, WRITERS_MAX};
use crate::wire::codec::{DecodeError, Decoded, Reader, put_bytes, put_u64, put_varint};

const EVENTS: u8 = 0;
const NAMED: u8 = 1;
/// A map of sets is three deep; deeper is malformed.
const DEPTH_MAX: usize = 3;

pub(super) fn put_context(out: &mut Vec<u8>, context: &Context) {
    put_varint(out, context.writers() as u64);
    for dot in context.dots() {
        put_u64(out, dot.writer);
        put_varint(out, dot.seq);
    }
}

pub(super) fn read_context(r: &mut Reader<'_>) -> Decoded<Context> {
    let count = r.count(WRITERS_MAX, 9, "context")?;
    let pairs = (0..count)
        .map(|_| Ok((r.u64("context writer")?, r.seq("context seq")?)))
        .collect::<Decoded<Vec<_>>>()?;
    Context::from_pairs(pairs).ok_or(DecodeError::Invalid("context"))
}

pub(super) fn put_survivors(out: &mut Vec<u8>, survivors: &Survivors, context: &Context) {
    match survivors {
        Survivors::Events(events) => {
            out.push(EVENTS);
            put_varint(out, events.len() as u64);
            for (&dot, bytes) in events {
                let place = context.place_of(dot.writer);
                let (place, upto) = place.expect("a context covers the writes of its value");
                put_varint(out, place as u64);
                put_varint(out, upto - dot.seq);
                put_bytes(out, bytes);
            }
        }
        Survivors::Named(named) => {
            out.push(NAMED);
            put_varint(out, named.len() as u64);
            for (name, inner) in named {
                put_bytes(out, name);
                put_survivors(out, inner, context);
            }
        }
    }
}

/// Whether a value of this kind can hold these.
pub(super) fn fits(kind: Kind, holds: &Survivors) -> bool {
    matches!(holds, Survivors::Named(_)) == matches!(kind, Kind::Set | Kind::Map)
}

pub(super) fn read_survivors(
    r: &mut Reader<'_>,
    context: &Context,
    depth: usize,
) -> Decoded<Survivors> {
    if depth > DEPTH_MAX {
        return Err(DecodeError::TooLong("value depth"));
    }
    match r.u8("value shape")? {
        EVENTS => {
            let mut events = BTreeMap::new();
            for _ in 0..r.count(VALUE_BYTES_MAX, 3, "events")? {
                let dot = read_dot(r, context)?;
                if events.last_key_value().is_some_and(|(last, _)| *last >= dot) {
                    return Err(DecodeError::Invalid("events"));
                }
                events.insert(dot, r.bytes(VALUE_BYTES_MAX, "event value")?.into());
            }
            Ok(Survivors::Events(events))
        }
        NAMED => {
            let mut named: BTreeMap<Arc<[u8]>, Survivors> = BTreeMap::new();
            for _ in 0..r.count(VALUE_BYTES_MAX, 3, "elements")? {
                let name = r.bytes(VALUE_BYTES_MAX, "element")?;
                let inner = read_survivors(r, context, depth + 1)?;
                let ascends = named.last_key_value().is_none_or(|(last, _)| **last < *name);
                if inner.is_empty() || !ascends {
                    return Err(DecodeError::Invalid("elements"));
                }
                named.insert(name.into(), inner);
            }
            Ok(Survivors::Named(named))
        }
        _ => Err(DecodeError::Invalid("value shape")),
    }
}

fn read_dot(r: &mut Reader<'_>, context: &Context) -> Decoded<ShortDot> {
    let place = r.varint("event writer")?;
    let before = r.varint("event seq")?;
    let known = usize::try_from(place).ok().and_then(|place| context.at(place));
    let Some((writer, upto)) = known else { return Err(DecodeError::Invalid("event writer")) };
    match upto.checked_sub(before) {
        Some(seq) if seq > 0 => Ok(ShortDot { writer, seq }),
        _ => Err(DecodeError::Invalid("event seq")),
    }
}
