//! Decides what is looked at while a scenario runs: ten times a sample whether all are equal and
//! how busy the network is, and once a sample everything that a row shows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidings_proto::Time;

use super::follow::{Ledger, seconds};
use super::outcome::{Sample, Traffic};
use crate::host::Spent;
use crate::world::World;

/// Samples kept for the report.
const SAMPLES_MAX: usize = 5000;

pub(super) struct Looks {
    every: Duration,
    sample: Duration,
    samples: Vec<Sample>,
    next_sample: Time,
    groups: usize,
    alive: (usize, usize),
    equal_since: Option<Time>,
    last_look: Time,
    node_seconds: f64,
    datagrams: u64,
    /// In one look, most and in all.
    burst: u64,
    bursts: u64,
    looks: u64,
    at_last_sample: (u64, Spent),
    /// Hosts that ran at every look.
    always: Vec<bool>,
}

impl Looks {
    pub(super) fn new(sample: Duration) -> Looks {
        Looks {
            every: (sample / 10).max(Duration::from_millis(1)),
            sample,
            samples: Vec::new(),
            next_sample: Time::ZERO,
            groups: 0,
            alive: (0, 0),
            equal_since: None,
            last_look: Time::ZERO,
            node_seconds: 0.0,
            datagrams: 0,
            burst: 0,
            bursts: 0,
            looks: 0,
            at_last_sample: (0, Spent::default()),
            always: Vec::new(),
        }
    }

    pub(super) fn every(&self) -> Duration {
        self.every
    }

    /// Looks; returns a sample when one is due.
    pub(super) fn look(&mut self, world: &World, ledger: &Ledger) -> Option<Sample> {
        let now = world.now();
        if self.always.is_empty() {
            self.always = (0..world.len()).map(|h| world.is_up(h)).collect();
        }
        let (mut prints, mut running, mut failed) = (BTreeSet::new(), 0, 0);
        let (mut least, mut most, mut sent) = (usize::MAX, 0, 0);
        for host in 0..world.len() {
            sent += world.traffic(host).datagrams_sent;
            let runs = world.is_up(host) && !world.is_paused(host) && !world.view(host).left();
            self.always[host] &= runs;
            if !runs {
                continue;
            }
            let view = world.view(host);
            running += 1;
            prints.insert(view.fingerprints());
            (least, most) = (least.min(view.alive()), most.max(view.alive()));
            failed = failed.max(view.failed());
        }
        self.groups = prints.len();
        self.alive = (least.min(most), most);
        let equal = prints.len() <= 1 && self.alive == (running, running);
        self.equal_since = if equal { self.equal_since.or(Some(now)) } else { None };
        self.node_seconds += now.since(self.last_look).as_secs_f64() * running as f64;
        self.count_burst(now, sent);
        if now < self.next_sample {
            return None;
        }
        self.next_sample = now + self.sample;
        let sample = self.sample(now, running, failed, sent, world, ledger);
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(sample.clone());
        }
        Some(sample)
    }

    fn count_burst(&mut self, now: Time, sent: u64) {
        if now.since(self.last_look) == self.every {
            let burst = sent - self.datagrams;
            self.burst = self.burst.max(burst);
            self.bursts += burst;
            self.looks += 1;
        }
        (self.last_look, self.datagrams) = (now, sent);
    }

    fn sample(
        &mut self,
        now: Time,
        running: usize,
        failed: usize,
        sent: u64,
        world: &World,
        ledger: &Ledger,
    ) -> Sample {
        let spent = spent(world);
        let (datagrams_before, before) = std::mem::replace(&mut self.at_last_sample, (sent, spent));
        let bytes = std::array::from_fn::<u64, { Spent::CAUSES.len() }, _>(|i| {
            spent.bytes[i] - before.bytes[i]
        });
        let (updates_open, informed) = ledger.informed();
        Sample {
            at: seconds(now),
            running,
            alive: self.alive,
            failed,
            groups: self.groups,
            updates_open,
            informed,
            datagrams: sent - datagrams_before,
            bytes: Spent::CAUSES.into_iter().zip(bytes).collect(),
        }
    }

    /// Since when all were equal without a break; `None`: they are not.
    pub(super) fn equal_since(&self) -> Option<Time> {
        self.equal_since
    }

    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    pub(super) fn alive(&self) -> (usize, usize) {
        self.alive
    }

    pub(super) fn take_samples(&mut self) -> Vec<Sample> {
        std::mem::take(&mut self.samples)
    }

    /// The whole run's.
    pub(super) fn traffic(&self, world: &World) -> Traffic {
        let spent = spent(world);
        let (mut datagrams, mut bytes) = (0, 0);
        for host in 0..world.len() {
            let traffic = world.traffic(host);
            datagrams += traffic.datagrams_sent;
            bytes += traffic.bytes_sent + traffic.stream_bytes_sent;
        }
        let per = |n: u64| if self.node_seconds > 0.0 { n as f64 / self.node_seconds } else { 0.0 };
        let by_cause: BTreeMap<&'static str, f64> =
            Spent::CAUSES.into_iter().zip(spent.bytes.map(per)).collect();
        let inbound: Vec<f64> = (0..world.len())
            .filter(|&h| self.always.get(h) == Some(&true))
            .map(|h| world.traffic(h).datagrams_received as f64)
            .collect();
        let mean = crate::statistics::mean(&inbound);
        let most = inbound.into_iter().fold(0.0, f64::max);
        let burst = self.bursts as f64 / self.looks.max(1) as f64;
        Traffic {
            datagrams,
            bytes,
            datagrams_per_node_second: per(datagrams),
            bytes_per_node_second: per(bytes),
            by_cause,
            accounted: if bytes == 0 { 1.0 } else { spent.total() as f64 / bytes as f64 },
            rumours_sent: spent.rumours_sent,
            duplicates: spent.duplicates,
            duplicate_bytes: spent.bytes_duplicate,
            inbound_max_over_mean: (mean > 0.0).then(|| most / mean),
            burst_max_over_mean: (burst > 0.0).then(|| self.burst as f64 / burst),
            forged: 0,
        }
    }
}

fn spent(world: &World) -> Spent {
    let mut all = Spent::default();
    (0..world.len()).for_each(|host| all += world.spent(host));
    all
}
