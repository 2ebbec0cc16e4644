//! Decides what version vectors and Lamport clocks can tell: siblings of one key under two
//! schemes, and which events are ordered.

use std::collections::BTreeMap;

use tidings_proto::base::rng::Rng;

/// A server that keeps siblings of one key and hands out a context with each read.
pub(crate) trait Server {
    /// The highest counter of this server that the reader has seen.
    fn context(&self) -> u64;
    fn write(&mut self, context: u64);
    fn siblings(&self) -> usize;
}

/// One vector for the whole set of siblings, its entry the server's counter: a write whose
/// context is not the latest is held to be concurrent with all of them.
#[derive(Debug, Default)]
pub(crate) struct ServerVector {
    counter: u64,
    siblings: usize,
}

impl Server for ServerVector {
    fn context(&self) -> u64 {
        self.counter
    }

    fn write(&mut self, context: u64) {
        if context >= self.counter {
            self.siblings = 0;
        }
        self.counter += 1;
        self.siblings += 1;
    }

    fn siblings(&self) -> usize {
        self.siblings
    }
}

/// Each sibling has its own dot: a context covers exactly the writes that were seen
/// (Preguiça et al. 2010).
#[derive(Debug, Default)]
pub(crate) struct Dotted {
    counter: u64,
    dots: Vec<u64>,
}

impl Server for Dotted {
    fn context(&self) -> u64 {
        self.counter
    }

    fn write(&mut self, context: u64) {
        self.dots.retain(|&dot| dot > context);
        self.counter += 1;
        self.dots.push(self.counter);
    }

    fn siblings(&self) -> usize {
        self.dots.len()
    }
}

/// Two clients in cycles of write and read that interleave: each writes on what it read before
/// the other's last write. Returns how many writes nobody who replaced them had seen.
pub(crate) fn interleave(server: &mut dyn Server, writes_each: usize) -> usize {
    let mut contexts = [server.context(); 2];
    let mut unseen = 0;
    for turn in 0..2 * writes_each {
        let client = turn % 2;
        unseen += usize::from(contexts[client] < server.context());
        server.write(contexts[client]);
        contexts[client] = server.context();
    }
    unseen
}

/// An event with all three kinds of time.
#[derive(Clone, Debug)]
struct Event {
    vector: Vec<u64>,
    lamport: u64,
    /// Indices of all events that it follows: the truth.
    after: Vec<usize>,
}

/// Of all pairs of events of a random run: how many are concurrent, and how many each clock
/// calls ordered although they are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairs {
    pub(crate) all: usize,
    pub(crate) concurrent: usize,
    pub(crate) vector_wrong: usize,
    pub(crate) lamport_wrong: usize,
}

pub(crate) fn pairs(processes: usize, events: usize, rng: &mut Rng) -> Pairs {
    let run = random_run(processes, events, rng);
    let before = |a: &[u64], b: &[u64]| a != b && a.iter().zip(b).all(|(x, y)| x <= y);
    let mut pairs = Pairs::default();
    for (i, a) in run.iter().enumerate() {
        for b in &run[i + 1..] {
            // Later events never come before earlier ones, so one direction is enough.
            let ordered = b.after.contains(&i);
            let by_vector = before(&a.vector, &b.vector) || before(&b.vector, &a.vector);
            pairs.all += 1;
            pairs.concurrent += usize::from(!ordered);
            pairs.vector_wrong += usize::from(by_vector != ordered);
            pairs.lamport_wrong += usize::from(!ordered && a.lamport != b.lamport);
        }
    }
    pairs
}

/// Each event happens at a random process and, half of the time, follows a message from another.
fn random_run(processes: usize, events: usize, rng: &mut Rng) -> Vec<Event> {
    let mut run: Vec<Event> = Vec::new();
    let mut last: BTreeMap<usize, usize> = BTreeMap::new();
    for index in 0..events {
        let me = rng.index(processes);
        let other = rng.index(processes);
        let heard = if rng.chance(0.5) { last.get(&other).copied() } else { None };
        let mut event = Event { vector: vec![0; processes], lamport: 0, after: Vec::new() };
        for source in [last.get(&me).copied(), heard].into_iter().flatten() {
            let s = &run[source];
            event.vector.iter_mut().zip(&s.vector).for_each(|(mine, v)| *mine = (*mine).max(*v));
            event.lamport = event.lamport.max(s.lamport);
            event.after.extend(s.after.iter().copied().chain([source]));
        }
        event.after.sort_unstable();
        event.after.dedup();
        event.vector[me] += 1;
        event.lamport += 1;
        run.push(event);
        last.insert(me, index);
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_interleaved_clients_leave_two_siblings_with_dots_and_all_without() {
        let (mut dotted, mut vector) = (Dotted::default(), ServerVector::default());
        interleave(&mut dotted, 50);
        interleave(&mut vector, 50);
        assert_eq!((dotted.siblings(), vector.siblings()), (2, 100));
    }

    #[test]
    fn a_client_that_read_the_latest_leaves_one_sibling_in_both() {
        let mut servers: [Box<dyn Server>; 2] =
            [Box::new(Dotted::default()), Box::new(ServerVector::default())];
        for server in &mut servers {
            for _ in 0..5 {
                server.write(server.context());
            }
            assert_eq!(server.siblings(), 1);
        }
    }

    #[test]
    fn vectors_are_exact_and_lamport_clocks_order_too_much() {
        let pairs = pairs(5, 200, &mut Rng::from_u64(1));
        assert_eq!(pairs.all, 199 * 100);
        assert_eq!(pairs.vector_wrong, 0);
        assert!(pairs.lamport_wrong > pairs.concurrent / 2 && pairs.concurrent > 500);
    }
}
