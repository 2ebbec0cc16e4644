//! Decides whether the steady state costs what was promised: nothing allocated per packet, and
//! packets of the promised size.
#![allow(unsafe_code)] // a counting allocator cannot be written without it

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tidings_proto::base::clocks::Hlc;
use tidings_proto::config::{Detector, PhiForm};
use tidings_proto::io::{Input, Outbox, Output};
use tidings_proto::membership::facts::{FactStore, Facts};
use tidings_proto::membership::known::Known;
use tidings_proto::{Config, Identity, Node, NodeId, Now, Snapshot, Time};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system allocator unchanged; only a counter is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NODES: usize = 200;
/// Heartbeats cost each node something for each other.
const BEATING: usize = 60;

fn id(i: usize) -> NodeId {
    // The first bytes tell members apart.
    NodeId::from_u128((i as u128 + 1) << 64 | (i as u128 + 1))
}

fn addr(i: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (i / 250) as u8, (i % 250) as u8 + 1], 7946))
}

fn cluster(n: usize, config: &Config) -> Vec<Node> {
    let store = FactStore::default();
    let now = Now { mono: Time::from_secs(1), wall_ms: 1 };
    let facts = (0..n).map(|i| {
        let (id, name) = (id(i), format!("n{i}"));
        let facts = Facts::new(id, &name, addr(i), 0, Hlc::new(1, 0), None, &BTreeMap::new());
        store.intern(facts.expect("facts fit"))
    });
    let known = Arc::new(Known::new(&config.cluster, facts));
    let start = |i: usize| {
        let identity = Identity {
            id: id(i),
            name: format!("n{i}"),
            addr: addr(i),
            tags: Vec::new(),
            boot: 0,
            replaces: None,
        };
        let snapshot = Snapshot { members: Some(Arc::clone(&known)), ..Snapshot::default() };
        Node::new(config.clone(), identity, [i as u8; 32], snapshot, store.clone(), now)
            .expect("fits")
    };
    (0..n).map(start).collect()
}

/// Runs the cluster at rest for `periods`; every datagram is delivered at once. Returns the number
/// of calls, the datagrams with their sizes, and the allocations made inside `Node::handle`.
fn rest(nodes: &mut [Node], out: &mut Outbox, from: u64, periods: u64) -> (u64, Vec<usize>, u64) {
    let (mut calls, mut sizes, mut allocations) = (0, Vec::new(), 0);
    let mut post: Vec<(usize, SocketAddr, Vec<u8>)> = Vec::new();
    for tick in from * 100..(from + periods) * 100 {
        let now = Now { mono: Time::from_millis(1000 + tick * 10), wall_ms: 1000 + tick * 10 };
        for i in 0..nodes.len() {
            if nodes[i].next_deadline() > now.mono && tick > 0 {
                continue;
            }
            let mut inputs: Vec<(usize, Option<(SocketAddr, Vec<u8>)>)> = vec![(i, None)];
            while let Some((to, datagram)) = inputs.pop() {
                let before = ALLOCATIONS.with(Cell::get);
                match &datagram {
                    None => nodes[to].handle(now, Input::Tick, out),
                    Some((from, bytes)) => {
                        let input = Input::Datagram { from: *from, sender: None, bytes };
                        nodes[to].handle(now, input, out);
                    }
                }
                allocations += ALLOCATIONS.with(Cell::get) - before;
                calls += 1;
                for item in out.items.drain(..) {
                    let Output::Datagram { to: peer, bytes } = item else {
                        panic!("at rest: {item:?}")
                    };
                    sizes.push(bytes.len());
                    post.push((to, peer, out.bytes[bytes].to_vec()));
                }
                out.clear();
                for (sender, peer, bytes) in post.drain(..) {
                    let target =
                        (0..nodes.len()).find(|&n| addr(n) == peer).expect("a node's address");
                    inputs.push((target, Some((addr(sender), bytes))));
                }
            }
        }
    }
    (calls, sizes, allocations)
}

#[test]
fn at_rest_nothing_is_allocated_and_packets_are_small() {
    let mut nodes = cluster(NODES, &Config::lan());
    let mut out = Outbox::default();
    rest(&mut nodes, &mut out, 0, 135); // buffers reach their size, each has told where it is
    let (calls, sizes, allocations) = rest(&mut nodes, &mut out, 135, 30);
    let per_node = sizes.len() as f64 * 2.0 / (NODES as f64 * 30.0);
    println!(
        "{calls} calls, {} datagrams, {per_node:.2} sent and received per node and period",
        sizes.len()
    );
    assert_eq!(allocations, 0, "allocations in {calls} calls");
    assert!((3.6..=4.4).contains(&per_node), "{per_node}");
    let largest = sizes.iter().max().expect("datagrams were sent");
    assert!(*largest <= 52, "a ping takes {largest} bytes");
    let mean = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
    assert!((40.0..=42.0).contains(&mean), "ping and ack, one in five with a coordinate: {mean}");
}

/// Heartbeats are more and larger packets, but they allocate no more.
#[test]
fn heartbeats_allocate_nothing_per_packet() {
    for detector in [Detector::Heartbeat, Detector::Phi(PhiForm::LossAware)] {
        let mut nodes = cluster(BEATING, &Config { detector, ..Config::lan() });
        let mut out = Outbox::default();
        rest(&mut nodes, &mut out, 0, 135); // each has heard of each
        let (calls, sizes, allocations) = rest(&mut nodes, &mut out, 135, 20);
        let bytes = sizes.iter().sum::<usize>() as f64 / (BEATING as f64 * 20.0);
        println!("{detector}: {calls} calls, {bytes:.0} bytes sent per node and period");
        assert_eq!(allocations, 0, "{detector}: allocations in {calls} calls");
        assert!(sizes.iter().all(|&size| size <= 1400));
        assert!(bytes < 60.0 * BEATING as f64, "{bytes}");
        let judged = |n: &Node| (0..BEATING).filter(|&i| n.view().level(id(i)).is_some()).count();
        assert!(nodes.iter().all(|n| judged(n) == BEATING - 1), "everybody is heard of");
    }
}
