//! Rule 10: a message sealed for one cluster is never accepted by another, and what nobody sealed
//! reaches nobody. Every identity that a node speaks of was born in its own cluster; a packet that
//! is not its cluster's changes nothing but counters.

use std::collections::BTreeMap;

use tidings_proto::NodeId;
use tidings_proto::base::clocks::Dot;
use tidings_proto::io::Event;

use crate::world::World;

/// The cluster of every identity that ever started.
#[derive(Debug, Default)]
pub(super) struct Births {
    clusters: BTreeMap<NodeId, String>,
}

impl Births {
    pub(super) fn born(&mut self, id: NodeId, cluster: &str) {
        self.clusters.insert(id, cluster.to_owned());
    }

    pub(super) fn count(&self) -> usize {
        self.clusters.len()
    }

    pub(super) fn event(&self, event: &Event, cluster: &str) -> Option<String> {
        let (what, id) = match event {
            Event::Member { member, .. } => ("member", member.id),
            Event::User(event) => ("event", event.origin),
            Event::Key { dot: Dot { origin, .. }, .. } => ("write", *origin),
            Event::Conflict(lost) => ("conflict", lost.discarded.0.origin),
            Event::Cut(_) | Event::Owning(_) | Event::Flag { .. } | Event::Alarm(_) => {
                return None;
            }
        };
        match self.clusters.get(&id) {
            Some(its) if its == cluster => None,
            Some(its) => Some(format!("rule 10: a {what} of {id:?}, which is of cluster {its}")),
            None => Some(format!("rule 10: a {what} of {id:?}, which never started")),
        }
    }
}

/// Hands a host something that it must not accept, and compares what a reader of it can see.
pub fn changes_nothing(
    world: &mut World,
    host: usize,
    hand_over: impl FnOnce(&mut World),
) -> Result<(), String> {
    // What is due now happens first, so that only the packet can make a difference.
    world.tick(host);
    let before = Look::of(world, host);
    hand_over(world);
    let after = Look::of(world, host);
    if before == after {
        return Ok(());
    }
    Err(format!("rule 10: a packet that was not for {} changed it", world.name(host)))
}

#[derive(PartialEq)]
struct Look {
    id: NodeId,
    prints: (u128, u128),
    counts: (usize, usize, usize),
    vector: Vec<(NodeId, u64)>,
    indexes: (u64, u64),
    rumours: usize,
    health: u32,
    sent: (u64, u64),
}

impl Look {
    fn of(world: &World, host: usize) -> Look {
        let (view, stats) = (world.view(host), world.node(host).stats());
        Look {
            id: world.id(host),
            prints: view.fingerprints(),
            counts: view.counts(),
            vector: view.vector(),
            indexes: (view.member_index(), view.apply_index()),
            rumours: view.rumours_waiting(),
            health: view.local_health(),
            sent: (stats.datagrams_sent, stats.requests_sent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::told::{key, member, user};
    use crate::setup::joined;
    use crate::world::WorldConfig;
    use tidings_proto::Config;
    use tidings_proto::io::MemberChange;

    /// Mutation: news of another cluster's node, and of one that never was.
    #[test]
    fn news_from_elsewhere_is_found() {
        let mut births = Births::default();
        births.born(NodeId::from_u128(1), "ours");
        births.born(NodeId::from_u128(2), "theirs");
        let join = |id| member(MemberChange::Join, id, 1);
        assert_eq!(births.event(&join(1), "ours"), None);
        assert!(births.event(&join(2), "ours").is_some_and(|f| f.contains("cluster theirs")));
        assert!(births.event(&user(3, 1), "ours").is_some_and(|f| f.contains("never started")));
        let write = key("k", None, 2, 1, 1);
        assert!(births.event(&write, "ours").is_some_and(|f| f.starts_with("rule 10: a write")));
        assert_eq!(births.event(&write, "theirs"), None);
    }

    /// Mutation: the "foreign" packet is one of the cluster itself.
    #[test]
    fn a_packet_that_changes_something_is_found() {
        let config = WorldConfig { packets_kept: 50, ..WorldConfig::default() };
        let mut world = joined(1, config, 3, &Config::local());
        world.split_off([2]);
        world.set(0, "k", "v");
        world.run_for(std::time::Duration::from_millis(100));
        let news = world.sent_last().find(|p| p.host == 0 && p.bytes.len() > 100);
        let news = news.expect("n0 told of it").bytes.clone();
        let found = changes_nothing(&mut world, 2, |w| w.inject(2, 0, &news)).unwrap_err();
        assert!(found.starts_with("rule 10"), "{found}");
        assert_eq!(changes_nothing(&mut world, 2, |w| w.inject(2, 0, &news[1..])), Ok(()));
    }
}
