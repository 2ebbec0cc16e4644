//! Decides how live entries are reconciled with one peer: sums, then symbols, then the entries that
//! each lacks. What is left, vectors and deletes, is a delta's.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::Node;
use super::asking::{Ask, Asked, Exchange as Delta};
use super::packets::Via;
use crate::anti_entropy::compare::{
    Compare, Compared, Exchange, Exchanged, Filtered, Hint, Sums, Symbols,
};
use crate::anti_entropy::estimate::Folded;
use crate::anti_entropy::ladder::{
    Ladder, Lie, Method, Situation, choose, filter_bits, generous_symbols,
};
use crate::anti_entropy::live::Part;
use crate::anti_entropy::merkle::{Page, Span, Walk};
use crate::anti_entropy::mismatch::Verdict;
use crate::base::id::NodeId;
use crate::base::time::{Now, Time};
use crate::config::Reconciliation;
use crate::detection::message::{Glance, Prints};
use crate::flow::SESSION_TIMEOUT;
use crate::io::{Alarm, Event, Outbox};
use crate::limits::{DISTRUSTED_MAX, PAGE_BYTES, SESSION_REQUESTS_MAX};
use crate::state::entry::Entry;
use crate::state::store::EntrySlot;
use crate::wire::codec::{DecodeError, Reader};
use crate::wire::frame::{Frames, kind, put_frame};

/// Entries that only this node has go along with its first request if they are no larger: one
/// round trip less. More wait for what the peer has, which may replace them.
const GIVE_AT_ONCE_BYTES: usize = 64 * 1024;
/// Up to so many differences the sketch on an ack tells them well enough; a larger one is worth its
/// bytes beyond.
const FEW: f64 = 30.0;
/// Ranges hashed at once, at some 400 ns each: a tree that is not ready yet is made ready in so many
/// steps, with a pause between them for whatever else there is to do.
pub(super) const TREE_STEP: usize = 8192;
pub(super) const TREE_PAUSE: Duration = Duration::from_millis(1);
/// A peer whose tree is not ready is asked again after this.
const PEER_TREE_PAUSE: Duration = Duration::from_millis(50);
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

/// A walk of two trees that waits to go on.
pub(super) type Walking = (NodeId, SocketAddr, Box<Comparison>);

/// This node's tree is being made ready, or a peer's.
#[derive(Debug)]
pub(super) struct Trees {
    pub at: Time,
    then: Option<Walking>,
}

/// What is looked through beside symbols.
#[derive(Debug)]
enum Search {
    /// The sums told the only one.
    Single,
    Symbols,
    Tree(Walk),
    /// Parts of which the peer was not told yet what this node has.
    Filters(VecDeque<Part>),
}

impl Node {
    /// How long news takes is worked out only where something differs.
    pub(super) fn members_verdict(&mut self, theirs: u64, now: Time) -> Verdict {
        if self.members_mismatch.agrees(theirs) {
            return Verdict::Equal;
        }
        let spread = self.spread_time();
        self.members_mismatch.compare(theirs, false, now, spread)
    }

    pub(super) fn state_verdict(&mut self, theirs: u64, lasting: bool, now: Time) -> Verdict {
        if self.state_mismatch.agrees(theirs) {
            return Verdict::Equal;
        }
        let spread = self.state_spread();
        self.state_mismatch.compare(theirs, lasting, now, spread)
    }

    /// Sums of the live entries and of the rest.
    pub(super) fn sums(&self) -> Sums {
        let rest = self.store.vector_print().0.wrapping_add(self.events.print().0);
        Sums { entries: self.store.entry_print().low(), rest: rest as u32 }
    }

    /// Brings the live set up to date with the store.
    pub(super) fn settle_live(&mut self) {
        let changes = self.store.live_changes();
        if !changes.is_empty() {
            self.live.apply(changes);
        }
    }

    /// What this node shows of its live entries on an ack.
    pub(super) fn glance(&mut self, peer: NodeId, now: Time) -> Glance {
        self.settle_live();
        if self.method_with(peer, now) == Method::Merkle && !self.live.tree().settle(TREE_STEP) {
            self.wait_for_trees(TREE_PAUSE, None, now);
        }
        let sketch = self.live.estimator().all().folded().words();
        Glance { entries: self.sums().entries, sketch }
    }

