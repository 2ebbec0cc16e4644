//! Decides by zone, the value of a member's tag `zone`: most picks stay within this node's own, and a few
//! go elsewhere, by chance and by every member alike, so that no bridge can fail (row C7).

use super::Round;
use crate::base::rng::Rng;
use crate::base::time::Time;
use crate::membership::table::{ME, Slot, Table};

/// Live peers, those of this node's zone first. Listed anew at most once a second, unless a sixteenth of them
/// has changed: who has gone meanwhile is passed over, newcomers are told by others.
#[derive(Debug, Default)]
pub(super) struct Sides {
    members: Vec<Slot>,
    near: usize,
    mine: Option<Box<str>>,
    as_of: u64,
    until: Time,
}

const LISTED_FOR: std::time::Duration = std::time::Duration::from_secs(1);
/// A sixteenth.
const CHANGED: u64 = 16;
/// Draws for one place in a round before members are taken as they come.
const DRAWS: usize = 8;
/// And so many of those.
const IN_ORDER: usize = 16;

impl Sides {
    /// Fills `out` with distinct live peers, without those that `skip` names.
    pub(super) fn pick(
        &mut self,
        table: &Table,
        round: Round,
        rng: &mut Rng,
        skip: impl Fn(Slot) -> bool,
        out: &mut Vec<Slot>,
    ) {
        self.refresh(table, round.now);
        out.clear();
        let crosses = self.crossing(round.crossing);
        let (near, far) = self.members.split_at(self.near);
        for _ in 0..round.peers {
            let fits = |slot: Slot| table.is_live(slot) && !skip(slot) && !out.contains(&slot);
            let (first, second) = if rng.chance(crosses) { (far, near) } else { (near, far) };
            let found = draw(first, rng, fits).or_else(|| draw(second, rng, fits));
            let Some(slot) = found else { return };
            out.push(slot);
        }
    }

    /// As a pick would: always within the zone, else by chance.
    pub(super) fn crosses(&mut self, table: &Table, to: Slot, round: Round, rng: &mut Rng) -> bool {
        if zone_of(table, to) == zone_of(table, ME) {
            return true;
        }
        self.refresh(table, round.now);
        rng.chance(self.share(round.crossing))
    }

    /// The chance that a pick goes elsewhere.
    fn crossing(&self, share: f64) -> f64 {
        let elsewhere = self.members.len() - self.near;
        self.share(share) * elsewhere as f64 / self.members.len().max(1) as f64
    }

    /// Of the picks that chance alone would send elsewhere, how many are. A small zone as a whole sends as
    /// many as one member would, so that it hears and is heard.
    fn share(&self, share: f64) -> f64 {
        share.max(1.0 / (self.near + 1) as f64)
    }

    fn refresh(&mut self, table: &Table, now: Time) {
        let changes = table.index() - self.as_of;
        let few = changes * CHANGED < self.members.len() as u64 && now < self.until;
        let mine = zone_of(table, ME);
        if self.mine.as_deref() == mine && (changes == 0 || few) {
            return;
        }
        (self.as_of, self.until) = (table.index(), now + LISTED_FOR);
        self.mine = mine.map(Box::from);
        self.members.clear();
        self.members.extend_from_slice(table.live());
        self.near = 0;
        for at in 0..self.members.len() {
            if zone_of(table, self.members[at]) == mine {
                self.members.swap(self.near, at);
                self.near += 1;
            }
        }
    }
}

/// Those without the tag are a zone, too.
fn zone_of(table: &Table, slot: Slot) -> Option<&str> {
    table.facts(slot).zone()
}

fn draw(from: &[Slot], rng: &mut Rng, fits: impl Fn(Slot) -> bool) -> Option<Slot> {
    if from.is_empty() {
        return None;
    }
    let by_chance = (0..DRAWS).map(|_| from[rng.index(from.len())]).find(|&slot| fits(slot));
    by_chance.or_else(|| {
        let first = rng.index(from.len());
        let turned = from[first..].iter().chain(&from[..first]);
        turned.take(IN_ORDER).copied().find(|&slot| fits(slot))
    })
}
