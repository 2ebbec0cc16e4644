//! Decides where members are kept: slots found by id or name in O(1), a shuffled list of live
//! peers, a list of lost ones, and the fingerprint of the live membership.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::facts::Facts;
use super::known::KnownMember;
use super::record::{Precedence, Standing};
use crate::base::hash::{Fingerprint, HashKey, domain};
use crate::base::id::NodeId;
use crate::base::rng::Rng;
use crate::base::slots::SlotIndex;
use crate::base::time::Time;
use crate::limits::NAMESAKES_MAX;

/// A member's place in the table. Valid until the member is forgotten.
pub type Slot = u32;

/// What decides whether an update is known, and what becomes of it here: four members share a line
/// of the cache. Whose it is stands in the facts; the sum is over them and tells members apart.
#[derive(Clone, Copy, Debug)]
struct Said {
    sum: u64,
    /// The incarnation above a byte of state.
    incarnation_and_state: u64,
}

/// What becomes of a member here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    standing: Standing,
    list: List,
    suspect: bool,
    unconfirmed: bool,
}

impl Said {
    fn new(precedence: Precedence, state: State) -> Said {
        let Precedence { incarnation, sum, .. } = precedence;
        Said { sum, incarnation_and_state: incarnation << 8 | u64::from(state.to_byte()) }
    }

    fn incarnation(self) -> u64 {
        self.incarnation_and_state >> 8
    }

    fn state(self) -> State {
        State::of_byte(self.incarnation_and_state as u8)
    }

    fn set_state(&mut self, state: State) {
        self.incarnation_and_state &= !0xff;
        self.incarnation_and_state |= u64::from(state.to_byte());
    }

    /// Says the very same as a record.
    #[inline]
    fn is(self, precedence: Precedence) -> bool {
        let Precedence { incarnation, standing, sum, .. } = precedence;
        let said = incarnation << 8 | u64::from(standing as u8);
        self.sum == sum && self.incarnation_and_state & !(0xff ^ STANDING) == said
    }
}

/// Bits of the standing in the byte of state; above them the list, then the two doubts.
const STANDING: u64 = 0b111;

impl State {
    fn to_byte(self) -> u8 {
        let doubts = u8::from(self.suspect) << 5 | u8::from(self.unconfirmed) << 6;
        self.standing as u8 | (self.list as u8) << 3 | doubts
    }

    fn of_byte(byte: u8) -> State {
        let standing = match byte & STANDING as u8 {
            0 => Standing::Alive,
            1 => Standing::Failed,
            2 => Standing::Leaving,
            3 => Standing::Left,
            _ => Standing::Retired,
        };
        let list = match byte >> 3 & 3 {
            0 => List::None,
            1 => List::Live,
            _ => List::Lost,
        };
        State { standing, list, suspect: byte >> 5 & 1 == 1, unconfirmed: byte >> 6 & 1 == 1 }
    }
}

/// What is kept of the contact with a member.
#[derive(Clone, Copy, Debug)]
struct Contact {
    /// Position in the list that `list` names.
    at: u32,
    /// When the standing last changed, or the member was last heard: seconds and tenths.
    since: u32,
    heard: u32,
    /// Smoothed round trip and its deviation, in units of 10 µs (0: not measured).
    rtt: u16,
    rtt_deviation: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum List {
    None,
    Live,
    Lost,
}

const TENTH: u64 = 100_000_000;

/// All members that this node knows. Slot 0 is the node itself.
#[derive(Debug)]
pub struct Table {
    key: HashKey,
    /// One of each for every slot.
    said: Vec<Said>,
    contacts: Vec<Contact>,
    facts: Vec<Option<Arc<Facts>>>,
    free: Vec<Slot>,
    /// Asked for with each record and packet: sparser than the names.
    by_id: SlotIndex<10>,
    by_name: SlotIndex,
    /// Live peers in probing order; the part before `probed` had its turn in this pass.
    live: Vec<Slot>,
    probed: usize,
    /// Peers that failed here, confirmed or not, in order of recontact.
    lost: Vec<Slot>,
    recontacted: usize,
    fingerprint: Fingerprint,
    /// Rises with every change that a reader of the table can see.
    index: u64,
}

/// The slot of the node itself.
pub const ME: Slot = 0;

impl Table {
    pub fn new(key: HashKey, me: Arc<Facts>, precedence: Precedence) -> Table {
        let mut table = Table {
            key,
            said: Vec::new(),
            contacts: Vec::new(),
            facts: Vec::new(),
            free: Vec::new(),
            by_id: SlotIndex::default(),
            by_name: SlotIndex::default(),
            live: Vec::new(),
            probed: 0,
            lost: Vec::new(),
            recontacted: 0,
            fingerprint: Fingerprint::default(),
            index: 1,
        };
        table.occupy(me, precedence, Time::ZERO);
        let mine = table.print_of(ME);
        table.fingerprint += mine;
        table
    }

