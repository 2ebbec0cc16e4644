//! Rule 7: sequence numbers and incarnations never go back. A dot names one write for ever; an
//! observer never sees a lower incarnation after a higher one; a restarted process never starts
//! below what others have seen of it.

use std::collections::BTreeMap;

use tidings_proto::base::clocks::{Dot, Hlc};
use tidings_proto::io::{Event, MemberChange};
use tidings_proto::{NodeId, View};

use crate::observe::SharedValue;

#[derive(Debug, Default)]
pub(super) struct Sequence {
    /// Highest incarnation above 1 that each process saw of each identity.
    seen: BTreeMap<(usize, u64, NodeId), u64>,
    /// Highest incarnation that anybody saw.
    highest: BTreeMap<NodeId, u64>,
    writes: BTreeMap<Dot, (Box<[u8]>, Hlc, SharedValue)>,
    /// Next sequence of user events of each origin, by observer.
    events: BTreeMap<(usize, u64, NodeId), u64>,
}

impl Sequence {
    pub(super) fn event(&mut self, host: usize, life: u64, event: &Event) -> Option<String> {
        match event {
            // A verdict or an end may name the incarnation that its author knew last.
            Event::Member {
                change: MemberChange::Failed | MemberChange::Leave | MemberChange::Reap,
                ..
            } => None,
            Event::Member { member, .. } => {
                if member.incarnation <= 1 && !self.highest.contains_key(&member.id) {
                    return None;
                }
                let highest = self.highest.entry(member.id).or_default();
                *highest = (*highest).max(member.incarnation);
                let last = self.seen.entry((host, life, member.id)).or_default();
                if member.incarnation < *last {
                    let (name, inc) = (&member.name, member.incarnation);
                    return Some(format!("rule 7: {name} went from incarnation {last} to {inc}"));
                }
                *last = member.incarnation;
                None
            }
            // A value that merges grows under the dot of its latest write.
            Event::Key { kind: Some(_), .. } => None,
            Event::Key { key, value, dot, stamp, .. } => {
                let known = self
                    .writes
                    .entry(*dot)
                    .or_insert_with(|| (Box::from(&**key), *stamp, value.clone()));
                // A value whose time is over is shown as nothing, under the same dot.
                let ended = known.2.is_none() || value.is_none();
                let same = *known.0 == **key && known.1 == *stamp && (ended || known.2 == *value);
                (!same).then(|| format!("rule 7: dot {dot:?} names two writes"))
            }
            Event::User(event) => {
                let last = self.events.entry((host, life, event.origin)).or_default();
                let back = event.seq <= *last;
                *last = event.seq;
                back.then(|| {
                    format!("rule 7: event #{} of {} came twice or late", event.seq, event.from)
                })
            }
            Event::Cut(_) | Event::Owning(_) => None,
            Event::Conflict(_) | Event::Flag { .. } | Event::Alarm(_) => None,
        }
    }

    pub(super) fn started(&mut self, view: &View<'_>) -> Option<String> {
        let me = view.me();
        let highest = self.highest.get(&me.id).copied().unwrap_or(1);
        (me.incarnation < highest).then(|| {
            let (name, inc) = (&me.name, me.incarnation);
            format!("rule 7: {name} started at incarnation {inc}, others have seen {highest}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::told::{key, member, user};
    use crate::setup::joined;
    use crate::world::WorldConfig;
    use tidings_proto::Config;

    /// Mutation: events as a broken node would give them.
    #[test]
    fn numbers_that_go_back_are_found() {
        let mut rule = Sequence::default();
        assert_eq!(rule.event(0, 1, &member(MemberChange::Join, 7, 3)), None);
        assert_eq!(rule.event(0, 1, &member(MemberChange::Failed, 7, 2)), None, "known last");
        let found = rule.event(0, 1, &member(MemberChange::Update, 7, 2)).expect("it went back");
        assert_eq!(found, "rule 7: m7 went from incarnation 3 to 2");

        assert_eq!(rule.event(0, 1, &key("k", Some("v"), 1, 5, 9)), None);
        assert_eq!(rule.event(1, 1, &key("k", Some("v"), 1, 5, 9)), None, "the same write");
        let found = rule.event(1, 1, &key("k", Some("w"), 1, 5, 9)).expect("another write");
        assert!(found.starts_with("rule 7: dot"), "{found}");

        assert_eq!(rule.event(0, 1, &user(7, 1)), None);
        assert_eq!(rule.event(0, 1, &user(7, 3)), None);
        assert!(rule.event(0, 1, &user(7, 3)).expect("twice").starts_with("rule 7: event #3"));
    }

    /// Mutation: others saw more of a node than it starts with.
    #[test]
    fn a_process_that_starts_too_low_is_found() {
        let world = joined(1, WorldConfig::default(), 2, &Config::local());
        let mut rule = Sequence::default();
        assert_eq!(rule.started(&world.view(0)), None);
        rule.highest.insert(world.id(0), 99);
        let found = rule.started(&world.view(0)).expect("it starts below");
        assert!(found.starts_with("rule 7: n0 started at incarnation"), "{found}");
    }
}
