//! Decides how the detector of choice meets membership. The interface is narrow: signs of life go
//! in (`alive`, `heartbeats`), doubt and relief come out (`accuse`, `reached`). What doubt leads to
//! is membership's affair and has settings and counters of its own (row H9).

use std::time::Duration;

use super::packets::Spent;
use super::{Node, Phase};
use crate::base::id::NodeId;
use crate::base::rng::Rng;
use crate::base::time::{Now, Time};
use crate::config::{Config, Detector};
use crate::detection::heartbeat::{Cursor, Heard, Heartbeats};
use crate::detection::message::Beats;
use crate::io::Outbox;
use crate::membership::record::Cause;
use crate::membership::table::{ME, Slot};
use crate::peers;
use crate::wire::codec::DecodeError;
use crate::wire::frame::{kind, put_frame};

/// Counters that ride on a ping or an ack: some twenty, and news still have their room.
const PIGGYBACK_BYTES: usize = 256;

/// The beat of the heartbeat detectors; without them it never comes.
pub(super) struct Pulse {
    pub(super) beats: Heartbeats,
    /// When counters are next told to somebody and doubts are looked for: `heartbeat_fanout` times
    /// a period.
    pub(super) next: Time,
    /// Tellings until the own counter rises.
    countdown: usize,
    /// When the last input came: levels are read as of then.
    pub(super) now: Time,
    /// The member that was heard last.
    pub(super) sender: Slot,
    rng: Rng,
    silent: Vec<Slot>,
}

impl Pulse {
    pub(super) fn new(
        config: &Config,
        me: NodeId,
        generation: u64,
        seed: &[u8; 32],
        now: Time,
    ) -> Pulse {
        let mut rng = Rng::fork(seed, "heartbeats");
        let mut beats = Heartbeats::new(config);
        if config.detector != Detector::Swim {
            beats.begin(me.short(), generation);
        }
        let next = Pulse::first(config, now, &mut rng);
        Pulse { beats, next, countdown: 0, now, sender: ME, rng, silent: Vec::new() }
    }

    /// The first beat after a start or a change of settings.
    pub(super) fn first(config: &Config, now: Time, rng: &mut Rng) -> Time {
        match config.detector {
            Detector::Swim => Time::NEVER,
            _ => now + interval(config).mul_f64(rng.unit()),
        }
    }
}

fn interval(config: &Config) -> Duration {
    config.probe_period / config.heartbeat_fanout as u32
}

impl Node {
    // Signs of life.

    /// The member answered or refuted.
    pub(super) fn alive(&mut self, slot: Slot, now: Time) {
        self.pulse.beats.alive(slot, now);
    }

    /// Counters came. Work is bounded by the frame; where another detector is chosen there is none.
    pub(super) fn heartbeats(
        &mut self,
        body: &[u8],
        sender: NodeId,
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), DecodeError> {
        if self.config.detector == Detector::Swim {
            return Ok(());
        }
        for beat in Beats::new(body) {
            let beat = beat?;
            let Some(slot) = self.table.find_short(beat.member) else { continue };
            // A process announces the incarnation that it begins with: none that it has not reached.
            if slot == ME || beat.generation > self.table.incarnation(slot) {
                continue;
            }
            let id = self.table.id(slot);
            match self.pulse.beats.hear(slot, &beat, id == sender, now.mono) {
                Heard::Rose => {
                    // Others' doubts are not ended by what may have been under way before them.
                    let ours = self.pulse.beats.alive(slot, now.mono);
                    if ours || self.table.is_unconfirmed(slot) {
                        self.reached(id, now.mono, now, out);
                    }
                }
                Heard::Jump => self.stats.heartbeat_jumps += 1,
                Heard::Start | Heard::Stale => {}
            }
        }
        Ok(())
    }

    // Doubt.

    /// Nothing answered a probe. The other detectors have their own measure of silence, except for
    /// who never sent them a counter.
    pub(super) fn silent(&mut self, subject: NodeId, now: Now, out: &mut Outbox) {
        let beats = |slot| self.pulse.beats.beats(slot, subject.short());
        if !self.table.find(subject).is_some_and(beats) {
            self.accuse(subject, Cause::Silence, now, out);
        }
    }

