//! Decides what a flag is to its users: a typed setting of the whole cluster, and the ways to
//! change it.

/// What texts a flag accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// `true` or `false`.
    Bool,
    /// A decimal integer of 64 bits with sign.
    Integer,
    /// A decimal number; neither infinite nor "not a number".
    Number,
    /// Any text.
    Text,
    /// A JSON document. The core keeps it as text; whoever has a parser checks it.
    Json,
}

impl ValueType {
    pub const ALL: [ValueType; 5] =
        [ValueType::Bool, ValueType::Integer, ValueType::Number, ValueType::Text, ValueType::Json];

    pub fn as_str(self) -> &'static str {
        match self {
            ValueType::Bool => "bool",
            ValueType::Integer => "integer",
            ValueType::Number => "number",
            ValueType::Text => "text",
            ValueType::Json => "json",
        }
    }

    pub fn parse(text: &str) -> Option<ValueType> {
        ValueType::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    pub fn code(self) -> u8 {
        ValueType::ALL.iter().position(|&k| k == self).expect("all types are listed") as u8
    }

    pub fn from_code(code: u8) -> Option<ValueType> {
        ValueType::ALL.get(usize::from(code)).copied()
    }

    /// What is expected of a value, where `text` is none.
    pub fn check(self, text: &str) -> Result<(), &'static str> {
        let (fits, expected) = match self {
            ValueType::Bool => (matches!(text, "true" | "false"), "true or false"),
            ValueType::Integer => (text.parse::<i64>().is_ok(), "a 64-bit integer"),
            ValueType::Number => {
                (text.parse::<f64>().is_ok_and(f64::is_finite), "a finite decimal number")
            }
            ValueType::Text | ValueType::Json => (true, ""),
        };
        if fits { Ok(()) } else { Err(expected) }
    }
}

/// Which members get a staged value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Of the members in the zone, or of all: 1 to 10,000 hundredths of a percent. Who is in is
    /// drawn by name, so raising it only adds members.
    pub basis_points: u16,
    /// Only members whose tag `zone` has this value.
    pub zone: Option<String>,
}

impl Share {
    pub const ALL_POINTS: u16 = 10_000;
}

/// What a user does to a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlagChange {
    /// Gives it a type and a value for all members at once; ends a stage.
    Set {
        kind: ValueType,
        value: String,
    },
    /// Gives a share of the members another value, until it is promoted, rolled back or stopped.
    /// The same value again changes the share of the stage that is under way.
    Stage {
        value: String,
        share: Share,
    },
    /// Makes the staged value the value of all.
    Promote,
    /// Ends the stage: all have the old value.
    RollBack,
    /// Something is wrong where the staged value is in use: all have the old value at once,
    /// whatever is done to the share at the same time.
    Stop {
        reason: String,
    },
    Delete,
}

/// Why a flag was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagRefused {
    /// No such flag: it has to be set first.
    Unknown,
    /// No stage is under way.
    NoStage,
    /// The stage was stopped: roll it back, or stage the value anew after that.
    Stopped,
    Value {
        expected: &'static str,
    },
    Name,
    Share,
    Reason,
}
