//! Decides whether a history of one register is linearizable: some order of all operations that
//! keeps real time and in which each read returns the last write.

/// A finished operation of a client, with the times of its call and its return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) called: u64,
    pub(crate) returned: u64,
    pub(crate) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Write(u64),
    /// What was read; 0 is the initial value.
    Read(u64),
}

/// Tries all orders (Wing and Gong 1993): for short histories.
pub(crate) fn is_linearizable(history: &[Operation]) -> bool {
    fn goes_on(left: &[Operation], value: u64) -> bool {
        // Only what was called before every other operation returned may come first.
        let Some(first_return) = left.iter().map(|o| o.returned).min() else { return true };
        (0..left.len()).filter(|&i| left[i].called <= first_return).any(|i| {
            let mut rest = left.to_vec();
            match rest.remove(i).action {
                Action::Write(new) => goes_on(&rest, new),
                Action::Read(seen) => seen == value && goes_on(&rest, value),
            }
        })
    }
    goes_on(history, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(called: u64, returned: u64, action: Action) -> Operation {
        Operation { called, returned, action }
    }

    #[test]
    fn a_read_after_a_write_sees_it_and_one_beside_it_may() {
        let write = op(1, 2, Action::Write(7));
        assert!(is_linearizable(&[write, op(3, 4, Action::Read(7))]));
        assert!(!is_linearizable(&[write, op(3, 4, Action::Read(0))]));
        for seen in [0, 7] {
            assert!(is_linearizable(&[op(1, 5, Action::Write(7)), op(2, 4, Action::Read(seen))]));
        }
    }

    #[test]
    fn a_value_that_was_seen_does_not_go_away() {
        let write = op(1, 9, Action::Write(7));
        let reads = |a, b| [write, op(2, 3, Action::Read(a)), op(4, 5, Action::Read(b))];
        assert!(is_linearizable(&reads(0, 7)));
        assert!(!is_linearizable(&reads(7, 0)));
    }
}
