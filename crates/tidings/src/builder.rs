//! Decides how a node starts: settings are checked first, then the sockets are bound, then the data
//! directory is opened, and only then does the core run; a node with a directory has started when
//! the numbers of its new life are durable.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use tidings_proto::base::operation::Kind;
use tidings_proto::base::policy::{Policy, Values, is_reserved};
use tidings_proto::limits::{KEYSPACE_BYTES_MAX, NAME_BYTES_MAX};
use tidings_proto::{Config, Identity, NodeId};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use crate::cluster::{Node, Shared};
use crate::disk::{Disk, Recovered};
use crate::driver::{Driver, Parts};
use crate::errors::StartError;
use crate::laws;
use crate::merge::{Hook, Hooks};
use crate::net::udp::Datagrams;
use crate::net::{self, Losses};
use crate::seeds;
use crate::timer::Timer;
use crate::watch::{Audience, Indexes, Registry};

/// What a node will be. Made by [`Node::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    name: String,
    bind: String,
    advertise: Option<String>,
    seeds: Vec<String>,
    data_dir: Option<PathBuf>,
    tags: Vec<(String, String)>,
    config: Config,
    cluster: Option<String>,
    watch_buffer: usize,
    keyspaces: Vec<(String, Policy)>,
    merges: BTreeMap<String, (Hook, Vec<Vec<u8>>)>,
}

impl Builder {
    pub(crate) fn new(name: String) -> Builder {
        Builder {
            name,
            bind: "127.0.0.1:0".to_owned(),
            advertise: None,
            seeds: Vec::new(),
            data_dir: None,
            tags: Vec::new(),
            config: Config::lan(),
            cluster: None,
            watch_buffer: WATCH_BUFFER,
            keyspaces: Vec::new(),
            merges: BTreeMap::new(),
        }
    }

    /// Where to listen, UDP and TCP, as `IP:PORT`; port 0 picks a free one. Default: loopback.
    pub fn bind(mut self, addr: impl Into<String>) -> Builder {
        self.bind = addr.into();
        self
    }

    /// The address that others use, as `IP:PORT` or `IP`. Default: the bound one; for a wildcard,
    /// the address that leads outward.
    pub fn advertise(mut self, addr: impl Into<String>) -> Builder {
        self.advertise = Some(addr.into());
        self
    }

    /// Nodes to join, as `HOST:PORT`; retried for ever.
    pub fn join(mut self, seeds: impl IntoIterator<Item = impl Into<String>>) -> Builder {
        self.seeds.extend(seeds.into_iter().map(Into::into));
        self
    }

    /// Keeps identity and state here. Without it nothing is written to disk.
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Builder {
        self.data_dir = Some(dir.into());
        self
    }

