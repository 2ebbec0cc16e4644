//! Decides what of the state can be forgotten once all members know of it: deletes, and the writers
//! that are gone. And what a node gives up that was away while the others forgot.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::Entry;
use super::store::{EntrySlot, Store};
use crate::base::clocks::Hlc;
use crate::base::id::NodeId;
use crate::wire::codec::{DecodeError, Decoded, Reader, put_id, put_u64, put_varint};
use crate::wire::frame::{kind, put_frame};

/// Writers in one question: it fits a datagram.
pub const CUT_MAX: usize = 48;

/// Up to where the writes of each of some origins are meant.
pub type Cut = BTreeMap<NodeId, u64>;

/// "Do you durably cover this?"
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub pass: u64,
    pub round: u8,
    /// The last forgetting that the asker knows.
    pub head: u64,
    pub cut: Cut,
    /// Which of these writers, by place, are gone for ever and are asked to be forgotten; in the last
    /// round: which shall be.
    pub gone: u64,
}

/// The last round: all have said yes. Forget.
pub const FORGET: u8 = u8::MAX;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    pub pass: u64,
    pub round: u8,
    pub yes: bool,
    pub head: u64,
    /// Which of the writers that are gone may be forgotten.
    pub gone: u64,
    /// Writes that lost here to others: until all know of them, an old copy could come back.
    pub losers: Cut,
}

impl Question {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::FORGET_ASK, |out| {
            put_u64(out, self.pass);
            out.push(self.round);
            put_u64(out, self.head);
            put_u64(out, self.gone);
            put_cut(out, &self.cut);
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<Question> {
        let mut r = Reader::new(body);
        Ok(Question {
            pass: r.u64("pass")?,
            round: r.u8("round")?,
            head: r.u64("head")?,
            gone: r.u64("gone")?,
            cut: read_cut(&mut r)?,
        })
    }
}

impl Consent {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_frame(out, kind::FORGET_ANSWER, |out| {
            put_u64(out, self.pass);
            out.push(self.round);
            out.push(u8::from(self.yes));
            put_u64(out, self.head);
            put_u64(out, self.gone);
            put_cut(out, &self.losers);
        });
    }

    pub fn decode(body: &[u8]) -> Decoded<Consent> {
        let mut r = Reader::new(body);
        Ok(Consent {
            pass: r.u64("pass")?,
            round: r.u8("round")?,
            yes: r.u8("yes")? != 0,
            head: r.u64("head")?,
            gone: r.u64("gone")?,
            losers: read_cut(&mut r)?,
        })
    }
}

fn put_cut(out: &mut Vec<u8>, cut: &Cut) {
    put_varint(out, cut.len() as u64);
    for (&origin, &upto) in cut {
        put_id(out, origin);
        put_varint(out, upto);
    }
}

fn read_cut(r: &mut Reader<'_>) -> Decoded<Cut> {
    let count = r.count(CUT_MAX, 17, "cut")?;
    let cut: Cut = (0..count)
        .map(|_| Ok((r.id("cut origin")?, r.seq("cut upto")?)))
        .collect::<Decoded<_>>()?;
    if cut.len() == count { Ok(cut) } else { Err(DecodeError::Invalid("cut")) }
}

impl Store {
    /// Deletes, and values that were cleared.
    pub fn tombstones(&self) -> usize {
        self.dead.len()
    }

    /// Writers that are gone and still remembered as forgotten.
    pub fn forgotten_writers(&self) -> usize {
        self.pruned.len()
    }

    /// Whether everything up to `cut` was applied, or is gone for ever.
    pub fn covers_cut(&self, cut: &Cut) -> bool {
        cut.iter().all(|(&origin, &upto)| {
            self.vector.upto(origin) >= upto || self.pruned.get(&origin).is_some_and(|&p| p >= upto)
        })
    }

    /// The writers of deletes that are not ahead of the clock, and up to where they count.
    pub fn deletes_cut(&self, clock: Hlc) -> Cut {
        let mut cut = Cut::new();
        for entry in self.dead.iter().map(|&slot| &self.kept(slot).entry) {
            if entry.stamp > clock {
                continue;
            }
            let Some(needs) = self.needs(entry) else { continue };
            let fresh = needs.iter().filter(|(origin, _)| !cut.contains_key(origin)).count();
            if cut.len() + fresh <= CUT_MAX {
                for (origin, upto) in needs {
                    let known = cut.entry(origin).or_default();
                    *known = upto.max(*known);
                }
            }
        }
        cut
    }

