//! Decides what the bare epidemic is: nodes that know or do not, rounds, and no packets. Node by
//! node up to a million, as a chain of counts beyond; both are held against each other.

/// Who sends the news in a contact: the caller, the called, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    Push,
    Pull,
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
}

impl std::str::FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Mode, String> {
        let found = Mode::ALL.into_iter().find(|m| m.as_str() == text);
        found.ok_or_else(|| format!("{text:?}: expected push, pull or push-pull"))
    }
}
