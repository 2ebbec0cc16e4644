//! The bare epidemic (rows A1, A8, A10, B1-B3): the chain of counts, the node level and the
//! published figures agree; edges; loss; fanout.

use tidings_sim::epidemic::{Mode, Setting, Spread, chain};
use tidings_sim::setup::soak;
use tidings_sim::work::Work;

fn setting(mode: Mode, nodes: u64, fanout: u32, loss: f64) -> Setting {
    Setting { mode, nodes, fanout, loss }
}

fn by_chain(setting: &Setting, runs: usize) -> Spread {
    chain::sample(setting, runs, &Work::quiet(1)).expect("nothing stops the work")
}

#[test]
fn one_two_and_three_nodes_are_what_arithmetic_says() {
    for mode in Mode::ALL {
        let alone = by_chain(&setting(mode, 1, 3, 0.0), 10);
        assert_eq!((alone.rounds.max, alone.messages.max), (0.0, 0.0));
        assert_eq!(alone.curve, [1.0]);
        let pair = by_chain(&setting(mode, 2, 3, 0.0), 10);
        assert_eq!((pair.rounds.min, pair.rounds.max), (1.0, 1.0), "{mode:?}");
        assert_eq!(pair.curve, [1.0, 2.0]);
        for nodes in [3, 17] {
            let all = by_chain(&setting(mode, nodes, 64, 0.0), 10);
            assert_eq!(all.rounds.max, 1.0, "{mode:?}: all call all others");
        }
    }
    // Two nodes, half the messages lost: geometric with 1/2 (push), 1/4 (pull), 1 - 3/8 (both).
    for (mode, mean) in [(Mode::Push, 2.0), (Mode::Pull, 4.0), (Mode::PushPull, 8.0 / 5.0)] {
        let s = by_chain(&setting(mode, 2, 1, 0.5), 20_000);
        assert!((s.rounds.mean - mean).abs() < 3.0 * s.rounds.se, "{mode:?}: {}", s.rounds.mean);
    }
}

#[test]
fn a_setting_that_cannot_be_is_refused_by_name() {
    let good = setting(Mode::Push, 10, 1, 0.0);
    assert_eq!(good.check(), Ok(()));
    let refused = |s: Setting| s.check().expect_err("refused");
    assert_eq!(refused(Setting { nodes: 0, ..good }), "nodes 0: expected 1 to 1000000000");
    assert_eq!(refused(Setting { fanout: 0, ..good }), "fanout 0: expected 1 to 1000");
    let lost = "loss 1: expected 0 to 0.99; at 1 nothing ever arrives";
    assert_eq!(refused(Setting { loss: 1.0, ..good }), lost);
    assert!(Setting { loss: f64::NAN, ..good }.check().is_err());
}

/// Bars that a paper's reproduction misses, in words.
fn missed(name: &str, work: &Work<'_>) -> Vec<String> {
    let table = (tidings_sim::paper::find(name).expect("listed").run)(work);
    assert!(table.rows.len() > 5 && !table.charts.is_empty(), "{name} shows something");
    table.rows.iter().filter(|r| r.pass() == Some(false)).map(|r| format!("{r:?}")).collect()
}

/// All cells, longer runs: SOAK=1.
#[test]
fn rounds_until_all_know_are_the_published_ones() {
    let missed = missed("rounds", &Work { quick: !soak(), ..Work::quiet(1) });
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn rumours_leave_what_the_paper_says() {
    let missed = missed("demers", &Work { quick: !soak(), ..Work::quiet(1) });
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn anti_entropy_finishes_what_a_rumour_leaves() {
    let missed = missed("endgame", &Work { quick: !soak(), ..Work::quiet(1) });
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_median_counter_knows_when_to_stop() {
    let missed = missed("median-counter", &Work { quick: !soak(), ..Work::quiet(1) });
    assert!(missed.is_empty(), "{missed:#?}");
}
