//! Rule 2: no acknowledged write is lost unless every replica that held it is destroyed. Who
//! holds a write is followed by its events; a crash takes away what was not on disk.

use std::collections::BTreeMap;

use tidings_proto::base::clocks::Dot;
use tidings_proto::io::Event;
use tidings_proto::node::EntryView;
use tidings_proto::state::store::Store;

use crate::observe::Observed;
use crate::world::World;

/// Writes, with the hosts that hold them.
#[derive(Debug, Default)]
pub(super) struct Holders {
    held: BTreeMap<Dot, BTreeMap<usize, Copy>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copy {
    /// The user was told that it is on disk.
    Promised,
    /// In memory, and on disk if the disk says so.
    Kept,
}

impl Holders {
    pub(super) fn acknowledged(
        &mut self,
        host: usize,
        durable: bool,
        dots: &[Dot],
        seen: &Observed,
    ) {
        let copy = if durable { Copy::Promised } else { Copy::Kept };
        for dot in dots.iter().filter(|dot| seen.written.contains_key(dot)) {
            self.held.entry(*dot).or_default().insert(host, copy);
        }
    }

    pub(super) fn event(&mut self, host: usize, event: &Event) {
        if let Event::Key { dot, .. } = event {
            self.held.entry(*dot).or_default().entry(host).or_insert(Copy::Kept);
        }
    }

    /// `disk`: what it gives back, where there is one.
    pub(super) fn crashed(&mut self, host: usize, disk: Option<&Store>) {
        for (dot, holders) in &mut self.held {
            let on_disk = |copy: &Copy| {
                disk.is_some_and(|d| *copy == Copy::Promised || d.vector().covers(*dot))
            };
            if !holders.get(&host).is_some_and(on_disk) {
                holders.remove(&host);
            }
        }
    }

    pub(super) fn destroyed(&mut self, host: usize) {
        for holders in self.held.values_mut() {
            holders.remove(&host);
        }
    }

    pub(super) fn hold(&self, world: &World) -> Result<(), String> {
        for (dot, written) in &world.seen().written {
            let told = world.seen().discarded.contains(dot);
            if told || self.held.get(dot).is_none_or(BTreeMap::is_empty) {
                continue;
            }
            let cluster = world.cluster(written.host);
            for host in world.up().filter(|&h| world.cluster(h) == cluster) {
                let entry = world.view(host).entry(&written.keyspace, &written.key);
                let clock = (written.stamp, dot.origin);
                let beats = |e: &EntryView| (e.stamp, e.dot.origin) >= clock;
                let holds = match &entry {
                    Some(e) if e.value.is_some() || beats(e) => beats(e),
                    // A delete may be forgotten, and an older one have come late.
                    _ => {
                        let place = (written.keyspace.as_str(), written.key.as_slice());
                        written.value.is_none() || world.seen().deleted_after(place, clock)
                    }
                };
                if !holds {
                    return Err(format!(
                        "rule 2: acknowledged {dot:?} of key {} is not at {}",
                        String::from_utf8_lossy(&written.key),
                        world.name(host)
                    ));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::setup::joined;
    use crate::world::WorldConfig;
    use std::time::Duration;
    use tidings_proto::Config;

    /// Mutation: the only disk that holds a promised write is emptied behind the node's back.
    #[test]
    fn a_promised_write_that_a_disk_loses_is_found() {
        let config = Config { durable: true, ..Config::local() };
        let mut world = joined(1, WorldConfig::default(), 3, &config);
        world.split_off([0]);
        world.set(0, "k", "v");
        world.run_for(Duration::from_millis(100));
        assert_eq!(world.acknowledged_writes_hold().unwrap_err().split(':').next(), Some("rule 2"));
        let empty = world.disk_mut(1).snapshot();
        world.crash(0);
        world.disk_mut(0).roll_back(empty);
        world.net.heal();
        world.restart(0);
        world.run_for(Duration::from_secs(20));
        let found = world.acknowledged_writes_hold().unwrap_err();
        assert!(found.starts_with("rule 2: acknowledged"), "{found}");
    }

    /// The same without a promise: nobody was told that it would stay.
    #[test]
    fn a_write_that_nobody_holds_any_more_is_not_asked_for() {
        let mut world = joined(1, WorldConfig::default(), 3, &Config::local());
        world.split_off([0]);
        world.set(0, "k", "v");
        world.crash(0);
        assert_eq!(world.acknowledged_writes_hold(), Ok(()));
    }
}
