//! Decides how live entries are reconciled with one peer: sums, then symbols, then the entries that
//! each lacks, asked and answered. What is left, vectors and deletes, is a delta's.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::asking::{Ask, Asked, Exchange as Delta};
use super::packets::Via;
use super::{Node, Phase};
use crate::anti_entropy::compare::{
    Compare, Compared, Exchange, Exchanged, Filtered, Sums, Symbols,
};
use crate::anti_entropy::estimate::difference_by_levels;
use crate::anti_entropy::ladder::{
    Ladder, Lie, Method, Situation, choose, filter_bits, generous_symbols,
};
use crate::anti_entropy::live::Part;
use crate::anti_entropy::merkle::{self, Page, Span, Walk};
use crate::base::id::NodeId;
use crate::base::time::{Now, Time};
use crate::config::Reconciliation;
use crate::flow::SESSION_TIMEOUT;
use crate::io::{Alarm, Event, Outbox};
use crate::limits::{CODED_ELEMENTS_MAX, DISTRUSTED_MAX, PAGE_BYTES, SESSION_REQUESTS_MAX};
use crate::state::entry::Entry;
use crate::state::store::EntrySlot;
use crate::wire::codec::{DecodeError, Reader};
use crate::wire::frame::{Frames, kind, put_frame};

/// Entries that only this node has go along with its first request if they are no larger: one
/// round trip less. More wait for what the peer has, which may replace them.
const GIVE_AT_ONCE_BYTES: usize = 16 * 1024;
/// Ranges hashed for one request of a walk, at some 400 ns each: a tree that is not ready yet is made
/// ready in so many steps.
const TREE_STEP: usize = 8192;
/// After so many sessions without an equal state one goes by vectors, whatever they cost: they need
/// no peer that plays along.
const IN_VAIN_MAX: u32 = 4;
/// A peer whose symbols did not add up is not asked for symbols for so long.
const DISTRUST: Duration = Duration::from_secs(600);

/// A comparison under way.
#[derive(Debug)]
pub(super) struct Comparison {
    ladder: Ladder,
    /// Groups of which parts came and wait for others.
    groups: BTreeSet<(NodeId, u64)>,
    /// Entries given back as what came did not replace them: once each.
    returned: BTreeSet<EntrySlot>,
    /// Came, covered by the vector, and are not there: a fault if the vectors are equal.
    lost: Vec<Entry>,
    search: Search,
}

/// What is looked through beside symbols.
#[derive(Debug)]
enum Search {
    Symbols,
    Tree(Walk),
    /// Parts of which the peer was not told yet what this node has.
    Filters(VecDeque<Part>),
}

impl Node {
    /// Sums of the live entries and of the rest.
    fn sums(&self) -> Sums {
        let rest = self.store.vector_print().0.wrapping_add(self.events.print().0);
        Sums { entries: self.store.entry_print().low(), rest: rest as u32 }
    }

    /// Brings the live set up to date with the store.
    pub(super) fn settle_live(&mut self) {
        for change in self.store.drain_live_changes() {
            self.live.apply(change);
        }
    }

    /// Opens a session with a peer whose state differs. `likely`: nothing is under way that would
    /// close the difference by itself.
    pub(super) fn open_repair(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        likely: bool,
        now: Time,
        out: &mut Outbox,
    ) {
        self.settle_live();
        self.sessions.in_vain += 1;
        let refused = self.sessions.busy.take_if(|busy| *busy == peer).is_some();
        if refused || self.sessions.in_vain.is_multiple_of(IN_VAIN_MAX) {
            return self.open_delta(peer, addr, Delta::Repair, out);
        }
        let distrusted = self.sessions.distrusted.get(&peer).filter(|&&(_, until)| until > now);
        let method = match (distrusted, self.config.reconciliation) {
            (Some(&(method, _)), _) => method,
            (None, Reconciliation::Digest) => Method::Digest,
            (None, Reconciliation::Merkle) => Method::Merkle,
            (None, Reconciliation::Auto | Reconciliation::Sketch) => Method::Sketch,
        };
        if self.live.is_empty() || method == Method::Digest {
            return self.open_delta(peer, addr, Delta::Repair, out);
        }
        let served = self.sessions.served;
        if served.is_some_and(|(by, until)| by == peer && until > now)
            || self.sessions.comparing.is_some()
        {
            return;
        }
        if method == Method::Merkle {
            self.stats.state_sessions += 1;
            let comparison = self.comparison(Search::Tree(Walk::new(Span::ALL)));
            return self.ask_tree(peer, addr, comparison, out);
        }
        self.ask_sums(peer, addr, likely, out);
    }

