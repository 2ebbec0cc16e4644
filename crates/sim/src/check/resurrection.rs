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
            Event::Key { keyspace, key, value, dot, stamp } => {
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
