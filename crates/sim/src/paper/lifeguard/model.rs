//! Decides what memberlist does, message by message: probes with helpers, suspicion, piggybacked
//! and periodic gossip, refutation; and what a blocked process still does (PAPERS 3.2): nothing it
//! receives is read, its sending loops stop at their first send, its suspicion timers run.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use tidings_proto::base::rng::Rng;

use super::grid::{CRASH_AT, Cell, LASTS, Tally};
use super::rules::*;
use super::rumours::Rumours;

/// Plays one cell under one configuration.
pub fn play(settings: &Settings, cell: &Cell) -> Tally {
    let mut model = Model::new(*settings, *cell, MEMBERS);
    for node in 0..cell.anomalous as u16 {
        model.at(0, Event::Block { node });
    }
    model.at(CRASH_AT, Event::Crash);
    model.run(LASTS);
    model.tally
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Probe { node: u16 },
    Timeout { node: u16, probe: u32 },
    End { node: u16, probe: u32 },
    Nack { slot: u32 },
    Gossip { node: u16 },
    Suspicion { node: u16, about: u16, opened: u32 },
    Arrive { packet: u32 },
    Serve { node: u16 },
    Block { node: u16 },
    Release { node: u16 },
    Crash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ping {
        probe: u32,
    },
    Ack {
        probe: u32,
    },
    PingReq {
        probe: u32,
        target: u16,
    },
    /// A ping on behalf of another, and its answer; `slot` names the helper's note.
    HelperPing {
        slot: u32,
    },
    HelperAck {
        slot: u32,
    },
    Nack {
        probe: u32,
    },
    Gossip,
}

#[derive(Debug)]
struct Packet {
    from: u16,
    to: u16,
    kind: Kind,
    news: Vec<News>,
}

/// A probe on behalf of another.
#[derive(Clone, Copy, Debug)]
struct Help {
    by: u16,
    asker: u16,
    probe: u32,
    answered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The ping could not be sent yet.
    PingHeld,
    Pinged,
    /// The helpers could not be asked yet.
    HelpersHeld,
    Helped,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    number: u32,
    target: u16,
    stage: Stage,
    deadline: u64,
    helpers: u32,
    nacks: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Member {
    state: State,
    incarnation: u32,
    since: u64,
    /// Which suspicion is open; a timer of another one is void.
    opened: u32,
    started: u64,
    accusers: [u16; 4],
    accused_by: u8,
}

#[derive(Debug)]
struct Node {
    up: bool,
    blocked: bool,
    members: Vec<Member>,
    order: Vec<u16>,
    next: usize,
    probe: Option<Probe>,
    /// The ticker fired while a probe was under way.
    tick_pending: bool,
    health: Health,
    rumours: Rumours,
    gossip_phase: u64,
    gossip_set: bool,
    /// A packet of gossip that could not be sent, and the peers that come after it.
    gossip_held: Option<(u32, Vec<u16>)>,
    ping_held: Option<u32>,
    inbox: VecDeque<u32>,
    serving: bool,
}

pub(super) struct Model {
    settings: Settings,
    cell: Cell,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,
    nodes: Vec<Node>,
    packets: Vec<Packet>,
    free: Vec<u32>,
    help: Vec<Help>,
    probes: u32,
    suspicions: u32,
    peers: Vec<u16>,
    rng: Rng,
    pub(super) tally: Tally,
}

impl Model {
    pub(super) fn new(settings: Settings, cell: Cell, members: usize) -> Model {
        let mut rng = Rng::from_u64(cell.seed);
        let nodes = (0..members).map(|me| Node::new(me, members, &mut rng)).collect();
        let mut model = Model {
            settings,
            cell,
            now: 0,
            events: BinaryHeap::new(),
            scheduled: 0,
            nodes,
            packets: Vec::new(),
            free: Vec::new(),
            help: Vec::new(),
            probes: 0,
            suspicions: 0,
            peers: Vec::new(),
            rng,
            tally: Tally::default(),
        };
        for node in 0..members as u16 {
            let phase = model.rng.below(PROBE_INTERVAL);
            model.at(phase, Event::Probe { node });
        }
        model
    }

    fn at(&mut self, time: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((time, self.scheduled, event)));
    }