    /// Whether parts of groups came and others did not.
    fn is_waiting_for_parts(&self, comparison: &Comparison) -> bool {
        comparison.groups.iter().any(|&group| self.store.is_staged(group))
    }

    fn ask_sums(&mut self, peer: NodeId, addr: SocketAddr, sketch: bool, out: &mut Outbox) {
        let set = sketch.then(|| (*self.live.estimator().all(), self.live.len() as u64));
        let start = self.begin(out);
        Compare { sums: self.sums(), set }.put(&mut out.bytes);
        let ask = Ask::Compare { sketch };
        if self.ask(start, Asked { ask, peer: Some(peer), addr }, SESSION_TIMEOUT, out).is_some() {
            self.stats.state_sessions += 1;
            self.sessions.comparing = Some(peer);
        }
    }

    // Answers to our comparisons.

    pub(super) fn compare_answered(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        sketch: bool,
        body: &[u8],
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        self.sessions.comparing = None;
        self.settle_live();
        let Some(frame) = Frames::new(body).next() else {
            // It does not know the question.
            self.open_delta(peer, addr, Delta::Repair, out);
            return Ok(());
        };
        match frame? {
            (kind::COMPARED, body) => match Compared::decode(body)? {
                Compared::Equal => {
                    self.stats.sessions_equal += 1;
                    self.sessions.synced = true;
                }
                Compared::Busy => self.sessions.busy = Some(peer),
                Compared::Differs { .. } if !sketch => self.ask_sums(peer, addr, true, out),
                Compared::Differs { sums, count, levels } => {
                    let differing = difference_by_levels(self.live.estimator().levels(), &levels);
                    self.sums_differ(peer, addr, sums, count as usize, differing, now, out);
                }
            },
            (kind::SYMBOLS, body) => {
                let symbols = Symbols::decode(body)?;
                let mut comparison = self.comparison(Search::Symbols);
                let begun = comparison.ladder.begin_small(symbols.symbols);
                self.advance(peer, addr, comparison, begun, None, now, out);
            }
            // The only one that this node lacks.
            (kind::ENTRY, body) => {
                self.stats.sessions_single += 1;
                let mut comparison = self.comparison(Search::Symbols);
                self.entry_came(body, &mut comparison, now, out)?;
                if self.is_waiting_for_parts(&comparison) {
                    // Deletes, or superseded: only the vectors tell.
                    self.open_delta(peer, addr, Delta::Repair, out);
                } else if let Some(entry) = comparison.lost.pop() {
                    // A fault, or not: the peer's sums with the entry say.
                    let print = entry.print(&self.key) as u64;
                    comparison.ladder.adopt(&[print], std::iter::empty());
                    self.ask_exchange(peer, addr, comparison, now.mono, out);
                }
            }
            _ => self.open_delta(peer, addr, Delta::Repair, out),
        }
        Ok(())
    }

    fn comparison(&self, search: Search) -> Box<Comparison> {
        Box::new(Comparison {
            ladder: Ladder::new(self.key),
            groups: BTreeSet::new(),
            returned: BTreeSet::new(),
            lost: Vec::new(),
            search,
        })
    }

    /// More differs than the first sketch tells, or only what no sketch shows.
    fn sums_differ(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        theirs: Sums,
        count: usize,
        differing: f64,
        now: Now,
        out: &mut Outbox,
    ) {
        let situation = Situation {
            differing,
            ours: self.live.len(),
            theirs: count,
            writers: self.store.vector().len(),
            holes: self.store.vector().has_holes(),
        };
        let forced = self.config.reconciliation == Reconciliation::Sketch;
        let same = theirs.entries == self.sums().entries;
        if same || !forced && choose(situation) == Method::Digest {
            return self.open_delta(peer, addr, Delta::Repair, out);
        }
        if let Some(bits) = filter_bits(situation).filter(|_| !forced) {
            let parts = (0..1u32 << bits).map(|index| Part { bits, index }).collect();
            let comparison = self.comparison(Search::Filters(parts));
            return self.ask_filtered(peer, addr, comparison, out);
        }
        let mut comparison = self.comparison(Search::Symbols);
        comparison.ladder.begin(differing, &self.live, count);
        self.advance(peer, addr, comparison, Ok(()), None, now, out);
    }

