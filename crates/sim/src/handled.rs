//! Decides what an input was about, so that a run can say what its nodes were busy with (row T9):
//! how many inputs of each cause there were, and how long they took where somebody lends a watch.

use tidings_proto::io::Input;
use tidings_proto::wire::frame::kind;
use tidings_proto::wire::packet::HEADER_BYTES;

/// Nanoseconds from any start. The simulator has no clock of its own; what this says changes no trace.
pub type Stopwatch = fn() -> u64;

/// Inputs that all nodes handled, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handled {
    pub inputs: [u64; Handled::CAUSES.len()],
    /// Nanoseconds spent on them, outputs included; zero without a watch.
    pub nanoseconds: [u64; Handled::CAUSES.len()],
}

impl Handled {
    /// In the order of the arrays. Packets count by their first frame: a probe carries rumours along.
    pub const CAUSES: [&str; 8] =
        ["timers", "probe", "rumours", "join", "digest", "delta", "answers", "other"];

    pub(crate) fn add(&mut self, cause: usize, nanoseconds: u64) {
        self.inputs[cause] += 1;
        self.nanoseconds[cause] += nanoseconds;
    }

    /// The place of this input's cause.
    pub(crate) fn cause(input: &Input<'_>) -> usize {
        match input {
            Input::Tick => 0,
            Input::Datagram { bytes, .. } => match first_frame(bytes) {
                kind::PING..=kind::NOT_ME => 1,
                _ => 2,
            },
            Input::Request { bytes, .. } => match first_frame(bytes) {
                kind::PING => 1,
                kind::JOIN => 3,
                kind::MEMBER_DIGEST | kind::VECTOR_REQUEST => 4,
                _ => 5,
            },
            Input::Response { .. } => 6,
            _ => 7,
        }
    }
}

fn first_frame(bytes: &[u8]) -> u8 {
    bytes.get(HEADER_BYTES).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_place() {
        let packet = |frame: u8| {
            let mut bytes = vec![0; HEADER_BYTES];
            bytes.push(frame);
            bytes
        };
        let from = "10.0.0.1:1".parse().expect("an address");
        let datagram = |frame| {
            let bytes = packet(frame);
            Handled::CAUSES[Handled::cause(&Input::Datagram { from, sender: None, bytes: &bytes })]
        };
        assert_eq!(Handled::CAUSES[Handled::cause(&Input::Tick)], "timers");
        assert_eq!([kind::PING, kind::ACK, kind::NOT_ME].map(datagram), ["probe"; 3]);
        assert_eq!([kind::MEMBER, kind::ENTRY].map(datagram), ["rumours"; 2]);
    }
}
