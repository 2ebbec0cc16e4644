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
        self.judge_event((host, life), at, mono, event, view, view.alive())
    }

    fn judge_event(
        &mut self,
        process: (usize, u64),
        at: Time,
        mono: Time,
        event: &Event,
        view: &View<'_>,
        after: usize,
    ) -> Option<String> {
        let alive = self.alive.entry(process).or_insert(Alive { at, before: 1, after });
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
        let found = judge(accusers, view.config().accusers_required, before, after)?;
        let (name, id, how) = (&member.name, member.id, evidence.outcome);
        Some(format!("rule 5: {name} {id:?} was declared failed {found} ({how})"))
    }
}

/// What is wrong with a verdict of this many accusers, with so many alive before and after it.
fn judge(accusers: usize, asked: usize, before: usize, after: usize) -> Option<String> {
    // Before, the subject counted as alive too.
    let others = before.saturating_sub(2).min(after.saturating_sub(1));
    let required = asked.min(others).max(1);
    (accusers < required).then(|| {
        format!("by {accusers} of {required} accusers, {before} alive before and {after} after")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::joined;
    use crate::world::{Record, WorldConfig};
    use std::time::Duration;
    use tidings_proto::Config;

    /// Mutation: the same verdict, in a cluster where more could have confirmed it.
    #[test]
    fn a_verdict_of_too_few_is_found() {
        let config = Config { accusers_required: 7, ..Config::local() };
        let record = WorldConfig { record: Record::Events, ..WorldConfig::default() };
        let mut world = joined(1, record, 3, &config);
        let dead = world.id(2);
        world.crash(2);
        world.run_for(Duration::from_secs(20));
        assert_eq!(world.violations(), &[] as &[String], "one accuser is all there can be");
        let failed = |(_, e): &&(Time, Event)| {
            matches!(e, Event::Member { change: MemberChange::Failed, member }
                if member.id == dead && member.confirmed)
        };
        let (_, event) = world.seen().events(0).iter().find(failed).expect("n2 is found dead");
        let (at, view) = (world.now(), world.view(0));
        let decided = view.evidence(dead).and_then(|e| e.decided).expect("a verdict");
        let mut rule = Verdicts::default();
        for (after, expected) in [(2, None), (8, Some(" of 7 accusers"))] {
            rule.alive.insert((0, 1), Alive { at: Time::ZERO, before: 9, after: 9 });
            let found = rule.judge_event((0, 1), at, decided, event, &view, after);
            let named = found.as_deref().zip(expected).is_some_and(|(f, e)| f.contains(e));
            assert!(named || found.is_none() && expected.is_none(), "{found:?}");
        }
    }
}
