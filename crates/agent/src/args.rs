//! Decides the command line: every subcommand, flag and its default.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::cmd::sim::Sim;
use crate::cmd::{advise, plan};

pub(crate) const HTTP_ADDR_DEFAULT: &str = "http://127.0.0.1:8500";

/// Gossip: membership, failure detection and shared keys without a coordinator.
#[derive(Parser, Debug)]
#[command(name = "tidings", version, max_term_width = 100)]
pub(crate) struct Args {
    /// Where the agent answers HTTP, for the commands that talk to one.
    #[arg(long, global = true, env = "TIDINGS_HTTP_ADDR", default_value = HTTP_ADDR_DEFAULT)]
    #[arg(value_name = "URL", hide_env_values = true)]
    pub(crate) http_addr: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Start a cluster on this machine and show what it does, step by step.
    Demo(Demo),
    /// Run an agent in the foreground.
    Agent(Box<Agent>),
    /// List the members of the cluster.
    Members(Json),
    /// Show the state of this agent on one screen.
    Status(Status),
    /// Show how the latest write of a key came to each member.
    Trace(Trace),
    /// Explain what is known about a member and why it is doubted or gone.
    Why(Why),
    /// Estimate the round trip between two members.
    Rtt(Rtt),
    /// Make the agent join a cluster through one of its nodes.
    Join(Join),
    /// Make the agent leave the cluster and end.
    Leave,
    /// Declare a failed member as left.
    ForceLeave(ForceLeave),
    /// Make the agent read its settings again: says what changed and what needs a restart.
    Reload(Reload),
    /// Declare and list keyspaces: what their values are and what readers are promised.
    #[command(subcommand)]
    Keyspace(Keyspace),
    /// Read and write replicated keys.
    #[command(subcommand)]
    Kv(Kv),
    /// Numbers over all members: sums, means, extremes, quantiles of what each puts in.
    #[command(subcommand)]
    Aggregate(Aggregate),
    /// Read and change typed settings of the whole cluster, at once or in stages.
    #[command(subcommand)]
    Flag(Flag),
    /// Read and change the tags of the agent's node.
    #[command(subcommand)]
    Tags(Tags),
    /// Send an event to all nodes.
    Event(Event),
    /// Print what happens in the cluster as it happens.
    Monitor(Monitor),
    /// Show how the settings of an agent come about.
    #[command(subcommand)]
    Config(Config),
    /// Calculate how long an update takes to reach all, and what it costs.
    Plan(plan::Flags),
    /// Recommend gossip or consensus for what you need, with reasons.
    Advise(advise::Flags),
    /// Simulate: scenarios, epidemics, published tables, random faults.
    #[command(subcommand)]
    Sim(Sim),
}

