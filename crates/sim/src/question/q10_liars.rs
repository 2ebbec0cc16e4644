//! Decides how question 10 is answered: what one lying member of the core can do, what several can,
//! and what outsiders cannot.

use std::time::Duration;

use tidings_proto::base::hash::HashKey;
use tidings_proto::base::rng::Rng;
use tidings_proto::detection::message::put_accusation;
use tidings_proto::io::CommandError;
use tidings_proto::limits::VALUE_BYTES_MAX;
use tidings_proto::membership::record::{
    Accusers, Cause, Precedence, Standing, put_record, record_checksum,
};
use tidings_proto::wire::packet;
use tidings_proto::{Config, NodeId};

use super::cluster::{ms, rested, secs, until};
use super::{Question, exactly, row, table};
use crate::paper::{Bar, Row, Table};
use crate::work::Work;
use crate::world::{World, WorldConfig};

pub(super) const QUESTION: Question = Question {
    number: 10,
    asked: "What security vulnerabilities exist in gossip, and what mitigations reduce the risk?",
    article_says: "A compromised node can inject false state and claim nodes are failed. HMAC \
                   stops external injection, size limits and rate limits slow damage.",
    true_answer: "A key shared by all stops outsiders (0 of 100,000 forgeries accepted), not \
                  members. In the core one member's false accusations, sent to all for 20 s, evict \
                  nobody: a verdict needs 2 accusers, and the accused refutes and is heard, so 2 \
                  colluding accusers evict nobody either. Without signatures one member can speak \
                  for another: a finished verdict with forged accusers is believed by nearly all \
                  others until it is refuted within 1 s; told 5 times a second it holds for under \
                  0.1 of the time. And its false value of a key reaches all 30.",
    run,
};

const NODES: usize = 30;
const VICTIM: usize = 20;
/// How often each liar repeats itself to everybody.
const EVERY: Duration = Duration::from_millis(200);
const SECONDS: u64 = 20;
const FORGERIES: usize = 100_000;

fn run(work: &Work<'_>) -> Table {
    let seed = work.seed;
    let (one, two) = (accused(seed, &[1]), accused(seed, &[1, 2]));
    let (alone, _) = verdict(seed, &[1]);
    let (forged, back) = verdict(seed, &[1, 2]);
    let count = |what: &str, found: usize, bar| row(what, found as f64, bar);
    let mut rows = vec![
        count("1 liar accuses: members that declare the victim failed", one.failed, exactly(0.0)),
        count("1 liar accuses: times the victim refuted", one.refuted, Bar::AtLeast(1.0)),
        count("2 liars accuse: members that declare the victim failed", two.failed, exactly(0.0)),
        count("a verdict with 1 accuser: members that believe it", alone, exactly(0.0)),
        count(
            "a verdict with a forged accuser: members that believe it",
            forged,
            Bar::AtLeast(25.0),
        ),
        row("seconds until all hold the victim alive again", back, Bar::AtMost(1.0)),
        row(
            "forged 5 times a second: share of moments it is held failed",
            flapping(seed),
            Bar::AtMost(0.1),
        ),
        row("members that take a false value of a key", false_state(seed), exactly(NODES as f64)),
        row("a value over 512 KiB is refused (1: yes)", inflated(seed), exactly(1.0)),
    ];
    rows.push(outsiders(seed));
    table(
        "Liars among 30 members, and outsiders",
        &[
            "The core, unsigned: liars hold the cluster key and send forged frames to all others \
             five times a second for 20 s. A verdict needs accusers_required distinct accusers (2 \
             by default), and any sign of life after the doubt began outweighs it. In signed mode \
             accusations will carry their accusers' signatures, so nobody speaks for another; that \
             and sealed datagrams are a later issue.",
            "The packet checksum is keyed by the cluster's name: it keeps strays out, not \
             attackers who know the name.",
        ],
        rows,
    )
}

struct Accused {
    /// Members other than the liars that declared the victim failed.
    failed: usize,
    refuted: usize,
}

fn accused(seed: u64, liars: &[usize]) -> Accused {
    let mut world = rested(seed, WorldConfig::default(), NODES, &Config::lan());
    let victim = world.id(VICTIM);
    for _ in 0..SECONDS * 1000 / EVERY.as_millis() as u64 {
        for &liar in liars {
            let incarnation = known_incarnation(&world, liar, victim);
            let mut accusers = Accusers::default();
            accusers.add(world.id(liar), Cause::Refused);
            let body = frame(|out| put_accusation(out, victim, incarnation, &accusers));
            tell_all(&mut world, liar, &body);
        }
        world.run_for(EVERY);
    }
    let by_others = |(observer, subject): &&(usize, NodeId)| {
        *subject == victim && !liars.contains(observer) && *observer != VICTIM
    };
    let failed = world.seen().first_failed.keys().filter(by_others).count();
    Accused { failed, refuted: world.node(VICTIM).stats().refutations_own as usize }
}

