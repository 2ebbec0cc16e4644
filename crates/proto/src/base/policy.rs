//! Decides what can be declared of a keyspace: what its values are, what its readers are promised,
//! how long its keys live, how its news travels. Nothing here says "strong": gossip has no such promise to give.

use std::fmt;

use super::operation::Kind;

/// The keyspace that always exists, as it is Consul's.
pub const DEFAULT_KEYSPACE: &str = "kv";
/// Where declarations are kept, one key a keyspace.
pub const POLICIES: &str = ".keyspaces";

/// Names that begin so are the nodes' own: users read them and do not write them.
pub fn is_reserved(keyspace: &str) -> bool {
    keyspace.starts_with('.')
}

/// What the keys of a keyspace may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Values {
    /// Anything; a key keeps the kind of its first write.
    #[default]
    Any,
    /// Plain values: the last writer wins.
    Plain,
    /// Values of one kind that merges.
    Merging(Kind),
}

impl Values {
    pub fn as_str(self) -> &'static str {
        match self {
            Values::Any => "any",
            Values::Plain => "lww",
            Values::Merging(kind) => kind.as_str(),
        }
    }

    pub fn parse(text: &str) -> Option<Values> {
        match text {
            "any" => Some(Values::Any),
            "lww" => Some(Values::Plain),
            other => Kind::parse(other).map(Values::Merging),
        }
    }

    /// Whether a write of this kind (`None`: a plain value) may be made.
    pub fn admit(self, kind: Option<Kind>) -> bool {
        match self {
            Values::Any => true,
            Values::Plain => kind.is_none(),
            Values::Merging(own) => kind == Some(own),
        }
    }
}

/// What readers of a keyspace are promised without a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// All replicas become equal once writes stop.
    #[default]
    Eventual,
    /// Besides, nobody sees an effect before its cause (Lloyd et al. 2011, COPS).
    Causal,
}

impl Consistency {
    pub fn as_str(self) -> &'static str {
        match self {
            Consistency::Eventual => "eventual",
            Consistency::Causal => "causal",
        }
    }
}

/// How news of a keyspace travels (Demers et al. 1987, 1.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Who has news tells it: quick, and each node hears it several times.
    #[default]
    Push,
    /// Who asks is told: each node hears it about once, some intervals later. For what can wait.
    Pull,
    /// Both: the few that were not told ask.
    PushPull,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Push, Mode::Pull, Mode::PushPull];

    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Push => "push",
            Mode::Pull => "pull",
            Mode::PushPull => "push-pull",
        }
    }

    pub fn parse(text: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.as_str() == text)
    }

    /// Whether who has news tells it unasked.
    pub fn pushes(self) -> bool {
        self != Mode::Pull
    }

    /// Whether news is kept for who asks.
    pub fn pulls(self) -> bool {
        self != Mode::Push
    }
}

/// What is declared of a keyspace. Every node holds the same one, as it travels as an entry.
///
/// There is no strong one: a policy in text that asks for it is refused, and in code it cannot be
/// written down.
///
/// ```compile_fail
/// use tidings_proto::base::policy::{Consistency, Policy};
/// // transfer_funds: two balances, moved in one step, never below zero.
/// let policy = Policy { consistency: Consistency::Linearizable, ..Policy::default() };
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub values: Values,
    pub consistency: Consistency,
    /// Milliseconds that a key lives unless its write says otherwise; `None`: for ever.
    pub lifetime_ms: Option<u64>,
    pub mode: Mode,
    /// Members that read a key often are told of it first.
    pub hot: bool,
}

/// Promises that need agreement before an answer.
const STRONG: [&str; 7] = [
    "strong",
    "linearizable",
    "linearisable",
    "sequential",
    "serializable",
    "serialisable",
    "consistent",
];