    /// Whether a peer that opens a session repairs both.
    pub(super) fn leaves_it_to(&self, peer: NodeId, now: Time) -> bool {
        self.store.counts().0 > 0 && self.method_with(peer, now) != Method::Digest
    }

    fn method_with(&self, peer: NodeId, now: Time) -> Method {
        let distrusted = self.sessions.distrusted.get(&peer).filter(|&&(_, until)| until > now);
        match (distrusted, self.config.reconciliation) {
            (Some(&(method, _)), _) => method,
            (None, Reconciliation::Digest) => Method::Digest,
            (None, Reconciliation::Merkle) => Method::Merkle,
            (None, Reconciliation::Auto | Reconciliation::Sketch) => Method::Sketch,
        }
    }

    /// Entries go both ways in one session, so that one is enough.
    pub(super) fn is_comparing(&self, peer: NodeId, now: Time) -> bool {
        let served = self.sessions.served;
        served.is_some_and(|(by, until)| by == peer && until > now)
            || self.sessions.comparing.is_some()
    }

    pub(super) fn served(&mut self, peer: NodeId, now: Time) {
        let until = now + self.state_spread().max(self.config.probe_period);
        self.sessions.served = Some((peer, until));
    }

    /// Opens a session with a peer whose state differs, from what is known of its set.
    pub(super) fn open_repair(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        set: Option<(Sums, Folded)>,
        now: Time,
        out: &mut Outbox,
    ) {
        self.settle_live();
        self.sessions.in_vain += 1;
        let refused = self.sessions.busy.take_if(|busy| *busy == peer).is_some();
        if refused || self.sessions.in_vain.is_multiple_of(IN_VAIN_MAX) {
            return self.open_delta(peer, addr, Delta::Repair, out);
        }
        let method = self.method_with(peer, now);
        if self.live.is_empty() || method == Method::Digest {
            return self.open_delta(peer, addr, Delta::Repair, out);
        }
        if self.is_comparing(peer, now) {
            return;
        }
        if method == Method::Merkle {
            self.stats.state_sessions += 1;
            let walk = Walk::new(self.live.tree(), Span::ALL);
            let comparison = self.comparison(Search::Tree(walk));
            return self.ask_tree(peer, addr, comparison, now, out);
        }
        match set {
            Some((theirs, sketch)) => self.set_shown(peer, addr, theirs, &sketch, now, out),
            None => self.ask_sums(peer, addr, Hint::None, out),
        }
    }

    /// Whether parts of groups came and others did not.
    fn is_waiting_for_parts(&self, comparison: &Comparison) -> bool {
        comparison.groups.iter().any(|&group| self.store.is_staged(group))
    }

    /// The peer's sums and a small sketch are known: what they tell is not asked again.
    fn set_shown(
        &mut self,
        peer: NodeId,
        addr: SocketAddr,
        theirs: Sums,
        sketch: &Folded,
        now: Time,
        out: &mut Outbox,
    ) {
        let beyond = self.sums().entries.wrapping_sub(theirs.entries);
        if beyond == 0 {
            return self.open_delta(peer, addr, Delta::Repair, out);
        }
        if let Some(slot) = self.live.get(beyond) {
            self.stats.state_sessions += 1;
            let mut comparison = self.comparison(Search::Single);
            comparison.ladder.adopt(&[], [(beyond, slot)].into_iter());
            return self.ask_exchange(peer, addr, comparison, now, out);
        }
        let all = self.live.estimator().all();
        let hint = match all.folded().difference(sketch) {
            Some(told) if told.differing < FEW => Hint::Symbols(generous_symbols(told)),
            None if all.folded().is_noise(sketch) => self.samples(),
            _ => Hint::Sketch(Box::new(*all)),
        };
        self.ask_sums(peer, addr, hint, out);
    }

    fn samples(&self) -> Hint {
        Hint::Samples(Box::new(*self.live.estimator()))
    }

