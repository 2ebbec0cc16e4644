//! Decides whether this is kept (rows N2, N3, N5): the writes of one client stand in its order.

use super::{Did, History, never_below};

/// A write after another of the key is above it, wherever the two meet.
pub fn monotonic_writes(history: &History) -> Result<(), String> {
    never_below(history, Did::Wrote, Did::Wrote, true, "monotonic writes")
}

#[cfg(test)]
mod tests {
    use super::super::act;
    use super::*;

    #[test]
    fn a_history_that_breaks_it_is_found() {
        let kept =
            vec![act(0, Did::Wrote, 1, 5), act(1, Did::Wrote, 1, 4), act(0, Did::Wrote, 1, 6)];
        assert_eq!(monotonic_writes(&History { acts: kept }), Ok(()));
        let broken = vec![act(0, Did::Wrote, 1, 5), act(0, Did::Wrote, 1, 4)];
        let found = monotonic_writes(&History { acts: broken }).unwrap_err();
        assert!(found.starts_with("monotonic writes: act 1 of client 0"), "{found}");
    }
}
