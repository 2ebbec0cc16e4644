//! Decides when an update has reached its audience and when an end has been noticed: a ledger fed
//! with every event of every node. The audience of an update are the nodes that ran when it was
//! made, less those that stop before they hear of it.

use std::collections::BTreeMap;

use tidings_proto::base::clocks::{Dot, Hlc};
use tidings_proto::io::{Event, MemberChange};
use tidings_proto::{NodeId, Time};

use super::outcome::{Departure, FalseDeath, Line, Quantiles, Spread, Updates};
use crate::observe::Heard;
use crate::trace::describe_event;
use crate::world::World;

/// Updates followed node by node at one time; more are counted only.
const OPEN_MAX: usize = 500;
/// Kept for the report; the numbers go on.
const KEPT_MAX: usize = 1000;
const CURVE_POINTS: usize = 40;
const UNKNOWN: u8 = u8::MAX;

/// What makes an event the news of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// This write of the key, or one that beats it.
    Key {
        keyspace: String,
        key: Vec<u8>,
        stamp: Hlc,
        dot: Dot,
    },
    User {
        origin: NodeId,
        seq: u64,
    },
    /// The member is alive at this incarnation or a higher one.
    Member {
        id: NodeId,
        incarnation: u64,
    },
}

struct Open {
    kind: &'static str,
    what: String,
    by: usize,
    at: Time,
    news: News,
    /// When each host knew; hosts started later are beyond the list.
    times: Vec<Time>,
    hops: Vec<u8>,
    expected: Vec<bool>,
    missing: usize,
}

struct Gone {
    name: String,
    how: &'static str,
    at: Time,
    expected: Vec<bool>,
    missing: usize,
    noticed: usize,
    first: Option<(Time, usize)>,
    last: Time,
}

/// All that is followed.
#[derive(Default)]
pub struct Ledger {
    open: BTreeMap<u64, Open>,
    opened: u64,
    by_key: BTreeMap<(String, Vec<u8>), Vec<u64>>,
    by_user: BTreeMap<(NodeId, u64), u64>,
    by_member: BTreeMap<NodeId, Vec<u64>>,
    gone: BTreeMap<NodeId, Gone>,
    record_events: bool,
    pub updates: Updates,
    pub joins: Updates,
    convergence: Vec<f64>,
    join_seconds: Vec<f64>,
    delivery: Histogram,
    hops: Vec<u64>,
    pub spreads: Vec<Spread>,
    pub departures: Vec<Departure>,
    pub undetected: usize,
    firsts: Vec<f64>,
    alls: Vec<f64>,
    pub false_deaths: u64,
    pub false_deaths_confirmed: u64,
}

impl Ledger {
    pub fn new(record_events: bool) -> Ledger {
        Ledger { record_events, ..Ledger::default() }
    }

    /// Follows an update made by a host now.
    pub fn follow(
        &mut self,
        world: &World,
        kind: &'static str,
        what: String,
        by: usize,
        at: Time,
        news: News,
    ) {
        let made = if kind == "join" { &mut self.joins } else { &mut self.updates };
        made.made += 1;
        if self.open.len() >= OPEN_MAX {
            return;
        }
        let expected: Vec<bool> = (0..world.len()).map(|h| world.is_up(h)).collect();
        let missing = expected.iter().filter(|e| **e).count();
        let times = vec![Time::NEVER; expected.len()];
        let hops = vec![UNKNOWN; expected.len()];
        self.opened += 1;
        let number = self.opened;
        match &news {
            News::Key { keyspace, key, .. } => {
                self.by_key.entry((keyspace.clone(), key.clone())).or_default().push(number);
            }
            News::User { origin, seq } => drop(self.by_user.insert((*origin, *seq), number)),
            News::Member { id, .. } => self.by_member.entry(*id).or_default().push(number),
        }
        let open = Open { kind, what, by, at, news, times, hops, expected, missing };
        self.open.insert(number, open);
        self.mark(number, by, at, None);
    }

    /// The process on this host ended; whoever runs and holds it alive should notice.
    pub fn departs(&mut self, world: &World, host: usize, how: &'static str) {
        let id = world.id(host);
        let expected: Vec<bool> = (0..world.len())
            .map(|h| h != host && world.is_up(h) && world.view(h).is_live(id))
            .collect();
        let missing = expected.iter().filter(|e| **e).count();
        let (name, at) = (world.name(host).to_owned(), world.now());
        let gone =
            Gone { name, how, at, expected, missing, noticed: 0, first: None, last: Time::ZERO };
        self.gone.insert(id, gone);
    }

