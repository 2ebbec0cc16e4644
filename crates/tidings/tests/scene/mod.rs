//! Decides how tests wait: for a condition, never longer than a limit.
#![allow(dead_code)] // each test file uses its part

use std::future::Future;
use std::time::Duration;

use tidings::{Builder, Change, Config, Node, Status, Watch};
use tokio::time::{Instant, sleep, timeout};

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A node that detects quickly.
pub(crate) fn node(name: &str) -> Builder {
    Node::builder(name).config(Config::local())
}

pub(crate) async fn started(builder: Builder) -> Node {
    timeout(LIMIT, builder.start()).await.expect("starts in time").expect("starts")
}

/// Two nodes that know each other.
pub(crate) async fn pair() -> (Node, Node) {
    let a = started(node("a")).await;
    let b = started(node("b").join([a.addr().to_string()])).await;
    meet(&a, "b").await;
    meet(&b, "a").await;
    (a, b)
}

pub(crate) async fn meet(node: &Node, other: &str) {
    until("the members meet", || async {
        node.members().await.unwrap().iter().any(|m| m.name == other && m.status == Status::Alive)
    })
    .await;
}

/// Asks again until the answer is yes.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let end = Instant::now() + LIMIT;
    while !ask().await {
        assert!(Instant::now() < end, "not within {LIMIT:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// The next change that `pick` accepts.
pub(crate) async fn next<T>(watch: &mut Watch, pick: impl Fn(&Change) -> Option<T>) -> T {
    let search = async {
        while let Some(change) = watch.next().await {
            if let Some(found) = pick(&change) {
                return found;
            }
        }
        panic!("the node ended");
    };
    timeout(LIMIT, search).await.expect("a change in time")
}
