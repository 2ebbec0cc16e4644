//! Decides what is remembered of the states that peers hold: the fingerprint of each as it last said
//! it on a probe, so that an operator sees how many hold which. Four bytes a member, one
//! assignment a packet.

use std::collections::BTreeMap;

/// The lower halves of fingerprints, by place in the table of members: two states that differ are
/// taken for one by a chance of 2^-32.
#[derive(Debug, Default)]
pub struct Held {
    prints: Vec<u32>,
}

/// Stands for a member that has not said it yet, and for one state of 2^32.
const UNHEARD: u32 = u32::MAX;

/// How many members hold which state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Largest group first; each by the lower half of its fingerprint.
    pub groups: Vec<(u32, usize)>,
    /// Members that have not said it yet.
    pub unheard: usize,
}

impl Held {
    /// `places`: how many the table has.
    pub fn note(&mut self, place: usize, places: usize, print: u64) {
        if self.prints.len() < places {
            self.prints.reserve_exact(places - self.prints.len());
            self.prints.resize(places, UNHEARD);
        }
        self.prints[place] = print as u32;
    }

    /// Somebody else has this place now.
    pub fn forget(&mut self, place: usize) {
        if let Some(print) = self.prints.get_mut(place) {
            *print = UNHEARD;
        }
    }

    /// Groups of the members at `places`, and of a node that holds `own`.
    pub fn groups(&self, own: u64, places: impl Iterator<Item = usize>) -> Groups {
        let mut counts = BTreeMap::from([(own as u32, 1)]);
        let mut unheard = 0;
        for place in places {
            match self.prints.get(place) {
                None | Some(&UNHEARD) => unheard += 1,
                Some(&print) => *counts.entry(print).or_default() += 1,
            }
        }
        let mut groups: Vec<(u32, usize)> = counts.into_iter().collect();
        groups.sort_by_key(|&(print, members)| (std::cmp::Reverse(members), print));
        Groups { groups, unheard }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_grouped_by_what_they_said_last() {
        let mut held = Held::default();
        for (place, print) in [(1, 7), (2, 0), (3, 9), (1, 9), (4, 5)] {
            held.note(place, 6, print);
        }
        held.forget(4);
        let groups = held.groups(9, 1..6);
        assert_eq!(groups, Groups { groups: vec![(9, 3), (0, 1)], unheard: 2 });
    }
}
