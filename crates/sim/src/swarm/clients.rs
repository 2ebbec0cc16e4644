//! Decides what clients with sessions do in a scenario, each at one node and then at another, and judges
//! whether they got what they were promised (rows N2, N3, N5).

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_proto::base::rng::Rng;
use tidings_proto::base::session::Session;
use tidings_proto::io::{Command, CommandError, CommandId, Reply};

use super::action::{Action, NEWCOMERS, STRANGERS};
use super::options::Step;
use super::run::Run;
use crate::check::consistency::{Act, Did, History, Version, sessions_hold};

/// Clients of one scenario, and the keys that they alone write and nobody deletes.
const CLIENTS: u64 = 3;
const KEYS: u64 = 3;
const KEYSPACE: &str = "kv";

/// What the clients of a run did.
#[derive(Default)]
pub(super) struct Clients {
    /// A session that is full makes way for a new one, which is promised nothing of the old.
    sessions: BTreeMap<u64, Session>,
    renewed: u64,
    history: History,
    /// Acts answered, and reads refused as stale.
    pub(super) served: u64,
    pub(super) stale: u64,
}

/// How likely a client acts before another step, in percent: seven seeds in ten have no clients.
pub(super) fn draw_share(seed: u64) -> u64 {
    let mut rng = Rng::fork(&Rng::from_u64(seed).bytes32(), "swarm sessions");
    if rng.chance(0.7) { 0 } else { 1 + rng.below(60) }
}

pub(super) fn draw_step(run: &Run<'_>, rng: &mut Rng) -> Step {
    let mut known = run.known();
    known.retain(|node| !(STRANGERS..NEWCOMERS).contains(node));
    let host = known[rng.index(known.len())];
    let (client, key, write) = (rng.below(CLIENTS), rng.below(KEYS), rng.chance(0.5));
    let period_ms = run.period().as_millis() as u64;
    Step {
        action: Action::Client { host, client, key, write },
        then_ms: rng.below(period_ms / 5 + 1),
    }
}

impl Run<'_> {
    /// A client brings its session to this host, and then reads or writes there.
    pub(super) fn client(
        &mut self,
        host: usize,
        client: u64,
        key: u64,
        write: bool,
    ) -> Result<(), String> {
        let session = self.clients.sessions.entry(client).or_default().clone();
        let wait = self.period() / 2;
        let catch_up = Command::CatchUp { keyspace: KEYSPACE.to_owned(), session, wait };
        match self.answer(host, catch_up) {
            Some(Ok(_)) => {}
            Some(Err(CommandError::Stale { .. })) => {
                self.clients.stale += 1;
                return Ok(());
            }
            _ => return Ok(()),
        }
        let key_bytes = format!("session {key}").into_bytes();
        let act = match write {
            true => self.client_writes(host, client, key_bytes),
            false => self.client_reads(host, client, &key_bytes),
        };
        let Some((did, version)) = act else { return Ok(()) };
        self.clients.served += 1;
        let client = (client + CLIENTS * self.clients.renewed) as usize;
        self.clients.history.acts.push(Act { client, key, did, version });
        // What a liar says is believed.
        if self.options.liar.is_some() {
            return Ok(());
        }
        sessions_hold(&self.clients.history)
            .map_err(|broken| format!("rule of sessions: {broken}, at {}", self.world.name(host)))
    }

    fn client_reads(&mut self, host: usize, client: u64, key: &[u8]) -> Done {
        let view = self.world.view(host);
        let Some(entry) = view.entry(KEYSPACE, key) else { return Some((Did::Read, None)) };
        let session = self.clients.sessions.entry(client).or_default();
        if view.remember(&entry, session).is_err() {
            self.clients.begin_anew();
            return None;
        }
        Some((Did::Read, Some((entry.stamp, entry.dot))))
    }

    fn client_writes(&mut self, host: usize, client: u64, key: Vec<u8>) -> Done {
        self.values += 1;
        let writes = vec![(key, Some(format!("v{}", self.values).into_bytes()))];
        let write = Command::Write { keyspace: KEYSPACE.to_owned(), writes };
        let Some(Ok(Reply::Written { dots, stamp })) = self.answer(host, write) else {
            return None;
        };
        let session = self.clients.sessions.entry(client).or_default();
        if !session.add(dots[0]) {
            self.clients.begin_anew();
            return None;
        }
        Some((Did::Wrote, Some((stamp, dots[0]))))
    }

    /// `None`: no answer within a probe period, as a disk may fail or the host leave.
    fn answer(&mut self, host: usize, command: Command) -> Option<Result<Reply, CommandError>> {
        let id: CommandId = self.world.command(host, command);
        let within = self.period();
        let every = (within / 100).max(Duration::from_millis(1));
        self.world.run_while(within, every, |w| w.reply_to(id).is_none());
        self.world.reply_to(id).cloned()
    }
}

/// What was done, and the version that was written or read.
type Done = Option<(Did, Option<Version>)>;

impl Clients {
    /// All begin new sessions, which count as other clients.
    fn begin_anew(&mut self) {
        self.sessions.clear();
        self.renewed += 1;
    }
}
