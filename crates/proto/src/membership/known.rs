//! Decides what is worked out once about members that many nodes of one process know from the
//! start: their checksums and fingerprints are the same in every table.

use std::sync::Arc;

use super::facts::Facts;
use super::record::{Precedence, Standing, record_checksum};
use super::table::member_print;
use crate::base::hash::HashKey;

/// Live members at their first incarnation.
#[derive(Debug)]
pub struct Known(Vec<KnownMember>);

#[derive(Debug)]
pub(crate) struct KnownMember {
    pub(crate) facts: Arc<Facts>,
    pub(crate) precedence: Precedence,
    pub(crate) print: u128,
}

impl Known {
    pub fn new(cluster: &str, facts: impl IntoIterator<Item = Arc<Facts>>) -> Known {
        let key = HashKey::for_cluster(cluster);
        let member = |facts: Arc<Facts>| {
            let sum = record_checksum(&key, 1, &facts.bytes);
            let precedence = Precedence::new(1, Standing::Alive, sum);
            let print = member_print(&key, precedence);
            KnownMember { facts, precedence, print }
        };
        Known(facts.into_iter().map(member).collect())
    }

    pub(crate) fn members(&self) -> &[KnownMember] {
        &self.0
    }
}
