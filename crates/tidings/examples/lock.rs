//! A lock is refused: to say "only one" a node must have heard all others. This shows the refusal, and
//! two holders at once where a key is used as a lock all the same.
//!
//! `cargo run -p tidings --example lock`

use std::error::Error;
use std::time::Duration;

use tidings::{Config, Error as Refusal, Node, Policy, PolicyError};
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    match Policy::default().set("consistency", "strong") {
        Err(refused @ PolicyError::Strong { .. }) => println!("refused: {refused}"),
        other => return Err(format!("strong was not refused: {other:?}").into()),
    }
    let nodes = cluster(2).await?;
    let holders = tokio::join!(try_lock(&nodes[0]), try_lock(&nodes[1]));
    let holders = usize::from(holders.0?) + usize::from(holders.1?);
    println!("{holders} nodes found the key free and took it: not a lock");
    if holders != 2 {
        return Err("two nodes that look at once both find the key free".into());
    }
    // Later all agree who is named, which helps nobody who acted meanwhile.
    loop {
        let (a, b) = (nodes[0].keyspace("locks"), nodes[1].keyspace("locks"));
        if a.get("leader").await? == b.get("leader").await? {
            return Ok(());
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Looks, and writes if nobody is there.
async fn try_lock(node: &Node) -> Result<bool, Refusal> {
    let locks = node.keyspace("locks");
    let free = !matches!(locks.get("leader").await, Ok(Some(_)));
    if free {
        locks.set("leader", node.name()).await?;
    }
    Ok(free)
}

/// Nodes of one cluster that know each other.
async fn cluster(n: usize) -> Result<Vec<Node>, Box<dyn Error>> {
    let mut nodes: Vec<Node> = Vec::new();
    for i in 0..n {
        let builder = Node::builder(format!("n{i}")).config(Config::local());
        let seeds: Vec<String> = nodes.iter().map(|node| node.addr().to_string()).collect();
        nodes.push(builder.join(seeds).start().await?);
    }
    for node in &nodes {
        while !node.query(move |view, _| view.alive() == n && view.synced()).await? {
            sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(nodes)
}
