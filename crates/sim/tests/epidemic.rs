//! The bare epidemic (rows A1, A8, A10, B1-B3): the chain of counts, the node level and the
//! published figures agree; edges; loss; fanout.

use tidings_sim::epidemic::{
    Engine, Mode, Setting, Spread, baseline, chain, jittered, rounds, sample,
};
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

/// Row B6, and one copy a site: 20,000 runs with SOAK=1.
#[test]
fn an_announced_rumour_is_sent_once_to_each() {
    let missed = missed("announced", &Work { quick: !soak(), ..Work::quiet(7) });
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_median_counter_knows_when_to_stop() {
    let missed = missed("median-counter", &Work { quick: !soak(), ..Work::quiet(1) });
    assert!(missed.is_empty(), "{missed:#?}");
}

/// Row A10: the published p99 at 10, 30 and 50 % loss, and every run reaches all.
#[test]
fn loss_slows_the_spread_and_leaves_nobody_out() {
    for (fanout, p99) in [(1, [(0.1, 13.0), (0.3, 19.0)]), (3, [(0.1, 6.0), (0.3, 8.0)])] {
        let mut before = 0.0;
        for loss in [0.0, 0.1, 0.3, 0.5] {
            let s = by_chain(&setting(Mode::PushPull, 1_000, fanout, loss), 5_000);
            assert!(s.rounds.mean > before, "fanout {fanout}, loss {loss}");
            before = s.rounds.mean;
            assert_eq!(*s.curve.last().unwrap(), 1_000.0, "all know in the end");
            for (_, most) in p99.iter().filter(|(at, _)| *at == loss) {
                assert!(
                    s.rounds.p99 <= most + 1.0,
                    "fanout {fanout}, loss {loss}: {}",
                    s.rounds.p99
                );
            }
        }
    }
}

/// Row A8: each more partner saves less, and costs as much.
#[test]
fn more_partners_bring_less_and_less() {
    let sweep: Vec<Spread> =
        (1..=16).map(|k| by_chain(&setting(Mode::PushPull, 10_000, k, 0.0), 2_000)).collect();
    let rounds: Vec<f64> = sweep.iter().map(|s| s.rounds.mean).collect();
    assert!(rounds.windows(2).all(|w| w[1] <= w[0]), "{rounds:?}");
    let (early, late) = (rounds[0] - rounds[3], rounds[11] - rounds[15]);
    assert!(early > 4.0 && late < early / 4.0, "{rounds:?}");
    assert!(sweep[15].messages.mean > 2.5 * sweep[2].messages.mean);
}

/// Row A7: messages per node and round do not grow with the group; those of flooding do.
#[test]
fn messages_per_node_and_round_are_constant() {
    let per_round = |nodes| {
        let s = by_chain(&setting(Mode::PushPull, nodes, 3, 0.0), 2_000);
        s.messages.mean / s.rounds.mean
    };
    let middle = per_round(1_000);
    for nodes in [100, 316, 3_162, 10_000] {
        assert!((per_round(nodes) / middle - 1.0).abs() < 0.05, "{nodes} nodes");
    }
    let plain = setting(Mode::Push, 1_000, 1, 0.0);
    let of = |engine: Engine| sample(engine, &plain, 3, &Work::quiet(1)).unwrap();
    let (flood, turn) = (of(baseline::broadcast), of(baseline::sequential));
    assert_eq!((flood.messages.mean, flood.rounds.mean), (999.0, 1.0));
    assert_eq!((turn.messages.mean, turn.rounds.mean), (0.999, 999.0));
    let lossy = setting(Mode::Push, 1_000, 1, 0.5);
    let turn = sample(baseline::sequential, &lossy, 500, &Work::quiet(1)).unwrap();
    assert!((turn.rounds.mean - 1_998.0).abs() < 4.0 * turn.rounds.se, "{turn:?}");
}

#[test]
fn equal_seeds_give_equal_results_on_any_number_of_threads() {
    let one = setting(Mode::PushPull, 300, 2, 0.1);
    let engines: [Engine; 3] = [chain::run, rounds::run, jittered::run];
    for engine in engines {
        let on = |jobs, seed| sample(engine, &one, 200, &Work { jobs, ..Work::quiet(seed) });
        assert_eq!(on(1, 5), on(7, 5));
        assert_ne!(on(1, 5), on(1, 6));
    }
}

/// The edges by the node level, too: alone, in pairs, and where all call all.
#[test]
fn small_groups_are_right_node_by_node() {
    for mode in Mode::ALL {
        for (nodes, fanout, took) in [(1, 1, 0.0), (2, 3, 1.0), (3, 2, 1.0), (17, 64, 1.0)] {
            let s = sample(rounds::run, &setting(mode, nodes, fanout, 0.0), 20, &Work::quiet(1));
            assert_eq!(s.unwrap().rounds.max, took, "{mode:?}, {nodes} nodes");
        }
        let s = sample(jittered::run, &setting(mode, 2, 1, 0.5), 2_000, &Work::quiet(1)).unwrap();
        assert!(s.rounds.min > 0.0 && s.curve.last() == Some(&2.0), "{mode:?}");
    }
}
