//! Decides when aggregates are exchanged and with whom: one random peer a round for all of them,
//! and those that owe an answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::packets::Spent;
use super::{Node, reply};
use crate::aggregation::message::{Exchange, Part};
use crate::aggregation::tally::{Outcome, Tally, rounds_of_epoch};
use crate::base::id::NodeId;
use crate::base::rng::Rng;
use crate::base::time::{Now, Time};
use crate::flow::budget::Class;
use crate::io::{CommandError, CommandId, Contribution, Outbox, Reply};
use crate::limits::{AGGREGATE_NAME_BYTES_MAX, AGGREGATES_MAX};
use crate::membership::table::{ME, Slot};
use crate::peers;
use crate::wire::frame::kind;

/// Questions repeated in one round, for each part of an aggregate.
const AGAIN_PER_ROUND: usize = 2;
/// Epochs without a word after which an outcome is forgotten, where this node puts nothing in.
const EPOCHS_KEPT: u32 = 10;

#[derive(Debug)]
pub(super) struct Aggregates {
    tallies: BTreeMap<Box<str>, Tally>,
    rng: Rng,
    pub(super) next: Time,
}

impl Aggregates {
    pub(super) fn new(seed: &[u8; 32]) -> Aggregates {
        let rng = Rng::fork(seed, "aggregates");
        Aggregates { tallies: BTreeMap::new(), rng, next: Time::NEVER }
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.next
    }

    pub(super) fn len(&self) -> usize {
        self.tallies.len()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tallies.keys().map(|name| &**name)
    }
}

impl Node {
    pub(super) fn contribute(
        &mut self,
        command: CommandId,
        name: String,
        own: Option<Contribution>,
        now: Now,
        out: &mut Outbox,
    ) {
        let result = self.may_contribute(&name, own).map(|()| {
            match self.aggregates.tallies.get_mut(name.as_str()) {
                Some(tally) => {
                    let first = tally.own().is_none() && own.is_some();
                    tally.contribute(own);
                    if first {
                        // Others may be long past the epoch that this node heard of last.
                        let (epoch, size) = (tally.epoch() + 1, self.table.live().len() + 1);
                        tally.next(epoch, self.id, size, now.mono);
                    }
                }
                None if own.is_some() => {
                    let tally = Tally::new(own, 1, self.id, now.mono);
                    self.aggregates.tallies.insert(name.into(), tally);
                }
                None => {}
            }
            self.aggregates.next = self.aggregates.next.min(now.mono);
            Reply::Done
        });
        reply(out, command, result);
    }

