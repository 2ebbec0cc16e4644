//! Decides how the names of seeds become addresses: at the start within a short limit, later in
//! the background until the node has joined.

use std::net::SocketAddr;
use std::time::Duration;

use tidings_proto::io::Command;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::driver::Order;
use crate::errors::StartError;

/// Checks the form `HOST:PORT`; the host may be a name that nobody knows yet.
pub(crate) fn check(seed: &str) -> Result<(), StartError> {
    let well_formed = seed.parse::<SocketAddr>().is_ok_and(|a| a.port() != 0)
        || seed.rsplit_once(':').is_some_and(|(host, port)| {
            let host_ok = !host.is_empty() && !host.contains([':', '/', ' ', '[']);
            host_ok && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
    if well_formed {
        return Ok(());
    }
    Err(StartError::Address {
        what: "seed",
        value: seed.to_owned(),
        expected: "HOST:PORT, such as 10.0.0.1:7946",
    })
}

/// The addresses behind these seeds as far as they are known, and whether all were found.
pub(crate) async fn resolve(seeds: &[String]) -> (Vec<SocketAddr>, bool) {
    let (mut addrs, mut complete) = (Vec::new(), true);
    let deadline = Instant::now() + LOOKUP_LIMIT;
    for seed in seeds {
        if let Ok(addr) = seed.parse() {
            addrs.push(addr);
            continue;
        }
        match timeout_at(deadline, tokio::net::lookup_host(seed)).await {
            Ok(Ok(found)) => addrs.extend(found),
            Ok(Err(e)) => {
                complete = false;
                tracing::warn!(seed, "cannot resolve: {e}");
            }
            Err(_) => {
                complete = false;
                tracing::warn!(seed, "cannot resolve within {LOOKUP_LIMIT:?}");
            }
        }
    }
    addrs.sort_unstable();
    addrs.dedup();
    (addrs, complete)
}

/// Resolves again, slower and slower, until all names are known and the node has joined one.
pub(crate) async fn keep_resolving(
    seeds: Vec<String>,
    mut known: Vec<SocketAddr>,
    orders: mpsc::WeakSender<Order>,
) {
    let mut pause = PAUSE_MIN;
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
        let (addrs, complete) = resolve(&seeds).await;
        if addrs.is_empty() || (addrs == known && !complete) {
            continue;
        }
        if addrs != known {
            known = addrs.clone();
            if ask(&orders, Command::SetSeeds { addrs: addrs.clone() }).await.is_none() {
                return;
            }
        }
        match ask(&orders, Command::Join { addrs, retry: false }).await {
            None => return,
            Some(joined) if joined && complete => return,
            Some(_) => {}
        }
    }
}

/// Whether the node agreed; `None`: it has ended.
async fn ask(orders: &mpsc::WeakSender<Order>, command: Command) -> Option<bool> {
    let (reply, replied) = oneshot::channel();
    orders.upgrade()?.send(Order::Command { command, reply }).await.ok()?;
    replied.await.ok().map(|result| result.is_ok())
}

const LOOKUP_LIMIT: Duration = Duration::from_secs(2);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