    // Changes.

    /// Adds a member that is not known yet.
    pub fn insert(
        &mut self,
        facts: Arc<Facts>,
        precedence: Precedence,
        now: Time,
        rng: &mut Rng,
    ) -> Slot {
        let slot = self.occupy(facts, precedence, now);
        self.enlist(slot, rng);
        self.index += 1;
        slot
    }

    /// Adds live members, the node itself left out, as [`Table::insert`] does one by one.
    pub(crate) fn insert_known(&mut self, known: &[KnownMember], now: Time, rng: &mut Rng) {
        self.make_room(known.len());
        let facts = &self.facts;
        self.by_id.reserve(known.len(), |s| in_use(facts, s).id.short());
        self.by_name.reserve(known.len(), |s| name_hash(&in_use(facts, s).name));
        let me = self.id(ME);
        for member in known.iter().filter(|m| m.facts.id != me) {
            let slot = self.occupy(Arc::clone(&member.facts), member.precedence, now);
            self.fingerprint += member.print;
            self.enlist_live(slot, rng);
            self.index += 1;
        }
    }

    /// A live member that stays so has a higher incarnation, and nothing else has changed.
    pub fn raise(&mut self, slot: Slot, precedence: Precedence) {
        let (before, after) = (self.print_of(slot), member_print(&self.key, precedence));
        self.fingerprint -= before;
        self.fingerprint += after;
        let said = &mut self.said[slot as usize];
        *said = Said::new(precedence, said.state());
        self.index += 1;
    }

    /// Replaces a known member's record; no facts: they are as before.
    pub fn update(
        &mut self,
        slot: Slot,
        facts: Option<Arc<Facts>>,
        precedence: Precedence,
        now: Time,
        rng: &mut Rng,
    ) {
        // A live member that stays live keeps its place in the pass.
        let stays = self.is_live(slot) && precedence.standing.is_live() && slot != ME;
        if stays {
            let print = self.print_of(slot);
            self.fingerprint -= print;
        } else {
            self.delist(slot);
        }
        let said = &mut self.said[slot as usize];
        let State { standing, list, .. } = said.state();
        if standing != precedence.standing {
            self.contacts[slot as usize].since = tenths(now);
        }
        let standing = precedence.standing;
        *said = Said::new(precedence, State { standing, list, suspect: false, unconfirmed: false });
        if let Some(facts) = facts {
            self.replace_facts(slot, facts);
        }
        if stays {
            let print = self.print_of(slot);
            self.fingerprint += print;
        } else {
            self.enlist(slot, rng);
        }
        self.index += 1;
    }

    fn replace_facts(&mut self, slot: Slot, facts: Arc<Facts>) {
        let renamed = self.facts(slot).name != facts.name;
        if renamed {
            let hash = name_hash(&self.facts(slot).name);
            self.by_name.remove(hash, slot);
        }
        self.facts[slot as usize] = Some(facts);
        if renamed {
            self.index_name(slot);
        }
    }

    pub fn set_suspect(&mut self, slot: Slot, suspect: bool) {
        self.change_state(slot, |state| state.suspect = suspect);
        self.index += 1;
    }

    /// This node alone holds the member failed, or no longer does.
    pub fn set_unconfirmed(&mut self, slot: Slot, unconfirmed: bool, now: Time, rng: &mut Rng) {
        self.delist(slot);
        self.change_state(slot, |state| {
            (state.unconfirmed, state.suspect) = (unconfirmed, false);
        });
        self.contacts[slot as usize].since = tenths(now);
        self.enlist(slot, rng);
        self.index += 1;
    }