    pub(super) fn run(&mut self, until: u64) {
        while let Some(&Reverse((time, _, event))) = self.events.peek()
            && time <= until
        {
            self.events.pop();
            self.now = time;
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Probe { node } => {
                let interval = self.nodes[usize::from(node)].health.stretch(PROBE_INTERVAL);
                self.at(self.now + interval, event);
                if self.nodes[usize::from(node)].probe.is_some() {
                    self.nodes[usize::from(node)].tick_pending = true;
                } else {
                    self.start_probe(node);
                }
            }
            Event::Timeout { node, probe } => self.ask_helpers(node, probe),
            Event::End { node, probe } => self.probe_ended(node, probe),
            Event::Nack { slot } => {
                let help = self.help[slot as usize];
                if !help.answered && self.sends(help.by) {
                    self.send(help.by, help.asker, Kind::Nack { probe: help.probe });
                }
            }
            Event::Gossip { node } => self.gossip(node),
            Event::Suspicion { node, about, opened } => self.suspicion_over(node, about, opened),
            Event::Arrive { packet } => self.arrive(packet),
            Event::Serve { node } => self.serve(node),
            Event::Block { node } => {
                self.nodes[usize::from(node)].blocked = true;
                self.at(self.now + self.cell.blocked, Event::Release { node });
            }
            Event::Release { node } => {
                self.nodes[usize::from(node)].blocked = false;
                self.at(self.now + self.cell.free, Event::Block { node });
                self.release(node);
            }
            Event::Crash => self.nodes[self.cell.victim()].up = false,
        }
    }

    fn is_blocked(&self, node: u16) -> bool {
        self.nodes[usize::from(node)].blocked
    }

    fn sends(&self, node: u16) -> bool {
        self.nodes[usize::from(node)].up && !self.is_blocked(node)
    }

    // Probes.

    fn start_probe(&mut self, node: u16) {
        if !self.nodes[usize::from(node)].up {
            return;
        }
        let Some(target) = self.nodes[usize::from(node)].next_target(node, &mut self.rng) else {
            return;
        };
        self.probes += 1;
        let number = self.probes;
        let packet = self.prepare(node, target, Kind::Ping { probe: number });
        let me = &mut self.nodes[usize::from(node)];
        let deadline = self.now + me.health.stretch(PROBE_INTERVAL);
        let mut probe =
            Probe { number, target, stage: Stage::Pinged, deadline, helpers: 0, nacks: 0 };
        if me.blocked {
            probe.stage = Stage::PingHeld;
            me.ping_held = Some(packet);
            me.probe = Some(probe);
        } else {
            me.probe = Some(probe);
            self.transmit(packet);
            self.await_ack(node);
        }
    }

    /// The ping is out: helpers are asked at the timeout, or at the deadline if that comes first.
    fn await_ack(&mut self, node: u16) {
        let me = &self.nodes[usize::from(node)];
        let Some(probe) = me.probe else { return };
        let timeout = (self.now + me.health.stretch(PROBE_TIMEOUT)).min(probe.deadline);
        self.at(timeout.max(self.now), Event::Timeout { node, probe: probe.number });
    }

    fn current(&mut self, node: u16, number: u32) -> Option<&mut Probe> {
        self.nodes[usize::from(node)].probe.as_mut().filter(|p| p.number == number)
    }

    fn ask_helpers(&mut self, node: u16, number: u32) {
        let blocked = self.is_blocked(node);
        let Some(probe) = self.current(node, number) else { return };
        if blocked {
            // The probe that is under way runs out although nobody can be asked.
            probe.stage = Stage::HelpersHeld;
            let deadline = probe.deadline;
            return self.at(deadline, Event::End { node, probe: number });
        }
        probe.stage = Stage::Helped;
        let (target, deadline) = (probe.target, probe.deadline);
        let alive = |m: &Member, _| m.state == State::Alive;
        self.draw_peers(node, INDIRECT_CHECKS, Some(target), alive);
        let helpers = std::mem::take(&mut self.peers);
        for &helper in &helpers {
            self.send(node, helper, Kind::PingReq { probe: number, target });
        }
        if let Some(probe) = self.current(node, number) {
            probe.helpers = helpers.len() as u32;
        }
        self.peers = helpers;
        if deadline <= self.now {
            self.probe_ended(node, number);
        } else {
            self.at(deadline, Event::End { node, probe: number });
        }
    }

