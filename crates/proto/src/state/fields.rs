//! Decides what an entry carries beside its value: tagged fields. What a node does not know it keeps
//! and forwards byte for byte, so that old and new versions work together (row K5).

use std::time::Duration;

use super::causal::Causes;
use crate::base::time::{Now, Time};
use crate::limits::{ENTRY_EXTRA_BYTES_MAX, LIFETIME_MS_MAX};
use crate::wire::codec::{DecodeError, Decoded, Reader, put_bytes, put_varint};

/// The registry of tags. On the wire they ascend; a later version takes a higher one.
mod tag {
    pub(super) const LIFETIME: u8 = 1;
    pub(super) const CAUSES: u8 = 2;
}

/// The fields of one entry; nothing is allocated where there are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Option<Box<Parts>>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Parts {
    lifetime: Option<Lifetime>,
    causes: Option<Causes>,
    /// Of later versions: as they came.
    unknown: Vec<u8>,
}

/// When an entry ends by itself. Each replica counts from when it learnt the entry what the one before
/// it had left: no wall clock decides. It ends late by the time that it spent on the way, and by the
/// drift of the clocks' rates, and never early by more than that drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// From the write on.
    pub whole: Duration,
    /// Here.
    pub ends: Time,
}

impl Fields {
    pub fn lifetime(&self) -> Option<Lifetime> {
        self.0.as_ref().and_then(|parts| parts.lifetime)
    }

    pub fn set_lifetime(&mut self, lifetime: Option<Lifetime>) {
        self.0.get_or_insert_default().lifetime = lifetime;
        self.0.take_if(|parts| **parts == Parts::default());
    }

    /// What it follows, where its keyspace is causal.
    pub fn causes(&self) -> Option<&Causes> {
        self.0.as_ref().and_then(|parts| parts.causes.as_ref())
    }

    pub fn set_causes(&mut self, causes: Option<Causes>) {
        self.0.get_or_insert_default().causes = causes;
        self.0.take_if(|parts| **parts == Parts::default());
    }

    /// `wall_ms`: also when this is written, for one that reads it after an absence.
    pub(super) fn put(&self, out: &mut Vec<u8>, now: Time, wall_ms: Option<u64>) {
        let Some(parts) = &self.0 else { return };
        if let Some(lifetime) = parts.lifetime {
            let mut body = Vec::with_capacity(24);
            put_varint(&mut body, lifetime.whole.as_millis() as u64);
            put_varint(&mut body, lifetime.ends.since(now).as_nanos().div_ceil(1_000_000) as u64);
            wall_ms.into_iter().for_each(|wall_ms| put_varint(&mut body, wall_ms));
            out.push(tag::LIFETIME);
            put_bytes(out, &body);
        }
        if let Some(causes) = &parts.causes {
            let mut body = Vec::with_capacity(64);
            causes.put(&mut body);
            out.push(tag::CAUSES);
            put_bytes(out, &body);
        }
        out.extend_from_slice(&parts.unknown);
    }

    /// The whole of `bytes`.
    pub fn read(bytes: &[u8], now: Now) -> Decoded<Fields> {
        let mut fields = Fields::default();
        let (mut r, mut last) = (Reader::new(bytes), 0);
        if bytes.len() > ENTRY_EXTRA_BYTES_MAX {
            return Err(DecodeError::TooLong("fields"));
        }
        while !r.is_empty() {
            let field = r.rest();
            let tag = r.u8("field tag")?;
            let body = r.bytes(ENTRY_EXTRA_BYTES_MAX, "field")?;
            if tag <= last {
                return Err(DecodeError::Invalid("order of fields"));
            }
            last = tag;
            let parts = fields.0.get_or_insert_default();
            match tag {
                tag::LIFETIME => parts.lifetime = Some(Lifetime::read(body, now)?),
                tag::CAUSES => parts.causes = Some(Causes::read(body)?),
                _ => parts.unknown.extend_from_slice(&field[..field.len() - r.rest().len()]),
            }
        }
        Ok(fields)
    }
}

impl Lifetime {
    pub fn from(now: Time, whole: Duration) -> Lifetime {
        Lifetime { whole, ends: now + whole }
    }

    fn read(body: &[u8], now: Now) -> Decoded<Lifetime> {
        let mut r = Reader::new(body);
        let (whole, left) = (r.varint("lifetime")?, r.varint("lifetime left")?);
        if whole > LIFETIME_MS_MAX || left > whole {
            return Err(DecodeError::Invalid("lifetime"));
        }
        // A clock that was set back while this lay on disk does not make it live longer.
        let away = if r.is_empty() { 0 } else { now.wall_ms.saturating_sub(r.varint("written")?) };
        let left = Duration::from_millis(left.saturating_sub(away));
        Ok(Lifetime { whole: Duration::from_millis(whole), ends: now.mono + left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Now = Now { mono: Time::from_secs(50), wall_ms: 1_000_000 };

    fn written(fields: &Fields, now: Time, wall_ms: Option<u64>) -> Vec<u8> {
        let mut out = Vec::new();
        fields.put(&mut out, now, wall_ms);
        out
    }

    fn lasting(secs: u64) -> Fields {
        let mut fields = Fields::default();
        fields.set_lifetime(Some(Lifetime::from(NOW.mono, Duration::from_secs(secs))));
        fields
    }

    /// Row K5: an old node passes a later version's fields on as they came.
    #[test]
    fn unknown_fields_are_kept_byte_for_byte() {
        let mut bytes = written(&lasting(30), NOW.mono, None);
        bytes.extend_from_slice(&[200, 3, 1, 2, 3, 201, 0]);
        let fields = Fields::read(&bytes, NOW).unwrap();
        assert_eq!(fields.lifetime().unwrap().whole, Duration::from_secs(30));
        assert_eq!(written(&fields, NOW.mono, None), bytes);
        assert!(Fields::read(&[201, 0, 200, 0], NOW).is_err(), "tags ascend");
        assert!(Fields::read(&[200, 0, 200, 0], NOW).is_err(), "each once");
        let long = [&[200, 0xff, 0x1f][..], &[0; 4095]].concat();
        assert_eq!(Fields::read(&long, NOW), Err(DecodeError::TooLong("fields")));
    }

    #[test]
    fn what_is_left_travels_and_is_counted_from_the_arrival() {
        let sent = NOW.mono + Duration::from_secs(10);
        let there = Now { mono: Time::from_secs(7_000), wall_ms: 5 };
        let fields = Fields::read(&written(&lasting(30), sent, None), there).unwrap();
        let lifetime = fields.lifetime().unwrap();
        assert_eq!(lifetime.ends, there.mono + Duration::from_secs(20));
        assert_eq!(lifetime.whole, Duration::from_secs(30));
    }

    #[test]
    fn an_absence_counts_up_to_what_was_left_and_never_backwards() {
        let bytes = written(&lasting(30), NOW.mono, Some(NOW.wall_ms));
        for (away_ms, left_ms) in [(12_000, 18_000), (-600_000, 30_000), (600_000, 0)] {
            let wall_ms = NOW.wall_ms.saturating_add_signed(away_ms);
            let back = Now { mono: Time::from_secs(1), wall_ms };
            let ends = Fields::read(&bytes, back).unwrap().lifetime().unwrap().ends;
            assert_eq!(ends.since(back.mono), Duration::from_millis(left_ms));
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok(fields) = Fields::read(&bytes, NOW) {
                let again = written(&fields, NOW.mono, None);
                prop_assert_eq!(Fields::read(&again, NOW).unwrap(), fields);
            }
        }
    }
}
