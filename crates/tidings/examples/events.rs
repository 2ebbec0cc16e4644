//! User events: sent once, delivered once to every member, in the order of their sender.
//!
//! `cargo run -p tidings --example events`

use std::error::Error;
use std::time::Duration;

use tidings::{Config, Event, MemberChange, Node, What};
use tokio::time::timeout;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let sender = Node::builder("sender").config(Config::local()).start().await?;
    let mut members = sender.watch_members();
    let receiver = Node::builder("receiver")
        .config(Config::local())
        .join([sender.addr().to_string()])
        .start()
        .await?;
    let mut inbox = receiver.watch();

    let story = async {
        // Wait for the receiver: others would get the events too when they come within minutes.
        while let Some(change) = members.next().await {
            if let What::Event(Event::Member { change: MemberChange::Join, member }) = change.what {
                println!("{} is here", member.name);
                break;
            }
        }
        for step in ["build", "test", "ship"] {
            let seq = sender.emit("deploy", step).await?;
            println!("sent event {seq}: {step}");
        }
        let mut heard = 0;
        while heard < 3 {
            let Some(change) = inbox.next().await else { return Err("ended early".into()) };
            if let What::Event(Event::User(event)) = change.what {
                let payload = String::from_utf8_lossy(&event.payload);
                println!("heard event {} of {}: {payload}", event.seq, event.from);
                heard += 1;
            }
        }
        Ok(())
    };
    let result: Result<(), Box<dyn Error>> = timeout(Duration::from_secs(10), story).await?;
    receiver.stop().await;
    sender.stop().await;
    result
}
