//! Decides what this node answers to others' requests: one page of what was asked for, bounded in
//! bytes and in work.

use std::net::SocketAddr;

use super::forgetting::asks_for_state;
use super::packets::{Spent, Via};
use super::{Node, Phase};
use crate::anti_entropy::compare::Exchange;
use crate::anti_entropy::digest::{
    DeltaEnd, DeltaRequest, MemberDigest, MembersEnd, Pairs, Vectors,
};
use crate::base::id::NodeId;
use crate::base::time::{Now, Time};
use crate::detection::message::Ping;
use crate::io::{Outbox, Output, RequestId};
use crate::limits::{PAGE_BYTES, STREAM_BYTES_MAX};
use crate::membership::record::Record;
use crate::membership::table::{Slot, bucket_of};
use crate::state::entry::{Advert, Entry};
use crate::wire::codec::DecodeError;
use crate::wire::frame::{Frames, kind};
use crate::wire::packet;

/// Entries looked at for one page, sent or not: bounds the work of one request.
const SCAN_MAX: usize = 100_000;

impl Node {
    pub(super) fn request(
        &mut self,
        from: SocketAddr,
        sealed_by: Option<NodeId>,
        id: RequestId,
        bytes: &[u8],
        now: Now,
        out: &mut Outbox,
    ) {
        self.stats.requests_received += 1;
        self.stats.stream_bytes_received += bytes.len() as u64;
        if bytes.len() > STREAM_BYTES_MAX {
            self.stats.drop_oversized += 1;
            return;
        }
        let payer = self.payer(from, sealed_by, bytes, false);
        if !self.may_ask(payer, now.mono) {
            self.stats.drop_limited += 1;
            return;
        }
        let foreign = self.stats.drop_foreign_cluster;
        let opened = self.open(bytes, sealed_by, from, now.mono, out);
        let start = self.begin(out);
        let Some((sender, body)) = opened else {
            // An empty answer of our own cluster tells a misguided joiner where it has come to.
            if self.stats.drop_foreign_cluster > foreign {
                self.respond(Spent::Join, id, start, out);
            }
            return;
        };
        if sender == self.id || self.phase == Phase::Left {
            self.stats.drop_own += u64::from(sender == self.id);
            out.bytes.truncate(start);
            return;
        }
        self.heard_from(sender, now, out);
        if !self.adapting.budget.allows_answers() && asks_for_state(body) {
            self.stats.budget_unanswered += 1;
            out.bytes.truncate(start);
            return;
        }
        // The response is built apart: serving it may produce other packets.
        let mut response = out.bytes.split_off(start);
        let served = match self.may_give_state(sender, from, body, &mut response, out) {
            Ok(true) => self.serve(sender, from, body, &mut response, now, out),
            Ok(false) => Ok(Spent::Digest),
            Err(error) => Err(error),
        };
        match served {
            Ok(spent) => {
                let start = out.bytes.len();
                out.bytes.extend_from_slice(&response);
                self.respond(spent, id, start, out);
            }
            Err(_) => self.stats.drop_malformed += 1,
        }
    }

    pub(super) fn respond(&mut self, spent: Spent, id: RequestId, start: usize, out: &mut Outbox) {
        packet::seal(&mut out.bytes, start, &self.key);
        let bytes = start..out.bytes.len();
        self.stats.stream_bytes_sent += bytes.len() as u64;
        self.count_bytes(spent, bytes.len());
        out.items.push(Output::Response { id, bytes });
    }

    /// Writes the answer; returns what it is for.
    fn serve(
        &mut self,
        sender: NodeId,
        from: SocketAddr,
        body: &[u8],
        response: &mut Vec<u8>,
        now: Now,
        out: &mut Outbox,
    ) -> Result<Spent, DecodeError> {
        let mut joining = false;
        let mut questions = 0;
        let mut spent = Spent::Delta;
        let mut records = Vec::new();
        let mut exchange = None;
        let mut given = Vec::new();
        for frame in Frames::new(body) {
            let (kind, body) = frame?;
            questions += usize::from(is_question(kind));
            if questions > 1 {
                return Err(DecodeError::Invalid("second question"));
            }
            spent = match kind {
                kind::PING => Spent::Probe,
                kind::JOIN => Spent::Join,
                kind::VECTOR_REQUEST => Spent::Digest,
                kind::COMPARE | kind::TREE => Spent::Sketch,
                _ => spent,
            };
            match kind {
                kind::PING => self.answer_ping(&Ping::decode(body)?, None, sender, response),
                kind::ACCUSATION => self.news(kind, body, Via::Rumour(sender), from, now, out)?,
                kind::JOIN => joining = true,
                kind::MEMBER if joining => {
                    joining = false;
                    self.serve_join(&Record::decode(body)?, sender, response, now, out)?;
                }
                kind::MEMBER => records.push(Record::decode(body)?),
                kind::MEMBER_PUSH => {} // the records follow
                kind::MEMBER_DIGEST => {
                    self.put_members_page(&MemberDigest::decode(body)?, response);
                }
                kind::VECTOR_REQUEST => self.vectors().put(response),
                kind::DELTA_REQUEST => {
                    let request = DeltaRequest::decode(body)?;
                    self.put_delta_page(&request, response, now.mono);
                    self.note_gap(sender, request.have, now.mono);
                }
                kind::COMPARE | kind::TREE | kind::FILTER => {
                    self.serve_comparison(kind, body, sender, response, now.mono)?;
                }
                kind::EXCHANGE => exchange = Some(Exchange::decode(body)?),
                kind::ENTRY if exchange.is_some() => match Entry::decode(body, &self.key, now)? {
                    Some(entry) => given.push(entry),
                    None => self.stats.entry_checksum += 1,
                },
                kind::EPOCH => {} // read before
                kind::FETCH => self.put_fetched(&Advert::decode(body)?, response, now.mono),
                _ => self.stats.frame_unknown += 1,
            }
        }
        if let Some(exchange) = exchange {
            self.put_exchanged(&exchange, given, sender, response, now, out);
        }
        self.stats.session_records_received += records.len() as u64;
        for record in &records {
            self.apply_record(record, Via::Session, now, out);
            self.put_forgotten(record, response);
        }
        Ok(spent)
    }