    /// The host's process ends: it hears of nothing any more.
    pub fn silent(&mut self, host: usize, emit: &mut dyn FnMut(Line), world: &World) {
        let numbers: Vec<u64> = self.open.keys().copied().collect();
        for number in numbers {
            let open = self.open.get_mut(&number).expect("an open update");
            let waits = open.expected.get(host) == Some(&true) && open.times[host] == Time::NEVER;
            if waits {
                open.expected[host] = false;
                open.missing -= 1;
                self.close_if_done(number, world, emit);
            }
        }
        let ids: Vec<NodeId> = self.gone.keys().copied().collect();
        for id in ids {
            let gone = self.gone.get_mut(&id).expect("an open departure");
            if gone.expected.get(host) == Some(&true) {
                gone.expected[host] = false;
                gone.missing -= 1;
                self.close_departure_if_done(id, world, emit);
            }
        }
    }

    /// The identity lives again before all noticed that it was gone.
    pub fn returns(&mut self, id: NodeId) {
        self.gone.remove(&id);
    }

    /// Takes in what happened, in order.
    pub fn hear(&mut self, heard: &Heard, world: &World, emit: &mut dyn FnMut(Line)) {
        let (host, at) = (heard.host, heard.at);
        if self.record_events {
            let (node, event) = (world.name(host).to_owned(), describe_event(&heard.event));
            emit(Line::Event { at: seconds(at), node, event });
        }
        let numbers = match &heard.event {
            Event::Key { keyspace, key, .. } if !self.by_key.is_empty() => {
                self.by_key.get(&(keyspace.to_string(), key.to_vec())).cloned()
            }
            Event::User(e) => self.by_user.get(&(e.origin, e.seq)).map(|n| vec![*n]),
            Event::Member { member, .. } => self.by_member.get(&member.id).cloned(),
            _ => None,
        };
        for number in numbers.into_iter().flatten() {
            if self.open.get(&number).is_some_and(|open| open.news.is_in(&heard.event)) {
                self.mark(number, host, at, heard.from);
                self.close_if_done(number, world, emit);
            }
        }
        if let Event::Member { change, member } = &heard.event {
            if heard.false_alarm {
                self.false_deaths += 1;
                self.false_deaths_confirmed += u64::from(member.confirmed);
                if self.false_deaths <= KEPT_MAX as u64 {
                    let (who, by) = (member.name.clone(), world.name(host).to_owned());
                    let confirmed = member.confirmed;
                    emit(Line::FalseDeath(FalseDeath { at: seconds(at), who, by, confirmed }));
                }
            }
            let ends =
                matches!(change, MemberChange::Failed | MemberChange::Leave | MemberChange::Reap);
            if ends {
                self.notice(member.id, host, at, world, emit);
            }
        }
    }

    fn notice(
        &mut self,
        id: NodeId,
        host: usize,
        at: Time,
        world: &World,
        emit: &mut dyn FnMut(Line),
    ) {
        let Some(gone) = self.gone.get_mut(&id) else { return };
        if gone.expected.get(host) != Some(&true) {
            return;
        }
        gone.expected[host] = false;
        gone.missing -= 1;
        gone.noticed += 1;
        gone.first.get_or_insert((at, host));
        gone.last = at;
        self.close_departure_if_done(id, world, emit);
    }

    fn mark(&mut self, number: u64, host: usize, at: Time, from: Option<usize>) {
        let Some(open) = self.open.get_mut(&number) else { return };
        if host >= open.times.len() || open.times[host] != Time::NEVER {
            return;
        }
        open.times[host] = at;
        open.hops[host] = match from {
            _ if host == open.by => 0,
            Some(from) if from < open.hops.len() && open.hops[from] != UNKNOWN => {
                open.hops[from].saturating_add(1).min(UNKNOWN - 1)
            }
            _ => UNKNOWN,
        };
        if open.expected[host] {
            open.missing -= 1;
        }
    }

    fn close_if_done(&mut self, number: u64, world: &World, emit: &mut dyn FnMut(Line)) {
        if self.open.get(&number).is_some_and(|open| open.missing == 0) {
            self.close(number, world, emit);
        }
    }