    /// What all must cover before this delete is forgotten; `None` while it is not covered here.
    fn needs(&self, entry: &Entry) -> Option<Vec<(NodeId, u64)>> {
        let dot = entry.dot;
        let own = (dot.seq <= self.vector.upto(dot.origin)).then_some((dot.origin, dot.seq))?;
        let mut needs = vec![own];
        for write in entry.merged.iter().flat_map(|merged| merged.context().dots()) {
            match self.vector.find_short(write.writer) {
                Some((origin, upto)) if upto >= write.seq => needs.push((origin, write.seq)),
                // Its writer is gone, and was forgotten.
                None => {}
                Some(_) => return None,
            }
        }
        (needs.len() <= CUT_MAX).then_some(needs)
    }

    /// Forgets the deletes that `cut` covers: from here on the vector alone says that they were. One
    /// ahead of the clock stays, so that later writes here still go above it.
    pub fn forget_deletes(&mut self, cut: &Cut, clock: Hlc) -> Vec<Entry> {
        let within = |needs: Vec<(NodeId, u64)>| {
            needs.iter().all(|(origin, seq)| cut.get(origin).is_some_and(|upto| upto >= seq))
        };
        let over: Vec<EntrySlot> = self
            .dead
            .iter()
            .copied()
            .filter(|&slot| self.kept(slot).entry.stamp <= clock)
            .filter(|&slot| self.needs(&self.kept(slot).entry).is_some_and(within))
            .collect();
        over.into_iter().map(|slot| self.remove(slot)).collect()
    }

    /// All members know of these losers.
    pub fn settle_losers(&mut self, known: &Cut) {
        self.losers.retain(|origin, &mut seq| known.get(origin).is_none_or(|&upto| upto < seq));
    }

    /// Losers that are not within `cut`, as many as an answer holds.
    pub fn losers_beyond(&self, cut: &Cut) -> Cut {
        let beyond = self.losers.iter().filter(|(origin, seq)| {
            // What is not covered here either nobody is asked for.
            cut.get(origin).is_none_or(|upto| upto < seq) && self.vector.upto(**origin) >= **seq
        });
        beyond.map(|(&origin, &seq)| (origin, seq)).take(CUT_MAX).collect()
    }

    /// Whether nothing that is held names this writer, up to exactly there.
    pub fn is_idle(&self, origin: NodeId, upto: u64) -> bool {
        let here = self.vector.upto(origin) == upto;
        (here || self.pruned.contains_key(&origin)) && !self.by_origin.contains_key(&origin)
    }

    /// Forgets a writer that is gone.
    pub fn prune(&mut self, origin: NodeId) {
        let upto = self.vector.upto(origin);
        if upto > 0 {
            self.uncover(origin);
        }
        self.remember_pruned(origin, upto);
        self.losers.remove(&origin);
    }

    /// Whether this writer is gone and was forgotten of late.
    pub fn was_pruned(&self, origin: NodeId) -> bool {
        self.pruned.contains_key(&origin)
    }

    /// A writer that was thought gone is a member again.
    pub fn remember_writer(&mut self, origin: NodeId) {
        self.pruned.remove(&origin);
    }

    /// The state of a peer that knows what was forgotten, all of which is here now: what it covers and
    /// does not hold was deleted. A value that it does not cover is given up as well where it is no
    /// later than the deletes that were forgotten, as one of them may have beaten it. It goes on to
    /// count as applied, here and from here at all: it was settled. A delete that is ahead of `clock`
    /// stays, so that later writes here go above it. Returns what was given up, each with
    /// whether the peer has seen it.
    pub fn follow(
        &mut self,
        held: &BTreeSet<EntrySlot>,
        covered: &[(NodeId, u64)],
        floor: Hlc,
        clock: Hlc,
    ) -> Vec<(Entry, bool)> {
        let covered: Cut = covered.iter().copied().collect();
        let mut given_up = Vec::new();
        for slot in 0..self.entries.len() as EntrySlot {
            let Some(entry) = self.get(slot).map(|kept| &kept.entry) else { continue };
            let seen = is_covered(entry, &covered);
            let stays = match entry.is_live() {
                true => !seen && entry.stamp > floor,
                false => !seen || entry.stamp > clock,
            };
            if !held.contains(&slot) && !stays {
                given_up.push((self.remove(slot), seen));
            }
        }
        given_up
    }
}

/// Whether who covers `covered` has applied all of this entry.
fn is_covered(entry: &Entry, covered: &Cut) -> bool {
    match &entry.merged {
        None => covered.get(&entry.dot.origin).is_some_and(|&upto| upto >= entry.dot.seq),
        Some(merged) => merged.context().dots().all(|write| {
            let from = NodeId::first_with_short(write.writer);
            let known = covered.range(from..).next().filter(|(id, _)| id.short() == write.writer);
            known.is_some_and(|(_, &upto)| upto >= write.seq)
        }),
    }
}
