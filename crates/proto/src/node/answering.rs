//! Decides what this node answers to who compares live entries with it: sums, symbols, hashes, and
//! the entries that are asked for or stand against what was given.

use std::collections::BTreeSet;

use super::reconciling::{TREE_PAUSE, TREE_STEP, Taken};
use super::{Node, Phase};
use crate::anti_entropy::compare::{
    Compare, Compared, Exchange, Exchanged, Filtered, Hint, Symbols,
};
use crate::anti_entropy::estimate::Estimate;
use crate::anti_entropy::ladder::{FIRST_SYMBOLS_MAX, generous_symbols};
use crate::anti_entropy::live::Part;
use crate::anti_entropy::merkle::{self, Page};
use crate::anti_entropy::sketch::SYMBOL_BYTES;
use crate::base::id::NodeId;
use crate::base::time::{Now, Time};
use crate::config::Reconciliation;
use crate::io::Outbox;
use crate::limits::{CODED_ELEMENTS_MAX, PAGE_BYTES};
use crate::state::entry::Entry;
use crate::wire::codec::{DecodeError, Reader};
use crate::wire::frame::{kind, put_frame};

impl Node {
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
        let told = self.told_by(&compare.hint);
        let symbols = match (&compare.hint, told) {
            _ if ours.entries == theirs.entries => None,
            (&Hint::Symbols(count), _) => Some(count),
            (_, told) => told.map(generous_symbols),
        };
        if let Some(count) = symbols.filter(|&count| self.may_send(count)) {
            // The asker repairs both ways. Where it may only pull, this node has to ask as well.
            self.served(sender, now);
            let symbols = self.live.symbols(Part::ALL, 0, count, &mut { CODED_ELEMENTS_MAX });
            return Symbols { part: Part::ALL, from: 0, symbols }.put(response);
        }
        let count = self.live.len() as u64;
        match told.map(|told| told.differing as u64).or(symbols) {
            Some(differing) => Compared::Differs { sums: ours, count, differing }.put(response),
            None => {
                let sketch = self.live.estimator().all().folded();
                Compared::Unclear { sums: ours, sketch }.put(response);
            }
        }
    }

    fn told_by(&self, hint: &Hint) -> Option<Estimate> {
        let estimator = self.live.estimator();
        match hint {
            Hint::None | Hint::Symbols(_) => None,
            Hint::Sketch(theirs) => estimator.all().difference(theirs),
            Hint::Samples(theirs) => Some(estimator.difference(theirs)),
        }
    }

    /// Whether the first symbols are cheaper than this node's vector, if they are all at hand.
    fn may_send(&self, symbols: u64) -> bool {
        let forced = self.config.reconciliation == Reconciliation::Sketch;
        let vector = self.store.vector().len() * 38;
        let cheaper = (symbols as usize) * SYMBOL_BYTES < vector.max(600);
        // Behind a hole vectors cost what was had before.
        let holes = self.store.vector().has_holes() && symbols < self.live.len() as u64 / 2;
        let at_hand = symbols <= self.live.ready() as u64 || self.live.len() <= CODED_ELEMENTS_MAX;
        (forced || cheaper || holes) && at_hand && symbols <= FIRST_SYMBOLS_MAX
    }

    /// What the asker's filter does not hold, as much as a page takes.
    fn put_filtered(
        &mut self,
        asked: &Filtered,
        sender: NodeId,
        response: &mut Vec<u8>,
        now: Time,
    ) {
        self.served(sender, now);
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
        self.served(sender, now);
        let tree = self.live.tree();
        let ready = tree.settle(TREE_STEP);
        let page = if ready { merkle::answer(tree, request, PAGE_BYTES) } else { Page::default() };
        if !ready {
            self.wait_for_trees(TREE_PAUSE, None, now);
        }
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
        self.served(sender, now.mono);
        let mut sent = BTreeSet::new();
        let mut groups = BTreeSet::new();
        self.stats.session_entries_received += given.len() as u64;
        for entry in given {
            if !self.may_take_given(&entry) {
                self.stats.entries_unheard_of += 1;
                continue;
            }
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
