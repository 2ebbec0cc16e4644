//! Decides which settings run now: as the user gave them, live, and with the pace of gossip laid over them
//! where it follows an aim.

use std::time::Duration;

use super::detector::Pulse;
use super::members::check_tags;
use super::{Node, housekeeping_interval};
use crate::base::rng::Rng;
use crate::base::time::{Now, Time};
use crate::config::{Config, ConfigError, Detector, Takes};
use crate::dissemination::queue::Topic;
use crate::flow::budget::{Budget, Class};
use crate::flow::pace::{Counted, Governor, Load, Outlook, Pace};
use crate::io::{CommandError, Reply};

pub(super) struct Adapting {
    /// As the user wants it; [`Node::config`] is as it runs.
    pub(super) asked: Box<Config>,
    pub(super) budget: Budget,
    governor: Governor,
    stepped: Time,
    /// As of the last step.
    changes: u64,
    seen: Counted,
    rng: Rng,
}

/// How gossip is paced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paced {
    pub pace: Pace,
    pub load: Load,
    pub outlook: Outlook,
}

impl Adapting {
    pub(super) fn new(config: &Config, seed: &[u8; 32], now: Time) -> Adapting {
        let mut rng = Rng::fork(seed, "pace");
        let next = first_step(config, &mut rng, now);
        Adapting {
            asked: Box::new(config.clone()),
            budget: Budget::new(config.bytes_per_second, now),
            governor: Governor::new(config, next),
            stepped: now,
            changes: 0,
            seen: Counted::default(),
            rng,
        }
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.governor.next
    }

    /// Something new is to be told.
    pub(super) fn note_change(&mut self) {
        self.changes += 1;
    }

    /// Rumours of so many bytes went into a packet to so many peers.
    pub(super) fn note_copies(&mut self, rumours: usize, peers: usize, bytes: usize) {
        self.seen.copies += (rumours * peers) as u64;
        self.seen.copy_bytes += (bytes * peers) as u64;
    }

    pub(super) fn paced(&self) -> Option<Paced> {
        let adapts = self.asked.adapts();
        let governor = &self.governor;
        adapts.then(|| Paced {
            pace: governor.pace(),
            load: *governor.load(),
            outlook: governor.outlook(),
        })
    }
}

/// A setting that only a restart changes.
fn fixed_value(config: &Config, setting: &str) -> String {
    match setting {
        "cluster" => format!("{:?}", config.cluster),
        _ => config.durable.to_string(),
    }
}

/// Nodes that started together look at different times.
fn first_step(config: &Config, rng: &mut Rng, now: Time) -> Time {
    if config.adapts() { now + Governor::STEP.mul_f64(rng.unit()) } else { Time::NEVER }
}

impl Node {
    pub(super) fn run_pace(&mut self, now: Now) {
        if self.adapting.governor.next > now.mono {
            return;
        }
        let other = self.stats.bytes_sent() - self.stats.bytes_rumours;
        let adapting = &mut self.adapting;
        let counted = Counted {
            changes: std::mem::take(&mut adapting.changes),
            copies: std::mem::take(&mut adapting.seen.copies),
            copy_bytes: std::mem::take(&mut adapting.seen.copy_bytes),
            other_bytes: other - std::mem::replace(&mut adapting.seen.other_bytes, other),
            waits: std::mem::take(&mut adapting.seen.waits),
        };
        let span = now.mono.since(adapting.stepped);
        adapting.stepped = now.mono;
        let nodes = self.table.live().len() + 1;
        let before = adapting.governor.changed();
        let rtt = self.receipts.usual_rtt;
        adapting.governor.step(&adapting.asked, nodes, rtt, counted, span);
        adapting.governor.next = now.mono + Governor::STEP;
        self.stats.pace_changes += adapting.governor.changed() - before;
        self.lay_pace();
    }

    /// The pace takes the place of the settings that it stands for.
    fn lay_pace(&mut self) {
        let Pace { interval, fanout, sends } = self.adapting.governor.pace();
        let config = &mut self.config;
        (config.tick, config.batch) = (interval, interval);
        (config.fanout, config.eager_fanout) = (fanout as usize, fanout as usize);
        // Half a send less, as the limit is rounded up.
        let log2 = libm::log2(self.table.size() as f64 + 1.0);
        config.transmit_factor = (f64::from(sends) - 0.5) / log2;
    }

