//! Decides what may be claimed when everybody has said yes: that each member of one membership,
//! on which all of them agree, has applied the writes.
//!
//! Why all have to name the same membership: a member that joins is admitted by some member, whose
//! fingerprint changes with that. So if all of them hold our fingerprint when they say yes, nobody
//! had been admitted before by one who had not applied the writes yet, and whoever is admitted
//! later takes over a state that has them.

use super::survey::{Own, Survey};
use crate::base::id::NodeId;
use crate::io::Certificate;

/// The certificate over `members`, this node `me` included, or `None` where one of the others has
/// not said enough. `me` must have applied the writes.
pub fn certify(
    survey: &Survey,
    me: NodeId,
    members: impl Iterator<Item = NodeId>,
    own: Own,
    wall_ms: u64,
) -> Option<Certificate> {
    let mut certified = vec![me];
    for member in members.filter(|&member| member != me) {
        let heard = survey.answer(member)?;
        if survey.lacks(member, own).is_some() || heard.members != own.members {
            return None;
        }
        certified.push(member);
    }
    certified.sort_unstable();
    let writes = survey.goal().runs.clone();
    Some(Certificate { writes, members: certified, fingerprint: own.members, at_ms: wall_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clocks::Run;
    use crate::base::time::Time;
    use crate::convergence::message::{Answer, Said};
    use crate::convergence::survey::Goal;

    #[test]
    fn one_who_knows_others_spoils_it() {
        let id = NodeId::from_u128;
        let run = Run { origin: id(1), from: 4, to: 4 };
        let goal = Goal { runs: vec![run], durable: false, same_members: false, same_state: false };
        let mut survey = Survey::new(goal);
        let own = Own { members: 7, state: 1 };
        let yes = |members| {
            let said = vec![Said { run, applied: true, way: None }];
            Answer { durable: false, number: 0, members, state: 1, said }
        };
        for member in [id(3), id(2)] {
            survey.ask(member, Time::ZERO);
        }
        let try_it = |survey: &Survey| {
            certify(survey, id(1), [1, 2, 3].into_iter().map(id), own, 5).map(|c| c.members)
        };
        survey.heard(id(2), &yes(7), own);
        assert_eq!(try_it(&survey), None, "one is silent");
        survey.heard(id(3), &yes(8), own);
        assert_eq!(try_it(&survey), None, "one knows others");
        survey.heard(id(3), &yes(7), own);
        assert_eq!(try_it(&survey), Some(vec![id(1), id(2), id(3)]));
    }
}
