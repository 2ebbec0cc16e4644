//! Decides how news of one hot key spreads when some peers are favoured, without packets.

use tidings_proto::base::rng::Rng;

/// Who is chosen in a push round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'a> {
    pub(crate) nodes: usize,
    pub(crate) fanout: usize,
    /// Those who want the news most.
    pub(crate) favoured: &'a [usize],
    /// Probability that one choice falls on a favoured peer.
    pub(crate) bias: f64,
    /// Rounds after which news is passed on without bias: those who want it have it.
    pub(crate) biased_rounds: u32,
}

/// Rounds until the last favoured node knew, until all knew; and what was wasted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) favoured: f64,
    /// When a favoured node knew, on average.
    pub(crate) favoured_mean: f64,
    pub(crate) all: f64,
    /// Most messages that one favoured node received in one round.
    pub(crate) busiest: f64,
}

const ROUNDS_MAX: u32 = 1000;

/// Node 0 has the news; everybody who has it pushes to `fanout` peers in each round.
pub(crate) fn spread(choice: &Choice<'_>, rng: &mut Rng) -> Spread {
    let mut knows = vec![false; choice.nodes];
    knows[0] = true;
    let mut informed = vec![0];
    let mut is_favoured = vec![false; choice.nodes];
    choice.favoured.iter().for_each(|&f| is_favoured[f] = true);
    let mut waiting = choice.favoured.iter().filter(|&&f| f != 0).count();
    let (mut last_favoured, mut sum, mut round, mut busiest) = (0, 0, 0, 0);
    while informed.len() < choice.nodes && round < ROUNDS_MAX {
        round += 1;
        let mut received = vec![0; choice.nodes];
        for at in 0..informed.len() {
            for _ in 0..choice.fanout {
                let biased = round <= choice.biased_rounds && rng.chance(choice.bias);
                let to = pick(choice, biased, informed[at], rng);
                received[to] += 1;
                if !std::mem::replace(&mut knows[to], true) {
                    informed.push(to);
                    if is_favoured[to] {
                        (waiting, sum, last_favoured) = (waiting - 1, sum + round, round);
                    }
                }
            }
        }
        let most = choice.favoured.iter().map(|&f| received[f]).max().unwrap_or(0);
        busiest = busiest.max(most);
    }
    assert_eq!(waiting, 0, "all are reached within {ROUNDS_MAX} rounds");
    Spread {
        favoured: f64::from(last_favoured),
        favoured_mean: f64::from(sum) / choice.favoured.len() as f64,
        all: f64::from(round),
        busiest: f64::from(busiest),
    }
}

fn pick(choice: &Choice<'_>, biased: bool, me: usize, rng: &mut Rng) -> usize {
    let others = choice.favoured.iter().filter(|&&f| f != me).count();
    if biased && others > 0 {
        loop {
            let to = choice.favoured[rng.index(choice.favoured.len())];
            if to != me {
                return to;
            }
        }
    }
    let to = rng.index(choice.nodes - 1);
    to + usize::from(to >= me)
}

/// `select_biased_peers` of the article with its callers' log: it records the caller itself, whom
/// the candidates exclude. `None`: the sample is larger than what it is drawn from, an exception.
pub(crate) fn article_picks(
    me: usize,
    cluster: usize,
    log: &[usize],
    bias: f64,
    k: usize,
    rng: &mut Rng,
) -> Option<Vec<usize>> {
    let candidates: Vec<usize> = (0..cluster).filter(|&n| n != me).collect();
    if log.is_empty() || !rng.chance(bias) {
        return sample(candidates.clone(), k.min(candidates.len()), rng);
    }
    let (biased, remaining): (Vec<usize>, Vec<usize>) =
        candidates.into_iter().partition(|n| log.contains(n));
    if biased.len() >= k {
        return sample(biased, k, rng);
    }
    let missing = k - biased.len();
    let mut picks = biased;
    picks.extend(sample(remaining, missing, rng)?);
    Some(picks)
}

/// Distinct members of the population, as Python's `random.sample`.
fn sample(mut population: Vec<usize>, k: usize, rng: &mut Rng) -> Option<Vec<usize>> {
    if k > population.len() {
        return None;
    }
    rng.shuffle(&mut population);
    population.truncate(k);
    Some(population)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_bias_reaches_the_favoured_first_and_no_bias_is_uniform() {
        let favoured: Vec<usize> = (0..20).collect();
        let rng = &mut Rng::from_u64(1);
        let uniform =
            Choice { nodes: 500, fanout: 3, favoured: &favoured, bias: 0.0, biased_rounds: 9 };
        let biased = Choice { bias: 1.0, biased_rounds: 4, ..uniform };
        let mean = |choice: &Choice<'_>, rng: &mut Rng| {
            (0..50).map(|_| spread(choice, rng).favoured).sum::<f64>() / 50.0
        };
        assert!(mean(&biased, rng) < mean(&uniform, rng) - 1.0);
    }

    #[test]
    fn the_articles_log_names_only_the_caller_so_it_never_biases() {
        let rng = &mut Rng::from_u64(2);
        let hits = |log: &[usize], rng: &mut Rng| {
            let picks = (0..1000).filter_map(|_| article_picks(0, 100, log, 1.0, 3, rng));
            picks.flatten().filter(|p| (1..=3).contains(p)).count()
        };
        assert!(hits(&[0], rng) < 200);
        assert_eq!(hits(&[1, 2, 3], rng), 3000);
        assert_eq!(article_picks(0, 3, &[0], 1.0, 3, rng), None, "3 of 2 candidates");
    }
}
