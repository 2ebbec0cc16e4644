//! Decides how a write is named in text, so that it can be handed from one program to another.

use std::fmt;
use std::str::FromStr;

use super::clocks::Dot;
use super::id::NodeId;

/// Names one write: `ORIGIN:SEQ`, the writer's identity in 32 hexadecimal digits and the number
/// of the write in decimal. A group of writes is named by its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub Dot);

impl From<Dot> for Token {
    fn from(dot: Dot) -> Token {
        Token(dot)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.origin, self.0.seq)
    }
}

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Token, NotAToken> {
        let dot = text.split_once(':').and_then(|(origin, seq)| {
            let seq = seq.bytes().all(|b| b.is_ascii_digit()).then(|| seq.parse().ok())??;
            let dot = Dot { origin: NodeId::parse(origin)?, seq };
            (dot.seq > 0).then_some(dot)
        });
        dot.map(Token).ok_or_else(|| NotAToken { text: text.chars().take(SHOWN).collect() })
    }
}

/// Characters of a bad token that its error repeats.
const SHOWN: usize = 64;

/// A text that names no write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAToken {
    pub text: String,
}

impl fmt::Display for NotAToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "token {:?}: expected ORIGIN:SEQ, 32 hexadecimal digits and a number from 1",
            self.text
        )
    }
}

impl std::error::Error for NotAToken {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tokens_round_trip(origin: u128, seq in 1u64..) {
            let token = Token(Dot { origin: NodeId::from_u128(origin), seq });
            prop_assert_eq!(token.to_string().parse(), Ok(token));
        }

        #[test]
        fn any_text_is_a_token_or_an_error(text: String) {
            if let Ok(token) = text.parse::<Token>() {
                prop_assert_eq!(token.to_string().parse(), Ok(token));
            }
        }
    }

    #[test]
    fn a_bad_token_is_named() {
        let id = "00000000000000000000000000000007";
        for bad in ["", "7", ":", "7:1", &format!("{id}:0"), &format!("{id}:+1"), &format!("{id}:")]
        {
            let error = bad.parse::<Token>().unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")) && error.contains("ORIGIN:SEQ"), "{error}");
        }
        assert!(format!("{id}:18446744073709551616").parse::<Token>().is_err());
    }
}
