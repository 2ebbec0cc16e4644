//! Decides that the examples of the spectrum of consistency do what they say (row N11): each checks
//! itself.
#![allow(dead_code)] // each example has a `main` of its own

use std::time::Duration;

#[path = "../examples/dns_cache.rs"]
mod dns_cache;
#[path = "../examples/lock.rs"]
mod lock;
#[path = "../examples/profile_update.rs"]
mod profile_update;
#[path = "../examples/session_store.rs"]
mod session_store;
#[path = "../examples/social_feed.rs"]
mod social_feed;
#[path = "../examples/transaction_log.rs"]
mod transaction_log;

macro_rules! runs {
    ($($example:ident),*) => { $(
        #[tokio::test]
        async fn $example() {
            let run = tokio::time::timeout(Duration::from_secs(60), $example::run());
            if let Err(broken) = run.await.expect("it ends") {
                panic!("{broken}");
            }
        }
    )* };
}

runs!(session_store, social_feed, profile_update, dns_cache, transaction_log, lock);
