//! Decides how a test acts on a world and what it can read of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tidings_proto::io::{Command, CommandError, CommandId, Input, Reply};
use tidings_proto::node::EntryView;
use tidings_proto::{Config, Node, NodeId, Time, View};

use crate::host::{Spent, Traffic};
use crate::observe::{Observed, Spread, Topic};
use crate::world::World;

impl World {
    pub fn command(&mut self, host: usize, command: Command) -> CommandId {
        assert!(self.hosts[host].running(), "{} does not run", self.hosts[host].name);
        self.commands += 1;
        let id = CommandId(self.commands);
        if matches!(command, Command::Write { .. }) {
            self.seen.pending.insert(id, (host, command.clone()));
        }
        self.handle(host, Input::Command { id, command });
        id
    }

    pub fn join(&mut self, host: usize, to: &[usize]) -> CommandId {
        let addrs = to.iter().map(|&t| self.hosts[t].addr).collect();
        self.command(host, Command::Join { addrs, retry: true })
    }

    pub fn write(
        &mut self,
        host: usize,
        key: impl AsRef<[u8]>,
        value: Option<impl AsRef<[u8]>>,
    ) -> CommandId {
        let value = value.map(|v| v.as_ref().to_vec());
        let writes = vec![(key.as_ref().to_vec(), value)];
        self.command(host, Command::Write { keyspace: "kv".to_owned(), writes })
    }

    pub fn set(
        &mut self,
        host: usize,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> CommandId {
        self.write(host, key, Some(value))
    }

    /// Sets a key that ends by itself.
    pub fn set_for(
        &mut self,
        host: usize,
        key: &str,
        value: &str,
        lifetime: Duration,
    ) -> CommandId {
        let (keyspace, writes) = ("kv".to_owned(), vec![(key.into(), Some(value.into()))]);
        self.command(host, Command::WriteFor { keyspace, writes, lifetime })
    }

    pub fn delete(&mut self, host: usize, key: impl AsRef<[u8]>) -> CommandId {
        self.write(host, key, None::<&[u8]>)
    }

    /// Gives a running node other settings; a later process on that host has them too. The error is
    /// what the node said.
    pub fn configure(&mut self, host: usize, config: Config) -> Result<(), CommandError> {
        let command = Command::Configure { config: Box::new(config.clone()) };
        let command = self.command(host, command);
        match self.reply_to(command).expect("settings are answered at once") {
            Ok(_) => self.hosts[host].config = config,
            Err(error) => return Err(error.clone()),
        }
        Ok(())
    }

    pub fn emit(&mut self, host: usize, name: &str, payload: &[u8]) -> CommandId {
        self.command(host, Command::Emit { name: name.to_owned(), payload: payload.to_vec() })
    }

    /// The process looks at its timers, whatever the time.
    pub fn tick(&mut self, host: usize) {
        self.handle(host, Input::Tick);
    }

    pub fn reply_to(&self, command: CommandId) -> Option<&Result<Reply, CommandError>> {
        self.seen.replies.get(&command).map(|(_, result)| result)
    }

    pub fn entry(&self, host: usize, key: impl AsRef<[u8]>) -> Option<EntryView> {
        self.view(host).entry("kv", key.as_ref())
    }

    pub fn get(&self, host: usize, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.entry(host, key).and_then(|e| e.value).map(|v| v.to_vec())
    }

    pub fn view(&self, host: usize) -> View<'_> {
        self.node(host).view()
    }

    pub fn node(&self, host: usize) -> &Node {
        let h = &self.hosts[host];
        h.node.as_ref().unwrap_or_else(|| panic!("{} does not run", h.name))
    }

    pub fn is_up(&self, host: usize) -> bool {
        self.hosts[host].node.is_some()
    }

    /// Hosts that run a process, in order.
    pub fn up(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.hosts.len()).filter(|&h| self.is_up(h))
    }

    /// How many things are scheduled.
    pub fn scheduled(&self) -> usize {
        self.queue.len()
    }

    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    pub fn id(&self, host: usize) -> NodeId {
        self.hosts[host].id
    }

    pub fn name(&self, host: usize) -> &str {
        &self.hosts[host].name
    }

    /// The cluster that the processes of this host belong to.
    pub fn cluster(&self, host: usize) -> &str {
        &self.hosts[host].config.cluster
    }

    /// Whether an input to this host is handled at once, not queued.
    pub fn is_prompt(&self, host: usize) -> bool {
        let h = &self.hosts[host];
        h.node.is_some() && !h.queues_input()
    }

    /// Whether processes of this host keep their state on disk.
    pub fn is_durable(&self, host: usize) -> bool {
        self.hosts[host].config.durable
    }

    pub fn life(&self, host: usize) -> u64 {
        self.hosts[host].life
    }

    pub fn service_time(&self, host: usize) -> Duration {
        self.hosts[host].service
    }

    pub fn addr(&self, host: usize) -> SocketAddr {
        self.hosts[host].addr
    }

    pub fn host_named(&self, name: &str) -> Option<usize> {
        self.hosts.iter().position(|h| h.name == name)
    }

    pub fn traffic(&self, host: usize) -> Traffic {
        self.hosts[host].traffic
    }

    /// What this host's bytes were spent on, over all its processes.
    pub fn spent(&self, host: usize) -> Spent {
        let h = &self.hosts[host];
        let mut spent = h.spent;
        if let Some(node) = &h.node {
            spent += Spent::of(node.stats());
        }
        spent
    }

    /// Bytes of the largest datagram that this host ever sent.
    pub fn largest_datagram(&self, host: usize) -> usize {
        self.hosts[host].largest_datagram
    }

    /// From now on: when is the first datagram sent to this host, whether it arrives or not?
    pub fn await_send_to(&mut self, host: usize) {
        self.hosts[host].first_sent_to = None;
    }

    pub fn first_sent_to(&self, host: usize) -> Option<Time> {
        self.hosts[host].first_sent_to
    }

    pub fn seen(&self) -> &Observed {
        &self.seen
    }

    pub fn track(&mut self, topic: Topic) {
        self.seen.track(topic, self.now);
    }

    pub fn untrack(&mut self, topic: &Topic) -> Spread {
        self.seen.untrack(topic).expect("the topic was tracked")
    }

    /// Adds a line to the text of the trace.
    pub fn say(&mut self, line: &str) {
        self.trace.note(self.now, format_args!("# {line}"));
    }

    pub fn trace_hash(&self) -> u128 {
        self.trace.hash()
    }

    pub fn trace_lines(&mut self) -> Vec<String> {
        self.trace.take_lines()
    }

    /// Rules broken so far, each in one line.
    pub fn violations(&self) -> &[String] {
        self.watch.violations()
    }

    /// Hosts that run and have not left, on demand or since another holds their name.
    pub fn members(&self) -> impl Iterator<Item = usize> + '_ {
        self.up().filter(|&host| !self.view(host).left())
    }

    /// Whether every running node lists as many live members as run in its cluster.
    pub fn all_see_their_own(&self) -> bool {
        let mut running: BTreeMap<&str, usize> = BTreeMap::new();
        for host in self.members() {
            *running.entry(self.cluster(host)).or_default() += 1;
        }
        self.members().all(|h| self.view(h).counts().0 == running[self.cluster(h)])
    }

    /// Whether every running node lists exactly `n` live members.
    pub fn all_see_alive(&self, n: usize) -> bool {
        self.up().all(|h| self.view(h).alive() == n)
    }
}