    /// Members of the buckets that differ, from the digest's cursor on, as many as a page holds.
    pub(super) fn put_members_page(&mut self, digest: &MemberDigest, out: &mut Vec<u8>) {
        let buckets = digest.prints.len();
        let all = buckets == 1 && digest.prints[0] == 0;
        let ours = self.table.bucket_prints(buckets);
        let mut differing = vec![0u8; buckets.div_ceil(8)];
        for bucket in (0..buckets).filter(|&b| all || ours[b] != digest.prints[b]) {
            differing[bucket / 8] |= 1 << (bucket % 8);
        }
        let upto = u64::from(self.table.slots_end());
        let mut end = MembersEnd { next: None, upto, differing };
        let first = digest.cursor.min(u64::from(u32::MAX)) as Slot;
        for slot in first..self.table.slots_end() {
            if !self.table.in_use(slot) || !end.differs(bucket_of(self.table.id(slot), buckets)) {
                continue;
            }
            if out.len() >= PAGE_BYTES {
                end.next = Some(u64::from(slot));
                break;
            }
            self.put_member(slot, out);
            self.stats.session_records_sent += 1;
        }
        end.put(out);
    }

    /// Entries and events that the requester lacks. The vector goes with the page that reaches the
    /// head, as of that head.
    fn put_delta_page(&mut self, request: &DeltaRequest, out: &mut Vec<u8>, now: Time) {
        let known = request.boot == self.boot;
        let mut cursor = if known { request.cursor.min(self.store.head()) } else { 0 };
        let mut closed = true;
        let mut sent = 0;
        for (scanned, kept) in self.store.since(cursor).enumerate() {
            if out.len() >= PAGE_BYTES || scanned >= SCAN_MAX {
                closed = false;
                break;
            }
            cursor = kept.applied;
            if request.full || lacks(&request.have.entries, &kept.entry) {
                kept.entry.put(out, &self.key, now);
                sent += 1;
            }
        }
        self.stats.session_entries_sent += sent;
        if closed {
            for event in self.events.after(|origin| upto(&request.have.events, origin)) {
                if out.len() >= PAGE_BYTES {
                    closed = false;
                    break;
                }
                event.put(out, &self.key, now);
            }
        }
        let closed = closed.then(|| (self.claims(), self.state_print()));
        DeltaEnd { boot: self.boot, cursor, closed }.put(out);
    }

    /// What is applied here with all that it follows: nothing is promised while an effect may be here
    /// before its cause.
    fn claims(&self) -> Vectors {
        let mut vectors = self.vectors();
        if self.store.is_early(None) {
            vectors.entries.clear();
        }
        vectors
    }

    fn put_fetched(&mut self, wanted: &Advert<'_>, out: &mut Vec<u8>, now: Time) {
        if let Some(kept) = self.store.find(wanted.keyspace, wanted.key) {
            kept.entry.put(out, &self.key, now);
        }
    }
}

/// Asks for a page: one a request, so that no request makes more work than one page.
fn is_question(frame: u8) -> bool {
    use kind::{
        COMPARE, DELTA_REQUEST, EXCHANGE, FETCH, FILTER, JOIN, MEMBER_DIGEST, PING, TREE,
        VECTOR_REQUEST,
    };
    let asks = [PING, JOIN, MEMBER_DIGEST, VECTOR_REQUEST, DELTA_REQUEST, FETCH];
    asks.contains(&frame) || [COMPARE, EXCHANGE, TREE, FILTER].contains(&frame)
}

/// Whether who has applied `have` lacks this entry, or a part of a value that merges.
fn lacks(have: &Pairs, entry: &Entry) -> bool {
    match &entry.merged {
        None => upto(have, entry.dot.origin) < entry.dot.seq,
        Some(merged) => merged.context().dots().any(|dot| {
            let at = have.partition_point(|(id, _)| id.short() < dot.writer);
            let known = have.get(at).filter(|(id, _)| id.short() == dot.writer);
            known.map_or(0, |&(_, upto)| upto) < dot.seq
        }),
    }
}

/// Looks an origin up in pairs that are sorted by it, as they are when encoded honestly.
fn upto(pairs: &Pairs, origin: NodeId) -> u64 {
    pairs.binary_search_by_key(&origin, |&(id, _)| id).map_or(0, |at| pairs[at].1)
}
