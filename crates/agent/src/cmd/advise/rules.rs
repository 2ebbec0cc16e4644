//! Decides whether gossip or consensus fits a requirement: one table of needs, then the few rules
//! that overrule it. Pure: requirements in, advice out (row N7).
//!
//! The table is that of the articles (S0:176-184, S2:379-401) as corrected by REQUIREMENTS part 2:
//! consensus tolerates a minority of crashes and not everything; its latency is not deterministic
//! either; etcd, ZooKeeper, and the locks and leaders of Consul are Raft or Zab, not gossip.

use clap::ValueEnum;
use serde::Serialize;

/// What somebody wants to build on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Need {
    Membership,
    FailureDetection,
    Config,
    Flags,
    Metrics,
    Discovery,
    Events,
    CacheInvalidation,
    Counters,
    Quotas,
    UniqueNames,
    CompareAndSet,
    LeaderElection,
    Locks,
    Transactions,
    OrderedLog,
}

/// What an answer to a read may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Consistency {
    /// All agree in the end.
    #[default]
    Eventual,
    /// A user sees what the same user wrote.
    Session,
    /// Nobody sees an answer before its question.
    Causal,
    /// As if there were one copy.
    Linearizable,
}

/// What lateness costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Deadline {
    /// Being late, rarely, is a nuisance.
    #[default]
    Soft,
    /// Being late is a failure.
    Hard,
}

/// What a side of a split does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Partition {
    /// Goes on, and agrees afterwards.
    Available,
    /// Stops, unless it has the majority.
    Consistent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Choice {
    Yes,
    No,
}

/// All that is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Requirements {
    pub(super) needs: Vec<Need>,
    pub(super) consistency: Consistency,
    pub(super) deadline: Deadline,
    /// `None`: not said.
    pub(super) partition: Option<Partition>,
    /// `None`: not said.
    pub(super) coordinator: Option<Choice>,
    pub(super) untrusted_members: bool,
    /// Age of what is read that can be lived with, and the 99th percentile that gossip reaches at
    /// its best, both in seconds.
    pub(super) staleness: Option<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Means {
    Gossip,
    Consensus,
    Neither,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Recommendation {
    Gossip,
    Consensus,
    /// With a bridge between them.
    Both,
    Neither,
}

/// One need, decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Verdict {
    pub(super) need: Need,
    #[serde(rename = "use")]
    pub(super) means: Means,
    /// Gossip does not do this, whatever the other requirements.
    pub(super) refused_by_gossip: bool,
    pub(super) why: String,
    pub(super) see: &'static str,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Advice {
    pub(super) recommendation: Recommendation,
    pub(super) needs: Vec<Verdict>,
    /// What holds for all of them.
    pub(super) reasons: Vec<String>,
}

const GUIDE: &str = "docs/gossip-or-consensus.md";
const DETECTION: &str = "docs/protocol/detection.md";
const MEMBERSHIP: &str = "docs/protocol/membership.md";
const STATE: &str = "docs/protocol/state.md";
const EVENTS: &str = "docs/protocol/dissemination.md";

/// What fits a need by itself.
struct Rule {
    need: Need,
    fits: Means,
    why: &'static str,
    /// Where more is said.
    see: &'static str,
}

