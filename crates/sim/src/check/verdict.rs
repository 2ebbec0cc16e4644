//! Rule 5: a confirmed verdict has at least the required number of distinct accusers.

use std::collections::BTreeMap;

use tidings_proto::io::{Event, MemberChange};
use tidings_proto::{Time, View};

/// Live members as each process saw them: one call can change many, and a verdict counts as of
/// its moment.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    alive: BTreeMap<(usize, u64), Alive>,
}

/// Before the call at this time, and after it.
#[derive(Debug)]
struct Alive {
    at: Time,
    before: usize,
    after: usize,
}

impl Verdicts {
    pub(super) fn event(
        &mut self,
        host: usize,
        life: u64,
        at: Time,
        mono: Time,
        event: &Event,
        view: &View<'_>,
    ) -> Option<String> {
        let after = view.alive();
        let alive = self.alive.entry((host, life)).or_insert(Alive { at, before: 1, after });
        if alive.at != at {
            (alive.at, alive.before) = (at, alive.after);
        }
        alive.after = after;
        let before = alive.before;
        let Event::Member { change: MemberChange::Failed, member } = event else { return None };
        if !member.confirmed {
            return None;
        }
        let evidence = view.evidence(member.id)?;
        if !matches!(evidence.outcome, "verdict" | "told") || evidence.decided != Some(mono) {
            return None; // replaced by its next life, or ended by itself
        }
        // Distinct by identity in the core; two lives of one name show alike here.
        let accusers = evidence.accusers.len();
        // Before, the subject counted as alive too.
        let others = before.saturating_sub(2).min(after.saturating_sub(1));
        let required = view.config().accusers_required.min(others).max(1);
        (accusers < required).then(|| {
            let (name, n, how) = (&member.name, accusers, evidence.outcome);
            format!(
                "rule 5: {name} {:?} was declared failed by {n} of {required} accusers ({how}, {} \
                 alive before and {} after)",
                member.id, alive.before, alive.after
            )
        })
    }
}