/// A liar sends a finished verdict with these accusers, once. Returns how many members believed
/// it, and the seconds until nobody does.
fn verdict(seed: u64, named: &[usize]) -> (usize, f64) {
    let mut world = rested(seed, WorldConfig::default(), NODES, &Config::lan());
    send_verdict(&mut world, named);
    world.run_for(ms(10));
    let back = until(&mut world, secs(30), |w| w.all_see_alive(NODES));
    let victim = world.id(VICTIM);
    (world.seen().first_failed.keys().filter(|(_, s)| *s == victim).count(), back)
}

/// The share of moments at which somebody holds the victim failed, while forged verdicts go on.
fn flapping(seed: u64) -> f64 {
    let mut world = rested(seed, WorldConfig::default(), NODES, &Config::lan());
    let (step, steps) = (ms(5), EVERY.as_millis() as u64 / 5);
    let mut held = 0;
    for turn in 0..SECONDS * 200 {
        if turn % steps == 0 {
            send_verdict(&mut world, &[1, 2]);
        }
        world.run_for(step);
        held += u32::from(!world.all_see_alive(NODES));
    }
    f64::from(held) / (SECONDS * 200) as f64
}

/// The first named tells all others that the victim failed, by the word of all named.
fn send_verdict(world: &mut World, named: &[usize]) {
    let (victim, facts) = (world.id(VICTIM), world.facts_at_start(VICTIM).clone());
    let mut accusers = Accusers::default();
    for &name in named {
        accusers.add(world.id(name), Cause::Silence);
    }
    let incarnation = known_incarnation(world, named[0], victim);
    let sum = record_checksum(&HashKey::for_cluster(CLUSTER), incarnation, &facts.bytes);
    let precedence = Precedence::new(incarnation, Standing::Failed, sum);
    let body = frame(|out| put_record(out, precedence, &facts.bytes, &accusers));
    tell_all(world, named[0], &body);
}

const CLUSTER: &str = "tidings";

fn known_incarnation(world: &World, host: usize, id: NodeId) -> u64 {
    world.view(host).member_by_id(id).map_or(1, |m| m.incarnation)
}

fn frame(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = Vec::new();
    write(&mut body);
    body
}

fn sealed(key: &HashKey, sender: NodeId, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let start = packet::begin(&mut out, key, sender);
    out.extend_from_slice(body);
    packet::seal(&mut out, start, key);
    out
}

fn tell_all(world: &mut World, liar: usize, body: &[u8]) {
    let bytes = sealed(&HashKey::for_cluster(CLUSTER), world.id(liar), body);
    for host in (0..NODES).filter(|&h| h != liar) {
        world.inject(host, liar, &bytes);
    }
}

fn false_state(seed: u64) -> f64 {
    let mut world = rested(seed, WorldConfig::default(), NODES, &Config::lan());
    world.set(3, "price", "10");
    world.run_for(secs(3));
    world.set(7, "price", "0");
    world.run_for(secs(5));
    world.up().filter(|&h| world.get(h, "price").as_deref() == Some(b"0")).count() as f64
}

fn inflated(seed: u64) -> f64 {
    let mut world = rested(seed, WorldConfig::default(), 3, &Config::lan());
    let write = world.set(1, "k", vec![0; VALUE_BYTES_MAX + 1]);
    world.run_for(ms(10));
    let refused = matches!(world.reply_to(write), Some(Err(CommandError::ValueLength { .. })));
    f64::from(u8::from(refused))
}

/// Packets of somebody who does not know the cluster's key.
fn outsiders(seed: u64) -> Row {
    let mut rng = Rng::from_u64(seed);
    let (ours, theirs) = (HashKey::for_cluster(CLUSTER), HashKey::for_cluster("guessed"));
    let mut accepted = 0;
    for _ in 0..FORGERIES {
        let mut bytes = sealed(&theirs, NodeId(rng.bytes16()), &rng.bytes32());
        bytes[1..4].copy_from_slice(&ours.cluster_tag()); // seen on the wire
        accepted += u32::from(packet::open(&bytes, &ours).is_ok());
    }
    row("forged packets of an outsider accepted, of 100,000", f64::from(accepted), exactly(0.0))
}