    fn probe_ended(&mut self, node: u16, number: u32) {
        let Some(&mut probe) = self.current(node, number) else { return };
        let me = &mut self.nodes[usize::from(node)];
        if self.settings.local_health {
            let missed = probe.helpers - probe.nacks.min(probe.helpers);
            me.health.worsen(if probe.helpers == 0 { 1 } else { missed });
        }
        let incarnation = me.members[usize::from(probe.target)].incarnation;
        let about = probe.target;
        self.hear(node, News { about, incarnation, state: State::Suspect, from: node });
        self.probe_done(node);
    }

    fn probe_done(&mut self, node: u16) {
        let me = &mut self.nodes[usize::from(node)];
        me.probe = None;
        if std::mem::take(&mut me.tick_pending) {
            self.start_probe(node);
        }
    }

    // Packets.

    fn send(&mut self, from: u16, to: u16, kind: Kind) {
        let packet = self.prepare(from, to, kind);
        self.transmit(packet);
    }

    /// What is piggybacked is drawn when the packet is made, not when it leaves.
    fn prepare(&mut self, from: u16, to: u16, kind: Kind) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            let news = Vec::new();
            self.packets.push(Packet { from, to, kind, news });
            self.packets.len() as u32 - 1
        });
        let packet = &mut self.packets[index as usize];
        (packet.from, packet.to, packet.kind) = (from, to, kind);
        packet.news.clear();
        let me = &mut self.nodes[usize::from(from)];
        let subject = me.members[usize::from(to)];
        let pings = matches!(kind, Kind::Ping { .. } | Kind::HelperPing { .. });
        let mut room = PACKET_BYTES - PRIMARY_BYTES;
        if self.settings.buddy && pings && subject.state == State::Suspect {
            let (incarnation, state) = (subject.incarnation, State::Suspect);
            let news = News { about: to, incarnation, state, from: subject.accusers[0] };
            room -= news.bytes();
            packet.news.push(news);
        }
        me.rumours.fill(room, &mut packet.news);
        index
    }

    fn transmit(&mut self, index: u32) {
        let packet = &self.packets[index as usize];
        let bytes: usize = packet.news.iter().map(News::bytes).sum();
        self.tally.messages += 1;
        self.tally.bytes += (PRIMARY_BYTES + bytes) as u64;
        let latency = LATENCY.0 + self.rng.below(LATENCY.1 - LATENCY.0);
        self.at(self.now + latency, Event::Arrive { packet: index });
    }

    fn arrive(&mut self, index: u32) {
        let to = self.packets[index as usize].to;
        let blocked = self.is_blocked(to);
        let me = &mut self.nodes[usize::from(to)];
        if !me.up {
            self.free.push(index);
        } else if blocked || !me.inbox.is_empty() {
            me.inbox.push_back(index);
        } else {
            self.handle(index);
        }
    }

    fn serve(&mut self, node: u16) {
        self.nodes[usize::from(node)].serving = false;
        if self.is_blocked(node) {
            return;
        }
        if let Some(index) = self.nodes[usize::from(node)].inbox.pop_front() {
            self.handle(index);
        }
        self.serve_later(node);
    }

    fn serve_later(&mut self, node: u16) {
        let me = &mut self.nodes[usize::from(node)];
        if !me.serving && !me.inbox.is_empty() {
            me.serving = true;
            self.at(self.now + HANDLING, Event::Serve { node });
        }
    }

    fn handle(&mut self, index: u32) {
        let packet = &mut self.packets[index as usize];
        let (from, me, kind) = (packet.from, packet.to, packet.kind);
        let news = std::mem::take(&mut packet.news);
        self.answer(me, from, kind);
        for &news in &news {
            self.hear(me, news);
        }
        self.packets[index as usize].news = news;
        self.free.push(index);
    }

    fn answer(&mut self, me: u16, from: u16, kind: Kind) {
        match kind {
            Kind::Ping { probe } => self.send(me, from, Kind::Ack { probe }),
            Kind::HelperPing { slot } => self.send(me, from, Kind::HelperAck { slot }),
            Kind::Ack { probe } => {
                if self.current(me, probe).is_some() {
                    self.nodes[usize::from(me)].health.improve();
                    self.probe_done(me);
                }
            }
            Kind::PingReq { probe, target } => {
                let help = Help { by: me, asker: from, probe, answered: false };
                let slot = self.help.len() as u32;
                self.help.push(help);
                self.send(me, target, Kind::HelperPing { slot });
                if self.settings.local_health {
                    self.at(self.now + NACK_AFTER, Event::Nack { slot });
                }
            }
            Kind::HelperAck { slot } => {
                let help = &mut self.help[slot as usize];
                help.answered = true;
                let (asker, probe) = (help.asker, help.probe);
                self.send(me, asker, Kind::Ack { probe });
            }
            Kind::Nack { probe } => {
                if let Some(probe) = self.current(me, probe) {
                    probe.nacks += 1;
                }
            }
            Kind::Gossip => {}
        }
    }

    // Gossip.

    /// The ticker runs always; an event is kept only while there is something to tell.
    fn gossip_later(&mut self, node: u16) {
        let me = &mut self.nodes[usize::from(node)];
        if me.gossip_set || me.rumours.is_empty() || me.gossip_held.is_some() {
            return;
        }
        me.gossip_set = true;
        let since = (self.now + GOSSIP_INTERVAL - me.gossip_phase) % GOSSIP_INTERVAL;
        self.at(self.now + GOSSIP_INTERVAL - since, Event::Gossip { node });
    }

    fn gossip(&mut self, node: u16) {
        self.nodes[usize::from(node)].gossip_set = false;
        if !self.nodes[usize::from(node)].up || self.nodes[usize::from(node)].rumours.is_empty() {
            return;
        }
        let told =
            |m: &Member, now: u64| m.state != State::Dead || now - m.since < GOSSIP_TO_THE_DEAD;
        self.draw_peers(node, GOSSIP_NODES, None, told);
        let peers = self.peers.clone();
        self.gossip_to(node, peers);
    }

    fn gossip_to(&mut self, node: u16, mut peers: Vec<u16>) {
        let blocked = self.is_blocked(node);
        while let Some(peer) = peers.pop() {
            if self.nodes[usize::from(node)].rumours.is_empty() {
                break;
            }
            let packet = self.prepare(node, peer, Kind::Gossip);
            if blocked {
                self.nodes[usize::from(node)].gossip_held = Some((packet, peers));
                return;
            }
            self.transmit(packet);
        }
        self.gossip_later(node);
    }

    fn draw_peers(
        &mut self,
        node: u16,
        count: usize,
        but: Option<u16>,
        fits: impl Fn(&Member, u64) -> bool,
    ) {
        self.peers.clear();
        let me = &self.nodes[usize::from(node)];
        for _ in 0..3 * me.members.len() {
            if self.peers.len() == count {
                return;
            }
            let peer = self.rng.index(me.members.len()) as u16;
            let fit = fits(&me.members[usize::from(peer)], self.now);
            if peer != node && Some(peer) != but && fit && !self.peers.contains(&peer) {
                self.peers.push(peer);
            }
        }
    }

    // The end of an anomaly.

    /// What was held goes out in the order of the loops; then the queue is handled.
    fn release(&mut self, node: u16) {
        if let Some((packet, peers)) = self.nodes[usize::from(node)].gossip_held.take() {
            self.transmit(packet);
            self.gossip_to(node, peers);
        }
        let probe = self.nodes[usize::from(node)].probe;
        match probe.map(|p| (p.stage, p.number)) {
            Some((Stage::PingHeld, number)) => {
                if let Some(packet) = self.nodes[usize::from(node)].ping_held.take() {
                    self.transmit(packet);
                }
                if let Some(probe) = self.current(node, number) {
                    probe.stage = Stage::Pinged;
                }
                self.await_ack(node);
            }
            Some((Stage::HelpersHeld, number)) => self.ask_helpers(node, number),
            _ => {}
        }
        self.serve_later(node);
    }

    // Membership.

    /// Takes in what somebody says about a member.
    fn hear(&mut self, node: u16, news: News) {
        let member = self.nodes[usize::from(node)].members[usize::from(news.about)];
        if news.about == node {
            if news.state != State::Alive && news.incarnation >= member.incarnation {
                self.refute(node, news.incarnation);
            }
            return;
        }
        match meaning(member.state, member.incarnation, &news) {
            Meaning::Nothing => {}
            Meaning::Confirmation => self.confirm(node, news),
            Meaning::Change => {
                let changed = &mut self.nodes[usize::from(node)].members[usize::from(news.about)];
                changed.state = news.state;
                changed.incarnation = news.incarnation;
                changed.since = self.now;
                changed.opened = 0;
                match news.state {
                    State::Suspect => self.open_suspicion(node, news),
                    State::Dead => self.declared_dead(node, news.about),
                    State::Alive => {}
                }
                self.tell(node, news);
            }
        }
    }

    fn refute(&mut self, node: u16, accused: u32) {
        let me = &mut self.nodes[usize::from(node)];
        if self.settings.local_health {
            me.health.worsen(1);
        }
        let incarnation = accused + 1;
        me.members[usize::from(node)].incarnation = incarnation;
        self.tell(node, News { about: node, incarnation, state: State::Alive, from: node });
    }

    fn tell(&mut self, node: u16, news: News) {
        self.nodes[usize::from(node)].rumours.push(news);
        self.gossip_later(node);
    }

    fn open_suspicion(&mut self, node: u16, news: News) {
        self.suspicions += 1;
        let opened = self.suspicions;
        let member = &mut self.nodes[usize::from(node)].members[usize::from(news.about)];
        (member.opened, member.started) = (opened, self.now);
        (member.accusers[0], member.accused_by) = (news.from, 1);
        let at = self.now + self.settings.suspicion(self.nodes.len(), 0);
        self.at(at, Event::Suspicion { node, about: news.about, opened });
    }

    fn confirm(&mut self, node: u16, news: News) {
        let member = &mut self.nodes[usize::from(node)].members[usize::from(news.about)];
        let known = usize::from(member.accused_by);
        let confirmations = known - 1;
        if confirmations >= self.settings.confirmations
            || member.accusers[..known].contains(&news.from)
        {
            return;
        }
        member.accusers[known] = news.from;
        member.accused_by += 1;
        let (opened, started) = (member.opened, member.started);
        let at = started + self.settings.suspicion(self.nodes.len(), confirmations + 1);
        self.at(at.max(self.now), Event::Suspicion { node, about: news.about, opened });
        self.tell(node, news);
    }

    fn suspicion_over(&mut self, node: u16, about: u16, opened: u32) {
        if !self.nodes[usize::from(node)].up {
            return;
        }
        let member = self.nodes[usize::from(node)].members[usize::from(about)];
        if member.opened == opened && member.state == State::Suspect {
            let incarnation = member.incarnation;
            self.hear(node, News { about, incarnation, state: State::Dead, from: node });
        }
    }

    fn declared_dead(&mut self, node: u16, about: u16) {
        let (observer, subject) = (usize::from(node), usize::from(about));
        let healthy = !self.cell.is_anomalous(observer);
        if self.nodes[subject].up {
            if !self.cell.is_anomalous(subject) {
                self.tally.false_dead += 1;
                self.tally.false_dead_healthy += u64::from(healthy);
            }
        } else if healthy && self.tally.detections.is_empty() {
            let took = (self.now - CRASH_AT) as f64 / SECOND as f64;
            self.tally.detections.push(took);
        }
    }
}

impl Node {
    fn new(me: usize, members: usize, rng: &mut Rng) -> Node {
        let mut order: Vec<u16> = (0..members as u16).filter(|&m| usize::from(m) != me).collect();
        rng.shuffle(&mut order);
        Node {
            up: true,
            blocked: false,
            members: vec![Member { incarnation: 1, ..Member::default() }; members],
            order,
            next: 0,
            probe: None,
            tick_pending: false,
            health: Health::default(),
            rumours: Rumours::new(members, transmit_limit(members)),
            gossip_phase: rng.below(GOSSIP_INTERVAL),
            gossip_set: false,
            gossip_held: None,
            ping_held: None,
            inbox: VecDeque::new(),
            serving: false,
        }
    }

    /// The next in the round robin that is not held dead; a new order after each pass.
    fn next_target(&mut self, me: u16, rng: &mut Rng) -> Option<u16> {
        for _ in 0..2 * self.order.len() {
            if self.next == self.order.len() {
                rng.shuffle(&mut self.order);
                self.next = 0;
            }
            let target = self.order[self.next];
            self.next += 1;
            if target != me && self.members[usize::from(target)].state != State::Dead {
                return Some(target);
            }
        }
        None
    }
}
