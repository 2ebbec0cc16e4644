//! Rule 4: version vectors never claim what was not applied. Whatever acknowledged write a
//! node's vector covers, its key holds that write or one that beats it.

use std::collections::BTreeMap;

use tidings_proto::NodeId;
use tidings_proto::node::EntryView;

use crate::world::World;

/// Checks every running node against the ground truth of all acknowledged writes.
pub fn vectors_hold(world: &World) -> Result<(), String> {
    for host in world.up() {
        let view = world.view(host);
        let vector: BTreeMap<NodeId, u64> = view.vector().into_iter().collect();
        for (dot, written) in &world.seen().written {
            let told = world.seen().discarded.contains(dot);
            if told || vector.get(&dot.origin).is_none_or(|&upto| upto < dot.seq) {
                continue;
            }
            let place = (written.keyspace.as_str(), written.key.as_slice());
            let clock = (written.stamp, dot.origin);
            let entry = view.entry(place.0, place.1);
            let held = |e: &EntryView| e.value.is_some() || (e.stamp, e.dot.origin) >= clock;
            match entry.filter(held) {
                Some(entry) if (entry.stamp, entry.dot.origin) >= clock => {}
                // A delete may be forgotten, and an older one have come late.
                None if written.value.is_none() => {}
                None if world.seen().deleted_after(place, clock) => {}
                found => {
                    return Err(format!(
                        "rule 4: {} covers {dot:?} of key {} but holds {:?}",
                        world.name(host),
                        String::from_utf8_lossy(&written.key),
                        found.map(|e| (e.stamp, e.dot))
                    ));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::joined;
    use crate::world::WorldConfig;
    use std::time::Duration;
    use tidings_proto::Config;

    /// Mutation: the ground truth says that a covered dot was another, newer write.
    #[test]
    fn a_vector_that_covers_what_is_not_there_is_found() {
        let mut world = joined(1, WorldConfig::default(), 3, &Config::local());
        world.set(0, "k", "v");
        world.run_for(Duration::from_secs(2));
        assert_eq!(vectors_hold(&world), Ok(()));
        let (&dot, written) = world.seen.written.iter().next().expect("one write");
        let mut other = written.clone();
        other.key = b"never applied".to_vec();
        world.seen.written.insert(dot, other);
        let found = vectors_hold(&world).unwrap_err();
        assert!(found.starts_with("rule 4: n0 covers"), "{found}");
    }
}
