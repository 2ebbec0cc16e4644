//! Decides how question 15 is answered: what can be promised of a random spread, and what a fixed
//! schedule promises.

use tidings_proto::base::rng::Rng;

use super::{Question, exactly, row, table};
use crate::epidemic::{Mode, Setting, chain, stream};
use crate::paper::{Bar, Row, Table};
use crate::statistics::{Summary, mean};
use crate::work::Work;

pub(super) const QUESTION: Question = Question {
    number: 15,
    asked: "Why does gossip give probabilistic bounds rather than deterministic ones?",
    article_says: "Because peers are random; a deterministic bound would require knowing exactly \
                   which nodes contact which. You can only say 'with high probability within T'.",
    true_answer: "Right, and the probability can be computed and kept: the p99 of 1,000 nodes \
                  (push, 3 peers) is 9 to 10 rounds, and of fresh runs about 1 % took longer. \
                  Fixed schedules exist: a hypercube tells 1,024 nodes in exactly 10 rounds. They \
                  are fragile, which is why nobody gossips by them: with 1 node down 4 others miss \
                  the news on average and up to 511, with 1 % loss about 49; random push with the \
                  same loss reached all in each of 500 runs.",
    run,
};

/// Of a hypercube with 1,024 corners.
const DIMENSIONS: u32 = 10;
const RUNS: usize = 500;

fn run(work: &Work<'_>) -> Table {
    let runs = if work.quick { 4000 } else { 40_000 };
    let setting = Setting { mode: Mode::Push, nodes: 1000, fanout: 3, loss: 0.0 };
    let rounds = |from: usize| -> Vec<f64> {
        let one = |run| chain::run(&setting, &mut stream(work.seed, run), &mut |_| ()).rounds;
        (from..from + runs).map(one).collect()
    };
    let planned = Summary::of(&mut rounds(0));
    let fresh = rounds(runs);
    let within = |t: f64| fresh.iter().filter(|&&r| r <= t).count() as f64 / runs as f64;
    let mut rows =
        vec![row("push, 1,000 nodes: p99 of the rounds", planned.p99, super::near(9.5, 0.5))];
    for t in 7..=11 {
        rows.push(row(
            format!("share of fresh runs done within {t} rounds"),
            within(f64::from(t)),
            Bar::None,
        ));
    }
    rows.push(row(
        "share of fresh runs that took longer than p99",
        1.0 - within(planned.p99),
        Bar::AtMost(0.015),
    ));
    rows.extend(fixed_schedule(work.seed));
    table(
        "Random and fixed schedules",
        &[
            "Random: the chain of counts. Fixed: in round r each of 1,024 nodes exchanges with the \
             one whose number differs in bit r, so that news doubles in each round and every node \
             depends on single exchanges.",
            "For hard real time neither will do; what can be bought is a smaller probability, one \
             or two rounds for each factor of ten.",
        ],
        rows,
    )
}

fn fixed_schedule(seed: u64) -> Vec<Row> {
    let mut rng = Rng::from_u64(seed);
    let nodes = 1 << DIMENSIONS;
    let whole = missed(None, 0.0, &mut rng);
    // The source is node 0; each other node in turn is down.
    let down: Vec<f64> = (1..nodes).map(|down| missed(Some(down), 0.0, &mut rng)).collect();
    let lossy: Vec<f64> = (0..RUNS).map(|_| missed(None, 0.01, &mut rng)).collect();
    let push = Setting { mode: Mode::Push, nodes: nodes as u64, fanout: 3, loss: 0.01 };
    let unfinished = |run: usize| {
        let took = chain::run(&push, &mut stream(seed, run), &mut |_| ()).rounds;
        u32::from(took > 30.0)
    };
    let unfinished: u32 = (0..RUNS).map(unfinished).sum();
    let most = down.iter().copied().fold(0.0, f64::max);
    vec![
        row("fixed schedule, 10 rounds: nodes of 1,024 that miss the news", whole, exactly(0.0)),
        row(
            "the same with 1 node down: others that miss it, mean",
            mean(&down),
            super::near(4.0, 1.0),
        ),
        row("the same with 1 node down: others that miss it, most", most, exactly(511.0)),
        row(
            "the same with 1 % loss: nodes that miss it, mean",
            mean(&lossy),
            super::near(49.0, 6.0),
        ),
        row(
            "random push with 1 % loss, 30 rounds: runs that miss anybody, of 500",
            f64::from(unfinished),
            exactly(0.0),
        ),
    ]
}

/// Live nodes that do not know after one pass over the dimensions; node 0 has the news.
fn missed(down: Option<usize>, loss: f64, rng: &mut Rng) -> f64 {
    let nodes = 1usize << DIMENSIONS;
    let mut knows = vec![false; nodes];
    knows[0] = true;
    for bit in 0..DIMENSIONS {
        for low in (0..nodes).filter(|node| node & (1 << bit) == 0) {
            let high = low | (1 << bit);
            let works = ![Some(low), Some(high)].contains(&down);
            if works && knows[low] != knows[high] && !rng.chance(loss) {
                (knows[low], knows[high]) = (true, true);
            }
        }
    }
    (0..nodes).filter(|&node| !knows[node] && Some(node) != down).count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hypercube_tells_all_and_loses_what_hangs_on_the_first_exchange() {
        let rng = &mut Rng::from_u64(1);
        assert_eq!(missed(None, 0.0, rng), 0.0);
        assert_eq!(missed(Some(1), 0.0, rng), 511.0);
        assert_eq!(missed(Some(512), 0.0, rng), 0.0, "told last, it tells nobody");
    }
}
