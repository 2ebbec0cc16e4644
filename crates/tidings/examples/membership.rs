//! Two nodes in one process: one watches the other come and go, with nothing lost silently.
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
    let mut watch = first.watch_members(); // keeps what happens from here on

    let second =
        Node::builder("second").config(Config::local()).tag("role", "example").start().await?;
    second.join(vec![first.addr()]).await?;
    second.leave().await?;
    second.stop().await;

    let story = async {
        while let Some(change) = watch.next().await {
            match change.what {
                What::Snapshot(members) => {
                    let names: Vec<_> = members.iter().map(|m| m.name.as_str()).collect();
                    println!("members at the start: {}", names.join(", "));
                }
                What::Event(Event::Member { change, member }) => {
                    println!("{:8} {} {:?}", change.as_str(), member.name, member.tags);
                    if change == MemberChange::Leave {
                        return Ok(());
                    }
                }
                What::Event(_) => {}
                What::Lagged { missed } => println!("read too slowly: {missed} changes missed"),
            }
        }
        Err("the node ended early".into())
    };
    let result: Result<(), Box<dyn Error>> = timeout(Duration::from_secs(10), story).await?;
    first.stop().await;
    result
}
