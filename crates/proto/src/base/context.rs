//! Decides what of a key's history a value includes: for each writer, up to which of its writes.
//! A writer's value holds all that it wrote before, so one number stands for all below it.

/// Names one write, as a dot does; the short form of the node's id keeps a context of five writers
/// under 60 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShortDot {
    pub writer: u64,
    pub seq: u64,
}

/// A version vector over the writers of one key, ascending by writer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context(Vec<(u64, u64)>);

impl Context {
    pub fn upto(&self, writer: u64) -> u64 {
        self.0.binary_search_by_key(&writer, |w| w.0).map_or(0, |at| self.0[at].1)
    }

    pub fn covers(&self, dot: ShortDot) -> bool {
        dot.seq <= self.upto(dot.writer)
    }

    /// True if everything in `other` is in here.
    pub fn includes(&self, other: &Context) -> bool {
        other.0.iter().all(|&(writer, seq)| self.upto(writer) >= seq)
    }

    pub fn add(&mut self, dot: ShortDot) {
        match self.0.binary_search_by_key(&dot.writer, |w| w.0) {
            Ok(at) => self.0[at].1 = self.0[at].1.max(dot.seq),
            Err(at) => self.0.insert(at, (dot.writer, dot.seq)),
        }
    }

    pub fn join(&mut self, other: &Context) {
        for &(writer, seq) in &other.0 {
            self.add(ShortDot { writer, seq });
        }
    }

    pub fn dots(&self) -> impl Iterator<Item = ShortDot> + '_ {
        self.0.iter().map(|&(writer, seq)| ShortDot { writer, seq })
    }

    /// From ascending pairs; `None` where they are not, or a number is 0.
    pub fn from_pairs(pairs: Vec<(u64, u64)>) -> Option<Context> {
        let ascend = pairs.windows(2).all(|w| w[0].0 < w[1].0);
        (ascend && pairs.iter().all(|&(_, seq)| seq > 0)).then_some(Context(pairs))
    }

    /// The writer at this place, with its number.
    pub fn at(&self, place: usize) -> Option<(u64, u64)> {
        self.0.get(place).copied()
    }

    /// The place of a writer, with its number.
    pub fn place_of(&self, writer: u64) -> Option<(usize, u64)> {
        let place = self.0.binary_search_by_key(&writer, |w| w.0).ok()?;
        Some((place, self.0[place].1))
    }

    pub fn writers(&self) -> usize {
        self.0.len()
    }
}