    /// Forgets a member: its slot may be given to another.
    pub fn forget(&mut self, slot: Slot) {
        assert!(slot != ME, "a node never forgets itself");
        self.delist(slot);
        let name = name_hash(&self.facts(slot).name);
        self.by_name.remove(name, slot);
        self.by_id.remove(self.id(slot).short(), slot);
        self.facts[slot as usize] = None;
        self.free.push(slot);
        self.index += 1;
    }

    pub fn heard(&mut self, slot: Slot, now: Time) {
        self.contacts[slot as usize].heard = tenths(now);
    }

    /// Folds a measured round trip into the member's estimate (Jacobson 1988).
    pub fn measured(&mut self, slot: Slot, rtt: Duration) {
        let place = &mut self.contacts[slot as usize];
        let sample = (rtt.as_micros() / 10).clamp(1, u16::MAX as u128) as i32;
        if place.rtt == 0 {
            place.rtt = sample as u16;
            place.rtt_deviation = (sample / 2).max(1) as u16;
            return;
        }
        let error = sample - i32::from(place.rtt);
        place.rtt = (i32::from(place.rtt) + error / 8).clamp(1, u16::MAX.into()) as u16;
        let deviation = i32::from(place.rtt_deviation);
        place.rtt_deviation =
            (deviation + (error.abs() - deviation) / 4).clamp(1, u16::MAX.into()) as u16;
    }

    /// The next live peer of the shuffled round robin (SWIM 4.3): each is probed once per pass, so
    /// two probes of one are at most 2n - 1 periods apart. Calls `skip` never twice for one peer.
    pub fn next_to_probe(&mut self, rng: &mut Rng) -> Option<Slot> {
        if self.live.is_empty() {
            return None;
        }
        if self.probed >= self.live.len() {
            rng.shuffle(&mut self.live);
            for (at, &slot) in self.live.iter().enumerate() {
                self.contacts[slot as usize].at = at as u32;
            }
            self.probed = 0;
        }
        let slot = self.live[self.probed];
        self.probed += 1;
        Some(slot)
    }

    /// The next lost peer, round robin: none is ever given up while it is remembered (row I5).
    pub fn next_to_recontact(&mut self) -> Option<Slot> {
        if self.lost.is_empty() {
            return None;
        }
        self.recontacted = (self.recontacted + 1) % self.lost.len();
        Some(self.lost[self.recontacted])
    }

    // Readings.

    pub fn find(&self, id: NodeId) -> Option<Slot> {
        self.by_id.find(id.short(), |slot| self.id(slot) == id)
    }

    pub fn find_short(&self, short: u64) -> Option<Slot> {
        self.by_id.find(short, |slot| self.id(slot).short() == short)
    }

    /// The member that a record with these facts is about, if they are those that are known: they
    /// begin with the identity, so their sum tells members apart.
    #[inline]
    pub fn find_same_facts(&self, short: u64, said: Precedence) -> Option<Slot> {
        let facts = said.facts_sum();
        self.by_id.find(short, |slot| self.precedence(slot).facts_sum() == facts)
    }

    /// Whether this is what is known of a member, word for word.
    #[inline]
    pub fn says(&self, slot: Slot, said: Precedence) -> bool {
        self.said[slot as usize].is(said)
    }

    /// The member that a user means by this name: a live one before a failed one before one that
    /// left; retired lives are not meant.
    pub fn find_name(&self, name: &str) -> Option<Slot> {
        let mut best: Option<Slot> = None;
        self.each_named(name, |slot| {
            let rank = |s: Slot| (self.standing(s).is_live(), self.incarnation(s));
            let later_standing = |a: Slot, b: Slot| {
                rank(a) > rank(b) || (rank(a).0 == rank(b).0 && self.standing(a) < self.standing(b))
            };
            if self.standing(slot) != Standing::Retired
                && best.is_none_or(|b| later_standing(slot, b))
            {
                best = Some(slot);
            }
        });
        best
    }

    /// Members of this name, at most [`NAMESAKES_MAX`].
    pub fn each_named(&self, name: &str, mut visit: impl FnMut(Slot)) {
        let mut visited = 0;
        self.by_name.find(name_hash(name), |slot| {
            if &*self.facts(slot).name == name {
                visited += 1;
                visit(slot);
            }
            visited >= NAMESAKES_MAX
        });
    }

    /// Members whose name has this hash, at most [`NAMESAKES_MAX`].
    pub fn each_of_hash(&self, name: u64, mut visit: impl FnMut(Slot)) {
        let mut visited = 0;
        self.by_name.find(name, |slot| {
            if name_hash(&self.facts(slot).name) == name {
                visited += 1;
                visit(slot);
            }
            visited >= NAMESAKES_MAX
        });
    }