/// The table.
const RULES: [Rule; 16] = {
    use Means::{Consensus, Gossip};
    use Need::*;
    [
        Rule {
            need: Membership,
            fits: Gossip,
            why: "who is there is known best by those who talk to each other; no server has to \
             live for it",
            see: MEMBERSHIP,
        },
        Rule {
            need: FailureDetection,
            fits: Gossip,
            why: "many observers doubt and confirm, so one sick observer fails nobody; load per \
             node does not grow with the cluster",
            see: DETECTION,
        },
        Rule {
            need: Config,
            fits: Gossip,
            why: "a value that is newer wins everywhere, and a reader may be behind by the \
             spread time; consensus where a change must not happen under an older value",
            see: STATE,
        },
        Rule {
            need: Flags,
            fits: Gossip,
            why: "a flag that some nodes see a moment later harms nobody, and a split changes \
             nothing for the readers",
            see: STATE,
        },
        Rule {
            need: Metrics,
            fits: Gossip,
            why: "each node publishes its own figures under keys of its own; whoever wants a \
             total adds them up, approximately by nature",
            see: STATE,
        },
        Rule {
            need: Discovery,
            fits: Gossip,
            why: "an answer that is a moment old is tried and skipped; a directory that is down \
             while the cluster is split is worse",
            see: MEMBERSHIP,
        },
        Rule {
            need: Events,
            fits: Gossip,
            why: "each node hears each event once, in the order of its sender; there is no order \
             between senders",
            see: EVENTS,
        },
        Rule {
            need: CacheInvalidation,
            fits: Gossip,
            why: "a stale entry lives for the spread time longer; bound it with a lifetime as \
             well",
            see: EVENTS,
        },
        Rule {
            need: Counters,
            fits: Gossip,
            why: "each node counts under a key of its own and readers add up: nothing is lost, \
             and the total is late; a limit on it is a quota",
            see: STATE,
        },
        Rule {
            need: Quotas,
            fits: Consensus,
            why: "two sides of a split would each spend what is left: \"never above\" needs one \
             place that says yes",
            see: GUIDE,
        },
        Rule {
            need: UniqueNames,
            fits: Consensus,
            why: "two sides of a split would each give the name away: \"only one\" needs a \
             majority",
            see: GUIDE,
        },
        Rule {
            need: CompareAndSet,
            fits: Consensus,
            why: "it promises that nobody wrote meanwhile, anywhere: only a majority knows; \
             gossip finds out afterwards, and discards one of the two",
            see: GUIDE,
        },
        Rule {
            need: LeaderElection,
            fits: Consensus,
            why: "each side of a split would elect one: only a majority rules a second leader \
             out",
            see: GUIDE,
        },
        Rule {
            need: Locks,
            fits: Consensus,
            why: "two holders at once is what a lock forbids, and each side of a split would \
             grant it; take leases with fencing tokens",
            see: GUIDE,
        },
        Rule {
            need: Transactions,
            fits: Consensus,
            why: "all or nothing, seen by all at one point in an order: gossip has neither the \
             point nor the order",
            see: GUIDE,
        },
        Rule {
            need: OrderedLog,
            fits: Consensus,
            why: "one order of all entries is agreement on each position, which is what \
             consensus is",
            see: GUIDE,
        },
    ]
};

/// Decides.
pub(super) fn advise(asked: &Requirements) -> Advice {
    let needs: Vec<Verdict> = asked.needs.iter().map(|&need| decide(need, asked)).collect();
    let used = |means| needs.iter().any(|verdict| verdict.means == means);
    let recommendation = match (used(Means::Gossip), used(Means::Consensus)) {
        (true, true) => Recommendation::Both,
        (true, false) => Recommendation::Gossip,
        (false, true) => Recommendation::Consensus,
        (false, false) => Recommendation::Neither,
    };
    let reasons = reasons(asked, recommendation);
    Advice { recommendation, needs, reasons }
}

/// The table's word, unless another requirement overrules it.
fn decide(need: Need, asked: &Requirements) -> Verdict {
    let rule = RULES.iter().find(|rule| rule.need == need).expect("every need has its rule");
    let Rule { fits, why, see, .. } = *rule;
    let refused = fits == Means::Consensus;
    let wanted = match fits {
        Means::Gossip if is_data(need) && asked.consistency == Consistency::Linearizable => {
            Some((Means::Consensus, "one copy is asked for: gossip reads may be old"))
        }
        Means::Gossip if is_data(need) && asked.partition == Some(Partition::Consistent) => {
            Some((Means::Consensus, "a side without a majority is to stop: gossip never stops"))
        }
        _ => None,
    };
    let (means, why) = wanted.unwrap_or((fits, why));
    let vetoed = veto(means, need, asked);
    let (means, why) = vetoed.unwrap_or_else(|| (means, why.to_owned()));
    let see = if means == fits { see } else { GUIDE };
    Verdict { need, means, refused_by_gossip: refused, why, see }
}

