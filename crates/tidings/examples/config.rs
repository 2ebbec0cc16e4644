//! Shared configuration: one node sets keys, another reads them from its own memory.
//!
//! `cargo run -p tidings --example config`

use std::error::Error;
use std::time::Duration;

use tidings::{Config, Node, Receipt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let writer = Node::builder("writer").config(Config::local()).start().await?;
    let reader = Node::builder("reader")
        .config(Config::local())
        .join([writer.addr().to_string()])
        .start()
        .await?;

    // Any bytes, and several keys as one group: all of them arrive, or none yet.
    let token = writer
        .keyspace("config")
        .write(vec![
            (b"feature/search".to_vec(), Some(b"on".to_vec())),
            (b"limit/requests".to_vec(), Some(b"250".to_vec())),
        ])
        .await?;
    println!("written as {}", token.text());

    // Wait until both have applied it; `Receipt::All` is all whom the writer knows by now.
    let receipt = token.receipt(Receipt::Count(2)).timeout(Duration::from_secs(10)).await?;
    println!("{} members have it after {:?}", receipt.have.len(), receipt.elapsed);
    for entry in reader.keyspace("config").list("").await? {
        let value = entry.value.unwrap_or_default();
        println!("{} = {}", String::from_utf8_lossy(&entry.key), String::from_utf8_lossy(&value));
    }
    reader.stop().await;
    writer.stop().await;
    Ok(())
}
