//! Decides how likely it is that everybody has what was told before a quiet spell: a count of rounds
//! with its probability, by the recurrence of `flow::forecast`. No proof: that is a certificate.

use std::time::Duration;

use crate::flow::forecast::Rounds;

/// By so many rounds a forecast of pushes may be low (`flow::forecast`, PAPERS 2.3).
const FORECAST_LOW: u32 = 1;

/// Rounds without news after which, with probability `p`, everything that was first told before
/// them is everywhere. Whoever has heard nothing new for as many rounds as news takes to reach all
/// either has heard what was told before, or is the one that the tail of the forecast leaves out.
/// It holds for every member, the writer itself included; others hear it later and wait for longer.
pub fn rounds_needed(rounds: Rounds, p: f64) -> u32 {
    rounds.quantile(p) + FORECAST_LOW
}

/// What a quiet spell of so many rounds says, the other way round: never more than `p` where it is
/// shorter than `rounds_needed(p)`.
pub fn probability(rounds: Rounds, quiet: u32) -> f64 {
    let Some(counted) = quiet.checked_sub(FORECAST_LOW) else { return 0.0 };
    let unaware = rounds.unaware().nth(counted as usize).unwrap_or(0.0);
    libm::exp(-unaware)
}

/// Rumours alone leave out somebody with at most this probability: each of `nodes` is sent `sends`
/// copies in the mean, of which a share is lost, and hears none with e^-copies (Demers et al. 1987).
pub fn left_out(rounds: Rounds, sends: u32) -> f64 {
    let copies = f64::from(sends) * (1.0 - rounds.loss);
    (rounds.nodes as f64 * libm::exp(-copies)).min(1.0)
}

/// A quiet spell and what it is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quiet {
    /// Since members or state changed here last.
    pub lasted: Duration,
    pub rounds: u32,
    /// Rounds from which on `likely` holds.
    pub rounds_needed: u32,
    /// That all that was told before is everywhere.
    pub probability: f64,
    /// The spell is long enough for [`LIKELY`].
    pub likely: bool,
}

/// The probability that is called likely.
pub const LIKELY: f64 = 0.99;
/// Taken for lost: a share of datagrams that few networks reach.
pub const LOSS_ASSUMED: f64 = 0.1;

/// What a node says that has had no news for `lasted`, in rounds of `tick`.
pub fn quiet(rounds: Rounds, sends: u32, lasted: Duration, tick: Duration) -> Quiet {
    let passed = (lasted.as_nanos() / tick.as_nanos().max(1)).min(1_000_000) as u32;
    let left_out = left_out(rounds, sends);
    let probability = (probability(rounds, passed) - left_out).max(0.0);
    let needed = rounds_needed(rounds, (LIKELY + left_out).min(1.0 - 1e-9));
    let likely = passed >= needed && probability >= LIKELY;
    Quiet { lasted, rounds: passed, rounds_needed: needed, probability, likely }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// Synchronous rounds of push from one node; a watcher claims convergence at its first `needed`
    /// quiet rounds. Returns whether somebody did not know then. Hardest for the writer itself,
    /// whose spell begins with the write.
    fn claims_wrongly(rounds: Rounds, needed: u32, watcher: usize, rng: &mut Rng) -> bool {
        let n = rounds.nodes as usize;
        let mut knows = vec![false; n];
        knows[0] = true;
        let mut quiet = 0;
        while quiet < needed {
            let told = knows.clone();
            for caller in (0..n).filter(|&i| told[i]) {
                let mut called = vec![caller];
                while called.len() <= rounds.fanout as usize {
                    let peer = rng.index(n);
                    if !called.contains(&peer) {
                        called.push(peer);
                        knows[peer] |= !rng.chance(rounds.loss);
                    }
                }
            }
            let heard = knows[watcher] && !told[watcher];
            quiet = if heard { 0 } else { quiet + 1 };
        }
        knows.contains(&false)
    }

    /// G3: over 4,800 runs no more wrong claims than stated, up to chance, and not by waiting for
    /// much longer than it takes.
    #[test]
    fn claims_are_wrong_no_more_often_than_stated() {
        let mut rng = Rng::from_u64(4);
        for (nodes, fanout, loss, p) in
            [(50, 3, 0.1, 0.9), (100, 2, 0.3, 0.95), (30, 1, 0.0, 0.9), (60, 4, 0.0, 0.5)]
        {
            let rounds = Rounds { nodes, fanout, loss, pushes: true, pulls: false };
            let needed = rounds_needed(rounds, p);
            let runs = 600;
            let mut rate = |needed, watcher| {
                let wrong =
                    (0..runs).filter(|_| claims_wrongly(rounds, needed, watcher, &mut rng)).count();
                wrong as f64 / runs as f64
            };
            let (writer, other) = (rate(needed, 0), rate(needed, 7));
            let stated = 1.0 - p;
            let chance = 3.0 * (stated * p / runs as f64).sqrt();
            println!(
                "{nodes} nodes, k {fanout}, loss {loss}: {needed} rounds, wrong {writer:.3} of {stated:.2} stated, others {other:.3}"
            );
            assert!(writer <= stated + chance, "{rounds:?}: {writer} wrong, {stated} stated");
            assert!(other <= writer + chance, "{rounds:?}: {other} wrong for others");
            let hasty = rate(needed - 3, 0);
            assert!(hasty > stated, "{rounds:?}: {hasty} wrong three rounds sooner");
        }
    }

    #[test]
    fn a_longer_spell_is_worth_more_and_says_no_more_than_it_may() {
        let rounds = Rounds { nodes: 1000, fanout: 3, loss: 0.1, pushes: true, pulls: false };
        let worth: Vec<f64> = (0..30).map(|quiet| probability(rounds, quiet)).collect();
        assert!(worth.windows(2).all(|w| w[0] <= w[1]) && worth[0] == 0.0 && worth[29] > 0.999_999);
        for p in [0.5, 0.9, 0.99, 0.999] {
            let needed = rounds_needed(rounds, p);
            assert!(worth[needed as usize] >= p && worth[needed as usize - 1] < p, "{p}: {needed}");
        }
        assert_eq!(rounds_needed(rounds, 0.99), 11);
        let tick = Duration::from_millis(200);
        assert!(!quiet(rounds, 18, tick * 10, tick).likely);
        let long = quiet(rounds, 18, tick * 1000, tick);
        assert!(long.likely && long.probability < 1.0 - 9e-5, "{long:?}");
        assert!(!quiet(rounds, 5, tick * 1000, tick).likely, "too few sends leave somebody out");
    }
}
