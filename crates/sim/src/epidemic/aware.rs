//! Decides how it is remembered who knows: one bit a node.

#[derive(Clone)]
pub(super) struct Aware {
    words: Vec<u64>,
    nodes: u32,
    left: u32,
}

impl Aware {
    pub(super) fn new(nodes: u32) -> Aware {
        Aware { words: vec![0; nodes.div_ceil(64) as usize], nodes, left: nodes }
    }

    pub(super) fn knows(&self, node: u32) -> bool {
        self.words[(node / 64) as usize] >> (node % 64) & 1 == 1
    }

    pub(super) fn learn(&mut self, node: u32) {
        let word = &mut self.words[(node / 64) as usize];
        let bit = 1 << (node % 64);
        self.left -= u32::from(*word & bit == 0);
        *word |= bit;
    }

    /// How many do not know.
    pub(super) fn left(&self) -> u32 {
        self.left
    }

    /// All who know, or all who do not, ascending.
    pub(super) fn those(&self, know: bool) -> impl Iterator<Item = u32> {
        let flip = if know { 0 } else { u64::MAX };
        let ones =
            self.words.iter().zip(0..).flat_map(move |(word, at)| Ones(word ^ flip, at * 64));
        ones.take_while(|&node| node < self.nodes)
    }

    pub(super) fn copy_from(&mut self, other: &Aware) {
        self.words.copy_from_slice(&other.words);
        self.left = other.left;
    }
}

/// The numbers of the bits that are set, from a base.
struct Ones(u64, u32);

impl Iterator for Ones {
    type Item = u32;
    fn next(&mut self) -> Option<u32> {
        let bit = (self.0 != 0).then(|| self.0.trailing_zeros())?;
        self.0 &= self.0 - 1;
        Some(self.1 + bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_a_node() {
        let mut aware = Aware::new(130);
        for node in [0, 63, 64, 129, 129] {
            aware.learn(node);
        }
        assert_eq!(aware.left(), 126);
        assert_eq!(aware.those(true).collect::<Vec<_>>(), [0, 63, 64, 129]);
        assert_eq!(aware.those(false).count(), 126);
        assert!(aware.those(false).all(|n| n < 130 && !aware.knows(n)) && aware.knows(64));
    }
}
