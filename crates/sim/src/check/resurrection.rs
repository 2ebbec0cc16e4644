//! Rule 3: a deleted key never comes back, and a departed member never comes back without a new
//! announcement of its own. Seen from each process: a key's clock never goes back, and after
//! `leave` or `reap` an identity joins again only with a higher incarnation.

use std::collections::BTreeMap;

use tidings_proto::NodeId;
use tidings_proto::base::clocks::Hlc;
use tidings_proto::io::{Event, MemberChange};

#[derive(Debug, Default)]
pub(super) struct Resurrection {
    /// The newest clock of each key, by observer and its life.
    keys: BTreeMap<(usize, u64, Box<str>, Box<[u8]>), (Hlc, NodeId)>,
    departed: BTreeMap<(usize, u64, NodeId), u64>,
}

impl Resurrection {
    pub(super) fn event(&mut self, host: usize, life: u64, event: &Event) -> Option<String> {
        match event {
            Event::Key { keyspace, key, value, dot, stamp, .. } => {
                let place = (host, life, Box::from(&**keyspace), Box::from(&**key));
                let clock = (*stamp, dot.origin);
                let last = self.keys.entry(place).or_insert(clock);
                let back = clock < *last;
                *last = clock;
                let what = if value.is_some() { "a value" } else { "a delete" };
                back.then(|| {
                    let key = String::from_utf8_lossy(key);
                    format!("rule 3: key {key} went back to {what} of {stamp:?}")
                })
            }
            Event::Member { change: MemberChange::Leave | MemberChange::Reap, member } => {
                let departed = self.departed.entry((host, life, member.id)).or_default();
                *departed = (*departed).max(member.incarnation);
                None
            }
            Event::Member { change: MemberChange::Join, member } => {
                let departed = self.departed.get(&(host, life, member.id))?;
                (member.incarnation <= *departed).then(|| {
                    let (name, inc) = (&member.name, member.incarnation);
                    format!("rule 3: {name} joined again at incarnation {inc} after it departed")
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::told::{key, member};

    /// Mutation: events as a broken node would give them.
    #[test]
    fn a_key_and_a_member_that_come_back_are_found() {
        let mut rule = Resurrection::default();
        assert_eq!(rule.event(0, 1, &key("k", None, 1, 1, 9)), None);
        assert_eq!(rule.event(1, 1, &key("k", Some("old"), 1, 1, 5)), None, "another observer");
        let found = rule.event(0, 1, &key("k", Some("old"), 2, 1, 5));
        assert!(found.expect("it went back").starts_with("rule 3: key k went back to a value"));

        assert_eq!(rule.event(0, 1, &member(MemberChange::Join, 7, 3)), None);
        assert_eq!(rule.event(0, 1, &member(MemberChange::Leave, 7, 3)), None);
        assert_eq!(rule.event(0, 1, &member(MemberChange::Join, 7, 4)), None, "announced anew");
        assert_eq!(rule.event(0, 1, &member(MemberChange::Reap, 7, 4)), None);
        let found = rule.event(0, 1, &member(MemberChange::Join, 7, 4));
        assert!(found.expect("it came back").starts_with("rule 3: m7 joined again"));
    }
}
