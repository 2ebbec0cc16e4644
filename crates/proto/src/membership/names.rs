//! Decides who holds a name when several live members claim it: a total order over their records,
//! so that every node computes the same holder, and a loser that the holder answers withdraws by itself.

use super::facts::Facts;

/// True if `a` holds the name rather than `b`: one that names the other in `replaces`, else the
/// one accepted earlier, else the one with the smaller id.
pub fn holds_against(a: &Facts, b: &Facts) -> bool {
    if a.replaces == Some(b.id) {
        return true;
    }
    if b.replaces == Some(a.id) {
        return false;
    }
    (a.accepted, a.id) < (b.accepted, b.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clocks::Hlc;
    use crate::base::id::NodeId;
    use std::collections::BTreeMap;

    #[test]
    fn exactly_one_of_two_holds() {
        let make = |id, at, replaces: Option<u128>| {
            let addr = "127.0.0.1:1".parse().unwrap();
            let replaces = replaces.map(NodeId::from_u128);
            Facts::new(NodeId::from_u128(id), "n", addr, 0, Hlc(at), replaces, &BTreeMap::new())
                .unwrap()
        };
        for (a, b, holder) in [
            (make(1, 5, None), make(2, 6, None), 1),
            (make(1, 5, None), make(2, 6, Some(1)), 2),
            (make(1, 5, None), make(2, 5, None), 1),
        ] {
            assert_ne!(holds_against(&a, &b), holds_against(&b, &a));
            let winner = if holds_against(&a, &b) { a.id } else { b.id };
            assert_eq!(winner, NodeId::from_u128(holder));
        }
    }
}
