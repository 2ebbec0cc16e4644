//! Decides whether clients get what they were promised, judged from recorded histories of random runs
//! with splits, cuts, pauses, crashes, lost disks, clock steps and loss (rows N1 to N5).

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::base::operation::{Kind, Operation};
use tidings_proto::base::policy::{Consistency, Policy};
use tidings_proto::base::rng::Rng;
use tidings_proto::base::session::Session;
use tidings_proto::io::{Command, CommandError, CommandId, Reply};
use tidings_sim::check::consistency::{
    Act, Did, History, Past, Version, causal_order, eventual, sessions_hold,
};
use tidings_sim::setup::{joined, settle, soak};
use tidings_sim::{World, WorldConfig};

const HOSTS: usize = 5;
const CLIENTS: usize = 4;
const KEYS: u64 = 6;
const STEPS: usize = 120;
const WAIT: Duration = Duration::from_millis(300);
const SETTLED: Duration = Duration::from_secs(60);

/// The causal keyspace; `kv` is the eventual one.
const FEED: &str = "feed";

#[derive(Default)]
struct Client {
    session: Session,
    /// What it has seen of the causal keyspace.
    past: Past,
}

struct Run {
    world: World,
    rng: Rng,
    clients: Vec<Client>,
    /// Of `kv` and of the causal keyspace.
    histories: [History; 2],
    /// What the writer of each value had seen.
    after: Vec<Past>,
    served: usize,
    stale: usize,
    held: u64,
}

impl Run {
    fn new(seed: u64) -> Run {
        let config = Config { durable: seed.is_multiple_of(2), ..Config::local() };
        let mut world = joined(seed, WorldConfig::default(), HOSTS, &config);
        let policy = Policy { consistency: Consistency::Causal, ..Policy::default() };
        world.command(0, Command::Declare { keyspace: FEED.to_owned(), policy });
        settle(&mut world, SETTLED);
        Run {
            world,
            rng: Rng::from_u64(seed ^ 0xc0),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            histories: Default::default(),
            after: Vec::new(),
            served: 0,
            stale: 0,
            held: 0,
        }
    }

    fn usable(&self, host: usize) -> bool {
        self.world.is_up(host) && !self.world.is_paused(host)
    }

    fn reply(&mut self, host: usize, command: Command) -> Option<Result<Reply, CommandError>> {
        let id: CommandId = self.world.command(host, command);
        let every = Duration::from_millis(2);
        self.world.run_while(WAIT * 2, every, |w| w.reply_to(id).is_none());
        self.world.reply_to(id).cloned()
    }

    /// One client, at whichever node, reads or writes with its session.
    fn act(&mut self) {
        let (host, client) = (self.rng.index(HOSTS), self.rng.index(CLIENTS));
        let (causal, key) = (self.rng.chance(0.7), self.rng.below(KEYS));
        let keyspace = if causal { FEED } else { "kv" };
        if !self.usable(host) {
            return;
        }
        let session = self.clients[client].session.clone();
        let catch_up = Command::CatchUp { keyspace: keyspace.to_owned(), session, wait: WAIT };
        match self.reply(host, catch_up) {
            Some(Ok(_)) => self.served += 1,
            Some(Err(CommandError::Stale { .. })) => return self.stale += 1,
            _ => return,
        }
        if !self.usable(host) {
            return;
        }
        if self.rng.chance(0.5) {
            self.read(host, client, keyspace, key);
        } else {
            self.write(host, client, keyspace, key);
        }
    }

    fn read(&mut self, host: usize, client: usize, keyspace: &str, key: u64) {
        let view = self.world.view(host);
        let entry = view.entry(keyspace, &key.to_be_bytes());
        let c = &mut self.clients[client];
        let mut version = None;
        if let Some(entry) = &entry {
            assert_eq!(view.remember(entry, &mut c.session), Ok(()));
            version = Some((entry.stamp, entry.dot));
            if keyspace == FEED {
                newer(&mut c.past, key, (entry.stamp, entry.dot));
                for (&key, &version) in &self.after[written_as(entry.value.as_deref().unwrap())] {
                    newer(&mut c.past, key, version);
                }
            }
        }
        let history = &mut self.histories[usize::from(keyspace == FEED)];
        history.acts.push(Act { client, key, did: Did::Read, version });
    }

