//! Decides whether this is kept (rows N2, N3, N5): whoever has written a key reads that write or a later one.

use super::{Did, History, never_below};

/// A read after an own write of the key is no older than it.
pub fn read_your_writes(history: &History) -> Result<(), String> {
    never_below(history, Did::Wrote, Did::Read, false, "read your writes")
}

#[cfg(test)]
mod tests {
    use super::super::act;
    use super::*;

    #[test]
    fn a_history_that_breaks_it_is_found() {
        let kept = vec![act(0, Did::Wrote, 1, 5), act(1, Did::Read, 1, 0), act(0, Did::Read, 1, 6)];
        assert_eq!(read_your_writes(&History { acts: kept }), Ok(()));
        let broken = vec![act(0, Did::Wrote, 1, 5), act(0, Did::Read, 1, 4)];
        let found = read_your_writes(&History { acts: broken }).unwrap_err();
        assert!(found.starts_with("read your writes: act 1 of client 0"), "{found}");
    }
}
