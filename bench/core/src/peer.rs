//! Decides how foca is given the same work: its best case, a copyable identity of 8 bytes, and its
//! own codec.

use std::num::NonZero;

use foca::{
    AccumulatingRuntime, Codec as _, Config, Foca, Header, Identity, Member, Message,
    NoCustomBroadcast, PostcardCodec, State,
};
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tidings_proto::base::rng::Rng;

use crate::measure::{Measured, What};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Id {
    pub ip: u32,
    pub port: u16,
    pub generation: u16,
}

impl Identity for Id {
    type Addr = (u32, u16);

    fn renew(&self) -> Option<Id> {
        Some(Id { generation: self.generation.wrapping_add(1), ..*self })
    }

    fn addr(&self) -> (u32, u16) {
        (self.ip, self.port)
    }

    fn win_addr_conflict(&self, other: &Id) -> bool {
        self.generation > other.generation
    }
}

pub fn id(i: usize) -> Id {
    Id { ip: i as u32 + 1, port: 7946, generation: 0 }
}

pub type Instance = Foca<Id, PostcardCodec, ChaCha8Rng, NoCustomBroadcast>;

pub fn config(nodes: usize) -> Config {
    Config::new_lan(NonZero::new(nodes as u32).expect("a cluster has nodes"))
}

pub fn instance(i: usize, config: Config) -> Instance {
    Foca::new(id(i), config, ChaCha8Rng::seed_from_u64(i as u64), PostcardCodec)
}

/// One kind of work, prepared outside the measured time.
pub struct Work {
    peer: Peer,
    what: What,
    rng: Rng,
    incarnation: u16,
    packets: Vec<Vec<u8>>,
}

/// Updates in a packet of gossip: as many as its datagrams hold.
const UPDATES: usize = 100;

impl Work {
    pub fn new(what: What, members: usize) -> Work {
        let mut rng = Rng::from_u64(1);
        let mut peer = Peer::knowing(members);
        let packets = match what {
            What::Known => peer.updates(0, members, &mut rng),
            What::Fresh => Vec::new(),
            What::Fill => {
                for packet in peer.updates(1, members, &mut rng) {
                    peer.data(&packet);
                }
                Vec::new()
            }
            What::Ping => peer.pings(1000, &mut rng),
        };
        peer.drain();
        Work { peer, what, rng, incarnation: 0, packets }
    }
}

impl Measured for Work {
    fn prepare(&mut self) {
        if self.what == What::Fresh {
            // An empty backlog to begin with: it scans that for every fresh update.
            let members = self.peer.members;
            self.peer = Peer::knowing(members);
            self.incarnation += 1;
            let fresh = members.min(1000);
            self.packets = self.peer.updates(self.incarnation, fresh, &mut self.rng);
        }
    }

    fn run(&mut self) -> usize {
        if self.what == What::Fill {
            return (0..5).map(|_| self.peer.gossip()).sum();
        }
        for packet in &self.packets {
            self.peer.data(packet);
            if self.what == What::Ping {
                assert!(self.peer.runtime.to_send().is_some(), "a ping is answered");
            }
        }
        self.peer.drain();
        match self.what {
            What::Known => self.peer.members,
            What::Fresh => self.peer.members.min(1000),
            _ => self.packets.len(),
        }
    }

    fn check(&self) {
        let backlog = self.peer.foca.updates_backlog();
        match self.what {
            What::Known | What::Ping => assert_eq!(backlog, 0, "nothing is news"),
            What::Fresh => assert_eq!(backlog, self.peer.members.min(1000), "all is news"),
            What::Fill => assert_eq!(backlog, self.peer.members, "the backlog has shrunk"),
        }
    }
}

/// Node 0, which knows members 1 to n.
struct Peer {
    foca: Instance,
    runtime: AccumulatingRuntime<Id>,
    members: usize,
}

impl Peer {
    fn knowing(members: usize) -> Peer {
        let config = Config {
            max_transmissions: NonZero::new(255).expect("positive"),
            max_packet_size: NonZero::new(1200).expect("positive"),
            periodic_gossip: config(members).periodic_gossip,
            ..config(members)
        };
        let mut peer =
            Peer { foca: instance(0, config), runtime: AccumulatingRuntime::new(), members };
        let all = (1..=members).map(|i| Member::alive(id(i)));
        peer.foca.apply_many(all, false, &mut peer.runtime).expect("members are taken");
        peer.drain();
        peer
    }

    /// Gossip about so many members, in random order.
    fn updates(&self, incarnation: u16, members: usize, rng: &mut Rng) -> Vec<Vec<u8>> {
        let mut order: Vec<usize> = (1..=self.members).collect();
        rng.shuffle(&mut order);
        let packet = |members: &[usize]| {
            let mut packet = header(1, Message::Gossip);
            packet.extend_from_slice(&(members.len() as u16).to_be_bytes());
            for &i in members {
                let member = Member::new(id(i), incarnation, State::Alive);
                PostcardCodec.encode_member(&member, &mut packet).expect("a member is encoded");
            }
            packet
        };
        order[..members].chunks(UPDATES).map(packet).collect()
    }

    fn pings(&self, count: usize, rng: &mut Rng) -> Vec<Vec<u8>> {
        (0..count).map(|_| header(1 + rng.index(self.members), Message::Ping(7))).collect()
    }

    fn data(&mut self, bytes: &[u8]) {
        self.foca.handle_data(bytes, &mut self.runtime).expect("the packet is well formed");
    }

    /// Packets to as many peers as its configuration says.
    fn gossip(&mut self) -> usize {
        self.foca.gossip(&mut self.runtime).expect("gossip is sent");
        let mut packets = 0;
        while self.runtime.to_send().is_some() {
            packets += 1;
        }
        packets
    }

    fn drain(&mut self) {
        while self.runtime.to_send().is_some() {}
        while self.runtime.to_schedule().is_some() {}
        while self.runtime.to_notify().is_some() {}
    }
}

fn header(from: usize, message: Message<Id>) -> Vec<u8> {
    let header = Header { src: id(from), src_incarnation: 0, dst: id(0), message };
    let mut packet = Vec::new();
    PostcardCodec.encode_header(&header, &mut packet).expect("a header is encoded");
    packet
}
