//! Rule 2: no acknowledged write is lost unless every replica that held it is destroyed. Who
//! holds a write is followed by its events; a crash without a disk, or right after the write
//! arrived, takes a holder away.

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_proto::Time;
use tidings_proto::base::clocks::Dot;
use tidings_proto::io::Event;

use crate::observe::Observed;
use crate::world::World;

/// Writes, with the hosts that hold them and since when.
#[derive(Debug, Default)]
pub(super) struct Holders {
    held: BTreeMap<Dot, BTreeMap<usize, Time>>,
}

/// A copy that arrived this long before a crash may not have been durable.
const DURABLE_AFTER: Duration = Duration::from_secs(1);

impl Holders {
    pub(super) fn acknowledged(
        &mut self,
        host: usize,
        durable: bool,
        dots: &[Dot],
        seen: &Observed,
    ) {
        for dot in dots {
            let Some(written) = seen.written.get(dot) else { continue };
            let since = if durable { Time::ZERO } else { written.at };
            self.held.entry(*dot).or_default().insert(host, since);
        }
    }

    pub(super) fn event(&mut self, host: usize, at: Time, event: &Event) {
        if let Event::Key { dot, .. } = event {
            self.held.entry(*dot).or_default().entry(host).or_insert(at);
        }
    }

    pub(super) fn crashed(&mut self, host: usize, at: Time, durable: bool) {
        for holders in self.held.values_mut() {
            let kept = durable && holders.get(&host).is_some_and(|t| at.since(*t) > DURABLE_AFTER);
            if !kept {
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
            if self.held.get(dot).is_none_or(BTreeMap::is_empty) {
                continue;
            }
            for host in world.up() {
                let entry = world.view(host).entry(&written.keyspace, &written.key);
                let holds = match &entry {
                    Some(e) => (e.stamp, e.dot.origin) >= (written.stamp, dot.origin),
                    None => written.value.is_none(),
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
