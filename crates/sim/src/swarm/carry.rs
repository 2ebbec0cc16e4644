//! Decides how each action is carried out on a world, and when it does nothing: nobody asks a
//! process that does not run, nor starts one that never comes back.

use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::base::hash::HashKey;
use tidings_proto::base::rng::Rng;
use tidings_proto::io::Command;
use tidings_proto::wire::packet::{HEADER_BYTES, seal};

use super::action::Action;
use super::run::{Run, tags_of};
use crate::check::changes_nothing;
use crate::network::{Conditions, Latency, Shape};
use crate::tap::Packet;
use crate::world::World;

impl Run<'_> {
    pub(super) fn act(&mut self, mut action: Action) -> Result<(), String> {
        // Who is not there cannot be meant; a newcomer is not there yet.
        let comes = match action {
            Action::Replace { new, .. } | Action::Newcomer { new, .. } => Some(new),
            _ => None,
        };
        if let Action::Split { side } = &mut action {
            side.retain(|node| self.hosts.contains_key(node));
        }
        for node in action.hosts_mut() {
            match self.hosts.get(node) {
                Some(_) if comes == Some(*node) => return Ok(()),
                Some(&host) => *node = host,
                None if comes == Some(*node) => {}
                None => return Ok(()),
            }
        }
        match action {
            Action::Set { host, .. }
            | Action::Delete { host, .. }
            | Action::Group { host, .. }
            | Action::Emit { host, .. }
            | Action::Tag { host, .. } => {
                if self.is_running(host) {
                    self.user(action);
                }
            }
            Action::Client { host, client, key, write } if self.is_running(host) => {
                return self.client(host, client, key, write);
            }
            Action::Replay { .. }
            | Action::Foreign { .. }
            | Action::Garble { .. }
            | Action::Noise { .. }
            | Action::Lie { .. } => return self.packet(action),
            Action::Replace { .. } | Action::Newcomer { .. } | Action::Swap { .. } => {
                self.machines(action);
            }
            Action::Split { .. }
            | Action::Cut { .. }
            | Action::CutOneWay { .. }
            | Action::BlockDatagrams { .. }
            | Action::BlockStreams { .. }
            | Action::Lossy { .. }
            | Action::Link { .. }
            | Action::Heal => self.network(action),
            _ => self.process(action),
        }
        Ok(())
    }

    fn is_running(&self, host: usize) -> bool {
        self.world.is_up(host) && !self.world.is_paused(host) && !self.left[host]
    }

    fn user(&mut self, action: Action) {
        self.values += 1;
        let (name, value) = (|key: u64| format!("k{key}"), format!("v{}", self.values));
        match action {
            Action::Set { host, key, times } => {
                self.world.set(host, name(key), value.repeat(times));
            }
            Action::Delete { host, key } => {
                self.world.delete(host, name(key));
            }
            Action::Group { host, keyspace, set, deleted } => {
                let bytes = |key: &u64| name(*key).into_bytes();
                let values = set.iter().map(|key| (bytes(key), Some(value.clone().into_bytes())));
                let deletes = deleted.iter().filter(|key| !set.contains(key));
                let writes = values.chain(deletes.map(|key| (bytes(key), None))).collect();
                let keyspace = ["kv", "config", "locks"][keyspace as usize % 3].to_owned();
                self.world.command(host, Command::Write { keyspace, writes });
            }
            Action::Emit { host, key, times } => {
                self.world.emit(host, &name(key), value.repeat(times).as_bytes());
            }
            Action::Tag { host, key, unset: false } => {
                let set = vec![(name(key), value)];
                self.world.command(host, Command::SetTags { set, unset: Vec::new() });
            }
            Action::Tag { host, key, .. } => {
                let unset = vec![name(key)];
                self.world.command(host, Command::SetTags { set: Vec::new(), unset });
            }
            _ => unreachable!("users do nothing else"),
        }
    }

    fn process(&mut self, action: Action) {
        let up = |host: usize| self.world.is_up(host);
        match action {
            Action::Crash { host } if up(host) && !self.left[host] => self.world.crash(host),
            Action::Destroy { host } if up(host) && !self.left[host] => self.world.destroy(host),
            Action::Restart { host } if !up(host) && self.may_start(host) => {
                self.world.restart(host);
            }
            Action::Return { host } if !up(host) && self.left[host] && !self.gone[host] => {
                self.left[host] = false;
                self.world.restart(host);
            }
            Action::Pause { host } if self.is_running(host) => self.world.pause(host),
            Action::Suspend { host } if self.is_running(host) => self.world.suspend(host),
            Action::Resume { host } if up(host) && self.world.is_paused(host) => {
                self.world.resume(host);
            }
            Action::Slow { host, micros } => {
                self.world.set_service_time(host, Duration::from_micros(micros));
            }
            Action::Step { host, ms } => self.world.clock_mut(host).step_wall(ms),
            Action::Drift { host, ppm } => {
                let now = self.world.now();
                self.world.clock_mut(host).set_drift(now, ppm);
            }
            Action::DiskFails { host, failing } => {
                let usual = Duration::from_millis(self.options.world.disk_latency_ms);
                let disk = self.world.disk_mut(host);
                disk.failing = failing;
                if !failing {
                    disk.latency = usual;
                }
            }
            Action::DiskSlow { host, ms } => {
                self.world.disk_mut(host).latency = Duration::from_millis(ms);
            }
            Action::Join { host, other } if self.is_running(host) => {
                self.world.join(host, &[other]);
            }
            Action::Leave { host } if self.is_running(host) && self.enough_stay() => {
                self.left[host] = true;
                self.world.command(host, Command::Leave);
            }
            Action::ForceLeave { host, other, prune } if self.is_running(host) => {
                let name = self.world.name(other).to_owned();
                self.world.command(host, Command::ForceLeave { name, prune });
            }
            _ => {}
        }
    }

    fn enough_stay(&self) -> bool {
        (0..self.world.len()).filter(|&host| self.may_start(host)).count() > 2
    }

    fn machines(&mut self, action: Action) {
        match action {
            Action::Replace { host, other, new } if !self.gone[host] => {
                let name = self.world.name(host).to_owned();
                let config = Config {
                    durable: self.world.is_durable(host),
                    cluster: self.world.cluster(host).to_owned(),
                    ..self.config(0)
                };
                self.lose(host);
                self.come(new, &name, config, other);
            }
            Action::Newcomer { new, other, durable, for_ms } => {
                let cluster = self.world.cluster(other).to_owned();
                let config = Config { durable, cluster, ..self.config(0) };
                let host = self.come(new, &format!("x{new}"), config, other);
                if let Some(ms) = for_ms {
                    self.dying.push((host, self.world.now() + Duration::from_millis(ms)));
                }
            }
            Action::Swap { host, other } if host != other => {
                let both = [host, other];
                let strangers = self.world.cluster(host) != self.world.cluster(other);
                if strangers || both.iter().any(|&h| !self.may_start(h)) {
                    return;
                }
                for host in both {
                    if self.world.is_up(host) {
                        self.world.crash(host);
                    }
                }
                self.world.swap_addresses(host, other);
                both.into_iter().for_each(|host| self.world.restart(host));
            }
            _ => {}
        }
    }

    /// A new host, which joins by `other` and by the seeds of its cluster.
    fn come(&mut self, node: usize, name: &str, config: Config, other: usize) -> usize {
        let cluster = config.cluster.clone();
        let mut join: Vec<usize> =
            (0..self.world.len()).filter(|&h| self.world.cluster(h) == cluster).take(3).collect();
        join.insert(0, other);
        let tags = tags_of(&config, self.world.len());
        let host = self.world.add_node_with(name, config, tags, &join);
        self.settle_in(node, host);
        host
    }

    fn network(&mut self, action: Action) {
        match action {
            Action::Split { side } => self.world.split_off(side),
            Action::Cut { host, other } => self.world.net.cut(host, other),
            Action::CutOneWay { host, other } => self.world.net.cut_one_way(host, other),
            Action::BlockDatagrams { host, other } => {
                self.world.net.block(host, other, Shape::Datagram);
            }
            Action::BlockStreams { host, other } => {
                self.world.net.block(host, other, Shape::Stream);
            }
            Action::Lossy { host, sent, received } => {
                let share = |percent: u8| f64::from(percent.min(100)) / 100.0;
                self.world.net.set_host_loss(host, share(sent), share(received));
            }
            Action::Link { host, other, ms, loss } => {
                let usual = self.options.weather.conditions();
                let latency = Latency::Constant(Duration::from_millis(ms));
                let loss = f64::from(loss.min(100)) / 100.0;
                self.world.net.set_link(host, other, Conditions { latency, loss, ..usual });
            }
            _ if self.options.generation == 1 => self.world.net.heal(),
            _ => {
                self.world.net.calm();
                self.world.net.conditions = self.options.weather.conditions();
            }
        }
    }

    fn packet(&mut self, action: Action) -> Result<(), String> {
        let any = |_: &&Packet| true;
        match action {
            Action::Replay { host, other, packet } => {
                if let Some(packet) = self.recorded(packet, any) {
                    deliver(&mut self.world, host, other, packet.stream, &packet.bytes);
                }
            }
            Action::Foreign { host, other, packet } => {
                let ours = self.world.cluster(host);
                let theirs = |p: &&Packet| self.world.cluster(p.host) != ours;
                if let Some(packet) = self.recorded(packet, theirs) {
                    return self.refused(host, other, packet.stream, &packet.bytes);
                }
            }
            Action::Garble { host, other, packet, bits } => {
                if let Some(packet) = self.recorded(packet, any) {
                    let mut bytes = packet.bytes.to_vec();
                    for bit in bits {
                        let at = bit as usize % (bytes.len() * 8);
                        bytes[at / 8] ^= 1 << (at % 8);
                    }
                    if bytes != *packet.bytes {
                        return self.refused(host, other, packet.stream, &bytes);
                    }
                }
            }
            Action::Noise { host, other, bytes, seed } => {
                let mut rng = Rng::from_u64(seed);
                let noise: Vec<u8> = (0..bytes).map(|_| rng.u32() as u8).collect();
                return self.refused(host, other, seed % 2 == 0, &noise);
            }
            Action::Lie { host, other, packet, seed } => {
                let of_liar = |p: &&Packet| p.host == other;
                if let Some(packet) = self.recorded(packet, of_liar) {
                    let lie = lie(&packet.bytes, self.world.cluster(other), seed);
                    deliver(&mut self.world, host, other, packet.stream, &lie);
                }
            }
            _ => unreachable!("packets do nothing else"),
        }
        Ok(())
    }

    fn recorded(&self, back: usize, of: impl Fn(&&Packet) -> bool) -> Option<Packet> {
        let packets: Vec<&Packet> = self.world.sent_last().filter(|p| of(p)).collect();
        (!packets.is_empty()).then(|| packets[back % packets.len()].clone())
    }

    /// Rule 10 at once, where the host takes the packet at once.
    fn refused(
        &mut self,
        host: usize,
        from: usize,
        stream: bool,
        bytes: &[u8],
    ) -> Result<(), String> {
        if self.world.is_prompt(host) {
            let hand_over = |world: &mut World| deliver(world, host, from, stream, bytes);
            return changes_nothing(&mut self.world, host, hand_over);
        }
        deliver(&mut self.world, host, from, stream, bytes);
        Ok(())
    }
}

fn deliver(world: &mut World, host: usize, from: usize, stream: bool, bytes: &[u8]) {
    match stream {
        true => world.inject_request(host, from, bytes),
        false => world.inject(host, from, bytes),
    }
}

/// A packet with some bytes after its header changed, and sealed as if nothing had happened.
fn lie(bytes: &[u8], cluster: &str, seed: u64) -> Vec<u8> {
    let mut rng = Rng::from_u64(seed);
    let mut lie = bytes.to_vec();
    if lie.len() > HEADER_BYTES {
        for _ in 0..1 + rng.below(4) {
            let at = HEADER_BYTES + rng.index(lie.len() - HEADER_BYTES);
            match rng.below(4) {
                0 => lie[at] = rng.u32() as u8,
                1 => lie[at] ^= 1 << rng.below(8),
                2 => lie.truncate(at.max(HEADER_BYTES + 1)),
                _ => lie.insert(at, 0xff),
            }
        }
        seal(&mut lie, 0, &HashKey::for_cluster(cluster));
    }
    lie
}
