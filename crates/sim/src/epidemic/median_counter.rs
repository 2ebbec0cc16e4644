//! Decides how a rumour spreads under the median-counter rule of Karp, Schindelhauer, Shenker and
//! Vöcking 2000: all call one partner in each round and news goes both ways, until a site that
//! meets enough sites as far as itself goes quiet.
//!
//! States: A (does not know), B-1 to B-max (spreads), C (spreads for some rounds more), D (quiet).
//! A site judges its contacts by their state at the start of the round. An A that hears from a C
//! becomes C, one that hears from Bs only becomes B-1. A B that meets a C or a D becomes C;
//! otherwise, if most of those it meets are Bs at least as far as itself, it moves on by one, and
//! from B-max to C. (Where the paper leaves a choice, these reproduce the figures of PAPERS 2.1.)

use tidings_proto::base::rng::Rng;

use super::ROUNDS_MAX;
use super::draw::below;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MedianCounter {
    /// 2 to 2^32 - 1.
    pub nodes: u32,
    /// The last B; the paper's ctr_max, O(ln ln n).
    pub counter_max: u8,
    /// Rounds in C; O(ln ln n). Together with the above at most 250.
    pub quiet_after: u8,
}

/// What one run did until nobody spread the rumour any more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// How many never heard it.
    pub missed: u32,
    /// Transmissions over the number of nodes.
    pub messages_per_node: f64,
    /// Round in which the last that heard it did.
    pub t_last: f64,
}

#[derive(Clone, Copy, Default)]
struct Site {
    /// 0 is A, then the Bs, then one for each round of C, then D.
    stage: u8,
    /// In this round: heard from a B, heard from a C, met a D.
    heard_b: bool,
    heard_c: bool,
    met_d: bool,
    /// Bs met that are at least as far, less all others met.
    ahead: i32,
}

impl MedianCounter {
    pub fn run(&self, rng: &mut Rng) -> Outcome {
        let mut sites = vec![Site::default(); self.nodes as usize];
        sites[below(rng, self.nodes) as usize].stage = 1;
        let (mut missed, mut spreading, mut sent) = (self.nodes - 1, 1, 0);
        let (mut round, mut last) = (0, 0);
        while spreading > 0 && round < ROUNDS_MAX {
            round += 1;
            sent += self.calls(rng, &mut sites);
            spreading = 0;
            for site in &mut sites {
                let knew = site.stage > 0;
                self.judge(site);
                spreading += u32::from(self.spreads(site.stage));
                if !knew && site.stage > 0 {
                    missed -= 1;
                    last = round;
                }
            }
        }
        let messages_per_node = sent as f64 / f64::from(self.nodes);
        Outcome { missed, messages_per_node, t_last: last as f64 }
    }

    /// Each calls one other; returns the transmissions.
    fn calls(&self, rng: &mut Rng, sites: &mut [Site]) -> u64 {
        let mut sent = 0;
        for caller in 0..self.nodes {
            let drawn = below(rng, self.nodes - 1);
            let partner = drawn + u32::from(drawn >= caller);
            let (a, b) = (sites[caller as usize].stage, sites[partner as usize].stage);
            self.meet(&mut sites[partner as usize], a);
            self.meet(&mut sites[caller as usize], b);
            sent += u64::from(self.spreads(a)) + u64::from(self.spreads(b));
        }
        sent
    }

    fn spreads(&self, stage: u8) -> bool {
        stage > 0 && stage <= self.counter_max + self.quiet_after
    }

    fn meet(&self, site: &mut Site, other: u8) {
        let is_b = (1..=self.counter_max).contains(&other);
        site.ahead += if is_b && other >= site.stage { 1 } else { -1 };
        site.heard_b |= is_b;
        site.heard_c |= !is_b && self.spreads(other);
        site.met_d |= other > self.counter_max + self.quiet_after;
    }

    fn judge(&self, site: &mut Site) {
        let first_c = self.counter_max + 1;
        let stage = match site.stage {
            0 if site.heard_c => first_c,
            0 => u8::from(site.heard_b),
            b if b < first_c && (site.heard_c || site.met_d) => first_c,
            b if b < first_c => b + u8::from(site.ahead > 0),
            c_or_d => c_or_d + u8::from(self.spreads(c_or_d)),
        };
        *site = Site { stage, ..Site::default() };
    }
}
