//! A log of transactions is refused: two nodes that append at once would both get the same place.
//! This shows the refusal, and what would become of the money without it.
//!
//! `cargo run -p tidings --example transaction_log`

use std::error::Error;
use std::time::Duration;

use tidings::{Config, Node, Policy, PolicyError};
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    // There is no `Consistency::Linearizable` to write down; asked for in words it is an error.
    for promise in ["linearizable", "sequential", "strong"] {
        match Policy::default().set("consistency", promise) {
            Err(refused @ PolicyError::Strong { .. }) => println!("refused: {refused}"),
            other => return Err(format!("{promise} was not refused: {other:?}").into()),
        }
    }
    transfer_funds().await
}

/// Both nodes move 80 of the same 100, as the next entry of the log.
async fn transfer_funds() -> Result<(), Box<dyn Error>> {
    let nodes = cluster(2).await?;
    let (a, b) = (nodes[0].keyspace("log"), nodes[1].keyspace("log"));
    let (to_ada, to_bob) = tokio::join!(a.set("1", "80 to Ada"), b.set("1", "80 to Bob"));
    to_ada?;
    to_bob?; // both were told that it is done
    let discarded = loop {
        let lost = [nodes[0].conflicts().await?, nodes[1].conflicts().await?].concat();
        if let Some(lost) = lost.first() {
            break lost.value.clone().unwrap_or_default();
        }
        sleep(Duration::from_millis(5)).await;
    };
    let discarded = String::from_utf8_lossy(&discarded).into_owned();
    println!("both were acknowledged, {discarded:?} was discarded and reported: not for money");
    Ok(())
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
