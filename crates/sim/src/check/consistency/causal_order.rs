//! Decides whether order is kept (row N4): whoever sees a write sees all that its writer had seen, or what replaced it.

use std::collections::BTreeMap;

use super::{Past, Version};

/// `seen`: all that one node shows at one moment, by key, each with what its writer had seen.
pub fn causal_order(seen: &BTreeMap<u64, (Version, &Past)>) -> Result<(), String> {
    for (effect, (version, past)) in seen {
        for (cause, known) in *past {
            let shown = seen.get(cause).map(|(shown, _)| *shown);
            if shown < Some(*known) {
                return Err(format!(
                    "causal order: key {effect} shows {version:?}, whose writer had seen {known:?} \
                     of key {cause}, which shows {shown:?}"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Did, act};
    use super::*;

    #[test]
    fn an_effect_without_its_cause_is_found() {
        let version = |stamp| act(0, Did::Read, 0, stamp).version.unwrap();
        let (nothing, after) = (Past::new(), Past::from([(1, version(5))]));
        let mut seen = BTreeMap::from([(1, (version(6), &nothing)), (2, (version(7), &after))]);
        assert_eq!(causal_order(&seen), Ok(()), "the cause was replaced by a later one");
        seen.insert(1, (version(4), &nothing));
        assert!(causal_order(&seen).unwrap_err().starts_with("causal order: key 2"));
        seen.remove(&1);
        assert!(causal_order(&seen).is_err(), "the cause is not there at all");
    }
}
