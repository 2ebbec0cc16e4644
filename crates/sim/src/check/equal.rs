//! Rule 1 (and the end of rule 6): in a quiet, healed world all running nodes hold equal states.

use std::collections::{BTreeMap, BTreeSet};

use tidings_proto::io::Status;
use tidings_proto::{NodeId, View};

use crate::world::World;

/// Compares the nodes of each cluster: fingerprints, members, entries and vectors.
pub fn equal_states(world: &World) -> Result<(), String> {
    let clusters: BTreeSet<&str> = world.members().map(|host| world.cluster(host)).collect();
    clusters.into_iter().try_for_each(|cluster| {
        equal_among(world, world.members().filter(|&host| world.cluster(host) == cluster))
    })
}

/// Whether all fingerprints agree within each cluster: cheap, and nearly always right.
pub(super) fn equal_fingerprints(world: &World) -> bool {
    let mut prints = BTreeMap::new();
    world.members().all(|host| {
        let mine = world.view(host).fingerprints();
        *prints.entry(world.cluster(host)).or_insert(mine) == mine
    })
}

fn equal_among(world: &World, mut up: impl Iterator<Item = usize>) -> Result<(), String> {
    let Some(first) = up.next() else { return Ok(()) };
    let (name, reference) = (world.name(first), State::of(&world.view(first)));
    let prints = world.view(first).fingerprints();
    for host in up {
        let state = State::of(&world.view(host));
        if let Some(difference) = reference.difference(&state) {
            return Err(format!("rule 1: {name} and {} differ: {difference}", world.name(host)));
        }
        if world.view(host).fingerprints() != prints {
            let which =
                if world.view(host).fingerprints().0 == prints.0 { "state" } else { "member" };
            return Err(format!(
                "rule 1: {name} and {} are equal with unequal {which} fingerprints",
                world.name(host)
            ));
        }
    }
    Ok(())
}

/// Everything that must be equal.
#[derive(PartialEq)]
struct State {
    members: BTreeMap<NodeId, (String, u64, bool)>,
    entries: BTreeMap<(String, Vec<u8>), Vec<u8>>,
    vector: BTreeMap<NodeId, u64>,
}

impl State {
    fn of(view: &View<'_>) -> State {
        let members = view.members().filter(|m| m.status < Status::Failed).map(|m| {
            let leaving = m.status == Status::Leaving;
            (m.id, (format!("{} {} {:?}", m.name, m.addr, m.tags), m.incarnation, leaving))
        });
        let mut entries = BTreeMap::new();
        for keyspace in view.keyspaces() {
            for entry in view.entries(&keyspace, b"") {
                if let Some(value) = entry.value {
                    entries.insert((keyspace.to_string(), entry.key.to_vec()), value.to_vec());
                }
            }
        }
        State { members: members.collect(), entries, vector: view.vector().into_iter().collect() }
    }

    fn difference(&self, other: &State) -> Option<String> {
        first_difference("member", &self.members, &other.members)
            .or_else(|| first_difference("entry", &self.entries, &other.entries))
            .or_else(|| first_difference("vector", &self.vector, &other.vector))
    }
}

fn first_difference<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    what: &str,
    a: &BTreeMap<K, V>,
    b: &BTreeMap<K, V>,
) -> Option<String> {
    let short = |text: String| text.chars().take(120).collect::<String>();
    for (key, value) in a {
        match b.get(key) {
            Some(other) if other == value => {}
            other => {
                let (value, other) = (short(format!("{value:?}")), short(format!("{other:?}")));
                return Some(format!("{what} {key:?}: {value} here, {other} there"));
            }
        }
    }
    let extra = b.keys().find(|k| !a.contains_key(k))?;
    Some(format!("{what} {extra:?} only there"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::joined;
    use crate::world::WorldConfig;
    use std::time::Duration;
    use tidings_proto::Config;

    /// Mutation: a write and a tag that the others never hear of.
    #[test]
    fn unequal_entries_vectors_and_members_are_found() {
        let mut world = joined(1, WorldConfig::default(), 3, &Config::local());
        assert_eq!(equal_states(&world), Ok(()));
        assert!(equal_fingerprints(&world));
        world.split_off([2]);
        world.set(2, "k", "v");
        let found = equal_states(&world).unwrap_err();
        assert!(found.starts_with("rule 1: n0 and n2 differ: entry"), "{found}");
        assert!(!equal_fingerprints(&world));
        world.delete(2, "k");
        let found = equal_states(&world).unwrap_err();
        assert!(found.starts_with("rule 1: n0 and n2 differ: vector"), "{found}");
        let set = vec![("zone".to_owned(), "a".to_owned())];
        world.command(1, tidings_proto::io::Command::SetTags { set, unset: Vec::new() });
        let found = equal_states(&world).unwrap_err();
        assert!(found.starts_with("rule 1: n0 and n1 differ: member"), "{found}");
        world.net.heal();
        world.run_for(Duration::from_secs(10));
        assert_eq!(equal_states(&world), Ok(()));
    }
}
