//! Decides what a member sends that follows nobody's rules: it holds the cluster's key, runs an
//! ordinary node, and sends hand-made packets besides.

use std::sync::Arc;
use std::time::Duration;

use tidings_proto::NodeId;
use tidings_proto::base::hash::HashKey;
use tidings_proto::base::rng::Rng;
use tidings_proto::detection::message::{Ping, PingReq, Prints, put_accusation};
use tidings_proto::membership::record::{
    Accusers, Cause, Precedence, Standing, put_record, record_checksum,
};
use tidings_proto::wire::frame::put_frame;
use tidings_proto::wire::packet;

use super::action::Lie;
use super::play::{Play, Step};
use crate::wall::Hosts;
use crate::world::World;

/// Hosts that lie in one way.
pub(super) struct Liar {
    who: Vec<usize>,
    victims: Vec<usize>,
    lie: Lie,
    /// Packets a second, of each.
    rate: f64,
    /// Packets owed, for rates that do not fit the tick.
    owed: f64,
    pub(super) on: bool,
}

const TICK: Duration = Duration::from_millis(10);
/// How far above the truth a stated incarnation is; the last is no honest node's.
const INCARNATIONS_ABOVE: [u64; 3] = [1, 10, 1 << 40];

impl Liar {
    pub(super) fn new(who: Vec<usize>, victims: Vec<usize>, lie: Lie, rate: f64) -> Liar {
        Liar { who, victims, lie, rate, owed: 0.0, on: true }
    }
}

impl Play<'_> {
    /// What the liars send in one tick, each packet to some node at random.
    pub(super) fn lie(&mut self, index: usize) {
        let liar = &mut self.liars[index];
        if !liar.on {
            return;
        }
        liar.owed += liar.rate * TICK.as_secs_f64();
        let packets = liar.owed as usize;
        liar.owed -= packets as f64;
        let (lie, who, victims) = (liar.lie, liar.who.clone(), liar.victims.clone());
        for host in who {
            for _ in 0..if self.world.is_up(host) { packets } else { 0 } {
                let to = self.rng.index(self.world.len());
                let victim = victims[self.rng.index(victims.len())];
                if to == host || victim == host {
                    continue; // nobody lies to himself, or about himself to his harm
                }
                if let Some(packet) = packet_of(&self.world, &mut self.rng, lie, host, victim) {
                    self.world.forge(host, to, packet);
                    self.forged += 1;
                }
            }
        }
        self.at(self.world.now() + TICK, Step::Lie(index));
    }

    /// Who replays must hear something first.
    pub(super) fn listen(&mut self) {
        let replay = self.liars.iter().filter(|l| l.on && l.lie == Lie::Replay);
        let hosts: Hosts = replay.flat_map(|l| l.who.iter().copied()).collect();
        self.world.listen_at(hosts);
    }
}

fn packet_of(
    world: &World,
    rng: &mut Rng,
    lie: Lie,
    host: usize,
    victim: usize,
) -> Option<Arc<[u8]>> {
    let key = HashKey::for_cluster(&world.view(host).config().cluster);
    let sealed = |write: &mut dyn FnMut(&mut Vec<u8>)| {
        let mut out = Vec::new();
        let start = packet::begin(&mut out, &key, world.id(host));
        write(&mut out);
        packet::seal(&mut out, start, &key);
        Some(Arc::from(out))
    };
    match lie {
        Lie::Garbage => match rng.below(3) {
            0 => Some(Arc::from(random_bytes(rng))),
            1 => sealed(&mut |out| out.extend(random_bytes(rng))),
            _ => sealed(&mut |out| {
                let (kind, body) = (rng.below(64) as u8, random_bytes(rng));
                put_frame(out, kind, |out| out.extend_from_slice(&body));
            }),
        },
        Lie::Replay => {
            let heard = world.overheard();
            let count = heard.len();
            if count == 0 {
                return None;
            }
            world.overheard().nth(rng.index(count)).cloned()
        }
        Lie::Flood => sealed(&mut |out| {
            let (seq, nobody) = (rng.u64() as u16, NodeId(rng.bytes16()));
            if rng.chance(0.5) {
                Ping { seq, target: 0, prints: Prints::default() }.put(out);
            } else {
                let (addr, timeout) = (world.addr(victim), Duration::from_secs(600));
                PingReq { seq, target: nobody, addr, timeout }.put(out);
            }
        }),
        Lie::Accuse => {
            let subject = world.view(host).member_by_id(world.id(victim))?;
            let mut accusers = Accusers::default();
            accusers.add(world.id(host), Cause::Silence);
            accusers.add(world.id(rng.index(world.len())), Cause::Silence);
            sealed(&mut |out| put_accusation(out, subject.id, subject.incarnation, &accusers))
        }
        Lie::Incarnations => {
            let (view, id) = (world.view(host), world.id(victim));
            let (subject, facts) = (view.member_by_id(id)?, view.facts(id)?);
            let above = INCARNATIONS_ABOVE[rng.index(INCARNATIONS_ABOVE.len())];
            let incarnation = subject.incarnation.checked_add(above)?;
            let sum = record_checksum(&key, incarnation, &facts.bytes);
            let precedence = Precedence::new(incarnation, Standing::Alive, sum);
            sealed(&mut |out| {
                put_record(out, precedence, &facts.bytes, &Accusers::default());
            })
        }
    }
}

fn random_bytes(rng: &mut Rng) -> Vec<u8> {
    (0..rng.below(300)).map(|_| rng.below(256) as u8).collect()
}