    pub fn id(&self, slot: Slot) -> NodeId {
        self.facts(slot).id
    }

    pub fn facts(&self, slot: Slot) -> &Arc<Facts> {
        in_use(&self.facts, slot)
    }

    pub fn addr(&self, slot: Slot) -> SocketAddr {
        self.facts(slot).addr
    }

    pub fn incarnation(&self, slot: Slot) -> u64 {
        self.said[slot as usize].incarnation()
    }

    pub fn standing(&self, slot: Slot) -> Standing {
        self.state(slot).standing
    }

    #[inline]
    pub fn precedence(&self, slot: Slot) -> Precedence {
        let said = self.said[slot as usize];
        Precedence::new(said.incarnation(), said.state().standing, said.sum)
    }

    pub fn is_suspect(&self, slot: Slot) -> bool {
        self.state(slot).suspect
    }

    pub fn is_unconfirmed(&self, slot: Slot) -> bool {
        self.state(slot).unconfirmed
    }

    /// Live here: probed, gossiped to, counted.
    pub fn is_live(&self, slot: Slot) -> bool {
        let state = self.state(slot);
        state.list == List::Live || slot == ME && state.standing.is_live()
    }

    pub fn in_use(&self, slot: Slot) -> bool {
        self.facts.get(slot as usize).is_some_and(Option::is_some)
    }

    pub fn last_heard(&self, slot: Slot) -> Option<Time> {
        let heard = self.contacts[slot as usize].heard;
        (heard > 0).then_some(Time(u64::from(heard) * TENTH))
    }

    pub fn since(&self, slot: Slot) -> Time {
        Time(u64::from(self.contacts[slot as usize].since) * TENTH)
    }

    /// Smoothed round trip and deviation.
    pub fn rtt(&self, slot: Slot) -> Option<(Duration, Duration)> {
        let place = &self.contacts[slot as usize];
        let unit = |v: u16| Duration::from_micros(u64::from(v) * 10);
        (place.rtt > 0).then(|| (unit(place.rtt), unit(place.rtt_deviation)))
    }

    /// Live peers, this node excluded.
    pub fn live(&self) -> &[Slot] {
        &self.live
    }

    /// Failed peers, confirmed or not.
    pub fn lost(&self) -> &[Slot] {
        &self.lost
    }

    /// Size of the cluster as seen here: live members and this node.
    pub fn size(&self) -> usize {
        self.live.len() + 1
    }

    /// Every slot in use.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        (0..self.slots_end()).filter(|&s| self.in_use(s))
    }

    /// One past the highest slot.
    pub fn slots_end(&self) -> Slot {
        self.said.len() as Slot
    }

    pub fn len(&self) -> usize {
        self.said.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        false
    }