    pub(super) fn run_pulse(&mut self, now: Now, out: &mut Outbox) {
        if self.pulse.next > now.mono {
            return;
        }
        self.pulse.next = now.mono + interval(&self.config);
        if self.pulse.countdown == 0 {
            self.pulse.countdown = self.config.heartbeat_fanout;
            self.pulse.beats.raise();
        }
        self.pulse.countdown -= 1;
        if self.phase == Phase::Running {
            self.tell_counters(out);
        }
        self.doubt_the_silent(now, out);
    }

    /// One peer hears all counters that rose of late, in as many datagrams as a burst has.
    fn tell_counters(&mut self, out: &mut Outbox) {
        let mut peers = std::mem::take(&mut self.choice.picked);
        let table = &self.table;
        let is_me = |slot| table.addr(slot) == table.addr(ME);
        peers::uniform(table, 1, &mut self.pulse.rng, is_me, &mut peers);
        if let Some(&peer) = peers.first() {
            let to = self.table.addr(peer);
            let mut cursor = self.pulse.beats.freshest();
            for _ in 0..self.config.burst_packets {
                let start = self.begin(out);
                self.count_bytes(Spent::Heartbeats, out.bytes.len() - start);
                let more = self.put_counters(start, self.config.changes_bytes, &mut cursor, out);
                self.stats.heartbeats_sent += 1;
                self.send_bare(start, to, out);
                if !more {
                    break;
                }
            }
        }
        self.choice.picked = peers;
    }

    /// On the messages of probing, which flow anyway.
    pub(super) fn piggyback_counters(&mut self, start: usize, out: &mut Outbox) {
        if self.config.detector != Detector::Swim {
            let mut cursor = self.pulse.beats.freshest();
            self.put_counters(start, PIGGYBACK_BYTES, &mut cursor, out);
        }
    }

    /// Puts a frame of counters into the packet that starts at `start`; true if some are left.
    fn put_counters(
        &mut self,
        start: usize,
        bytes: usize,
        cursor: &mut Cursor,
        out: &mut Outbox,
    ) -> bool {
        let end = (out.bytes.len() + bytes).min(start + self.config.datagram_bytes);
        let (beats, mut more) = (&mut self.pulse.beats, false);
        let before = out.bytes.len();
        put_frame(&mut out.bytes, kind::HEARTBEATS, |out| more = beats.put(cursor, out, end));
        self.count_bytes(Spent::Heartbeats, out.bytes.len() - before);
        more
    }

    fn doubt_the_silent(&mut self, now: Now, out: &mut Outbox) {
        let mut silent = std::mem::take(&mut self.pulse.silent);
        silent.clear();
        let beats = &self.pulse.beats;
        silent.extend(self.table.live().iter().copied().filter(|&slot| {
            let silence = self.silence(slot, now.mono);
            silence >= self.config.probe_period
                && beats.beats(slot, self.table.id(slot).short())
                && beats.is_doubt(slot, silence)
        }));
        for &slot in &silent {
            // Said again while it lasts: membership may have let the member off meanwhile.
            self.pulse.beats.doubted(slot);
            let said = self.suspicions.get(slot).is_some_and(|s| s.accusers.contains(self.id));
            if !said {
                self.accuse(self.table.id(slot), Cause::Silence, now, out);
            }
        }
        self.pulse.silent = silent;
    }

    /// The suspicion level of a live member that has beaten; `None` where probes judge.
    pub(super) fn level(&self, slot: Slot, now: Time) -> Option<f64> {
        let (beats, id) = (&self.pulse.beats, self.table.id(slot));
        let judged = slot != ME && self.table.is_live(slot) && beats.beats(slot, id.short());
        judged.then(|| beats.level(slot, self.silence(slot, now)))
    }

    /// How long a member gave no sign of life, or since it was last declared alive.
    pub(super) fn silence(&self, slot: Slot, now: Time) -> Duration {
        self.pulse.beats.silence(slot, self.table.since(slot), now)
    }
}
