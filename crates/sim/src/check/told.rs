//! Decides what events look like that a broken node would give: material for tests of the checks.

use std::net::SocketAddr;
use std::sync::Arc;

use tidings_proto::NodeId;
use tidings_proto::base::clocks::{Dot, Hlc};
use tidings_proto::io::{Event, Member, MemberChange, Status, UserEvent};

pub(super) fn key(key: &str, value: Option<&str>, origin: u128, seq: u64, stamp: u64) -> Event {
    Event::Key {
        kind: None,
        keyspace: "kv".into(),
        key: Arc::from(key.as_bytes()),
        value: value.map(|v| Arc::from(v.as_bytes())),
        dot: Dot { origin: NodeId::from_u128(origin), seq },
        stamp: Hlc(stamp),
    }
}

pub(super) fn member(change: MemberChange, id: u128, incarnation: u64) -> Event {
    let member = Member {
        id: NodeId::from_u128(id),
        name: format!("m{id}"),
        addr: SocketAddr::from(([10, 0, 0, 1], 7946)),
        tags: Default::default(),
        status: Status::Alive,
        incarnation,
        confirmed: true,
        suppressed: false,
    };
    Event::Member { change, member: Arc::new(member) }
}

pub(super) fn user(origin: u128, seq: u64) -> Event {
    Event::User(Arc::new(UserEvent {
        origin: NodeId::from_u128(origin),
        from: format!("m{origin}"),
        seq,
        name: "e".to_owned(),
        payload: Vec::new(),
        stamp: Hlc(1),
    }))
}