    fn ask_filtered(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        mut comparison: Box<Comparison>,
        out: &mut Outbox,
    ) {
        let Search::Filters(parts) = &mut comparison.search else { return };
        let Some(part) = parts.pop_front() else {
            // What filters missed, and what the peer lacks.
            return self.ask_sums(peer, addr, true, out);
        };
        let filter = self.live.filter(part, self.choice.rng.u64());
        let start = self.begin(out);
        Filtered { part, filter }.put(&mut out.bytes);
        self.ask_compared(start, Ask::Exchange(comparison), peer, addr, out);
    }

    fn ask_tree(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        mut comparison: Box<Comparison>,
        out: &mut Outbox,
    ) {
        let Search::Tree(walk) = &mut comparison.search else { return };
        let tree = self.live.tree();
        let page =
            if tree.settle(TREE_STEP) { walk.request(tree, PAGE_BYTES) } else { Page::default() };
        comparison.ladder.requests += 1;
        let start = self.begin(out);
        put_frame(&mut out.bytes, kind::TREE, |out| page.put(out));
        self.ask_compared(start, Ask::Exchange(comparison), peer, addr, out);
    }

    fn ask_compared(
        &mut self,
        start: usize,
        ask: Ask,
        peer: NodeId,
        addr: SocketAddr,
        out: &mut Outbox,
    ) {
        if self.ask(start, Asked { ask, peer: Some(peer), addr }, SESSION_TIMEOUT, out).is_some() {
            self.sessions.comparing = Some(peer);
        }
    }

    /// A page of the peer's tree: the walk goes on, or is done and what it found is exchanged.
    fn tree_answered(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        mut comparison: Box<Comparison>,
        page: &Page,
        now: Now,
        out: &mut Outbox,
    ) {
        let Search::Tree(walk) = &mut comparison.search else { return };
        let waits = page.handled == 0 && page.items.is_empty();
        let walked = if waits { Ok(()) } else { walk.answered(self.live.tree(), page) };
        if walked.is_err() || comparison.ladder.requests >= SESSION_REQUESTS_MAX {
            return self.distrust(peer, addr, Method::Digest, now.mono, out);
        }
        if !walk.is_done() {
            return self.ask_tree(peer, addr, comparison, out);
        }
        let kept = |&slot: &EntrySlot| Some((self.store.get(slot)?.print as u64, slot));
        let own = walk.ours().iter().filter_map(kept);
        comparison.ladder.adopt(walk.theirs(), own);
        self.advance(peer, addr, comparison, Ok(()), None, now, out);
    }

    pub(super) fn entries_exchanged(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        mut comparison: Box<Comparison>,
        body: &[u8],
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        self.sessions.comparing = None;
        self.settle_live();
        let mut taken = Ok(());
        for frame in Frames::new(body) {
            match frame? {
                (kind::SYMBOLS, body) => {
                    let Symbols { part, from, symbols } = Symbols::decode(body)?;
                    let ladder = &mut comparison.ladder;
                    taken = taken.and(ladder.take_symbols(part, from, &symbols));
                }
                (kind::ENTRY, body) => self.entry_came(body, &mut comparison, now, out)?,
                (kind::TREE, body) => {
                    let page = Page::read(&mut Reader::new(body))?;
                    self.tree_answered(peer, addr, comparison, &page, now, out);
                    return Ok(());
                }
                (kind::EXCHANGED, _) if matches!(comparison.search, Search::Filters(_)) => {
                    self.ask_filtered(peer, addr, comparison, out);
                    return Ok(());
                }
                (kind::EXCHANGED, body) => {
                    let Exchanged { sums, served } = Exchanged::decode(body)?;
                    let served = usize::try_from(served).unwrap_or(usize::MAX);
                    taken = taken.and(comparison.ladder.served(served));
                    self.advance(peer, addr, comparison, taken, Some(sums), now, out);
                    return Ok(());
                }
                _ => self.stats.frame_unknown += 1,
            }
        }
        Err(DecodeError::Truncated("exchange"))
    }