    /// Over (incarnation, standing, the owner's checksum) of the live members, suspects included. Those gone are
    /// left out, so that forgetting them at different times makes no difference.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub fn index(&self) -> u64 {
        self.index
    }

    /// Sums of the live members' prints by the first bits of their ids: tells where two tables
    /// differ. `buckets` is a power of two.
    pub fn bucket_prints(&self, buckets: usize) -> Vec<u64> {
        let mut sums = vec![Fingerprint::default(); buckets];
        for slot in self.slots().filter(|&s| self.counts_in_print(s)) {
            sums[bucket_of(self.id(slot), buckets)] += self.print_of(slot);
        }
        sums.into_iter().map(Fingerprint::low).collect()
    }

    // Inside.

    fn occupy(&mut self, facts: Arc<Facts>, precedence: Precedence, now: Time) -> Slot {
        let standing = precedence.standing;
        let state = State { standing, list: List::None, suspect: false, unconfirmed: false };
        let said = Said::new(precedence, state);
        let contact = Contact { at: 0, since: tenths(now), heard: 0, rtt: 0, rtt_deviation: 0 };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.said[slot as usize] = said;
                self.contacts[slot as usize] = contact;
                self.facts[slot as usize] = Some(facts);
                slot
            }
            None => {
                if self.said.len() == self.said.capacity() {
                    self.make_room(self.said.len() / 16 + 1);
                }
                self.said.push(said);
                self.contacts.push(contact);
                self.facts.push(Some(facts));
                self.slots_end() - 1
            }
        };
        let (facts, by_id) = (&self.facts, &mut self.by_id);
        by_id.insert(in_use(facts, slot).id.short(), slot, |s| in_use(facts, s).id.short());
        self.index_name(slot);
        slot
    }

    /// By as much as is asked for, not by doubling: a thousand tables may share a process.
    fn make_room(&mut self, more: usize) {
        self.said.reserve_exact(more);
        self.contacts.reserve_exact(more);
        self.facts.reserve_exact(more);
        self.live.reserve_exact(self.said.len() + more - self.live.len());
    }

    fn index_name(&mut self, slot: Slot) {
        let facts = &self.facts;
        let hash = |s: Slot| name_hash(&in_use(facts, s).name);
        self.by_name.insert(hash(slot), slot, hash);
    }

    fn state(&self, slot: Slot) -> State {
        self.said[slot as usize].state()
    }

    fn change_state(&mut self, slot: Slot, change: impl FnOnce(&mut State)) {
        let mut state = self.state(slot);
        change(&mut state);
        self.said[slot as usize].set_state(state);
    }

    fn counts_in_print(&self, slot: Slot) -> bool {
        self.state(slot).standing.is_live()
    }

    fn print_of(&self, slot: Slot) -> u128 {
        member_print(&self.key, self.precedence(slot))
    }

    /// Puts a slot on the list that its state asks for and into the fingerprint.
    fn enlist(&mut self, slot: Slot, rng: &mut Rng) {
        if self.counts_in_print(slot) {
            let print = self.print_of(slot);
            self.fingerprint += print;
        }
        if slot == ME {
            return;
        }
        let state = self.state(slot);
        if state.standing.is_live() && !state.unconfirmed {
            self.enlist_live(slot, rng);
        } else if state.standing == Standing::Failed || state.unconfirmed {
            self.change_state(slot, |state| state.list = List::Lost);
            self.contacts[slot as usize].at = self.lost.len() as u32;
            self.lost.push(slot);
        }
    }

    /// A newcomer takes a random place of the pass (SWIM 4.3).
    fn enlist_live(&mut self, slot: Slot, rng: &mut Rng) {
        let at = rng.index(self.live.len() + 1);
        self.live.push(slot);
        self.change_state(slot, |state| state.list = List::Live);
        self.set_live(self.live.len() - 1, slot);
        self.swap_live(at, self.live.len() - 1);
    }

    fn delist(&mut self, slot: Slot) {
        if self.counts_in_print(slot) {
            let print = self.print_of(slot);
            self.fingerprint -= print;
        }
        let at = self.contacts[slot as usize].at as usize;
        match self.state(slot).list {
            List::None => {}
            List::Live => {
                // Keep the part that had its turn in front of the part that has not.
                let mut hole = at;
                if at < self.probed {
                    self.probed -= 1;
                    self.swap_live(at, self.probed);
                    hole = self.probed;
                }
                self.swap_live(hole, self.live.len() - 1);
                self.live.pop();
            }
            List::Lost => {
                self.lost.swap_remove(at);
                if let Some(&moved) = self.lost.get(at) {
                    self.contacts[moved as usize].at = at as u32;
                }
            }
        }
        self.change_state(slot, |state| state.list = List::None);
    }

    fn swap_live(&mut self, a: usize, b: usize) {
        let (x, y) = (self.live[a], self.live[b]);
        self.set_live(a, y);
        self.set_live(b, x);
    }

    fn set_live(&mut self, at: usize, slot: Slot) {
        self.live[at] = slot;
        self.contacts[slot as usize].at = at as u32;
    }
}

pub fn bucket_of(id: NodeId, buckets: usize) -> usize {
    debug_assert!(buckets.is_power_of_two());
    if buckets == 1 { 0 } else { (id.short() >> (64 - buckets.trailing_zeros())) as usize }
}

/// What a live member adds to the fingerprint. Its identity is in the sum.
pub(super) fn member_print(key: &HashKey, precedence: Precedence) -> u128 {
    let Precedence { incarnation, standing, sum, .. } = precedence;
    let mut said = [0; 16];
    said[..8].copy_from_slice(&sum.to_le_bytes());
    said[8..].copy_from_slice(&(incarnation << 8 | standing as u64).to_le_bytes());
    key.print(domain::MEMBER_PRINT, &said)
}

