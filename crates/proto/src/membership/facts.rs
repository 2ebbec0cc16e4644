//! Decides what a node says about itself, how it is encoded, and how those cold bytes are kept
//! once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::base::clocks::Hlc;
use crate::base::hash::content_address;
use crate::base::id::NodeId;
use crate::limits::{FACTS_BYTES_MAX, NAME_BYTES_MAX, TAGS_MAX};
use crate::wire::codec::{
    DecodeError, Decoded, Reader, put_addr, put_bytes, put_id, put_u64, put_varint,
};

/// The cold facts of one member: decoded once, shared by content between all nodes of a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// As the owner encoded them; forwarded unchanged, fields of later versions included.
    pub bytes: Box<[u8]>,
    /// Content address of `bytes`: stands for them in fingerprints.
    pub content: u128,
    pub id: NodeId,
    pub name: Box<str>,
    pub addr: SocketAddr,
    /// Tells two processes under one identity apart.
    pub boot: u64,
    /// When the cluster accepted this life: the earlier one holds a contested name.
    pub accepted: Hlc,
    /// The life that this one takes over from: it is over.
    pub replaces: Option<NodeId>,
    pub tags: BTreeMap<Box<str>, Box<str>>,
}

const HAS_REPLACES: u8 = 1;

impl Facts {
    /// Encodes and decodes, so that what we keep is what others will see.
    pub fn new(
        id: NodeId,
        name: &str,
        addr: SocketAddr,
        boot: u64,
        accepted: Hlc,
        replaces: Option<NodeId>,
        tags: &BTreeMap<Box<str>, Box<str>>,
    ) -> Decoded<Facts> {
        let mut out = Vec::with_capacity(64);
        put_id(&mut out, id);
        put_bytes(&mut out, name.as_bytes());
        put_addr(&mut out, addr);
        put_u64(&mut out, boot);
        put_u64(&mut out, accepted.0);
        out.push(if replaces.is_some() { HAS_REPLACES } else { 0 });
        if let Some(old) = replaces {
            put_id(&mut out, old);
        }
        put_varint(&mut out, tags.len() as u64);
        for (k, v) in tags {
            put_bytes(&mut out, k.as_bytes());
            put_bytes(&mut out, v.as_bytes());
        }
        Facts::decode(&out)
    }

    /// Where the member is, as its tag says.
    pub fn zone(&self) -> Option<&str> {
        self.tags.get("zone").map(|zone| &**zone)
    }

    pub fn decode(bytes: &[u8]) -> Decoded<Facts> {
        if bytes.len() > FACTS_BYTES_MAX {
            return Err(DecodeError::TooLong("facts"));
        }
        let mut r = Reader::new(bytes);
        let id = r.id("member id")?;
        if id == NodeId::default() {
            return Err(DecodeError::Invalid("member id")); // it means "anyone" in a probe
        }
        let name = r.text(NAME_BYTES_MAX, "name")?;
        if name.is_empty() {
            return Err(DecodeError::Invalid("name"));
        }
        let addr = r.addr("address")?;
        let boot = r.u64("boot")?;
        let accepted = r.hlc("accepted")?;
        let flags = r.u8("facts flags")?;
        let replaces = if flags & HAS_REPLACES != 0 { Some(r.id("replaces")?) } else { None };
        if replaces == Some(id) {
            return Err(DecodeError::Invalid("replaces"));
        }
        let mut tags = BTreeMap::new();
        for _ in 0..r.count(TAGS_MAX, 2, "tags")? {
            let key = r.text(FACTS_BYTES_MAX, "tag")?;
            tags.insert(key.into(), r.text(FACTS_BYTES_MAX, "tag")?.into());
        }
        // What follows belongs to later versions: kept in `bytes`, not understood.
        Ok(Facts {
            bytes: bytes.into(),
            content: content_address(bytes),
            id,
            name: name.into(),
            addr,
            boot,
            accepted,
            replaces,
            tags,
        })
    }
}

/// Interns facts by content, so that many nodes of one process share them. The lock is touched
/// only when an update is fresh, never per packet.
#[derive(Clone, Debug, Default)]
pub struct FactStore {
    interned: Arc<Mutex<Interned>>,
}

#[derive(Debug, Default)]
struct Interned {
    by_content: BTreeMap<u128, Weak<Facts>>,
    sweep_at: usize,
}

impl FactStore {
    /// Decodes `bytes`, or finds them decoded.
    pub fn decode(&self, bytes: &[u8]) -> Decoded<Arc<Facts>> {
        let content = content_address(bytes);
        let mut interned = self.interned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = interned.by_content.get(&content).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let facts = Arc::new(Facts::decode(bytes)?);
        interned.add(&facts);
        Ok(facts)
    }

    pub fn intern(&self, facts: Facts) -> Arc<Facts> {
        let facts = Arc::new(facts);
        self.interned.lock().unwrap_or_else(PoisonError::into_inner).add(&facts);
        facts
    }
}

impl Interned {
    fn add(&mut self, facts: &Arc<Facts>) {
        if self.by_content.len() >= self.sweep_at {
            self.by_content.retain(|_, weak| weak.strong_count() > 0);
            self.sweep_at = (self.by_content.len() * 2).max(64);
        }
        self.by_content.insert(facts.content, Arc::downgrade(facts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(tags: BTreeMap<Box<str>, Box<str>>) -> Facts {
        let addr = "127.0.0.1:7946".parse().unwrap();
        Facts::new(NodeId::from_u128(1), "a", addr, 2, Hlc(3), Some(NodeId::from_u128(4)), &tags)
            .unwrap()
    }

    #[test]
    fn fields_of_later_versions_are_kept() {
        let facts = sample(BTreeMap::from([("zone".into(), "b".into())]));
        let mut longer = facts.bytes.to_vec();
        longer.extend_from_slice(b"new field");
        let read = Facts::decode(&longer).unwrap();
        assert_eq!(read.tags, facts.tags);
        assert_eq!(&read.bytes[..], &longer[..]);
        assert_ne!(read.content, facts.content);
    }

    #[test]
    fn equal_bytes_are_stored_once_and_dropped_with_the_last_user() {
        let store = FactStore::default();
        let facts = sample(BTreeMap::new());
        let a = store.decode(&facts.bytes).unwrap();
        let b = store.decode(&facts.bytes).unwrap();
        assert!(Arc::ptr_eq(&a, &b));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Facts::decode(&bytes);
        }
    }
}
