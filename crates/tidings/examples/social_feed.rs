//! A feed with causal consistency: nobody sees a reply before the post that it answers, whichever node
//! they read, and without a session.
//!
//! `cargo run -p tidings --example social_feed`

use std::error::Error;
use std::time::Duration;

use tidings::{Config, Consistency, Node, Policy};
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let nodes = cluster(4).await?;
    let policy = Policy { consistency: Consistency::Causal, ..Policy::default() };
    nodes[0].declare("feed", policy).await?;
    for node in &nodes {
        while node.query(|view, _| view.declared("feed").is_none()).await? {
            sleep(Duration::from_millis(5)).await;
        }
    }
    let reader = tokio::spawn(read(nodes[3].clone()));
    for n in 0..200 {
        let (author, friend) = (&nodes[n % 3], &nodes[(n + 1) % 3]);
        author.keyspace("feed").set(format!("post/{n:03}"), "look at this").await?;
        // The friend answers what it has seen.
        while friend.keyspace("feed").get(format!("post/{n:03}")).await?.is_none() {
            sleep(Duration::from_millis(1)).await;
        }
        friend.keyspace("feed").set(format!("reply/{n:03}"), "nice").await?;
    }
    let looks = reader.await??;
    println!("200 posts with replies: {looks} looks at the feed, no reply without its post");
    Ok(())
}

/// Looks at the feed until all replies are there.
async fn read(node: Node) -> Result<usize, String> {
    for looks in 1.. {
        // One moment of the node: replies and posts together.
        let question = |view: &tidings::View<'_>, _: &tidings::Stats| {
            let numbers = |prefix: &str| -> Vec<Vec<u8>> {
                let keys = view.entries("feed", prefix.as_bytes());
                keys.map(|e| e.key[prefix.len()..].to_vec()).collect()
            };
            (numbers("reply/"), numbers("post/"))
        };
        let (replies, posts) = node.query(question).await.map_err(|e| e.to_string())?;
        if let Some(early) = replies.iter().find(|reply| !posts.contains(reply)) {
            return Err(format!("reply {:?} without its post", String::from_utf8_lossy(early)));
        }
        if replies.len() == 200 {
            return Ok(looks);
        }
        sleep(Duration::from_millis(1)).await;
    }
    unreachable!("the loop has no end")
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