    /// One key, or two as a group.
    fn write(&mut self, host: usize, client: usize, keyspace: &str, key: u64) {
        let mut keys = vec![key];
        if self.rng.chance(0.2) {
            keys.push((key + 1) % KEYS);
        }
        let mut writes = Vec::new();
        for key in &keys {
            let value = self.after.len().to_string().into_bytes();
            self.after.push(self.clients[client].past.clone());
            writes.push((key.to_be_bytes().to_vec(), Some(value)));
        }
        let command = Command::Write { keyspace: keyspace.to_owned(), writes };
        let Some(Ok(Reply::Written { dots, stamp })) = self.reply(host, command) else { return };
        let c = &mut self.clients[client];
        for (&key, &dot) in keys.iter().zip(&dots) {
            assert!(c.session.add(dot));
            if keyspace == FEED {
                newer(&mut c.past, key, (stamp, dot));
            }
            let version = Some((stamp, dot));
            let history = &mut self.histories[usize::from(keyspace == FEED)];
            history.acts.push(Act { client, key, did: Did::Wrote, version });
        }
    }

    fn fault(&mut self) {
        let (host, other) = (self.rng.index(HOSTS), self.rng.index(HOSTS));
        let up = self.world.is_up(host);
        match self.rng.below(9) {
            0 => self.world.split_off([host, other]),
            1 if host != other => self.world.net.cut(host, other),
            2 => self.world.net.calm(),
            3 | 4 => self.world.net.heal(),
            5 if self.usable(host) => self.world.pause(host),
            6 if up && self.world.is_paused(host) => self.world.resume(host),
            7 if up => self.world.crash(host),
            7 => self.world.restart(host),
            8 => {
                let ms = self.rng.below(20_000) as i64 - 10_000;
                self.world.clock_mut(host).step_wall(ms);
            }
            _ => self.world.net.conditions.loss = 0.3,
        }
    }

    fn shown(&self, host: usize) -> BTreeMap<u64, (Version, &Past)> {
        let entries = self.world.view(host).entries(FEED, b"");
        let shown = entries.map(|e| {
            let past = &self.after[written_as(e.value.as_deref().expect("live"))];
            let key = u64::from_be_bytes(e.key[..].try_into().expect("a key of eight bytes"));
            (key, ((e.stamp, e.dot), past))
        });
        shown.collect()
    }

    fn check_order(&self, seed: u64, step: usize) {
        for host in self.world.up().filter(|&h| self.world.view(h).may_read(FEED).is_ok()) {
            if let Err(broken) = causal_order(&self.shown(host)) {
                panic!("seed {seed} step {step} host {host}: {broken}");
            }
        }
    }

    /// Faults end; all comes to the same.
    fn calm(&mut self) {
        self.world.net.heal();
        self.world.net.calm();
        for host in 0..HOSTS {
            if self.world.is_up(host) && self.world.is_paused(host) {
                self.world.resume(host);
            } else if !self.world.is_up(host) {
                self.world.restart(host);
            }
        }
        settle(&mut self.world, SETTLED);
        for host in 0..HOSTS {
            self.held += self.world.node(host).stats().entries_held;
        }
    }
}

fn newer(past: &mut Past, key: u64, version: Version) {
    let known = past.entry(key).or_insert(version);
    *known = version.max(*known);
}

fn written_as(value: &[u8]) -> usize {
    std::str::from_utf8(value).unwrap().parse().expect("values are numbers of writes")
}

#[test]
fn clients_get_what_they_were_promised_whatever_happens() {
    let (mut served, mut stale, mut held) = (0, 0, 0);
    for seed in 0..if soak() { 1000 } else { 60 } {
        let mut run = Run::new(seed);
        for step in 0..STEPS {
            if run.rng.chance(0.15) {
                run.fault();
            } else {
                run.act();
            }
            let ms = run.rng.below(60);
            run.world.run_for(Duration::from_millis(ms));
            run.check_order(seed, step);
        }
        run.calm();
        run.check_order(seed, STEPS);
        for history in &run.histories {
            sessions_hold(history).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        }
        let shown: Vec<_> = (0..HOSTS)
            .map(|host| run.shown(host).into_iter().map(|(k, (v, _))| (k, v)).collect())
            .collect();
        eventual(&shown).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        (served, stale, held) = (served + run.served, stale + run.stale, held + run.held);
    }
    eprintln!("{served} acts served, {stale} told that they are stale, {held} entries held back");
    assert!(served > 2000 && stale > 50 && held > 50, "{served} {stale} {held}");
}

