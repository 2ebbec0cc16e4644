//! Decides that who floods is paid attention to no more than who does not (row P6): the others learn
//! as fast, find the dead as soon, and do as much work.

use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::base::hash::HashKey;
use tidings_proto::base::rng::Rng;
use tidings_proto::io::Command;
use tidings_proto::wire::packet;
use tidings_sim::setup::{counts, spread};
use tidings_sim::{Topic, World, WorldConfig};

const NODES: usize = 30;
const FLOODER: usize = 7;

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What the flooder does in a second beyond what it should.
#[derive(Clone, Copy, Debug, Default)]
struct Flood {
    writes: usize,
    tags: usize,
    replays: usize,
    garbage: usize,
}

/// What the others went through.
#[derive(Clone, Copy, Debug)]
struct Felt {
    /// Datagrams looked at, entries and events looked at, bytes sent: each second at each of them.
    looked_at: f64,
    read: f64,
    sent: f64,
    /// Seconds until a write of one of them was at all, and until all knew that one was dead.
    learnt: f64,
    found: f64,
    refused: u64,
}

fn work(world: &World) -> [u64; 4] {
    let mut sum = [0; 4];
    for host in (0..NODES).filter(|&h| h != FLOODER) {
        let stats = world.node(host).stats();
        let of = [
            stats.datagrams_received - stats.drop_limited,
            stats.entries_applied
                + stats.entries_stale
                + stats.rumours_stale
                + stats.limited_writes,
            stats.datagram_bytes_sent + stats.stream_bytes_sent,
            stats.drop_limited,
        ];
        sum.iter_mut().zip(of).for_each(|(sum, of)| *sum += of);
    }
    sum
}

/// Each member writes once a second; one may flood besides.
fn run(flood: Flood) -> Felt {
    let config = Config { peer_writes: 2, ..Config::lan() };
    let mut world = World::converged(11, WorldConfig::default(), NODES, &config);
    world.listen_at((0..NODES).filter(|&host| host != FLOODER).collect());
    let mut life = Life { rng: Rng::from_u64(3), written: 0, flood };
    life.go_on(&mut world, secs(20));
    let before = work(&world);
    let span = secs(10);
    life.go_on(&mut world, span);
    let after = work(&world);
    let each =
        |at: usize| (after[at] - before[at]) as f64 / span.as_secs_f64() / (NODES - 1) as f64;
    let learnt = (0..10).map(|round| life.learnt(&mut world, round)).sum::<f64>() / 10.0;
    let found = [3, 13, 23].map(|host| life.found(&mut world, host)).iter().sum::<f64>() / 3.0;
    assert_eq!(world.seen().counts.false_failed, 0);
    let (looked_at, read, sent) = (each(0), each(1), each(2));
    Felt { looked_at, read, sent, learnt, found, refused: after[3] }
}

struct Life {
    rng: Rng,
    written: usize,
    flood: Flood,
}

impl Life {
    fn go_on(&mut self, world: &mut World, span: Duration) {
        let step = ms(20);
        for _ in 0..span.as_millis() / step.as_millis() {
            self.step(world);
            world.run_for(step);
        }
    }

    fn step(&mut self, world: &mut World) {
        let per_step = |rate: usize, rng: &mut Rng| {
            rate / 50 + usize::from(rng.below(50) < (rate % 50) as u64)
        };
        for _ in 0..per_step(NODES, &mut self.rng) {
            self.written += 1;
            let host = self.written % NODES;
            if world.is_up(host) {
                world.set(host, format!("k{}", self.written % 900), [self.written as u8; 40]);
            }
        }
        for _ in 0..per_step(self.flood.writes, &mut self.rng) {
            self.written += 1;
            world.set(FLOODER, format!("f{}", self.rng.below(50)), [self.written as u8; 40]);
        }
        for _ in 0..per_step(self.flood.tags, &mut self.rng) {
            self.written += 1;
            let set = vec![("flood".to_owned(), self.written.to_string())];
            world.command(FLOODER, Command::SetTags { set, unset: Vec::new() });
        }
        let heard: Vec<_> = world
            .overheard()
            .filter(|bytes| bytes[8..24] == world.id(FLOODER).0)
            .cloned()
            .collect();
        for host in (0..NODES).filter(|&h| h != FLOODER) {
            for _ in 0..per_step(self.flood.replays, &mut self.rng) {
                if !heard.is_empty() {
                    let bytes = heard[self.rng.index(heard.len())].clone();
                    world.inject(host, FLOODER, &bytes);
                }
            }
            for _ in 0..per_step(self.flood.garbage, &mut self.rng) {
                let bytes = self.garbage(world);
                world.inject(host, FLOODER, &bytes);
            }
        }
    }

    fn garbage(&mut self, world: &World) -> Vec<u8> {
        let key = HashKey::for_cluster("tidings");
        let mut bytes = Vec::new();
        packet::begin(&mut bytes, &key, world.id(FLOODER));
        bytes.extend((0..self.rng.below(600)).map(|_| self.rng.below(256) as u8));
        bytes
    }

    /// Seconds until a write of an honest member is at all.
    fn learnt(&mut self, world: &mut World, round: usize) -> f64 {
        let topic = Topic::key("kv", format!("probe{round}").as_bytes());
        world.track(topic.clone());
        world.set(10 + round, format!("probe{round}"), "x");
        self.go_on(world, ms(500));
        let took = spread(world, &topic, world.up().count(), secs(10));
        took[took.len() - 1]
    }

    /// Seconds until all know that an honest member is dead.
    fn found(&mut self, world: &mut World, host: usize) -> f64 {
        let (alive, since) = (world.up().count(), world.now());
        world.crash(host);
        while !world.all_see_alive(alive - 1) {
            self.go_on(world, ms(20));
            assert!(world.now().since(since) < secs(60), "{:?}", counts(world));
        }
        world.now().since(since).as_secs_f64()
    }
}

/// P6: at a hundred times its share of packets, writes, and changes of its tags, one of thirty makes the
/// others read a tenth more at most; they learn and find the dead as soon.
#[test]
fn who_floods_a_hundredfold_makes_the_others_read_a_tenth_more_at_most() {
    let calm = run(Flood::default());
    let each = calm.looked_at as usize / (NODES - 1);
    let flood = Flood { writes: 100, tags: 100, replays: 50 * each, garbage: 50 * each };
    let flooded = run(flood);
    println!("{flood:?}\n{calm:?}\n{flooded:?}");
    let within = |flooded: f64, calm: f64| flooded <= 1.1 * calm;
    assert!(within(flooded.looked_at, calm.looked_at));
    assert!(within(flooded.read, calm.read));
    // What the flooder may bring in is told on, with all that it overwrites.
    assert!(flooded.sent <= 1.5 * calm.sent);
    assert!(within(flooded.found, calm.found) && flooded.learnt <= 0.5);
    assert_eq!(calm.refused, 0, "nobody else is refused anything");
    assert!(flooded.refused > 0);
}
