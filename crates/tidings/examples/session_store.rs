//! A store of shopping carts with sticky sessions: each user stays at one node, which has all that the
//! user wrote. When that node goes, the token in the user's cookie says what the next one must have.
//!
//! `cargo run -p tidings --example session_store`

use std::error::Error;
use std::time::Duration;

use tidings::{CommandError, Config, Node, Session};
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let nodes = cluster(3).await?;
    let mut cookies = vec![Session::new(); 30];
    let (mut right, mut elsewhere) = (0, 0);
    for item in 0..5 {
        for (user, cookie) in cookies.iter_mut().enumerate() {
            let (home, cart) = (&nodes[user % 3], format!("cart/{user}"));
            home.keyspace("carts").with(cookie).set(&cart, format!("item {item}")).await?;
            let read = home.keyspace("carts").get(&cart).await?;
            right += usize::from(read.as_deref() == Some(format!("item {item}").as_bytes()));
            // Without session and stickiness: what another node has right now.
            let other = nodes[(user + 1) % 3].keyspace("carts").get(&cart).await.unwrap_or(None);
            elsewhere += usize::from(other != read);
        }
    }
    println!(
        "{right} of 150 reads at the user's node see the user's write; {elsewhere} would not elsewhere"
    );
    if right != 150 {
        return Err("a sticky session did not read its write".into());
    }
    // The home of every third user is gone: the others have its carts, or say so.
    nodes[0].stop().await;
    for (user, cookie) in cookies.iter_mut().enumerate().step_by(3) {
        let cart = format!("cart/{user}");
        match nodes[1].keyspace("carts").with(cookie).get(&cart).await {
            Ok(read) if read.as_deref() == Some(b"item 4") => {}
            Err(tidings::Error::Refused(CommandError::Stale { .. })) => {}
            other => return Err(format!("silently stale: {other:?}").into()),
        }
    }
    println!("after the loss of a node no user silently saw an older cart");
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