    /// Takes over settings at once, or says which cannot be and changes nothing.
    pub(super) fn configure(&mut self, newer: Config, now: Time) -> Result<Reply, CommandError> {
        newer.check().map_err(CommandError::Setting)?;
        let differing = self.adapting.asked.differing(&newer);
        let fixed = differing.iter().find(|(_, takes)| *takes == Takes::Restart);
        if let Some(&(setting, _)) = fixed {
            return Err(CommandError::Setting(ConfigError {
                setting,
                value: fixed_value(&newer, setting),
                expected: format!("{} until a restart", fixed_value(&self.config, setting)),
            }));
        }
        if let Some(zone) = self.me().zone() {
            check_tags(&[("zone".to_owned(), zone.to_owned())], &newer.zones)?;
        }
        if differing.is_empty() {
            return Ok(Reply::Done);
        }
        self.stats.reconfigured += 1;
        self.config = newer.clone();
        let older = std::mem::replace(&mut self.adapting.asked, Box::new(newer));
        self.hand_settings_to_parts(&older, now);
        self.bring_timers_forward(&older, now);
        self.restart_pace(&older, now);
        Ok(Reply::Done)
    }

    /// Parts that keep a copy of what they go by.
    fn hand_settings_to_parts(&mut self, older: &Config, now: Time) {
        let config = &self.config;
        self.health.set_max(config.local_health_max);
        self.events.set_window(config.event_window, config.events_per_origin);
        self.clock.set_bound(config.clock_bound);
        self.pulse.beats.reconfigure(config);
        if config.detector != older.detector {
            self.pulse.beats.listen_from(now);
            if config.detector != Detector::Swim {
                self.pulse.beats.begin(self.id.short(), self.incarnation);
            }
        }
    }

    /// What was planned by a longer interval comes by the newer one, each node at a time of its own: all
    /// may have been given the settings at once (row O7).
    fn bring_timers_forward(&mut self, older: &Config, now: Time) {
        let config = &self.config;
        let rng = &mut self.adapting.rng;
        let mut earlier = |next: &mut Time, interval| {
            if *next != Time::NEVER {
                *next = (*next).min(now + Duration::mul_f64(interval, rng.unit()));
            }
        };
        if config.probe_period < older.probe_period {
            earlier(&mut self.next_probe, config.probe_period);
            earlier(&mut self.next_contact, config.probe_period);
        }
        if config.pull_interval < older.pull_interval {
            earlier(&mut self.pulling.next, config.pull_interval);
        }
        if config.aggregate_interval < older.aggregate_interval {
            earlier(&mut self.aggregates.next, config.aggregate_interval);
        }
        earlier(&mut self.housekeeping, housekeeping_interval(config));
        self.pulse.next = Pulse::first(config, now, rng);
        self.seed_turn.countdown = self.seed_turn.countdown.min(config.seed_every);
        self.forgetting.settings_changed();
        self.rounds.settings_changed(now, config.tick);
    }

    fn restart_pace(&mut self, older: &Config, now: Time) {
        let other_bytes = self.stats.bytes_sent() - self.stats.bytes_rumours;
        let Adapting { asked, budget, governor, stepped, changes, seen, rng } = &mut self.adapting;
        if asked.bytes_per_second != older.bytes_per_second {
            budget.set(asked.bytes_per_second, now);
        }
        if asked.adapts() && older.adapts() {
            self.lay_pace(); // the next step takes the newer aim
        } else {
            *governor = Governor::new(asked, first_step(asked, rng, now));
            (*stepped, *changes) = (now, 0);
            *seen = Counted { other_bytes, ..Counted::default() };
        }
    }

    // The budget.

    /// The last class of rumours that may be told now.
    pub(super) fn last_topic(&self) -> Topic {
        match self.adapting.budget.last_allowed() {
            None => Topic::Accusation,
            Some(Class::Members | Class::Sessions) => Topic::Member,
            Some(Class::State) => Topic::State,
            Some(Class::Events) => Topic::Event,
        }
    }

    /// How long the budget takes for so many rumours to be told, ten seconds at most.
    pub(super) fn budget_time(&self, rumours: usize) -> Duration {
        let bytes = rumours as f64 * self.adapting.governor.load().change_bytes;
        self.adapting.budget.time_for(bytes).min(Duration::from_secs(10))
    }

    pub(super) fn budget_allows(&self, class: Class) -> bool {
        self.adapting.budget.allows(class)
    }

    /// When what waits may be told, where that is not now.
    pub(super) fn must_wait(&mut self) -> Option<Time> {
        let class = match self.queue.foremost()? {
            Topic::Accusation => return None,
            Topic::Member => Class::Members,
            Topic::State => Class::State,
            Topic::Event => Class::Events,
        };
        if self.budget_allows(class) {
            return None;
        }
        self.stats.budget_waits += 1;
        self.adapting.seen.waits += 1;
        Some(self.adapting.budget.wait(class))
    }

    pub(super) fn spend(&mut self, bytes: usize) {
        self.stats.bytes_over_budget += self.adapting.budget.spend(bytes as f64);
    }
}