    fn ask_sums(&mut self, peer: NodeId, addr: SocketAddr, hint: Hint, out: &mut Outbox) {
        let ask = Ask::Compare { hinted: hint != Hint::None };
        let start = self.begin(out);
        Compare { sums: self.sums(), hint }.put(&mut out.bytes);
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
        hinted: bool,
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
                Compared::Unclear { .. } if hinted => {
                    let hint = self.samples();
                    self.ask_sums(peer, addr, hint, out);
                }
                Compared::Unclear { sums, sketch } => {
                    self.set_shown(peer, addr, sums, &sketch, now.mono, out);
                }
                Compared::Differs { sums, count, differing } => {
                    let differing = differing.min(u64::from(u32::MAX)) as f64;
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
                let mut comparison = self.comparison(Search::Single);
                self.entry_came(body, &mut comparison, now, out)?;
                if self.is_waiting_for_parts(&comparison) {
                    // Deletes, or superseded: only the vectors tell.
                    self.open_delta(peer, addr, Delta::Repair, out);
                } else if let Some(entry) = comparison.lost.pop() {
                    // A fault, or not: the peer's sums with the entry say.
                    let print = entry.print(&self.key) as u64;
                    comparison.ladder.adopt(&[print], std::iter::empty());
                    self.ask_exchange(peer, addr, comparison, now.mono, out);
                } else {
                    self.stats.sessions_single += 1;
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
            let hint = self.samples();
            return self.ask_sums(peer, addr, hint, out);
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
        now: Time,
        out: &mut Outbox,
    ) {
        let Search::Tree(walk) = &mut comparison.search else { return };
        let tree = self.live.tree();
        if !tree.settle(TREE_STEP) {
            return self.wait_for_trees(TREE_PAUSE, Some((peer, addr, comparison)), now);
        }
        let page = walk.request(tree, PAGE_BYTES);
        comparison.ladder.requests += 1;
        let start = self.begin(out);
        put_frame(&mut out.bytes, kind::TREE, |out| page.put(out));
        self.ask_compared(start, Ask::Exchange(comparison), peer, addr, out);
    }

    /// A tree is made ready in steps, and then a walk goes on.
    pub(super) fn wait_for_trees(&mut self, pause: Duration, then: Option<Walking>, now: Time) {
        self.sessions.comparing = then.as_ref().map(|&(peer, ..)| peer).or(self.sessions.comparing);
        let waits = self.sessions.trees.take().and_then(|trees| trees.then);
        self.sessions.trees = Some(Trees { at: now + pause, then: then.or(waits) });
    }

    pub(super) fn run_trees(&mut self, now: Time, out: &mut Outbox) {
        let Some(trees) = self.sessions.trees.take_if(|trees| trees.at <= now) else { return };
        self.settle_live();
        if let Some((peer, addr, comparison)) = trees.then {
            self.sessions.comparing = None;
            self.ask_tree(peer, addr, comparison, now, out);
        } else if !self.live.tree().settle(TREE_STEP) {
            self.wait_for_trees(TREE_PAUSE, None, now);
        }
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
        if waits {
            return self.wait_for_trees(PEER_TREE_PAUSE, Some((peer, addr, comparison)), now.mono);
        }
        if !walk.is_done() {
            return self.ask_tree(peer, addr, comparison, now.mono, out);
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
    pub(super) fn take_entry(
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
                Search::Single | Search::Symbols | Search::Filters(_) => Method::Merkle,
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
        self.open_repair(peer, addr, None, now, out);
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
            Search::Single => self.stats.sessions_single += 1,
            Search::Symbols | Search::Filters(_) => self.stats.sessions_sketch += 1,
        }
        self.stats.sketch_symbols += comparison.ladder.symbols_taken;
        // A walk that found nothing says nothing of the vectors.
        let Some(theirs) = theirs else { return self.ask_sums(peer, addr, Hint::None, out) };
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
}

/// What a peer's print and its glance tell of its set.
pub(super) fn set_of(prints: Prints, glance: Glance) -> (Sums, Folded) {
    let rest = prints.state.wrapping_sub(glance.entries) as u32;
    (Sums { entries: glance.entries, rest }, Folded::of_words(glance.sketch))
}

/// What became of an entry that came in a session.
pub(super) enum Taken {
    /// It is what the key holds now, or waits for its group.
    Stands,
    /// Something else stands in its place, which the other end may lack.
    Replaced(EntrySlot),
    /// It counts as applied and is not here.
    Lost(Entry),
}