fn in_use(facts: &[Option<Arc<Facts>>], slot: Slot) -> &Arc<Facts> {
    facts[slot as usize].as_ref().expect("a slot in use has facts")
}

/// What members are found by beside their identity.
pub fn name_hash(name: &str) -> u64 {
    // FNV-1a; the table compares the names themselves.
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

fn tenths(now: Time) -> u32 {
    (now.0 / TENTH).min(u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clocks::Hlc;
    use std::collections::{BTreeMap, BTreeSet};

    fn facts(id: u128) -> Arc<Facts> {
        let addr = "127.0.0.1:1".parse().unwrap();
        let name = format!("n{id}");
        let id = id + 1; // 0 means anyone
        Arc::new(
            Facts::new(
                NodeId::from_u128(id << 100 | id),
                &name,
                addr,
                1,
                Hlc(0),
                None,
                &BTreeMap::new(),
            )
            .unwrap(),
        )
    }

    fn table() -> Table {
        let alive = Precedence::new(1, Standing::Alive, 0);
        Table::new(HashKey::for_cluster("t"), facts(9999), alive)
    }

    #[test]
    fn a_pass_probes_each_live_peer_once_through_churn() {
        let mut rng = Rng::from_u64(5);
        let mut t = table();
        let now = Time::from_secs(1);
        let alive = |i| Precedence::new(i, Standing::Alive, 0);
        let mut gap: BTreeMap<Slot, usize> = BTreeMap::new();
        for i in 0..50 {
            gap.insert(t.insert(facts(i), alive(1), now, &mut rng), 0);
        }
        for round in 0..5_000 {
            let slot = t.next_to_probe(&mut rng).unwrap();
            for (&other, g) in gap.iter_mut() {
                *g = if other == slot { 0 } else { *g + 1 };
                assert!(*g <= 130, "slot {other} waited {g}: 2n - 1 is 99, the rest is churn");
            }
            if round % 7 == 0 {
                let victim = *gap.keys().nth(rng.index(gap.len())).unwrap();
                let inc = t.incarnation(victim);
                t.update(victim, None, Precedence::new(inc, Standing::Failed, 0), now, &mut rng);
                assert!(!t.live().contains(&victim) && t.lost().contains(&victim));
                t.update(victim, None, alive(inc + 1), now, &mut rng);
                gap.insert(victim, 0);
                assert!(t.live().contains(&victim) && !t.lost().contains(&victim));
            }
        }
        let distinct: BTreeSet<_> = t.live().iter().collect();
        assert_eq!(distinct.len(), 50);
    }

    #[test]
    fn fingerprint_depends_on_the_set_alone() {
        let mut rng = Rng::from_u64(6);
        let now = Time::from_secs(1);
        let (mut a, mut b) = (table(), table());
        let alive = Precedence::new(1, Standing::Alive, 0);
        for i in 0..20 {
            a.insert(facts(i), alive, now, &mut rng);
            b.insert(facts(19 - i), alive, now, &mut rng);
        }
        assert_eq!(a.fingerprint(), b.fingerprint());
        assert_eq!(a.bucket_prints(16), b.bucket_prints(16));
        let slot = a.find(facts(3).id).unwrap();
        a.forget(slot);
        assert_ne!(a.fingerprint(), b.fingerprint());
        a.insert(facts(3), alive, now, &mut rng);
        assert_eq!(a.fingerprint(), b.fingerprint());
    }

    #[test]
    fn a_member_stays_small() {
        assert_eq!([size_of::<Said>(), size_of::<Contact>()], [16, 16]);
    }

    #[test]
    fn every_state_fits_its_byte() {
        use Standing::*;
        for standing in [Alive, Failed, Leaving, Left, Retired] {
            for list in [List::None, List::Live, List::Lost] {
                for doubts in 0..4 {
                    let (suspect, unconfirmed) = (doubts & 1 == 1, doubts & 2 == 2);
                    let state = State { standing, list, suspect, unconfirmed };
                    let precedence = Precedence::new(7, standing, 9);
                    let said = Said::new(precedence, state);
                    assert_eq!((said.incarnation(), said.state()), (7, state));
                    assert!(said.is(precedence));
                    assert!(!said.is(Precedence::new(8, standing, 9)));
                    assert!(!said.is(Precedence::new(7, standing, 8)));
                }
            }
        }
    }
}