    /// Something that this node says about itself.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Builder {
        self.tags.push((key.into(), value.into()));
        self
    }

    /// The settings of the protocol. Default: [`Config::lan`].
    pub fn config(mut self, config: Config) -> Builder {
        self.config = config;
        self
    }

    /// The cluster to be in; nodes of others are refused. Wins over the one in the settings.
    pub fn cluster(mut self, name: impl Into<String>) -> Builder {
        self.cluster = Some(name.into());
        self
    }

    /// Changes kept for each reader that is behind, and never more than 64 MiB of values; further
    /// ones are missed, and it is told.
    pub fn watch_buffer(mut self, changes: usize) -> Builder {
        self.watch_buffer = changes.max(1);
        self
    }

    /// Declares a keyspace as soon as the node is in step with its cluster, unless it is declared
    /// already: another declaration stands, and is reported ([`Alarm::PolicyConflict`]).
    ///
    /// [`Alarm::PolicyConflict`]: crate::Alarm::PolicyConflict
    pub fn keyspace(mut self, name: impl Into<String>, policy: Policy) -> Builder {
        self.keyspaces.push((name.into(), policy));
        self
    }

    /// Merges concurrent writes to the keys of a keyspace by the program's own rule, where this node
    /// reads and writes them. The keyspace is declared to hold registers. The start fails if the rule
    /// breaks a law of [`laws`](crate::laws) over the samples and what it makes of them.
    pub fn merge<S: AsRef<[u8]>>(
        mut self,
        keyspace: impl Into<String>,
        rule: impl Fn(&[u8], &[u8]) -> Vec<u8> + Send + Sync + 'static,
        samples: &[S],
    ) -> Builder {
        let samples = samples.iter().map(|sample| sample.as_ref().to_vec()).collect();
        let keyspace = keyspace.into();
        let registers = Policy { values: Values::Merging(Kind::Register), ..Policy::default() };
        self.keyspaces.push((keyspace.clone(), registers));
        self.merges.insert(keyspace, (Arc::new(rule), samples));
        self
    }

    /// Starts the node on the current tokio runtime, which needs time and I/O enabled.
    pub async fn start(self) -> Result<Node, StartError> {
        let (name, tags, watch_buffer) = (self.name.clone(), self.tags.clone(), self.watch_buffer);
        let (config, bind, advertise) = self.checked()?;
        let bound = bind_sockets(bind)?;
        let (disk, recovered) = open_disk(self.data_dir.clone()).await?;
        let (ready, starting) = oneshot::channel();
        let ready = disk.is_some().then_some(ready);
        let addr = advertised(advertise, bound.addr);
        let (seed_addrs, complete) = seeds::resolve(&self.seeds).await;
        let identity = Identity {
            id: recovered.id,
            name: name.clone(),
            addr,
            tags,
            boot: u64::from_le_bytes(random()?),
            replaces: recovered.replaces,
        };
        let losses = Arc::new(Losses::default());
        let (orders, orders_in) = mpsc::channel(ORDERS_WAITING_MAX);
        let (registry, bell) = Registry::new();
        let (indexes_out, indexes) = watch::channel(Indexes { members: 1, entries: 1, events: 1 });
        let (id_out, id) = watch::channel(identity.id);
        let (ended_out, ended) = watch::channel(None);
        let mut driver = Driver::new(Parts {
            config,
            identity,
            pairs: recovered.pairs,
            seed: random()?,
            datagrams: bound.datagrams,
            listener: bound.listener,
            timer: bound.timer,
            leave_from: Some(bind.ip()).filter(|ip| !ip.is_unspecified()),
            disk,
            ready,
            orders: orders_in,
            audience: Audience::new(registry.clone()),
            bell,
            losses: losses.clone(),
            indexes: indexes_out,
            id: id_out,
        })
        .map_err(StartError::Refused)?;
        driver.expect(self.keyspaces.clone());
        if complete || !seed_addrs.is_empty() {
            driver.join(seed_addrs.clone());
        }
        if !complete {
            let task = seeds::keep_resolving(self.seeds.clone(), seed_addrs, orders.downgrade());
            driver.adopt_seed_task(tokio::spawn(task).abort_handle());
        }
        tokio::spawn(driver.run(ended_out));
        let node = Node::from_shared(Shared {
            name,
            addr,
            id,
            orders,
            registry,
            watch_buffer,
            indexes,
            ended,
            losses,
            leaving: watch::Sender::new(false),
            hooks: self.hooks(),
        });
        if let (Ok(Err(reason)), Some(path)) = (starting.await, self.data_dir) {
            node.stop().await;
            return Err(StartError::DataDir { path, reason });
        }
        Ok(node)
    }

    fn hooks(&self) -> Hooks {
        let rules = self.merges.iter().map(|(name, (rule, _))| (name.clone(), rule.clone()));
        Hooks::new(rules.collect())
    }

    fn checked(&self) -> Result<(Config, SocketAddr, Option<Advertised>), StartError> {
        let mut config = self.config.clone();
        if let Some(cluster) = &self.cluster {
            config.cluster.clone_from(cluster);
        }
        config.durable = self.data_dir.is_some();
        config.check()?;
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX {
            let expected = "1 to 128 bytes";
            return Err(StartError::Address { what: "name", value: self.name.clone(), expected });
        }
        let bind = self.bind.parse().map_err(|_| StartError::Address {
            what: "bind address",
            value: self.bind.clone(),
            expected: "IP:PORT, such as 0.0.0.0:7946",
        })?;
        let advertise = self.advertise.as_deref().map(Advertised::parse).transpose()?;
        self.seeds.iter().try_for_each(|seed| seeds::check(seed))?;
        self.keyspaces.iter().try_for_each(|(name, _)| check_keyspace(name))?;
        for (keyspace, (rule, samples)) in &self.merges {
            laws::check(|a, b| rule(a, b), samples)
                .map_err(|broken| StartError::Merge { keyspace: keyspace.clone(), broken })?;
        }
        Ok((config, bind, advertise))
    }
}