/// Who is there and who died is found out by timeouts, with consensus too: nothing makes it
/// linearizable. The rest is data.
fn is_data(need: Need) -> bool {
    !matches!(need, Need::Membership | Need::FailureDetection)
}

/// What neither can do, and why.
fn veto(means: Means, need: Need, asked: &Requirements) -> Option<(Means, String)> {
    let neither = |why: &str| Some((Means::Neither, why.to_owned()));
    if asked.deadline == Deadline::Hard {
        return neither(
            "a hard deadline: gossip is late with a small probability, consensus while it elects a \
             leader or has no majority; neither promises a time. Build on a network and scheduler \
             that do",
        );
    }
    let one_copy = asked.consistency == Consistency::Linearizable && is_data(need);
    if one_copy && asked.partition == Some(Partition::Available) {
        return neither(
            "one copy, and every side of a split goes on: no system has both (CAP). Give up one \
             of them: --partition-behaviour consistent, or a weaker --consistency",
        );
    }
    if means == Means::Consensus && asked.coordinator == Some(Choice::No) {
        return neither(
            "it takes agreement by a majority, which works through a leader, and that was ruled \
             out: change what is needed, or accept a coordinator",
        );
    }
    if asked.untrusted_members {
        return neither(
            "members that lie: here every member that has joined is believed, and Raft and Paxos \
             tolerate crashes only. Until records are signed, keep such members outside, or use \
             Byzantine agreement",
        );
    }
    match asked.staleness {
        Some((most, p99)) if means == Means::Gossip && is_data(need) && p99 > most => Some((
            Means::Neither,
            format!(
                "{most} s old at most: at this size and on this network gossip takes {p99:.3} s \
                     in one case of 100, at its best. Read from the writer, or allow more"
            ),
        )),
        _ => None,
    }
}