fn causal(world: &mut World, values: &str) {
    let mut policy = Policy { consistency: Consistency::Causal, ..Policy::default() };
    policy.set("kind", values).unwrap();
    world.command(0, Command::Declare { keyspace: FEED.to_owned(), policy });
    settle(world, SETTLED);
}

/// The effect arrives by a fast way, its cause by none: it is not seen until the cause is there.
#[test]
fn an_answer_waits_for_its_question() {
    let mut world = joined(1, WorldConfig::default(), 3, &Config::local());
    causal(&mut world, "any");
    let post = |world: &mut World, host: usize, key: &str| {
        let writes = vec![(key.as_bytes().to_vec(), Some(b"text".to_vec()))];
        world.command(host, Command::Write { keyspace: FEED.to_owned(), writes });
    };
    let shows = |world: &World, host: usize, key: &str| {
        world.view(host).entry(FEED, key.as_bytes()).is_some()
    };
    world.net.cut(0, 2);
    post(&mut world, 0, "question");
    // Node 1 hears it and tells nobody.
    world.net.cut(1, 2);
    world.run_for(Duration::from_millis(100));
    assert!(shows(&world, 1, "question") && !shows(&world, 2, "question"));
    world.run_for(Duration::from_secs(1));
    world.net.heal();
    world.net.cut(0, 2);
    post(&mut world, 1, "answer");
    let seen = world.run_while(Duration::from_secs(20), Duration::from_millis(1), |w| {
        assert!(
            !shows(w, 2, "answer") || shows(w, 2, "question"),
            "an answer without its question"
        );
        !shows(w, 2, "answer")
    });
    assert!(seen.is_some());
    world.net.heal();
    settle(&mut world, SETTLED);
}

/// Row N4's bar: what an entry carries of its past is at most 64 bytes and 20 for each writer.
#[test]
fn a_past_costs_twenty_bytes_a_writer() {
    let mut world = joined(2, WorldConfig::default(), 12, &Config::local());
    causal(&mut world, "counter");
    for round in 0..30 {
        for host in 0..12 {
            let (keyspace, key) = (FEED.to_owned(), format!("k{}", round % 3).into_bytes());
            let (kind, operation) = (Kind::Counter, Operation::Add(1));
            world.command(host, Command::Update { keyspace, key, kind, operation });
        }
        world.run_for(Duration::from_millis(20));
    }
    settle(&mut world, SETTLED);
    for host in 0..12 {
        for entry in world.view(host).entries(FEED, b"") {
            assert_eq!(
                entry.merged.as_ref().and_then(|m| m.number()),
                Some(120),
                "nothing is lost"
            );
            let (bytes, writers) = world.view(host).causal_bytes(FEED, &entry.key).unwrap();
            assert!(
                writers <= 12 && bytes <= 64 + 20 * writers,
                "{bytes} bytes, {writers} writers"
            );
        }
    }
}

#[test]
fn a_newcomer_is_not_read_before_it_has_the_whole() {
    let mut world = joined(3, WorldConfig::default(), 3, &Config::local());
    causal(&mut world, "any");
    for n in 0..400u64 {
        let writes = vec![((n % 150).to_be_bytes().to_vec(), Some(n.to_string().into_bytes()))];
        world.command((n % 3) as usize, Command::Write { keyspace: FEED.to_owned(), writes });
        world.run_for(Duration::from_millis(40));
    }
    settle(&mut world, SETTLED);
    let late = world.add_node("late", Config::local());
    world.join(late, &[0]);
    let mut refused = 0;
    world.run_while(SETTLED, Duration::from_millis(1), |w| {
        let mut shown: Vec<u64> = Vec::new();
        if w.view(late).may_read(FEED).is_ok() {
            let entries = w.view(late).entries(FEED, b"");
            shown.extend(entries.map(|e| written_as(e.value.as_deref().unwrap()) as u64));
        } else {
            refused += 1;
        }
        // Each write followed the one before: with one of them all older ones are there.
        let newest = shown.iter().max().copied().unwrap_or(0);
        assert!(shown.is_empty() || shown.len() as u64 == 150.min(newest + 1), "{shown:?}");
        shown.len() < 150
    });
    eprintln!("refused for {refused} ms");
    settle(&mut world, SETTLED);
    assert_eq!(world.view(late).may_read(FEED), Ok(()));
}
