//! Rule 5: a confirmed verdict has at least the required number of distinct accusers.

use std::collections::{BTreeMap, BTreeSet};

use tidings_proto::View;
use tidings_proto::io::{Event, MemberChange};

/// Live members as each host saw them after its last event: one call can change many, and a
/// verdict counts as of its moment.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    alive: BTreeMap<usize, usize>,
}

impl Verdicts {
    pub(super) fn event(&mut self, host: usize, event: &Event, view: &View<'_>) -> Option<String> {
        let after = view.counts().0;
        let before = self.alive.insert(host, after).unwrap_or(after);
        let Event::Member { change: MemberChange::Failed, member } = event else { return None };
        if !member.confirmed {
            return None;
        }
        let evidence = view.evidence(member.id)?;
        if !matches!(evidence.outcome, "verdict" | "told")
            || evidence.incarnation != member.incarnation
        {
            return None; // replaced by its next life, or ended by itself
        }
        let distinct: BTreeSet<&str> =
            evidence.accusers.iter().map(|(who, _)| who.as_str()).collect();
        let others = before.min(after).saturating_sub(1);
        let required = view.config().accusers_required.min(others).max(1);
        (distinct.len() < required).then(|| {
            let (name, n) = (&member.name, distinct.len());
            format!("rule 5: {name} was declared failed by {n} of {required} accusers")
        })
    }
}
