//! Decides how nodes come to the mean of a vector of numbers, so that nothing is counted twice or
//! lost with a packet or a node.
//!
//! Pairwise averaging (Jelasity, Montresor and Babaoglu 2005) over flows (Jesus, Baquero and Almeida
//! 2009): whoever is asked decides what flows between the two, remembers the total that has flowed
//! since the epoch began, and repeats that total however often it is asked. So an exchange has
//! happened on one side or on both, never half for good, and whoever dies takes along only its own.

use std::collections::BTreeMap;

use crate::base::id::NodeId;

/// The mean of all nodes' vectors, sought in one epoch.
#[derive(Clone, Debug)]
pub struct Averaging {
    /// What this node put in, less what has flowed out, plus what has flowed in.
    estimate: Vec<f64>,
    peers: BTreeMap<NodeId, Flows>,
}

/// What has flowed between this node and another, by who asked.
#[derive(Clone, Debug, Default)]
struct Flows {
    /// In the exchanges that this node began: what the other says has flowed in.
    begun: u64,
    waiting: bool,
    inflow: Vec<f64>,
    /// In the exchanges that the other began: what this node said has flowed out.
    answered: u64,
    outflow: Vec<f64>,
}

impl Averaging {
    pub fn new(own: Vec<f64>) -> Averaging {
        Averaging { estimate: own, peers: BTreeMap::new() }
    }

    pub fn estimate(&self) -> &[f64] {
        &self.estimate
    }

    /// Begins an exchange with a peer, or repeats the one that it has not answered; its number.
    pub fn begin(&mut self, peer: NodeId) -> u64 {
        let flows = self.peers.entry(peer).or_default();
        if !flows.waiting {
            flows.begun += 1;
            flows.waiting = true;
        }
        flows.begun
    }

    /// Answers a peer's exchange: all that has flowed to it since the epoch began. `None`: the
    /// exchange is older than the last one, or the vector of another length. `round` says what a
    /// number becomes on the wire, so that both sides count the same.
    pub fn answer(
        &mut self,
        peer: NodeId,
        exchange: u64,
        theirs: &[f64],
        round: impl Fn(f64) -> f64,
    ) -> Option<&[f64]> {
        if theirs.len() != self.estimate.len() {
            return None;
        }
        let flows = self.peers.entry(peer).or_default();
        if exchange < flows.answered {
            return None;
        }
        flows.outflow.resize(theirs.len(), 0.0);
        if exchange > flows.answered {
            flows.answered = exchange;
            for ((mine, theirs), flowed) in
                self.estimate.iter_mut().zip(theirs).zip(&mut flows.outflow)
            {
                let total = round(*flowed + (*mine - theirs) / 2.0);
                *mine -= total - *flowed;
                *flowed = total;
            }
        }
        Some(&flows.outflow)
    }

    /// Takes the answer to an exchange that this node began; by how much the estimates of the two
    /// differed. `None`: not waited for.
    pub fn settle(&mut self, peer: NodeId, exchange: u64, inflow: &[f64]) -> Option<Vec<f64>> {
        let flows = self.peers.get_mut(&peer)?;
        if !flows.waiting || flows.begun != exchange || inflow.len() != self.estimate.len() {
            return None;
        }
        flows.waiting = false;
        flows.inflow.resize(inflow.len(), 0.0);
        let mut differed = Vec::with_capacity(inflow.len());
        for ((mine, new), old) in self.estimate.iter_mut().zip(inflow).zip(&mut flows.inflow) {
            *mine += new - *old;
            differed.push(2.0 * (new - *old));
            *old = *new;
        }
        Some(differed)
    }

    /// A peer is gone: what it had of this node comes back, what this node has of it goes.
    pub fn forget(&mut self, peer: NodeId) {
        let Some(flows) = self.peers.remove(&peer) else { return };
        for (mine, flowed) in self.estimate.iter_mut().zip(&flows.inflow) {
            *mine -= flowed;
        }
        for (mine, flowed) in self.estimate.iter_mut().zip(&flows.outflow) {
            *mine += flowed;
        }
    }

