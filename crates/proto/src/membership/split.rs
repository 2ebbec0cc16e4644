//! Decides which side of a split may go on owning what must have one owner: by a majority, a
//! quorum, the oldest member or a lease. It decides nothing about membership itself.

use crate::base::clocks::Hlc;
use crate::base::id::NodeId;
use crate::config::SplitPolicy;

/// A member as the policies see it. Whoever was accepted after the split began is none: each side
/// could accept as many as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Voter {
    /// When the cluster accepted it: the earliest is the oldest.
    pub accepted: Hlc,
    pub id: NodeId,
    /// It says that it holds the lease of an outside authority.
    pub holds_lease: bool,
}

/// Whether the side of `here` goes on when `lost` can not be reached. Of sides that together are the
/// cluster as it was, at most one does, whatever the policy but `none`.
///
/// The policies are those of Akka's split brain resolver. Two differ: half of an even cluster goes on
/// if it has the lowest id, and without the oldest the others go on only if it alone is lost.
pub fn goes_on(policy: SplitPolicy, quorum: usize, here: &[Voter], lost: &[Voter]) -> bool {
    let all = here.len() + lost.len();
    let oldest_is = |side: &[Voter], other: &[Voter]| match (side.iter().min(), other.iter().min())
    {
        (Some(mine), Some(theirs)) => mine < theirs,
        (mine, _) => mine.is_some(),
    };
    match policy {
        SplitPolicy::None => true,
        SplitPolicy::KeepMajority => {
            let lowest = |side: &[Voter]| side.iter().map(|voter| voter.id).min();
            let half = here.len() * 2 == all && !here.is_empty();
            here.len() * 2 > all || half && lowest(here) < lowest(lost)
        }
        SplitPolicy::StaticQuorum => here.len() >= quorum && all < 2 * quorum,
        SplitPolicy::KeepOldest => {
            let alone = |side: &[Voter], rest: usize| side.len() == 1 && rest > 1;
            if oldest_is(here, lost) { !alone(here, lost.len()) } else { alone(lost, here.len()) }
        }
        SplitPolicy::Lease => {
            let holders = |side: &[Voter]| side.iter().filter(|voter| voter.holds_lease).count();
            holders(here) == 1 && holders(lost) == 0
        }
    }
}