impl Policy {
    /// Sets one word of a declaration: `kind`, `consistency`, `lifetime_ms`, `mode` or `hot`.
    pub fn set(&mut self, word: &str, value: &str) -> Result<(), PolicyError> {
        let refused = |expected: &'static str| PolicyError::Value {
            word: word.to_owned(),
            value: value.to_owned(),
            expected,
        };
        match word {
            "kind" => {
                self.values = Values::parse(value).ok_or_else(|| {
                    refused("any, lww, register, counter, set, flag, map, max or min")
                })?;
            }
            "consistency" => {
                self.consistency = match value {
                    "eventual" => Consistency::Eventual,
                    "causal" => Consistency::Causal,
                    strong if STRONG.contains(&strong) => {
                        return Err(PolicyError::Strong { asked: strong.to_owned() });
                    }
                    _ => return Err(refused("eventual or causal")),
                };
            }
            "lifetime_ms" => {
                let ms = value.parse().map_err(|_| refused("milliseconds; 0: for ever"))?;
                self.lifetime_ms = Some(ms).filter(|&ms| ms > 0);
            }
            "mode" => {
                self.mode = Mode::parse(value).ok_or_else(|| refused("push, pull or push-pull"))?;
            }
            "hot" => {
                self.hot = match value {
                    "on" => true,
                    "off" => false,
                    _ => return Err(refused("on or off")),
                };
            }
            _ => return Err(PolicyError::Word { word: word.to_owned() }),
        }
        Ok(())
    }

    /// What a node keeps of a declaration, `WORD=VALUE` with blanks between. Words of later
    /// versions are skipped; `None`: a word that is known has a value that is not.
    pub fn read(text: &str) -> Option<Policy> {
        let mut policy = Policy::default();
        for pair in text.split_ascii_whitespace() {
            let (word, value) = pair.split_once('=')?;
            match policy.set(word, value) {
                Ok(()) | Err(PolicyError::Word { .. }) => {}
                Err(_) => return None,
            }
        }
        Some(policy)
    }
}

/// As it is kept and read back by [`Policy::read`].
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (values, consistency) = (self.values.as_str(), self.consistency.as_str());
        let lifetime = self.lifetime_ms.unwrap_or(0);
        write!(f, "kind={values} consistency={consistency} lifetime_ms={lifetime}")?;
        if self.mode != Mode::Push {
            write!(f, " mode={}", self.mode.as_str())?;
        }
        if self.hot { f.write_str(" hot=on") } else { Ok(()) }
    }
}

/// Why a declaration is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    Word {
        word: String,
    },
    Value {
        word: String,
        value: String,
        expected: &'static str,
    },
    /// It needs consensus, which gossip does not have (row N6).
    Strong {
        asked: String,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyError::Word { word } => {
                write!(f, "{word:?}: expected kind, consistency, lifetime_ms, mode or hot")
            }
            PolicyError::Value { word, value, expected } => {
                write!(f, "{word} {value:?}: expected {expected}")
            }
            PolicyError::Strong { asked } => write!(
                f,
                "consistency {asked:?} needs consensus: gossip promises eventual or causal, and no \
                 consensus provider is attached; see docs/gossip-or-consensus.md"
            ),
        }
    }
}

impl std::error::Error for PolicyError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn policies_round_trip(values in 0usize..9, causal: bool, ms: Option<u64>, mode in 0usize..3, hot: bool) {
            let values = match values {
                0 => Values::Any,
                1 => Values::Plain,
                n => Values::Merging(Kind::ALL[n - 2]),
            };
            let consistency = if causal { Consistency::Causal } else { Consistency::Eventual };
            let lifetime_ms = ms.filter(|&ms| ms > 0);
            let policy = Policy { values, consistency, lifetime_ms, mode: Mode::ALL[mode], hot };
            prop_assert_eq!(Policy::read(&policy.to_string()), Some(policy));
        }

        #[test]
        fn any_text_is_a_policy_or_none(text: String) {
            if let Some(policy) = Policy::read(&text) {
                prop_assert_eq!(Policy::read(&policy.to_string()), Some(policy));
            }
        }
    }

    #[test]
    fn words_of_later_versions_are_skipped_and_bad_values_are_not() {
        let later = Policy::read("kind=set shards=7 consistency=causal").unwrap();
        assert_eq!(later.values, Values::Merging(Kind::Set));
        assert_eq!(later.consistency, Consistency::Causal);
        assert_eq!(Policy::read("consistency=sometimes"), None);
    }

    /// Row N6: what needs consensus is refused with the reason, whatever it is called.
    #[test]
    fn strong_promises_are_refused_with_the_reason() {
        for asked in STRONG {
            let error = Policy::default().set("consistency", asked).unwrap_err();
            assert_eq!(error, PolicyError::Strong { asked: asked.to_owned() });
            let text = error.to_string();
            assert!(text.contains("consensus") && text.contains("docs/gossip-or-consensus.md"));
        }
        let error = Policy::default().set("consistency", "maybe").unwrap_err();
        assert_eq!(error.to_string(), "consistency \"maybe\": expected eventual or causal");
    }
}