fn check_keyspace(name: &str) -> Result<(), StartError> {
    if name.is_empty() || name.len() > KEYSPACE_BYTES_MAX || is_reserved(name) {
        let expected = "1 to 64 bytes without a leading dot";
        return Err(StartError::Address { what: "keyspace", value: name.to_owned(), expected });
    }
    Ok(())
}

/// Without a port: the one that was bound.
#[derive(Clone, Copy, Debug)]
struct Advertised {
    ip: IpAddr,
    port: Option<u16>,
}

impl Advertised {
    fn parse(text: &str) -> Result<Advertised, StartError> {
        let parsed = match (text.parse::<SocketAddr>(), text.parse::<IpAddr>()) {
            (Ok(addr), _) => {
                Some(Advertised { ip: addr.ip(), port: Some(addr.port()).filter(|&p| p != 0) })
            }
            (_, Ok(ip)) => Some(Advertised { ip, port: None }),
            _ => None,
        };
        parsed.filter(|a| !a.ip.is_unspecified()).ok_or_else(|| StartError::Address {
            what: "advertised address",
            value: text.to_owned(),
            expected: "IP:PORT or IP that others can reach",
        })
    }
}

fn advertised(wanted: Option<Advertised>, bound: SocketAddr) -> SocketAddr {
    match wanted {
        Some(a) => SocketAddr::new(a.ip, a.port.unwrap_or(bound.port())),
        None if bound.ip().is_unspecified() => {
            let ip = net::outward_ip(bound).unwrap_or(Ipv4Addr::LOCALHOST.into());
            SocketAddr::new(ip, bound.port())
        }
        None => bound,
    }
}

async fn open_disk(dir: Option<PathBuf>) -> Result<(Option<Disk>, Recovered), StartError> {
    let fresh_id = NodeId(random()?);
    match dir {
        Some(dir) => {
            Disk::open(dir, fresh_id).await.map(|(disk, recovered)| (Some(disk), recovered))
        }
        None => Ok((None, Recovered { id: fresh_id, replaces: None, pairs: Vec::new() })),
    }
}

struct Bound {
    datagrams: Datagrams,
    listener: TcpListener,
    timer: Timer,
    addr: SocketAddr,
}

fn bind_sockets(addr: SocketAddr) -> Result<Bound, StartError> {
    let (listener, socket) = net::bind(addr).map_err(|source| StartError::Bind { addr, source })?;
    let register = |source| StartError::System { what: "a socket", source };
    let addr = listener.local_addr().map_err(register)?;
    let listener = TcpListener::from_std(listener).map_err(register)?;
    let datagrams = Datagrams::new(socket).map_err(register)?;
    let timer = Timer::new().map_err(|source| StartError::System { what: "a timer", source })?;
    Ok(Bound { datagrams, listener, timer, addr })
}

fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| StartError::System {
        what: "randomness",
        source: std::io::Error::other(e.to_string()),
    })?;
    Ok(bytes)
}

const WATCH_BUFFER: usize = 16_384;
/// Commands and questions that wait for the loop. Further callers wait for room.
const ORDERS_WAITING_MAX: usize = 256;