#[derive(clap::Args, Debug)]
pub(crate) struct Json {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Status {
    /// Wait until all live members know the same members and hold the same state.
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait, such as 5s [default: three times what news takes to reach all].
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = timeout)]
    pub(crate) timeout: Option<Duration>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Trace {
    pub(crate) key: OsString,
    #[arg(long, default_value = "kv", value_name = "NAME")]
    pub(crate) keyspace: String,
    /// How long to wait for members, such as 5s.
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    pub(crate) timeout: Option<Duration>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A wait that the agent accepts.
fn timeout(text: &str) -> Result<Duration, String> {
    let most = Duration::from_secs(600);
    let parsed = tidings_sim::duration::parse(text).filter(|timeout| *timeout <= most);
    parsed.ok_or_else(|| "expected a duration up to 10m such as 5s".to_owned())
}

/// How many members have to confirm.
fn receipt(text: &str) -> Result<String, String> {
    match text.parse::<tidings::Receipt>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[derive(clap::Args, Debug)]
pub(crate) struct Demo {
    /// How many agents to start.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(3..=50))]
    pub(crate) nodes: u16,
    /// End after the last step, also on a terminal.
    #[arg(long)]
    pub(crate) exit: bool,
}

/// Settings of an agent. Their values are checked in `config`, the same way for every source.
#[derive(clap::Args, Debug, Default, Clone)]
pub(crate) struct Agent {
    /// TOML file with settings; flags and TIDINGS_* variables override it.
    #[arg(long, env = "TIDINGS_CONFIG", value_name = "FILE", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Name of the node, unique in the cluster [default: the host name].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Address for gossip, UDP and TCP [default: 0.0.0.0:7946].
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) bind: Option<String>,
    /// Address that others reach this node at [default: the bound one].
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) advertise: Option<String>,
    /// Address for HTTP [default: 127.0.0.1:8500].
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) http: Option<String>,
    /// Address for DNS: only "off" in this version [default: off].
    #[arg(long, value_name = "off")]
    pub(crate) dns: Option<String>,
    /// A node to join through, tried for ever; may be repeated.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) join: Vec<String>,
    /// Set of defaults: local, lan or wan [default: lan].
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,
    /// Directory for identity and keys; without one nothing is written to disk.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
    /// A tag of this node; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) tag: Vec<String>,
    /// Name of the cluster; nodes of others are refused [default: tidings].
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// off, error, warn, info, debug or trace [default: info].
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// File of keys: not in this version.
    #[arg(long, value_name = "FILE")]
    pub(crate) keyring: Option<String>,
    /// End when the process of this id, which must be the parent, ends.
    #[arg(long, hide = true, value_name = "PID")]
    pub(crate) die_with_parent: Option<u32>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Why {
    /// Name or id of the member.
    pub(crate) node: String,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Rtt {
    /// Name or id of a member.
    pub(crate) a: String,
    /// The other one; the agent's own node if left out.
    pub(crate) b: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Join {
    /// Addresses of nodes, HOST:PORT; the port is 7946 if left out.
    #[arg(required = true, value_name = "ADDR")]
    pub(crate) addrs: Vec<String>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Reload {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct ForceLeave {
    /// Name of the failed member.
    pub(crate) name: String,
    /// Also retire its identity for ever; writes that only it held are lost.
    #[arg(long)]
    pub(crate) prune: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Keyspace {
    /// Declare a keyspace for all nodes. What is not given stays as it was.
    Set {
        name: String,
        /// any, lww, register, counter, set, flag, map, max or min.
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        /// eventual or causal. Strong promises need consensus, see `tidings advise`.
        #[arg(long, value_name = "PROMISE")]
        consistency: Option<String>,
        /// How long keys live unless their write says otherwise, such as 60s; 0s: for ever.
        #[arg(long, value_name = "TIME")]
        lifetime: Option<String>,
        /// How news travels: push, pull (for what can wait) or push-pull.
        #[arg(long, value_name = "MODE")]
        mode: Option<String>,
        /// on: members that read a key often are told of it first.
        #[arg(long, value_name = "on|off")]
        hot: Option<String>,
    },
    /// List the keyspaces with what is declared of each.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What a user has read and written before, with whichever agent.
#[derive(clap::Args, Debug)]
pub(crate) struct InSession {
    /// A session as an agent gave it, or a file that keeps one: created if it is not there, and
    /// brought up to date. Nothing older than what the session has seen is read.
    #[arg(long, value_name = "SESSION|FILE")]
    pub(crate) session: Option<String>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Kv {
    /// Print the value of a key.
    Get {
        key: OsString,
        #[arg(long, default_value = "kv", value_name = "NAME")]
        keyspace: String,
        /// Print the whole entry as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        session: InSession,
    },
    /// Write a key.
    Put {
        key: OsString,
        /// The value; "-" reads standard input.
        #[arg(required_unless_present = "file", conflicts_with = "file")]
        value: Option<OsString>,
        /// Read the value from a file.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The key ends by itself after so long, such as 30s.
        #[arg(long, value_name = "TIME")]
        ttl: Option<String>,
        #[arg(long, default_value = "kv", value_name = "NAME")]
        keyspace: String,
        /// Wait until so many members have it: all, certified, quorum, a share such as 0.9, or a
        /// count.
        #[arg(long, value_name = "HOW_MANY", value_parser = receipt)]
        receipt: Option<String>,
        /// How long to wait for them, such as 5s [default: three times what news takes].
        #[arg(long, value_name = "DURATION", requires = "receipt", value_parser = timeout)]
        timeout: Option<Duration>,
        /// Only members that have it on disk count.
        #[arg(long, requires = "receipt")]
        durable: bool,
        /// Print the token and the receipt as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        session: InSession,
    },
    /// Hold a key until interrupted: renewed while this runs, deleted at the end. It is not a lock.
    Lease {
        key: OsString,
        value: OsString,
        /// How long the key lives without this command, such as 30s.
        #[arg(long, value_name = "TIME", default_value = "30s")]
        ttl: String,
        #[arg(long, default_value = "kv", value_name = "NAME")]
        keyspace: String,
    },
    /// List the writes that the agent gave up for concurrent ones, oldest first.
    Conflicts {
        #[command(flatten)]
        json: Json,
    },
    /// Change a value that merges: a counter, set, flag, register, bound or map. Prints nothing.
    Update {
        key: OsString,
        /// assign, add, insert, remove, enable, disable, raise, lower or clear.
        operation: String,
        /// The number or text that the operation takes.
        #[arg(allow_hyphen_values = true)]
        with: Option<String>,
        /// Do it to this field of a map.
        #[arg(long, value_name = "NAME")]
        field: Option<String>,
        #[arg(long, default_value = "kv", value_name = "NAME")]
        keyspace: String,
        #[command(flatten)]
        session: InSession,
    },
    /// Delete a key.
    Delete {
        key: OsString,
        /// Delete every key that starts with it.
        #[arg(long)]
        recurse: bool,
        #[arg(long, default_value = "kv", value_name = "NAME")]
        keyspace: String,
        #[command(flatten)]
        session: InSession,
    },
    /// List the keys that start with a prefix.
    List {
        #[arg(default_value = "")]
        prefix: OsString,
        #[arg(long, default_value = "kv", value_name = "NAME")]
        keyspace: String,
        /// Print the entries as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        session: InSession,
    },
    /// Print every change of the keys that start with a prefix.
    Watch {
        #[arg(default_value = "")]
        prefix: OsString,
        #[arg(long, default_value = "kv", value_name = "NAME")]
        keyspace: String,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum Aggregate {
    /// Print the sum.
    Sum(Aggregated),
    /// Print the mean.
    Avg(Aggregated),
    /// Print the least.
    Min(Aggregated),
    /// Print the greatest.
    Max(Aggregated),
    /// Print how many nodes put something in.
    Count(Aggregated),
    /// Print the variance.
    Variance(Aggregated),
    /// Print the value that a share of the nodes' numbers does not exceed, within 1 %.
    Quantile {
        #[command(flatten)]
        of: Aggregated,
        /// The share, 0 to 1.
        #[arg(short, long, default_value_t = 0.5)]
        q: f64,
    },
    /// Put the agent's number in, instead of the one before.
    Put {
        name: String,
        #[arg(allow_negative_numbers = true)]
        value: f64,
        /// Count it into the distribution too.
        #[arg(long)]
        quantiles: bool,
    },
    /// Take the agent's number out.
    Withdraw { name: String },
    /// List the aggregates.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args, Debug)]
pub(crate) struct Aggregated {
    pub(crate) name: String,
    /// Print everything that is known of it, with age and error, as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Flag {
    /// Print the value that counts for the agent's node.
    Get {
        name: String,
        /// Print type, base value and stage too, as JSON.
        #[arg(long)]
        json: bool,
    },
    /// List all flags.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give a flag a value for all nodes at once. A stage of it ends.
    Set {
        name: String,
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// bool, integer, number, text or json [default: as before, text at first].
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Give a share of the nodes another value; the same value again changes the share.
    ///
    /// The stage stops by itself when a node that has the value fails.
    Stage {
        name: String,
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// Of the nodes, drawn by name.
        #[arg(long, value_name = "PERCENT", default_value_t = 100.0)]
        percent: f64,
        /// Only nodes whose tag "zone" has this value.
        #[arg(long, value_name = "ZONE")]
        zone: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Give all nodes the staged value.
    Promote {
        name: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// End the stage: all nodes have the old value.
    Rollback {
        name: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Stop the stage, as something is wrong with it: all nodes have the old value.
    Alarm { name: String, reason: String },
    /// Delete a flag.
    Delete {
        name: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Print every change of the values that count for the agent's node.
    Watch {
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
}

/// How long a change waits for others.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Wait {
    /// Wait until so many members have it: all, certified, quorum, a share such as 0.9, or a count.
    #[arg(long, value_name = "HOW_MANY", value_parser = receipt)]
    pub(crate) receipt: Option<String>,
    /// How long to wait for them, such as 5s [default: three times what news takes].
    #[arg(long, value_name = "DURATION", requires = "receipt", value_parser = timeout)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Tags {
    /// Set tags.
    Set {
        #[arg(required = true, value_name = "KEY=VALUE")]
        tags: Vec<String>,
    },
    /// Remove tags.
    Unset {
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// List the tags.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args, Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    /// At most 700 bytes; "-" reads standard input.
    #[arg(default_value = "")]
    pub(crate) payload: OsString,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Monitor {
    /// Only these kinds, separated by commas: member, event, key, flag, alarm.
    #[arg(long, value_name = "KINDS")]
    pub(crate) types: Option<String>,
    /// Print one JSON object per line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Config {
    /// Print every setting, its value and where the value comes from.
    Show {
        #[command(flatten)]
        agent: Box<Agent>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Reads the command line. Help and version are answered here; misuse is one line and exit 2.
pub(crate) fn parse() -> Result<Args, ExitCode> {
    let error = match Args::try_parse() {
        Ok(args) => return Ok(args),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            return Err(ExitCode::SUCCESS);
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
        }
        _ => crate::complain(&one_line(&error.render().to_string())),
    }
    Err(ExitCode::from(2))
}

/// What clap says before it repeats the usage, on one line.
fn one_line(rendered: &str) -> String {
    let lines: Vec<&str> = rendered
        .lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join(" ").trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn misuse_is_one_line() {
        let error = Args::try_parse_from(["tidings", "agent", "--nope"]).unwrap_err();
        assert!(one_line(&error.to_string()).starts_with("unexpected argument '--nope' found"));
        let error = Args::try_parse_from(["tidings", "kv", "put", "k"]).unwrap_err();
        assert!(!one_line(&error.to_string()).contains('\n'));
    }
}