    fn close(&mut self, number: u64, world: &World, emit: &mut dyn FnMut(Line)) {
        let Some(open) = self.open.remove(&number) else { return };
        match &open.news {
            News::Key { keyspace, key, .. } => {
                forget(&mut self.by_key, &(keyspace.clone(), key.clone()), number);
            }
            News::User { origin, seq } => drop(self.by_user.remove(&(*origin, *seq))),
            News::Member { id, .. } => forget(&mut self.by_member, id, number),
        }
        let spread = open.spread(world);
        let count = if open.kind == "join" { &mut self.joins } else { &mut self.updates };
        match spread.seconds {
            Some(seconds) => {
                count.reached += 1;
                let sample = if open.kind == "join" {
                    &mut self.join_seconds
                } else {
                    &mut self.convergence
                };
                sample.push(seconds);
            }
            None => count.unreached += 1,
        }
        if open.kind != "join" {
            open.delays().for_each(|delay| self.delivery.add(delay));
            if self.hops.len() < spread.hops.len() {
                self.hops.resize(spread.hops.len(), 0);
            }
            self.hops.iter_mut().zip(&spread.hops).for_each(|(all, n)| *all += n);
        }
        emit(Line::Reached(spread.clone()));
        if self.spreads.len() < KEPT_MAX {
            self.spreads.push(spread);
        }
    }

    fn close_departure_if_done(&mut self, id: NodeId, world: &World, emit: &mut dyn FnMut(Line)) {
        if self.gone.get(&id).is_some_and(|gone| gone.missing == 0) {
            self.close_departure(id, world, emit);
        }
    }

    fn close_departure(&mut self, id: NodeId, world: &World, emit: &mut dyn FnMut(Line)) {
        let Some(gone) = self.gone.remove(&id) else { return };
        let since = |at: Time| at.since(gone.at).as_secs_f64();
        let first = gone.first.map(|(at, _)| since(at));
        let all = (gone.missing == 0 && gone.noticed > 0).then(|| since(gone.last));
        self.firsts.extend(first);
        self.alls.extend(all);
        self.undetected += usize::from(gone.missing > 0);
        let departure = Departure {
            who: gone.name,
            how: gone.how,
            at: seconds(gone.at),
            audience: gone.missing + gone.noticed,
            noticed: gone.noticed,
            first,
            all,
            by: gone.first.map(|(_, host)| world.name(host).to_owned()),
        };
        emit(Line::Detected(departure.clone()));
        self.departures.push(departure);
    }

    /// Nothing happens any more: what is still open did not reach all.
    pub fn end(&mut self, world: &World, emit: &mut dyn FnMut(Line)) {
        let numbers: Vec<u64> = self.open.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.close(number, world, emit));
        let ids: Vec<NodeId> = self.gone.keys().copied().collect();
        ids.into_iter().for_each(|id| self.close_departure(id, world, emit));
    }

    /// Updates under way, and the mean share of their audience that knows them.
    pub fn informed(&self) -> (usize, Option<f64>) {
        let updates = self.open.values().filter(|open| open.kind != "join");
        let shares: Vec<f64> = updates.map(Open::informed).collect();
        let mean = (!shares.is_empty()).then(|| crate::statistics::mean(&shares));
        (shares.len(), mean)
    }

    pub fn convergence(&self) -> Quantiles {
        Quantiles::of(&self.convergence)
    }

    pub fn join_seconds(&self) -> Quantiles {
        Quantiles::of(&self.join_seconds)
    }

    pub fn delivery(&self) -> Quantiles {
        self.delivery.quantiles()
    }

    /// Mean and most.
    pub fn hops(&self) -> (Option<f64>, usize) {
        let all: u64 = self.hops.iter().sum();
        let sum: u64 = self.hops.iter().enumerate().map(|(hops, n)| hops as u64 * n).sum();
        ((all > 0).then(|| sum as f64 / all as f64), self.hops.len().saturating_sub(1))
    }

    /// Seconds until somebody noticed, and until all did.
    pub fn detection(&self) -> (Quantiles, Quantiles) {
        (Quantiles::of(&self.firsts), Quantiles::of(&self.alls))
    }
}

fn forget<K: Ord>(index: &mut BTreeMap<K, Vec<u64>>, key: &K, number: u64) {
    if let Some(numbers) = index.get_mut(key) {
        numbers.retain(|n| *n != number);
        if numbers.is_empty() {
            index.remove(key);
        }
    }
}

impl News {
    fn is_in(&self, event: &Event) -> bool {
        match (self, event) {
            (News::Key { stamp, dot, .. }, Event::Key { stamp: seen, dot: by, .. }) => {
                (*seen, by.origin) >= (*stamp, dot.origin)
            }
            (News::User { .. }, Event::User(_)) => true,
            (News::Member { incarnation, .. }, Event::Member { change, member }) => {
                let alive = matches!(
                    change,
                    MemberChange::Join | MemberChange::Update | MemberChange::Refute
                );
                alive && member.incarnation >= *incarnation
            }
            _ => false,
        }
    }
}