    /// Applies an entry that the peer has, and notes what the peer needs in turn.
    fn entry_came(
        &mut self,
        body: &[u8],
        comparison: &mut Comparison,
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        let Some(entry) = Entry::decode(body, &self.key, now)? else {
            self.stats.entry_checksum += 1;
            return Ok(());
        };
        self.stats.session_entries_received += 1;
        let print = entry.print(&self.key) as u64;
        comparison.ladder.came(print);
        match self.take_entry(entry, print, &mut comparison.groups, now, out) {
            Taken::Stands => {}
            Taken::Replaced(slot) => {
                if comparison.returned.insert(slot) {
                    comparison.ladder.give(0, slot);
                }
            }
            Taken::Lost(entry) => comparison.lost.push(entry),
        }
        Ok(())
    }

    /// Applies an entry of a session.
    fn take_entry(
        &mut self,
        entry: Entry,
        print: u64,
        groups: &mut BTreeSet<(NodeId, u64)>,
        now: Now,
        out: &mut Outbox,
    ) -> Taken {
        let (keyspace, key) = (entry.keyspace.clone(), entry.key.clone());
        let group = (entry.dot.origin, entry.group.0);
        let covered = self.store.vector().covers(entry.dot);
        let missing = covered && self.store.slot(&keyspace, &key).is_none();
        if missing {
            return Taken::Lost(entry);
        }
        self.apply_entry(entry, Via::Session, false, now, out);
        if self.store.is_staged(group) {
            groups.insert(group);
            return Taken::Stands;
        }
        match self.store.slot(&keyspace, &key) {
            Some(slot) if self.store.kept(slot).print as u64 != print => Taken::Replaced(slot),
            _ => Taken::Stands,
        }
    }

    /// Goes on with what is known now: asks for more, or ends the session.
    fn advance(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        mut comparison: Box<Comparison>,
        taken: Result<(), Lie>,
        sums: Option<Sums>,
        now: Now,
        out: &mut Outbox,
    ) {
        self.settle_live();
        let decoded = taken.and_then(|()| comparison.ladder.decode(&self.live));
        if decoded.is_err() || comparison.ladder.requests >= SESSION_REQUESTS_MAX {
            let next = match comparison.search {
                Search::Tree(_) => Method::Digest,
                Search::Symbols | Search::Filters(_) => Method::Merkle,
            };
            return self.distrust(peer, addr, next, now.mono, out);
        }
        if comparison.ladder.is_done() {
            return self.compared(peer, addr, &mut comparison, sums, now, out);
        }
        self.ask_exchange(peer, addr, comparison, now.mono, out);
    }

    fn ask_exchange(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        mut comparison: Box<Comparison>,
        now: Time,
        out: &mut Outbox,
    ) {
        let ladder = &mut comparison.ladder;
        let symbols = ladder.next_symbols(&self.live);
        let wants = ladder.next_wants();
        let start = self.begin(out);
        let mut given = Vec::new();
        let at_once = wants.is_empty() && symbols.is_empty();
        let most = if at_once { PAGE_BYTES } else { GIVE_AT_ONCE_BYTES };
        let mut entries = Vec::new();
        while entries.len() < most
            && let Some((print, slot)) = ladder.next_own()
        {
            // What came since has replaced it, unless it is given back.
            let wanted = print == 0 || self.live.get(print) == Some(slot);
            if let Some(kept) = self.store.get(slot).filter(|_| wanted) {
                kept.entry.put(&mut entries, &self.key, now);
                given.push((print, slot));
            }
        }
        if !at_once && ladder.own().next().is_some() {
            // Too much to give on suspicion.
            given.drain(..).for_each(|(print, slot)| ladder.give(print, slot));
            entries.clear();
        }
        self.stats.session_entries_sent += given.len() as u64;
        ladder.requests += 1;
        let last = ladder.is_given();
        Exchange { last, symbols, wants }.put(&mut out.bytes);
        out.bytes.extend_from_slice(&entries);
        self.ask_compared(start, Ask::Exchange(comparison), peer, addr, out);
    }

