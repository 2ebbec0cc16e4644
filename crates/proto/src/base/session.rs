//! Decides what a session remembers: for each writer, up to which of its writes the session has
//! read or written. A replica that covers all of it may answer the session (Terry et al. 1994).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::clocks::{Dot, VersionVector};
use super::id::NodeId;

/// What one client has read and written, whichever nodes it asked. One pair per writer stands for
/// all writes of that writer up to the number.
///
/// As text: `ORIGIN:SEQ,ORIGIN:SEQ@MS`, at most [`SESSION_TEXT_MAX`] bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    pairs: BTreeMap<NodeId, u64>,
    /// Wall time of its last use in milliseconds since 1970; 0: never used.
    used_ms: u64,
}

/// Writers that a session remembers. More: the read or write that would add one is refused, and the
/// client starts a new session.
pub const SESSION_WRITERS_MAX: usize = 32;
/// How long a session lives without being used: a day. Older: refused, as its writers may be
/// forgotten.
pub const SESSION_AGE_MS_MAX: u64 = 86_400_000;
/// The longest text of a session.
pub const SESSION_TEXT_MAX: usize = 2048;

impl Session {
    pub fn new() -> Session {
        Session::default()
    }

    /// Remembers a write that was read or made. False: it has too many writers already, and
    /// remembers what it did before.
    pub fn add(&mut self, dot: Dot) -> bool {
        if !self.has_room(dot.origin) {
            return false;
        }
        let known = self.pairs.entry(dot.origin).or_default();
        *known = dot.seq.max(*known);
        true
    }

    /// Whether it can remember a write of this writer.
    pub fn has_room(&self, origin: NodeId) -> bool {
        self.pairs.len() < SESSION_WRITERS_MAX || self.pairs.contains_key(&origin)
    }

    /// Notes that it was used now.
    pub fn used(&mut self, wall_ms: u64) {
        self.used_ms = self.used_ms.max(wall_ms);
    }

    /// Whether it was last used so long ago that the writers it names may be forgotten.
    pub fn is_expired(&self, wall_ms: u64) -> bool {
        self.used_ms > 0 && wall_ms.saturating_sub(self.used_ms) > SESSION_AGE_MS_MAX
    }

    /// What a replica with this vector has not applied.
    pub fn missing(&self, vector: &VersionVector) -> Vec<Dot> {
        self.dots().filter(|dot| vector.upto(dot.origin) < dot.seq).collect()
    }

    pub fn is_covered(&self, vector: &VersionVector) -> bool {
        self.pairs.iter().all(|(&origin, &seq)| vector.upto(origin) >= seq)
    }

    /// The newest write of each writer.
    pub fn dots(&self) -> impl Iterator<Item = Dot> + '_ {
        self.pairs.iter().map(|(&origin, &seq)| Dot { origin, seq })
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (origin, seq)) in self.pairs.iter().enumerate() {
            write!(f, "{}{origin}:{seq}", if n > 0 { "," } else { "" })?;
        }
        write!(f, "@{}", self.used_ms)
    }
}

impl FromStr for Session {
    type Err = NotASession;

    fn from_str(text: &str) -> Result<Session, NotASession> {
        read(text).ok_or_else(|| NotASession { text: text.chars().take(SHOWN).collect() })
    }
}

fn read(text: &str) -> Option<Session> {
    let (pairs, used_ms) = text.rsplit_once('@').filter(|_| text.len() <= SESSION_TEXT_MAX)?;
    let mut session = Session { pairs: BTreeMap::new(), used_ms: number(used_ms)? };
    for pair in pairs.split(',').filter(|pair| !pair.is_empty()) {
        let (origin, seq) = pair.split_once(':')?;
        let dot = Dot { origin: NodeId::parse(origin)?, seq: number(seq).filter(|&n| n > 0)? };
        if !session.add(dot) {
            return None;
        }
    }
    Some(session)
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Characters of a bad session that its error repeats.
const SHOWN: usize = 64;

/// A text that is no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotASession {
    pub text: String,
}

impl fmt::Display for NotASession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "session {:?}: expected ORIGIN:SEQ,ORIGIN:SEQ@MS with at most {SESSION_WRITERS_MAX} \
             writers, as an answer gave it",
            self.text
        )
    }
}

impl std::error::Error for NotASession {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dot(origin: u128, seq: u64) -> Dot {
        Dot { origin: NodeId::from_u128(origin), seq }
    }

    proptest! {
        #[test]
        fn sessions_round_trip(pairs in proptest::collection::vec((any::<u128>(), 1u64..), 0..40), ms: u64) {
            let mut session = Session::new();
            for (origin, seq) in pairs {
                session.add(dot(origin, seq));
            }
            session.used(ms);
            let text = session.to_string();
            prop_assert!(text.len() <= SESSION_TEXT_MAX);
            prop_assert_eq!(text.parse(), Ok(session));
        }

        #[test]
        fn any_text_is_a_session_or_an_error(text: String) {
            if let Ok(session) = text.parse::<Session>() {
                prop_assert_eq!(session.to_string().parse(), Ok(session));
            }
        }
    }

    /// One number stands for all below it: a hole below it is missing too.
    #[test]
    fn a_replica_with_a_hole_does_not_cover_what_lies_above_it() {
        let mut session = Session::new();
        session.add(dot(1, 3));
        session.add(dot(1, 2));
        let mut vector = VersionVector::default();
        vector.add_range(NodeId::from_u128(1), 1, 1);
        vector.add(dot(1, 3));
        assert_eq!(session.missing(&vector), [dot(1, 3)]);
        vector.add(dot(1, 2));
        assert!(session.is_covered(&vector));
    }

    #[test]
    fn writers_and_age_are_bounded() {
        let mut session = Session::new();
        let all = (0..SESSION_WRITERS_MAX as u128).all(|n| session.add(dot(n, u64::MAX)));
        assert!(all && !session.add(dot(1 << 100, 1)) && session.add(dot(3, 9)));
        assert!(!session.is_expired(u64::MAX), "never used");
        session.used(5);
        assert!(!session.is_expired(5 + SESSION_AGE_MS_MAX));
        assert!(session.is_expired(6 + SESSION_AGE_MS_MAX));
    }
}