impl Open {
    /// Seconds from the update to each node that knows it, but the one that made it.
    fn delays(&self) -> impl Iterator<Item = f64> {
        let others = self.times.iter().enumerate().filter(|(host, _)| *host != self.by);
        let known = others.map(|(_, at)| *at).filter(|at| *at != Time::NEVER);
        known.map(|at| at.since(self.at).as_secs_f64())
    }

    fn informed(&self) -> f64 {
        let knows = self.times.iter().filter(|at| **at != Time::NEVER).count();
        knows as f64 / (knows + self.missing).max(1) as f64
    }

    fn spread(&self, world: &World) -> Spread {
        let mut delays: Vec<f64> = self.delays().collect();
        delays.sort_by(f64::total_cmp);
        let (reached, audience) = (delays.len() + 1, delays.len() + 1 + self.missing);
        let quantile =
            |q: f64| (!delays.is_empty()).then(|| crate::statistics::quantile(&delays, q));
        let mut hops = Vec::new();
        for hop in self.hops.iter().map(|h| usize::from(*h)).filter(|h| *h != usize::from(UNKNOWN))
        {
            if hops.len() <= hop {
                hops.resize(hop + 1, 0);
            }
            hops[hop] += 1;
        }
        Spread {
            kind: self.kind,
            what: self.what.clone(),
            by: world.name(self.by).to_owned(),
            at: seconds(self.at),
            audience,
            reached,
            seconds: (self.missing == 0).then(|| delays.last().copied().unwrap_or(0.0)),
            p50: quantile(0.5),
            p99: quantile(0.99),
            hops,
            curve: curve(&delays, audience),
        }
    }
}

/// The share that knew over time, at so many points at most.
fn curve(delays: &[f64], audience: usize) -> Vec<(f64, f64)> {
    let share = |knows: usize| knows as f64 / audience as f64;
    let mut points = vec![(0.0, share(1))];
    let step = delays.len().div_ceil(CURVE_POINTS).max(1);
    let places = (0..delays.len()).filter(|i| (i + 1) % step == 0 || i + 1 == delays.len());
    points.extend(places.map(|i| (delays[i], share(i + 2))));
    points
}

/// Counts of durations in buckets one percent wide: enough for quantiles of millions.
#[derive(Default)]
struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: f64,
    max: f64,
}

/// Buckets grow by this factor from a microsecond on.
const BUCKET_GROWTH: f64 = 1.01;

impl Histogram {
    fn add(&mut self, seconds: f64) {
        let at = ((seconds * 1e6).max(1.0).ln() / BUCKET_GROWTH.ln()) as usize;
        if self.buckets.len() <= at {
            self.buckets.resize(at + 1, 0);
        }
        self.buckets[at] += 1;
        self.count += 1;
        self.sum += seconds;
        self.max = self.max.max(seconds);
    }

    fn quantile(&self, share: f64) -> f64 {
        let mut left = (share * self.count as f64).ceil() as u64;
        for (at, n) in self.buckets.iter().enumerate() {
            if *n >= left {
                return (BUCKET_GROWTH.powf(at as f64 + 0.5) / 1e6).min(self.max);
            }
            left -= n;
        }
        self.max
    }

    fn quantiles(&self) -> Quantiles {
        if self.count == 0 {
            return Quantiles::default();
        }
        Quantiles {
            mean: Some(self.sum / self.count as f64),
            p50: Some(self.quantile(0.5)),
            p99: Some(self.quantile(0.99)),
            max: Some(self.max),
        }
    }
}

/// Seconds since the start.
pub(super) fn seconds(at: Time) -> f64 {
    at.0 as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_one_percent_exact() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|ms| histogram.add(f64::from(ms) / 1000.0));
        let q = histogram.quantiles();
        let near = |found: Option<f64>, exact: f64| (found.unwrap() / exact - 1.0).abs() < 0.011;
        assert!(near(q.p50, 0.5) && near(q.p99, 0.99) && near(q.mean, 0.5005), "{q:?}");
        assert_eq!(q.max, Some(1.0));
    }

    #[test]
    fn a_curve_ends_at_the_share_that_knows() {
        let delays: Vec<f64> = (1..=98).map(f64::from).collect();
        let points = curve(&delays, 100);
        assert!(points.len() <= CURVE_POINTS + 2, "{}", points.len());
        assert_eq!((points[0], points[points.len() - 1]), ((0.0, 0.01), (98.0, 0.99)));
    }
}
