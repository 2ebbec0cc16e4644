//! Decides whether this is kept (rows N2, N3, N5): whoever has read a key never reads an older state of it.

use super::{Did, History, never_below};

/// A read after another of the key is no older.
pub fn monotonic_reads(history: &History) -> Result<(), String> {
    never_below(history, Did::Read, Did::Read, false, "monotonic reads")
}

#[cfg(test)]
mod tests {
    use super::super::act;
    use super::*;

    #[test]
    fn a_history_that_breaks_it_is_found() {
        let kept = vec![act(0, Did::Read, 1, 0), act(0, Did::Read, 1, 5), act(0, Did::Read, 2, 3)];
        assert_eq!(monotonic_reads(&History { acts: kept }), Ok(()));
        let broken = vec![act(0, Did::Read, 1, 5), act(0, Did::Read, 1, 0)];
        let found = monotonic_reads(&History { acts: broken }).unwrap_err();
        assert!(found.starts_with("monotonic reads: act 1 of client 0"), "{found}");
    }
}