    /// Symbols, hashes or names of entries that can not be right: this session ends, and the peer
    /// is compared with by the next method for a while.
    fn distrust(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        next: Method,
        now: Time,
        out: &mut Outbox,
    ) {
        match next {
            Method::Digest => self.stats.merkle_failures += 1,
            _ => self.stats.sketch_failures += 1,
        }
        let distrusted = &mut self.sessions.distrusted;
        if distrusted.len() >= DISTRUSTED_MAX && !distrusted.contains_key(&peer) {
            distrusted.pop_first();
        }
        distrusted.insert(peer, (next, now + DISTRUST));
        self.open_repair(peer, addr, true, now, out);
    }

    /// All that differed went over. Unequal vectors with equal entries are left: deletes of keys
    /// that this node never had, or events.
    fn compared(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        comparison: &mut Comparison,
        theirs: Option<Sums>,
        now: Now,
        out: &mut Outbox,
    ) {
        match comparison.search {
            Search::Tree(_) => self.stats.sessions_merkle += 1,
            Search::Symbols | Search::Filters(_) => self.stats.sessions_sketch += 1,
        }
        self.stats.sketch_symbols += comparison.ladder.symbols_taken;
        // A walk that found nothing says nothing of the vectors.
        let Some(theirs) = theirs else { return self.ask_sums(peer, addr, false, out) };
        let ours = self.sums();
        if ours.rest == theirs.rest && !comparison.lost.is_empty() {
            self.stats.state_faults += 1;
            self.emit_event(Event::Alarm(Alarm::StateFault { peer }), out);
            for entry in std::mem::take(&mut comparison.lost) {
                self.apply_entry(entry, Via::Session, true, now, out);
            }
        } else if ours.rest != theirs.rest || self.is_waiting_for_parts(comparison) {
            // Parts that did not come are deletes, or superseded: only the vectors tell.
            self.open_delta(peer, addr, Delta::Repair, out);
        } else if ours == theirs {
            self.sessions.synced = true;
        }
    }

    // What we answer.

    /// A question about live entries: by sums, tree or filter.
    pub(super) fn serve_comparison(
        &mut self,
        kind: u8,
        body: &[u8],
        sender: NodeId,
        response: &mut Vec<u8>,
        now: Time,
    ) -> Result<(), DecodeError> {
        self.settle_live();
        match kind {
            kind::TREE => {
                let page = Page::read(&mut Reader::new(body))?;
                self.put_tree(&page, sender, response, now);
            }
            kind::FILTER => self.put_filtered(&Filtered::decode(body)?, sender, response, now),
            _ => self.put_compared(&Compare::decode(body)?, sender, response, now),
        }
        Ok(())
    }

    /// Equal, the one entry that the asker lacks, the first symbols, or what to estimate with.
    fn put_compared(
        &mut self,
        compare: &Compare,
        sender: NodeId,
        response: &mut Vec<u8>,
        now: Time,
    ) {
        let (ours, theirs) = (self.sums(), compare.sums);
        if ours == theirs {
            return Compared::Equal.put(response);
        }
        // Entries go both ways in one session, so that one is enough. For what is left each asks.
        let both = self.sessions.comparing == Some(sender) && ours.entries != theirs.entries;
        if self.phase != Phase::Running || both && self.id < sender {
            return Compared::Busy.put(response);
        }
        if let Some(slot) = self.live.get(ours.entries.wrapping_sub(theirs.entries)) {
            self.stats.session_entries_sent += 1;
            return self.store.kept(slot).entry.put(response, &self.key, now);
        }
        let estimator = self.live.estimator();
        let few = compare.set.as_ref().and_then(|(sketch, _)| estimator.all().difference(sketch));
        let symbols = few.filter(|_| ours.entries != theirs.entries).map(generous_symbols);
        if let Some(count) = symbols.filter(|&count| self.may_send(count)) {
            // The asker repairs both ways. Where it may only pull, this node has to ask as well.
            self.sessions.served = Some((sender, now + self.spread_time()));
            let symbols = self.live.symbols(Part::ALL, 0, count, &mut { CODED_ELEMENTS_MAX });
            return Symbols { part: Part::ALL, from: 0, symbols }.put(response);
        }
        let levels = Box::new(*estimator.levels());
        Compared::Differs { sums: ours, count: self.live.len() as u64, levels }.put(response);
    }

