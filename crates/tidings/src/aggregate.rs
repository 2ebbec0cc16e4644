//! Decides what a program sees of an aggregate: a number over all members, to which each puts what
//! it has.

use tidings_proto::aggregation::tally::Outcome;
use tidings_proto::io::{Command, Contribution};

use crate::cluster::Node;
use crate::errors::{Error, Stopped};

/// Sum, mean, extremes, count and quantiles of what the members put in under one name. Each member
/// has one number in it, counted until it is withdrawn or the member is gone.
///
/// ```no_run
/// # async fn example(node: tidings::Node) -> Result<(), Box<dyn std::error::Error>> {
/// let load = node.aggregate("load");
/// load.put(0.7).await?;
/// if let Some(cluster) = load.read().await? {
///     println!("{} nodes, mean {:.2}, error {:.4}", cluster.count, cluster.mean, cluster.error);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Aggregate {
    node: Node,
    name: String,
    quantiles: bool,
}

impl Aggregate {
    pub(crate) fn new(node: Node, name: String) -> Aggregate {
        Aggregate { node, name, quantiles: false }
    }

    /// Counts this node's number into the distribution too; all who put in should choose alike.
    pub fn with_quantiles(mut self) -> Aggregate {
        self.quantiles = true;
        self
    }

    /// Puts this node's number in, instead of the one before; it counts from the next epoch on.
    pub async fn put(&self, value: f64) -> Result<(), Error> {
        self.contribute(Some(Contribution { value, quantiles: self.quantiles })).await
    }

    /// Takes this node's number out.
    pub async fn withdraw(&self) -> Result<(), Error> {
        self.contribute(None).await
    }

    /// The outcome as this node knows it; `None`: nobody has put anything in that it heard of.
    pub async fn read(&self) -> Result<Option<Outcome>, Stopped> {
        let name = self.name.clone();
        self.node.query(move |view, _| view.aggregate(&name)).await
    }

    async fn contribute(&self, own: Option<Contribution>) -> Result<(), Error> {
        self.node.command(Command::Contribute { name: self.name.clone(), own }).await.map(|_| ())
    }
}
