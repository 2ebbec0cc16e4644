//! Decides how hosts fail and come back: crashes with and without the disk, restarts, pauses of
//! a process or of its machine, slow processes, clocks that step, disks that refuse.

use std::net::SocketAddr;
use std::time::Duration;

use tidings_proto::base::hash::HashKey;
use tidings_proto::base::time::Now;
use tidings_proto::io::Input;
use tidings_proto::state::disk::recover;
use tidings_proto::state::store::Store;
use tidings_proto::{Config, Snapshot, Time};

use crate::clock::Clock;
use crate::disk::Disk;
use crate::host::{Paused, Spent};
use crate::world::World;

impl World {
    /// `kill -9`: the process is gone, the disk keeps what was durable (and perhaps more).
    pub fn crash(&mut self, host: usize) {
        let h = &mut self.hosts[host];
        assert!(h.node.is_some(), "{} does not run", h.name);
        h.disk.crash(&mut self.fault_rng);
        let (durable, cluster) = (h.config.durable, &h.config.cluster);
        self.watch.crashed(host, durable.then(|| stored(cluster, &h.disk)).as_ref());
        if let Some(node) = h.node.take() {
            h.spent += Spent::of(node.stats());
        }
        h.life += 1;
        h.paused = None;
        h.serving = false;
        h.tick_waiting = false;
        h.inbox.clear();
        h.wake_at = Time::NEVER;
        self.break_calls_of(host);
        self.trace.note(self.now, format_args!("{} crashes", self.hosts[host].name));
    }

    /// The machine is lost with its disk: the next process has a new identity.
    pub fn destroy(&mut self, host: usize) {
        self.crash(host);
        self.lose_disk(host);
    }

    /// A host that is down loses its disk.
    pub fn lose_disk(&mut self, host: usize) {
        assert!(self.hosts[host].node.is_none(), "{} runs", self.hosts[host].name);
        self.hosts[host].disk.erase();
        self.watch.destroyed(host);
        self.new_identity(host, None);
    }

    /// Starts a process again: under the identity of its disk where it has one, else under a new
    /// one; it joins where it joined before.
    pub fn restart(&mut self, host: usize) {
        if !self.hosts[host].config.durable {
            self.new_identity(host, None);
        }
        self.start(host);
    }

    /// Starts a process under the identity that the host has.
    pub fn start(&mut self, host: usize) {
        let pairs = match self.hosts[host].config.durable {
            true => self.hosts[host].disk.pairs(),
            false => Vec::new(),
        };
        self.boot(host, Snapshot { pairs, members: None });
        self.watch.started(host, self.now, &self.hosts[host].node.as_ref().expect("booted").view());
        let addrs = self.hosts[host].join.clone();
        if !addrs.is_empty() {
            let command = tidings_proto::io::Command::Join { addrs, retry: true };
            self.command(host, command);
        }
    }

    /// The driver's answer to a taken identity: a new one that names the old.
    pub(crate) fn redraw(&mut self, host: usize) {
        let old = self.hosts[host].id;
        self.crash(host);
        self.new_identity(host, Some(old));
        self.start(host);
    }

    /// Where a process of this host joins when it starts again.
    pub fn set_join(&mut self, host: usize, to: &[usize]) {
        self.hosts[host].join = to.iter().map(|&t| self.hosts[t].addr).collect();
    }

    pub fn joins(&self, host: usize) -> &[SocketAddr] {
        &self.hosts[host].join
    }

    /// New settings for the next process.
    pub fn reconfigure(&mut self, host: usize, config: Config) {
        config.check().expect("a world runs valid settings only");
        self.hosts[host].config = config;
    }

    /// SIGSTOP: clocks go on, the socket fills, accepted streams wait.
    pub fn pause(&mut self, host: usize) {
        self.stop(host, false);
    }

    /// The machine is suspended: its monotonic clock stands still too.
    pub fn suspend(&mut self, host: usize) {
        self.stop(host, true);
    }

    fn stop(&mut self, host: usize, suspended: bool) {
        let h = &mut self.hosts[host];
        assert!(h.running(), "{} does not run", h.name);
        h.paused = Some(Paused { since: self.now, suspended });
        self.trace.note(self.now, format_args!("{} stops", self.hosts[host].name));
    }

    /// The process goes on. What waits in its socket and the deadline that passed compete: a
    /// coin decides which it sees first.
    pub fn resume(&mut self, host: usize) {
        let h = &mut self.hosts[host];
        let paused = h.paused.take().expect("a resumed process was stopped");
        if paused.suspended {
            h.clock.suspend(self.now.since(paused.since));
        }
        h.wake_at = Time::NEVER;
        self.trace.note(self.now, format_args!("{} goes on", self.hosts[host].name));
        let h = &self.hosts[host];
        let deadline = h.node.as_ref().expect("a stopped process exists").next_deadline();
        let due = h.clock.world(deadline) <= self.now;
        if due && self.fault_rng.chance(0.5) {
            self.handle(host, Input::Tick);
        }
        self.rearm(host);
        self.serve_later(host);
    }

    pub fn is_paused(&self, host: usize) -> bool {
        self.hosts[host].paused.is_some()
    }

    /// Datagrams that a full socket buffer of this host dropped.
    pub fn socket_drops(&self, host: usize) -> u64 {
        self.hosts[host].inbox.dropped
    }

    /// Each input takes the process this long; zero: none.
    pub fn set_service_time(&mut self, host: usize, service: Duration) {
        self.hosts[host].service = service;
        self.serve_later(host);
    }

    pub fn clock_mut(&mut self, host: usize) -> &mut Clock {
        &mut self.hosts[host].clock
    }

    pub fn clock(&self, host: usize) -> &Clock {
        &self.hosts[host].clock
    }

    /// A bit of a value in a process's memory changes by itself.
    pub fn flip_bit(&mut self, host: usize, keyspace: &str, key: &[u8]) -> bool {
        let node = self.hosts[host].node.as_mut();
        node.is_some_and(|node| node.flip_bit(keyspace, key))
    }

    pub fn disk(&self, host: usize) -> &Disk {
        &self.hosts[host].disk
    }

    pub fn disk_mut(&mut self, host: usize) -> &mut Disk {
        &mut self.hosts[host].disk
    }

    /// Splits the hosts: those listed are on side 1, the rest on side 0.
    pub fn split_off(&mut self, side: impl IntoIterator<Item = usize>) {
        let mut sides = vec![0; self.len()];
        for host in side {
            sides[host] = 1;
        }
        self.net.split(sides);
    }
}

/// What a disk gives back: the ground truth of what a crash leaves.
fn stored(cluster: &str, disk: &Disk) -> Store {
    let key = HashKey::for_cluster(cluster);
    let mut store = Store::new(key, true);
    recover(&disk.pairs(), &mut store, &key, Now::default());
    store
}