    /// Peers that this node has exchanged with.
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Peers that have not answered yet.
    pub fn waiting(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.peers.iter().filter(|(_, flows)| flows.waiting).map(|(&peer, _)| peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn id(i: usize) -> NodeId {
        NodeId::from_u128(i as u128 + 1)
    }

    /// Each node begins one exchange a cycle; request and answer are each lost with probability
    /// `loss`, and what was not answered is asked again in the next cycle.
    fn cycle(nodes: &mut [Averaging], alive: &[usize], loss: f64, rng: &mut Rng) {
        for &at in alive {
            let mut peer = alive[rng.index(alive.len())];
            while peer == at {
                peer = alive[rng.index(alive.len())];
            }
            let again: Vec<NodeId> = nodes[at].waiting().take(2).collect();
            let again = again.into_iter().filter_map(|p| alive.iter().find(|&&i| id(i) == p));
            for peer in std::iter::once(peer).chain(again.copied().collect::<Vec<_>>()) {
                let exchange = nodes[at].begin(id(peer));
                if rng.chance(loss) {
                    continue;
                }
                let mine = nodes[at].estimate().to_vec();
                let answer =
                    nodes[peer].answer(id(at), exchange, &mine, |x| x).map(<[f64]>::to_vec);
                if let Some(answer) = answer.filter(|_| !rng.chance(loss)) {
                    nodes[at].settle(id(peer), exchange, &answer);
                }
            }
        }
    }

    fn start(n: usize, rng: &mut Rng) -> Vec<Averaging> {
        (0..n).map(|_| Averaging::new(vec![1.0 + rng.unit()])).collect()
    }

    fn spread(nodes: &[Averaging], alive: &[usize], mean: f64) -> (f64, f64) {
        let off = |i: &usize| (nodes[*i].estimate()[0] - mean).abs() / mean;
        let worst = alive.iter().map(off).fold(0.0, f64::max);
        let variance = alive.iter().map(|i| (nodes[*i].estimate()[0] - mean).powi(2)).sum::<f64>();
        (worst, variance / alive.len() as f64)
    }

    fn mean(nodes: &[Averaging], of: &[usize]) -> f64 {
        of.iter().map(|&i| nodes[i].estimate()[0]).sum::<f64>() / of.len() as f64
    }

    /// PAPERS 7: the variance falls to 1/(2 sqrt e) = 0.303 a cycle; all of 10,000 are within 1 % of
    /// the mean in ten cycles.
    #[test]
    fn the_variance_contracts_as_published() {
        let mut rng = Rng::from_u64(1);
        let all: Vec<usize> = (0..10_000).collect();
        let mut nodes = start(all.len(), &mut rng);
        let truth = mean(&nodes, &all);
        let (_, before) = spread(&nodes, &all, truth);
        for _ in 0..10 {
            cycle(&mut nodes, &all, 0.0, &mut rng);
        }
        let (worst, after) = spread(&nodes, &all, truth);
        let rate = (after / before).powf(0.1);
        assert!((0.293..=0.313).contains(&rate), "{rate} a cycle");
        assert!(worst <= 0.01, "{worst} off somewhere");
    }

    /// Loss slows averaging, it does not bias it: what is lost is asked again.
    #[test]
    fn loss_takes_no_mass() {
        let mut rng = Rng::from_u64(2);
        let all: Vec<usize> = (0..2_000).collect();
        let mut nodes = start(all.len(), &mut rng);
        let truth = mean(&nodes, &all);
        for _ in 0..40 {
            cycle(&mut nodes, &all, 0.3, &mut rng);
        }
        let (worst, _) = spread(&nodes, &all, truth);
        assert!(worst < 1e-3, "{worst} off at 30 % loss");
    }

    /// Row L5: a tenth dies in the midst; the rest comes to its own mean within 3 ln n cycles.
    #[test]
    fn the_dead_take_along_their_own_only() {
        let mut rng = Rng::from_u64(3);
        let n = 2_000;
        let all: Vec<usize> = (0..n).collect();
        let mut nodes = start(n, &mut rng);
        let own: Vec<f64> = nodes.iter().map(|node| node.estimate()[0]).collect();
        for _ in 0..6 {
            cycle(&mut nodes, &all, 0.1, &mut rng);
        }
        let (dead, alive) = all.split_at(n / 10);
        for &at in alive {
            dead.iter().for_each(|&gone| nodes[at].forget(id(gone)));
        }
        let truth = alive.iter().map(|&i| own[i]).sum::<f64>() / alive.len() as f64;
        let cycles = (3.0 * (n as f64).ln()) as usize;
        for _ in 0..cycles {
            cycle(&mut nodes, alive, 0.1, &mut rng);
        }
        let (worst, _) = spread(&nodes, alive, truth);
        assert!(worst <= 0.01, "{worst} off after {cycles} cycles");
    }

    #[test]
    fn repeated_and_late_packets_change_nothing() {
        let (mut a, mut b) = (Averaging::new(vec![8.0]), Averaging::new(vec![2.0]));
        let first = a.begin(id(1));
        assert_eq!(a.begin(id(1)), first, "not answered yet");
        let flow = b.answer(id(0), first, &[8.0], |x| x).unwrap().to_vec();
        assert_eq!(b.answer(id(0), first, &[8.0], |x| x), Some(&flow[..]));
        assert!(a.settle(id(1), first, &flow).is_some());
        assert!(a.settle(id(1), first, &flow).is_none());
        assert_eq!((a.estimate(), b.estimate()), (&[5.0][..], &[5.0][..]));
        let second = a.begin(id(1));
        b.answer(id(0), second, &[9.0], |x| x).unwrap();
        assert!(b.answer(id(0), first, &[8.0], |x| x).is_none(), "older than the last");
        assert!(b.answer(id(0), second + 1, &[1.0, 2.0], |x| x).is_none());
    }
}
