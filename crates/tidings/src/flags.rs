//! Decides what a program sees of flags: typed settings of the whole cluster, changed everywhere at
//! once or in stages.

use tidings_proto::base::flag::{FlagChange, Share, ValueType};
use tidings_proto::io::{Command, Reply};
use tidings_proto::node::FlagView;

use crate::cluster::{Node, Token};
use crate::errors::{Error, Stopped};

/// The flags of the cluster. A change of the value that counts for this node is told by
/// [`Node::watch`] as [`Event::Flag`](crate::Event::Flag), each value once and in order.
#[derive(Clone, Debug)]
pub struct Flags {
    node: Node,
}

impl Flags {
    pub(crate) fn new(node: Node) -> Flags {
        Flags { node }
    }

    /// The flag as it stands here; [`FlagView::value`] is the value that counts for this node.
    pub async fn get(&self, name: impl Into<String>) -> Result<Option<FlagView>, Stopped> {
        let name = name.into();
        self.node.query(move |view, _| view.flag(&name)).await
    }

    /// All flags, by name.
    pub async fn list(&self) -> Result<Vec<FlagView>, Stopped> {
        self.node.query(|view, _| view.flags()).await
    }

    /// Gives a flag a type and a value for all members at once. A stage of it ends.
    pub async fn set(
        &self,
        name: impl Into<String>,
        kind: ValueType,
        value: impl Into<String>,
    ) -> Result<Token, Error> {
        self.change(name, FlagChange::Set { kind, value: value.into() }).await
    }

    /// Gives a share of the members another value; the same value again changes the share. The
    /// stage stops by itself when a member that has the value fails.
    pub async fn stage(
        &self,
        name: impl Into<String>,
        value: impl Into<String>,
        share: Share,
    ) -> Result<Token, Error> {
        self.change(name, FlagChange::Stage { value: value.into(), share }).await
    }

    /// Gives all members the staged value.
    pub async fn promote(&self, name: impl Into<String>) -> Result<Token, Error> {
        self.change(name, FlagChange::Promote).await
    }

    /// Ends a stage: all members have the old value.
    pub async fn roll_back(&self, name: impl Into<String>) -> Result<Token, Error> {
        self.change(name, FlagChange::RollBack).await
    }

    /// Stops a stage because something is wrong with it: all members have the old value, and it
    /// cannot grow before it was rolled back.
    pub async fn stop(
        &self,
        name: impl Into<String>,
        reason: impl Into<String>,
    ) -> Result<Token, Error> {
        self.change(name, FlagChange::Stop { reason: reason.into() }).await
    }

    pub async fn delete(&self, name: impl Into<String>) -> Result<Token, Error> {
        self.change(name, FlagChange::Delete).await
    }

    /// Any change.
    pub async fn change(
        &self,
        name: impl Into<String>,
        change: FlagChange,
    ) -> Result<Token, Error> {
        match self.node.command(Command::Flag { name: name.into(), change }).await? {
            Reply::Written { dots, stamp } => Ok(Token::new(dots, stamp, &self.node)),
            other => unreachable!("a write is answered by its dots, not {other:?}"),
        }
    }
}
