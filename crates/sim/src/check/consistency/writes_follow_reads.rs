//! Decides whether this is kept (rows N2, N3, N5): a write stands above what its client had read.

use super::{Did, History, never_below};

/// A write after a read of the key is above what was read.
pub fn writes_follow_reads(history: &History) -> Result<(), String> {
    never_below(history, Did::Read, Did::Wrote, true, "writes follow reads")
}

#[cfg(test)]
mod tests {
    use super::super::act;
    use super::*;

    #[test]
    fn a_history_that_breaks_it_is_found() {
        let kept =
            vec![act(0, Did::Read, 1, 5), act(1, Did::Wrote, 1, 4), act(0, Did::Wrote, 1, 6)];
        assert_eq!(writes_follow_reads(&History { acts: kept }), Ok(()));
        let broken = vec![act(0, Did::Read, 1, 5), act(0, Did::Wrote, 1, 5)];
        let found = writes_follow_reads(&History { acts: broken }).unwrap_err();
        assert!(found.starts_with("writes follow reads: act 1 of client 0"), "{found}");
    }
}
