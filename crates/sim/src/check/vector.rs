//! Rule 4: version vectors never claim what was not applied. Whatever acknowledged write a
//! node's vector covers, its key holds that write or one that beats it.

use std::collections::BTreeMap;

use tidings_proto::NodeId;
use tidings_proto::base::clocks::Dot;

use crate::world::World;

/// Checks every running node against the ground truth of all acknowledged writes.
pub fn vectors_hold(world: &World) -> Result<(), String> {
    // Writes of one key beat each other: only the newest can be held against a node that covers
    // several, and a delete may be shown as nothing.
    for host in world.up() {
        let view = world.view(host);
        let vector: BTreeMap<NodeId, u64> = view.vector().into_iter().collect();
        for (dot, written) in &world.seen().written {
            if vector.get(&dot.origin).is_none_or(|&upto| upto < dot.seq) {
                continue;
            }
            match view.entry(&written.keyspace, &written.key) {
                Some(entry) if (entry.stamp, entry.dot.origin) >= (written.stamp, dot.origin) => {}
                None if deleted_later(world, dot) => {}
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

/// Whether some acknowledged delete beats this write (or is it).
fn deleted_later(world: &World, dot: &Dot) -> bool {
    let written = &world.seen().written[dot];
    world.seen().written.iter().any(|(other_dot, other)| {
        other.value.is_none()
            && other.key == written.key
            && other.keyspace == written.keyspace
            && (other.stamp, other_dot.origin) >= (written.stamp, dot.origin)
    })
}