    /// Whether the first symbols are cheaper than this node's vector, if they are all at hand.
    fn may_send(&self, symbols: u64) -> bool {
        let forced = self.config.reconciliation == Reconciliation::Sketch;
        let vector = self.store.vector().len() * 38;
        let cheaper = (symbols as usize) * 12 < vector.max(600);
        let at_hand = symbols <= self.live.ready() as u64 || self.live.len() <= CODED_ELEMENTS_MAX;
        (forced || cheaper) && at_hand
    }

    /// What the asker's filter does not hold, as much as a page takes.
    fn put_filtered(
        &mut self,
        asked: &Filtered,
        sender: NodeId,
        response: &mut Vec<u8>,
        now: Time,
    ) {
        self.sessions.served = Some((sender, now + self.spread_time()));
        for (print, slot) in self.live.part(asked.part).take(CODED_ELEMENTS_MAX) {
            if response.len() >= PAGE_BYTES {
                break;
            }
            if !asked.filter.may_hold(print, &self.key) {
                self.store.kept(slot).entry.put(response, &self.key, now);
                self.stats.session_entries_sent += 1;
            }
        }
        Exchanged { sums: self.sums(), served: 0 }.put(response);
    }

    /// A page of this node's tree; an empty one while the tree is being made ready.
    fn put_tree(&mut self, request: &Page, sender: NodeId, response: &mut Vec<u8>, now: Time) {
        self.sessions.served = Some((sender, now + self.spread_time()));
        let tree = self.live.tree();
        let ready = tree.settle(TREE_STEP);
        let page = if ready { merkle::answer(tree, request, PAGE_BYTES) } else { Page::default() };
        put_frame(response, kind::TREE, |out| page.put(out));
    }

    /// Takes what the asker gives; answers with symbols, the entries wanted, and those that stand
    /// against what was given.
    pub(super) fn put_exchanged(
        &mut self,
        exchange: &Exchange,
        given: Vec<Entry>,
        sender: NodeId,
        response: &mut Vec<u8>,
        now: Now,
        out: &mut Outbox,
    ) {
        self.sessions.served = Some((sender, now.mono + self.spread_time()));
        let mut sent = BTreeSet::new();
        let mut groups = BTreeSet::new();
        self.stats.session_entries_received += given.len() as u64;
        for entry in given {
            let print = entry.print(&self.key) as u64;
            if let Taken::Replaced(slot) = self.take_entry(entry, print, &mut groups, now, out) {
                sent.insert(slot);
            }
        }
        self.settle_live();
        let mut budget = CODED_ELEMENTS_MAX;
        for wanted in &exchange.symbols {
            let symbols = self.live.symbols(wanted.part, wanted.from, wanted.to, &mut budget);
            if response.len() >= PAGE_BYTES {
                break;
            }
            Symbols { part: wanted.part, from: wanted.from, symbols }.put(response);
        }
        for &slot in &sent {
            self.store.kept(slot).entry.put(response, &self.key, now.mono);
        }
        let mut served = 0;
        for &want in &exchange.wants {
            if response.len() >= PAGE_BYTES {
                break;
            }
            served += 1;
            for (_, slot) in self.live.with_short(want) {
                if sent.insert(slot) {
                    self.store.kept(slot).entry.put(response, &self.key, now.mono);
                }
            }
        }
        self.stats.session_entries_sent += sent.len() as u64;
        Exchanged { sums: self.sums(), served }.put(response);
    }
}

/// What became of an entry that came in a session.
enum Taken {
    /// It is what the key holds now, or waits for its group.
    Stands,
    /// Something else stands in its place, which the other end may lack.
    Replaced(EntrySlot),
    /// It counts as applied and is not here.
    Lost(Entry),
}