fn reasons(asked: &Requirements, recommendation: Recommendation) -> Vec<String> {
    use Recommendation::{Both, Consensus, Gossip};
    let gossips = matches!(recommendation, Gossip | Both);
    let agrees = matches!(recommendation, Consensus | Both);
    let mut reasons = Vec::new();
    if gossips {
        reasons.push(
            "gossip: times hold with a probability, never for certain; wait the margin before you \
             rely on one"
                .to_owned(),
        );
        match asked.consistency {
            Consistency::Session => reasons.push(
                "session: read at the agent that you wrote to; elsewhere the write arrives with the \
                 spread time"
                    .to_owned(),
            ),
            Consistency::Causal => reasons.push(
                "causal: holds for each key here, not between keys; put what depends on each other \
                 into one key"
                    .to_owned(),
            ),
            Consistency::Eventual | Consistency::Linearizable => {}
        }
    }
    if agrees {
        reasons.push(
            "consensus: three or five servers, whatever the number of nodes; a minority of them may \
             crash. Tidings has no provider of its own: etcd, ZooKeeper or Consul's servers do it"
                .to_owned(),
        );
        if asked.coordinator.is_none() {
            reasons.push(
                "consensus: works through a leader; --coordinator-acceptable was not said"
                    .to_owned(),
            );
        }
        if asked.partition == Some(Partition::Available) {
            let why = "consensus: a side of a split without the majority decides nothing meanwhile";
            reasons.push(why.to_owned());
        }
    }
    if recommendation == Both {
        reasons.push(
            "the bridge: gossip tells everybody who serves and which epoch is the latest; consensus \
             decides, and its epoch fences off whoever missed the decision"
                .to_owned(),
        );
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(needs: &[Need], change: impl FnOnce(&mut Requirements)) -> Advice {
        let mut asked = Requirements { needs: needs.to_vec(), ..Requirements::default() };
        change(&mut asked);
        advise(&asked)
    }

    #[test]
    fn every_need_has_one_rule() {
        for &need in Need::value_variants() {
            assert_eq!(RULES.iter().filter(|rule| rule.need == need).count(), 1, "{need:?}");
        }
    }

    /// S0:176-184 and S2:391-401, row by row.
    #[test]
    fn the_rows_of_the_articles() {
        use Need::*;
        for (need, recommendation) in [
            (Membership, Recommendation::Gossip),
            (FailureDetection, Recommendation::Gossip),
            (Config, Recommendation::Gossip),
            (Metrics, Recommendation::Gossip),
            (Discovery, Recommendation::Gossip),
            (LeaderElection, Recommendation::Consensus),
            (Locks, Recommendation::Consensus),
            (Transactions, Recommendation::Consensus),
            (OrderedLog, Recommendation::Consensus),
        ] {
            let found = advice(&[need], |_| {});
            assert_eq!(found.recommendation, recommendation, "{need:?}");
            let refused = recommendation == Recommendation::Consensus;
            assert_eq!(found.needs[0].refused_by_gossip, refused, "{need:?}");
        }
        let critical = advice(&[Config], |r| r.consistency = Consistency::Linearizable);
        assert_eq!(critical.recommendation, Recommendation::Consensus, "critical state");
    }

    #[test]
    fn both_come_with_a_bridge() {
        let found = advice(&[Need::Membership, Need::LeaderElection], |_| {});
        assert_eq!(found.recommendation, Recommendation::Both);
        assert!(found.reasons.iter().any(|r| r.starts_with("the bridge")));
        let goes_on = |r: &mut Requirements| r.partition = Some(Partition::Available);
        let found = advice(&[Need::Locks], goes_on);
        assert_eq!(found.recommendation, Recommendation::Consensus);
        assert!(found.reasons.iter().any(|r| r.contains("without the majority")));
        let stops = advice(&[Need::Membership, Need::Config], |r| {
            r.partition = Some(Partition::Consistent);
        });
        assert_eq!(stops.recommendation, Recommendation::Both, "who is there goes on in a split");
    }

    /// Row N10.
    #[test]
    fn a_hard_deadline_is_promised_by_neither() {
        for need in [Need::Config, Need::Locks, Need::Membership] {
            let found = advice(&[need], |r| r.deadline = Deadline::Hard);
            assert_eq!(found.recommendation, Recommendation::Neither);
            assert!(found.needs[0].why.starts_with("a hard deadline"));
        }
    }

    #[test]
    fn contradictions_are_named() {
        let why = |needs: &[Need], change: fn(&mut Requirements)| {
            let found = advice(needs, change);
            assert_eq!(found.recommendation, Recommendation::Neither);
            found.needs[0].why.clone()
        };
        let both = why(&[Need::Config], |r| {
            r.consistency = Consistency::Linearizable;
            r.partition = Some(Partition::Available);
        });
        assert!(both.contains("CAP"), "{both}");
        let alone = why(&[Need::Locks], |r| r.coordinator = Some(Choice::No));
        assert!(alone.contains("majority"), "{alone}");
        let liars = why(&[Need::Membership], |r| r.untrusted_members = true);
        assert!(liars.contains("lie"), "{liars}");
        let stale = why(&[Need::Flags], |r| r.staleness = Some((0.01, 0.2)));
        assert!(stale.starts_with("0.01 s old at most"), "{stale}");
    }

    #[test]
    fn what_is_met_is_not_refused() {
        let fresh = advice(&[Need::Flags], |r| {
            r.staleness = Some((1.0, 0.2));
            r.coordinator = Some(Choice::No);
        });
        assert_eq!(fresh.recommendation, Recommendation::Gossip);
        let session = advice(&[Need::Flags], |r| r.consistency = Consistency::Session);
        assert!(session.reasons.iter().any(|r| r.starts_with("session: read at the agent")));
    }
}
