//! Decides whether all agrees in the end (row N1): without new writes all nodes come to show the same.

use std::collections::BTreeMap;

use super::Version;

/// `shown`: what each node shows, by key, when writes have stopped long enough.
pub fn eventual(shown: &[BTreeMap<u64, Version>]) -> Result<(), String> {
    for (node, pair) in shown.windows(2).enumerate() {
        if pair[0] != pair[1] {
            let differs = |key: &&u64| pair[0].get(key) != pair[1].get(key);
            let key = pair[0].keys().chain(pair[1].keys()).find(differs).expect("they differ");
            let next = node + 1;
            return Err(format!("eventual: nodes {node} and {next} differ in key {key}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Did, act};
    use super::*;

    #[test]
    fn nodes_that_stay_apart_are_found() {
        let version = |stamp| act(0, Did::Read, 0, stamp).version.unwrap();
        let one = BTreeMap::from([(1, version(5)), (2, version(6))]);
        assert_eq!(eventual(&[one.clone(), one.clone()]), Ok(()));
        let other = BTreeMap::from([(1, version(5))]);
        let found = eventual(&[one.clone(), one, other]).unwrap_err();
        assert_eq!(found, "eventual: nodes 1 and 2 differ in key 2");
    }
}
