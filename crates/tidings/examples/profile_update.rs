//! A profile behind a proxy that sends each request to another node: the session goes with the user,
//! and where a node cannot serve it the proxy tries the next.
//!
//! `cargo run -p tidings --example profile_update`

use std::error::Error;
use std::time::Duration;

use tidings::{Config, Node, Session};
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run().await
}

/// Sends requests round and round, and on to the next node when one refuses.
struct Proxy {
    nodes: Vec<Node>,
    turn: usize,
    rerouted: usize,
}

impl Proxy {
    async fn get(&mut self, session: &mut Session, key: &str) -> Result<Option<Vec<u8>>, String> {
        let mut refused = String::new();
        for _ in 0..self.nodes.len() {
            self.turn += 1;
            let node = &self.nodes[self.turn % self.nodes.len()];
            let wait = Duration::from_millis(300);
            match node.keyspace("profiles").with(session).wait(wait).get(key).await {
                Ok(read) => return Ok(read),
                Err(error) => refused = error.to_string(),
            }
            self.rerouted += 1;
        }
        Err(refused)
    }

    async fn set(&mut self, session: &mut Session, key: &str, value: &str) -> Result<(), String> {
        let mut refused = String::new();
        for _ in 0..self.nodes.len() {
            self.turn += 1;
            let node = &self.nodes[self.turn % self.nodes.len()];
            match node.keyspace("profiles").with(session).set(key, value).await {
                Ok(_) => return Ok(()),
                Err(error) => refused = error.to_string(),
            }
            self.rerouted += 1;
        }
        Err(refused)
    }
}

pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let mut proxy = Proxy { nodes: cluster(4).await?, turn: 0, rerouted: 0 };
    let mut session = Session::new();
    for n in 0..100 {
        if n == 50 {
            // What it wrote has had time to leave it.
            sleep(Duration::from_millis(500)).await;
            proxy.nodes[2].stop().await;
        }
        let name = format!("Ada {n}");
        proxy.set(&mut session, "name", &name).await?;
        let read = proxy.get(&mut session, "name").await?;
        if read.as_deref() != Some(name.as_bytes()) {
            return Err(format!("wrote {name:?} and read {read:?}").into());
        }
    }
    let rerouted = proxy.rerouted;
    println!("100 updates, each read back at another node; {rerouted} requests were sent on");
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