    fn may_contribute(&self, name: &str, own: Option<Contribution>) -> Result<(), CommandError> {
        let refuse = |expected| CommandError::Aggregate { name: name.to_owned(), expected };
        if name.is_empty() || name.len() > AGGREGATE_NAME_BYTES_MAX {
            return Err(refuse("a name of 1 to 64 bytes"));
        }
        let Some(own) = own else { return Ok(()) };
        if !own.value.is_finite() {
            return Err(refuse("a finite number"));
        }
        let tallies = &self.aggregates.tallies;
        match tallies.get(name).and_then(Tally::own) {
            Some(before) if before.quantiles != own.quantiles => {
                Err(refuse("the same choice of quantiles as before: withdraw it first"))
            }
            None if !tallies.contains_key(name) && tallies.len() >= AGGREGATES_MAX => {
                Err(CommandError::Full { what: "aggregates", max: AGGREGATES_MAX })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn run_aggregates(&mut self, now: Now, out: &mut Outbox) {
        if self.aggregates.next > now.mono {
            return;
        }
        let mut tallies = std::mem::take(&mut self.aggregates.tallies);
        let population = self.table.live().len() + 1;
        tallies.retain(|_, tally| self.keep(tally, population, now.mono));
        if !tallies.is_empty() && self.budget_allows(Class::State) {
            self.exchange_round(&mut tallies, now.mono, out);
        }
        let interval = self.config.aggregate_interval;
        // Nodes that began together drift apart, so that no peer is asked by all at once.
        let part = 0.9 + 0.2 * self.aggregates.rng.unit();
        self.aggregates.next =
            if tallies.is_empty() { Time::NEVER } else { now.mono + interval.mul_f64(part) };
        self.aggregates.tallies = tallies;
    }

    /// Goes one round on; false if nobody speaks of the aggregate any more.
    fn keep(&self, tally: &mut Tally, population: usize, now: Time) -> bool {
        if tally.round(population) {
            return true;
        }
        if tally.own().is_some() {
            tally.next(tally.epoch() + 1, self.id, population, now);
            return true;
        }
        tally.close(population, now);
        now.since(tally.began()) < self.aggregate_epoch() * EPOCHS_KEPT
    }

    fn exchange_round(
        &mut self,
        tallies: &mut BTreeMap<Box<str>, Tally>,
        now: Time,
        out: &mut Outbox,
    ) {
        let mut chosen: Vec<Slot> = Vec::new();
        let table = &self.table;
        let is_me = |slot| table.addr(slot) == table.addr(ME);
        peers::uniform(table, 1, &mut self.aggregates.rng, is_me, &mut chosen);
        let chosen = chosen.first().map(|&slot| self.table.id(slot));
        let mut asks: BTreeMap<NodeId, Vec<Exchange>> = BTreeMap::new();
        for (name, tally) in tallies.iter_mut().filter(|(_, tally)| tally.is_under_way()) {
            for part in tally.parts().collect::<Vec<Part>>() {
                let again = tally.waiting(part).take(AGAIN_PER_ROUND).collect::<Vec<_>>();
                for peer in
                    chosen.into_iter().chain(again.into_iter().filter(|p| chosen != Some(*p)))
                {
                    if let Some(ask) = tally.ask(name, part, peer) {
                        asks.entry(peer).or_default().push(ask);
                    }
                }
            }
        }
        for (peer, asks) in asks {
            if let Some(slot) = self.table.find(peer).filter(|&slot| self.table.is_live(slot)) {
                self.send_exchanges(kind::AGGREGATE, &asks, self.table.addr(slot), now, out);
            }
        }
    }

    /// Packs exchanges into as few datagrams as they fit.
    fn send_exchanges(
        &mut self,
        kind: u8,
        exchanges: &[Exchange],
        to: SocketAddr,
        now: Time,
        out: &mut Outbox,
    ) {
        let mut start = self.begin(out);
        let mut frames = 0;
        for exchange in exchanges {
            let before = out.bytes.len();
            exchange.put(kind, &mut out.bytes);
            if frames > 0 && out.bytes.len() - start > self.config.datagram_bytes {
                let frame = out.bytes.split_off(before);
                self.send(Spent::Aggregates, start, to, out, now);
                start = self.begin(out);
                out.bytes.extend_from_slice(&frame);
                frames = 0;
            }
            frames += 1;
        }
        self.send(Spent::Aggregates, start, to, out, now);
    }

    /// A peer asks for an exchange.
    pub(super) fn exchange_asked(
        &mut self,
        asked: Exchange,
        sender: NodeId,
        from: SocketAddr,
        now: Time,
        out: &mut Outbox,
    ) {
        let live = self.table.find(sender).is_some_and(|slot| self.table.is_live(slot));
        if !live || asked.values.is_empty() {
            return;
        }
        let population = self.table.live().len() + 1;
        let full = self.aggregates.tallies.len() >= AGGREGATES_MAX;
        let tally = match self.aggregates.tallies.get_mut(&asked.name) {
            Some(tally) => tally,
            None if full => {
                self.stats.aggregate_limit += 1;
                return;
            }
            None => {
                self.aggregates.next = self.aggregates.next.min(now);
                let fresh = Tally::new(None, asked.epoch, self.id, now);
                self.aggregates.tallies.entry(asked.name.clone()).or_insert(fresh)
            }
        };
        if asked.epoch > tally.epoch() {
            tally.next(asked.epoch, self.id, population, now);
        }
        let answer = if asked.epoch < tally.epoch() {
            // The peer is behind: it learns of the epoch under way.
            Some(Exchange {
                epoch: tally.epoch(),
                values: Vec::new(),
                low: None,
                high: None,
                ..asked
            })
        } else {
            tally.answer(&asked, sender)
        };
        if let Some(answer) = answer {
            self.stats.aggregate_exchanges += 1;
            self.send_exchanges(kind::AGGREGATE_ANSWER, &[answer], from, now, out);
        }
    }

    pub(super) fn exchange_answered(&mut self, answer: &Exchange, sender: NodeId, now: Time) {
        let population = self.table.live().len() + 1;
        let Some(tally) = self.aggregates.tallies.get_mut(&answer.name) else { return };
        if answer.epoch > tally.epoch() {
            tally.next(answer.epoch, self.id, population, now);
        } else if answer.epoch == tally.epoch() && !answer.values.is_empty() {
            tally.settle(answer, sender);
        }
    }

    /// A member is gone: it takes its own contribution along, and nothing else.
    pub(super) fn aggregates_forget(&mut self, peer: NodeId) {
        self.aggregates.tallies.values_mut().for_each(|tally| tally.forget(peer));
    }

    /// What is known of an aggregate, with the time since its epoch began.
    pub(super) fn aggregate(&self, name: &str) -> Option<Outcome> {
        let tally = self.aggregates.tallies.get(name)?;
        Some(tally.outcome(self.table.live().len() + 1, self.pulse.now))
    }

    /// An epoch lasts about this long.
    pub(super) fn aggregate_epoch(&self) -> Duration {
        self.config.aggregate_interval * rounds_of_epoch(self.table.live().len() + 1)
    }
}
