//! Decides how chitchat's state machine is driven: every message is serialised and read again, as on
//! its wire; nothing else runs.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use chitchat::{Chitchat, ChitchatConfig, ChitchatEnvelope, ChitchatId, ProtocolVersion};
use tokio::sync::watch;

/// What travelled in one SYN, SYN-ACK, ACK.
pub fn exchange(a: &mut Chitchat, b: &mut Chitchat, version: ProtocolVersion) -> usize {
    let (syn, mut bytes) = carry(a.create_syn_message(), version);
    let syn_ack = b.process_message(syn).expect("a SYN is answered");
    let (syn_ack, more) = carry(syn_ack, version);
    bytes += more;
    let ack = a.process_message(syn_ack).expect("a SYN-ACK is answered");
    let (ack, more) = carry(ack, version);
    b.process_message(ack);
    bytes + more
}

fn carry(
    message: chitchat::ChitchatMessage,
    version: ProtocolVersion,
) -> (chitchat::ChitchatMessage, usize) {
    let bytes = ChitchatEnvelope { version, message }.serialize_to_vec();
    let read = ChitchatEnvelope::deserialize(&mut &bytes[..]).expect("what was serialised");
    (read.message, bytes.len())
}

pub fn node(i: usize, keys: Vec<(String, String)>, version: ProtocolVersion) -> Chitchat {
    let addr = SocketAddr::from(([10, 0, (i / 250) as u8, (i % 250) as u8], 7280));
    let config = ChitchatConfig {
        chitchat_id: ChitchatId::new(format!("node-{i:05}"), 1_700_000_000 + i as u64, addr),
        cluster_id: "bench".to_owned(),
        gossip_interval: Duration::from_secs(1),
        listen_addr: addr,
        seed_nodes: Vec::new(),
        failure_detector_config: Default::default(),
        marked_for_deletion_grace_period: Duration::from_secs(900),
        catchup_callback: None,
        extra_liveness_predicate: None,
        protocol_version: version,
    };
    Chitchat::with_chitchat_id_and_seeds(config, watch::channel(HashSet::new()).1, keys)
}

/// Two nodes that know all of a cluster of `n` and its keys.
pub fn pair(
    n: usize,
    keys: impl Fn(usize) -> Vec<(String, String)>,
    version: ProtocolVersion,
) -> (Chitchat, Chitchat) {
    let (mut a, mut b) = (node(0, keys(0), version), node(1, keys(1), version));
    for i in 2..n {
        exchange(&mut node(i, keys(i), version), &mut a, version);
    }
    for _ in 0..1000 {
        exchange(&mut a, &mut b, version);
        if held(&a, n) == held(&b, n) && held(&b, n) == (n, n * keys(0).len()) {
            return (a, b);
        }
    }
    panic!("chitchat: {:?} and {:?} of {n} nodes", held(&a, n), held(&b, n));
}

/// Members whose keys are known, and the keys: without deletes a version is a count.
pub fn held(node: &Chitchat, most: usize) -> (usize, usize) {
    let states = node.node_states();
    let keys = states.values().map(|state| state.max_version() as usize).sum();
    (states.len().min(most), keys)
}
