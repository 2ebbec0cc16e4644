//! A cache of names with eventual consistency: every node answers from its own memory at once, may be a
//! moment behind, and all agree soon after the last change.
//!
//! `cargo run -p tidings --example dns_cache`

use std::error::Error;
use std::time::{Duration, Instant};

use tidings::{Config, Node};
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let nodes = cluster(5).await?;
    let mut behind = 0;
    for n in 0..200 {
        let (name, address) = (format!("host{}.example", n % 10), format!("10.0.{}.{n}", n % 7));
        nodes[n % 5].keyspace("dns").set(&name, &address).await?;
        let seen = nodes[(n + 2) % 5].keyspace("dns").get(&name).await.unwrap_or(None);
        behind += usize::from(seen.as_deref() != Some(address.as_bytes()));
    }
    let began = Instant::now();
    loop {
        let mut tables = Vec::new();
        for node in &nodes {
            let entries = node.keyspace("dns").list("").await?;
            tables.push(entries.into_iter().map(|e| (e.key, e.value)).collect::<Vec<_>>());
        }
        if tables.windows(2).all(|pair| pair[0] == pair[1]) && tables[0].len() == 10 {
            break;
        }
        if began.elapsed() > Duration::from_secs(10) {
            return Err("the caches do not agree 10 s after the last change".into());
        }
        sleep(Duration::from_millis(5)).await;
    }
    println!(
        "{behind} of 200 answers were a moment behind; all agree {:.0?} after",
        began.elapsed()
    );
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
