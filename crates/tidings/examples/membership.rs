//! Two nodes in one process: each watches who comes and goes, with nothing lost silently.
//!
//! `cargo run -p tidings --example membership`

use std::error::Error;
use std::time::Duration;

use tidings::{Config, Event, MemberChange, Node, What};
use tokio::time::timeout;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let first = Node::builder("first").config(Config::local()).start().await?;
    println!("first listens on {}", first.addr());
    let mut watch = first.watch_members();

    let second = Node::builder("second")
        .config(Config::local())
        .tag("role", "example")
        .join([first.addr().to_string()])
        .start()
        .await?;

    // Read until the second node has come, said goodbye, and is gone.
    let story = async {
        while let Some(change) = watch.next().await {
            match change.what {
                What::Snapshot(members) => {
                    let names: Vec<_> = members.iter().map(|m| m.name.as_str()).collect();
                    println!("members at the start: {}", names.join(", "));
                }
                What::Event(Event::Member { change, member }) => {
                    println!("{:8} {} {:?}", change.as_str(), member.name, member.tags);
                    match change {
                        MemberChange::Join if member.name == "second" => second.leave().await?,
                        MemberChange::Leave => return Ok(()),
                        _ => {}
                    }
                }
                What::Event(_) => {}
                What::Lagged { missed } => println!("read too slowly: {missed} changes missed"),
            }
        }
        Err("the node ended early".into())
    };
    let result: Result<(), Box<dyn Error>> = timeout(Duration::from_secs(10), story).await?;
    second.stop().await;
    first.stop().await;
    result
}
