//! Rule 1 (and the end of rule 6): in a quiet, healed world all running nodes hold equal states.

use std::collections::BTreeMap;

use tidings_proto::io::Status;
use tidings_proto::{NodeId, View};

use crate::world::World;

/// Compares fingerprints first, then members, entries and vectors in full.
pub fn equal_states(world: &World) -> Result<(), String> {
    let mut up = world.up();
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
